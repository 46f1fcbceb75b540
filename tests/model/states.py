"""The states of the protocol's model: small, hashable, and nothing that decisions do not see."""

from typing import NamedTuple

from storage.rows import SubscriptionStatus

#: Credentials that one subscription can come to have: the first, and one in its place.
SLOTS = 2
#: Where the end of running time is.
NEVER, AHEAD, OVER = range(3)


class Subscription(NamedTuple):
    """A subscription; time is counted in whole periods.

    Attributes:
        status: as stored.
        ends: NEVER, AHEAD of now, or OVER.
        waits: periods that wait for access.
        ran: periods that were given to running time.
        sold: payments that were credited.
    """

    status: SubscriptionStatus
    ends: int
    waits: int
    ran: int
    sold: int


class Credential(NamedTuple):
    """One uuid: the wish, what is confirmed, and the slot whose place it takes."""

    present: bool
    gen: int
    applied_gen: int
    was_applied: bool
    replaces: int | None

    @property
    def due(self) -> bool:
        """Whether the node has to be told."""
        return self.applied_gen < self.gen


class Database(NamedTuple):
    """What is committed. `epoch` is the node's, as far as we know."""

    subscription: Subscription | None
    credentials: tuple[Credential, ...]
    epoch: int


class Seen(NamedTuple):
    """What the node's store holds of one uuid; absent is a tombstone."""

    gen: int
    present: bool


class Node(NamedTuple):
    """A node's store, a place for each slot; a wiped one has another epoch."""

    epoch: int
    seen: tuple[Seen | None, ...]


class Request(NamedTuple):
    """PUT or DELETE of one uuid, as it was sent."""

    slot: int
    gen: int
    present: bool
    epoch: int


class Answer(NamedTuple):
    """What the node says: `status` 200, 409 with its generation, or 412 with its epoch."""

    status: int
    number: int = 0


class Call(NamedTuple):
    """A request that we wait for; `answer` is None while it is on its way."""

    request: Request
    answer: Answer | None


class Left(NamedTuple):
    """How often each thing may still happen. `echoes` are old answers to "whose store is this?"."""

    payments: int = 0
    reissues: int = 0
    lapses: int = 0
    timeouts: int = 0
    crashes: int = 0
    duplicates: int = 0
    wipes: int = 0
    echoes: int = 0


class State(NamedTuple):
    """Everything at a moment. Calls die with our process; late requests outlive it."""

    database: Database
    node: Node
    calls: tuple[Call, ...]
    late: tuple[Request, ...]
    left: Left


def start(left: Left) -> State:
    """Nobody bought anything; the node is known and empty."""
    database = Database(subscription=None, credentials=(), epoch=1)
    return State(database, Node(1, (None,) * SLOTS), (), (), left)
