"""Model of the protocol between the database, the back-end and one node.

It is searched whole: every state that can be reached, in every order of events. One subscription
is bought, renewed, gets a new link and ends, while calls time out, come late, come twice and come
in another order, our process crashes and the node loses its store.

What is real: `decide_credit`, `decide_reissue`, `decide_expiry`, `decide_failure`, and the node's
fence `decide_wish`. What is mirrored, and held to PostgreSQL by `test_model_statements`: the SQL
that writes wishes, confirmations and redrives. What is the model's own: who may act when, below.

Safety is checked in every state and step (`properties`). Convergence too, without a second search:
steps that are taken by themselves ("fair": send, deliver, record, visit, expire) lower a rank, so
they come to an end; and wherever none is left the node must equal the database, whatever late
requests are still under way.

Bounds are in `variants`. Not modelled: refunds, pauses, two nodes, two processes, a restored
database, quarantine, and a decision that is overtaken before its commit (the version guard has
tests of its own). The node is known from the start.
"""

from collections.abc import Iterator
from functools import lru_cache

from storage.rows import SubscriptionStatus
from tests.model import properties
from tests.model.back_end import BackEnd
from tests.model.search import Step
from tests.model.states import (
    AHEAD,
    OVER,
    SLOTS,
    Answer,
    Call,
    Left,
    Node,
    Request,
    Seen,
    State,
    start,
)
from xray_api.node.changes import Apply, Stale, Wish, decide_wish

OK, STALE, WRONG_EPOCH = 200, 409, 412


