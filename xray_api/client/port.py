"""What the back-end may ask of a node; the real client and the fake keep the same promises."""

from collections.abc import Callable
from typing import Protocol
from uuid import UUID

from xray_api.contract import (
    MAX_PAGE,
    PutReply,
    Readiness,
    RemoveReply,
    UserPage,
    UserReply,
    Writer,
)

#: Called before every request; raises where no outside call may be made (in a transaction).
Guard = Callable[[], None]

#: One attempt's time where the caller has no shorter deadline, in seconds.
ATTEMPT_S = 4.0


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
