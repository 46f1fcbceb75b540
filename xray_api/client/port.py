"""What the back-end may ask of a node; the real client and the fake keep the same promises."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from xray_api.contract import (
    DEFAULT_BUCKETS,
    MAX_PAGE,
    BatchReply,
    DigestReply,
    DisconnectReply,
    Operation,
    PutReply,
    Readiness,
    RemoveReply,
    SnapshotReply,
    TrafficReply,
    UserPage,
    UserReply,
    Writer,
)

#: Called before every request; raises where no outside call may be made (in a transaction).
Guard = Callable[[], None]

#: One attempt's time where the caller has no shorter deadline, in seconds.
ATTEMPT_S = 4.0
#: The same for a call about many users.
BULK_ATTEMPT_S = 30.0


class NodePort(Protocol):
    """One node. Every call raises `NodeCallError` and nothing else, and is safe to repeat.

    `deadline_s` is what is left of the caller's time, in seconds. The node is told, and
    refuses what it cannot finish in it. A cancelled call has an unknown outcome.
    """

    async def put(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> PutReply:
        """Let a user in. The reply is true of the running Xray and durable on the node.

        Raises:
            StaleGeneration: the node has seen a newer wish, or the opposite one.
            EpochChanged: the node is not the one that the caller knew.
        """
        ...

    async def remove(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> RemoveReply:
        """Shut a user out, present or not. No earlier `put` can bring him back.

        Raises:
            StaleGeneration: the node has seen a newer wish, or the opposite one.
            EpochChanged: the node is not the one that the caller knew.
        """
        ...

    async def get(self, uuid: UUID, *, deadline_s: float = ATTEMPT_S) -> UserReply | None:
        """A user whom the node lets in; None if it does not."""
        ...

    async def list_users(
        self, *, after: UUID | None = None, limit: int = MAX_PAGE, deadline_s: float = ATTEMPT_S
    ) -> UserPage:
        """One page of the running Xray's users, by uuid."""
        ...

    async def ready(self, *, deadline_s: float = ATTEMPT_S) -> Readiness:
        """The node's account of itself, ready or not; its `epoch` is how a node is first met."""
        ...

    async def batch(
        self,
        epoch: UUID,
        operations: Sequence[Operation],
        *,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> BatchReply:
        """Many wishes at once, each with its own outcome, in the same order.

        Raises:
            EpochChanged: the node is not the one that the caller knew.
        """
        ...

    async def snapshot(
        self,
        epoch: UUID,
        users: Mapping[UUID, int],
        *,
        base_digest: str | None = None,
        allow_shrink: int | None = None,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> SnapshotReply:
        """Let these users (uuid to generation) in, and nobody else.

        `base_digest` is the root that the caller saw; None is not checked. `allow_shrink` is how
        many users may be removed where the guard, max(20, 1 %), does not allow it.

        Raises:
            ShrinkRefused: more users would be removed.
            DigestChanged: the node has other users than the caller saw.
            EpochChanged: the node is not the one that the caller knew.
        """
        ...

    async def digest(
        self, *, buckets: int = DEFAULT_BUCKETS, deadline_s: float = BULK_ATTEMPT_S
    ) -> DigestReply:
        """The running Xray's users in short; `buckets` is a power of two."""
        ...

    async def traffic(
        self, *, reset: bool = False, deadline_s: float = BULK_ATTEMPT_S
    ) -> TrafficReply:
        """Bytes for each user since the counters' start; `reset` starts them again."""
        ...

    async def disconnect(
        self, uuid: UUID, *, deadline_s: float = ATTEMPT_S
    ) -> DisconnectReply | None:
        """End a user's open connections; None when the node never knew him."""
        ...