class ProtocolModel:
    """The full protocol; each flag that is off takes one ingredient away."""

    def __init__(
        self,
        left: Left,
        back_end: BackEnd,
        *,
        fence: bool = True,
        epoch: bool = True,
        visits: bool = True,
    ) -> None:
        self._left = left
        self._back_end = back_end
        self._fence = fence
        self._epoch = epoch
        self._visits = visits
        self._deliver = lru_cache(None)(self._delivered)
        self.wrong = properties.wrong
        self.wrong_step = properties.wrong_step
        self.rank = properties.rank
        self.wrong_rest = properties.wrong_rest
        self.show = properties.show

    def start(self) -> State:
        """See `Model`."""
        return start(self._left)

    def steps(self, state: State) -> Iterator[Step[State]]:
        """See `Model`."""
        yield from self._ours(state)
        yield from self._calls(state)
        yield from self._late(state)
        yield from self._users(state)
        yield from self._faults(state)

    def _ours(self, state: State) -> Iterator[Step[State]]:
        """Work that the back-end takes up by itself."""
        database = state.database
        busy = [call.request.slot for call in state.calls]
        for slot, row in enumerate(database.credentials):
            if row.applied_gen < row.gen and slot not in busy:
                call = Call(Request(slot, row.gen, row.present, database.epoch), None)
                calls = tuple(sorted((*state.calls, call), key=_slot))
                yield True, ("send", call.request), state._replace(calls=calls)
        if self._visits and database.epoch != state.node.epoch:
            after = self._back_end.learn(database, state.node.epoch)
            yield True, ("visit",), state._replace(database=after)
        subscription = database.subscription
        if subscription is not None and subscription.ends == OVER:
            after = self._back_end.expire(database)
            if after != database:
                yield True, ("expire",), state._replace(database=after)

    def _calls(self, state: State) -> Iterator[Step[State]]:
        """A call gets its answer, and the answer is acted on."""
        for call in state.calls:
            others = tuple(other for other in state.calls if other is not call)
            request, answer = call
            if answer is None:
                node, answer = self._deliver(state.node, request)
                calls = tuple(sorted((*others, Call(request, answer)), key=_slot))
                yield True, ("deliver", request), state._replace(node=node, calls=calls)
            else:
                after = self._back_end.record(state.database, request.slot, request.gen, answer)
                yield (
                    True,
                    ("record", request, answer),
                    state._replace(database=after, calls=others),
                )

    def _late(self, state: State) -> Iterator[Step[State]]:
        """A request for whose answer nobody waits arrives, or never does."""
        for request in dict.fromkeys(state.late):
            node, _ = self._deliver(state.node, request)
            after = state._replace(node=node, late=_without(state.late, request))
            yield False, ("deliver late", request), after

    def _users(self, state: State) -> Iterator[Step[State]]:
        """What people and time do."""
        database, left, back_end = state.database, state.left, self._back_end
        if left.payments:
            after = back_end.credit(database)
            spent = left._replace(payments=left.payments - 1)
            yield False, ("pay",), state._replace(database=after, left=spent)
        subscription = database.subscription
        if subscription is None or subscription.status is not SubscriptionStatus.ACTIVE:
            return
        if left.reissues and len(database.credentials) < SLOTS:
            after = back_end.reissue(database)
            if after != database:
                spent = left._replace(reissues=left.reissues - 1)
                yield False, ("reissue",), state._replace(database=after, left=spent)
        if left.lapses and subscription.ends == AHEAD:
            over = database._replace(subscription=subscription._replace(ends=OVER))
            spent = left._replace(lapses=left.lapses - 1)
            yield False, ("time passes",), state._replace(database=over, left=spent)

    def _faults(self, state: State) -> Iterator[Step[State]]:
        """What goes wrong. An answer that is lost is a timeout of a request that comes late."""
        left = state.left
        under_way = [call.request for call in state.calls if call.answer is None]
        if left.timeouts:
            spent = left._replace(timeouts=left.timeouts - 1)
            for call in state.calls:
                if call.answer is None:
                    calls = tuple(other for other in state.calls if other is not call)
                    late = _sorted((*state.late, call.request))
                    after = state._replace(calls=calls, late=late, left=spent)
                    yield False, ("time out", call.request), after
        if left.crashes and state.calls:
            spent = left._replace(crashes=left.crashes - 1)
            late = _sorted((*state.late, *under_way))
            yield False, ("crash",), state._replace(calls=(), late=late, left=spent)
        if left.duplicates:
            spent = left._replace(duplicates=left.duplicates - 1)
            for request in dict.fromkeys((*under_way, *state.late)):
                late = _sorted((*state.late, request))
                yield False, ("duplicate", request), state._replace(late=late, left=spent)
        if left.wipes:
            spent = left._replace(wipes=left.wipes - 1)
            node = Node(state.node.epoch + 1, (None,) * SLOTS)
            yield False, ("wipe",), state._replace(node=node, left=spent)
        if left.echoes and state.database.epoch > 1:
            spent = left._replace(echoes=left.echoes - 1)
            database = self._back_end.learn(state.database, state.database.epoch - 1)
            yield False, ("learn an old epoch",), state._replace(database=database, left=spent)

    def _delivered(self, node: Node, request: Request) -> tuple[Node, Answer]:
        """What the node does with a request."""
        if self._epoch and request.epoch != node.epoch:
            return node, Answer(WRONG_EPOCH, node.epoch)
        seen = node.seen[request.slot]
        known = None if seen is None else Wish(*seen)
        asked = Wish(request.gen, request.present)
        decision = decide_wish(known, asked) if self._fence else Apply()
        if isinstance(decision, Stale):
            return node, Answer(STALE, decision.gen)
        if isinstance(decision, Apply):
            wishes = list(node.seen)
            wishes[request.slot] = Seen(request.gen, request.present)
            node = node._replace(seen=tuple(wishes))
        return node, Answer(OK)


def _slot(call: Call) -> int:
    return call.request.slot


def _sorted(requests: tuple[Request, ...]) -> tuple[Request, ...]:
    return tuple(sorted(requests))


def _without(requests: tuple[Request, ...], request: Request) -> tuple[Request, ...]:
    position = requests.index(request)
    return requests[:position] + requests[position + 1 :]
