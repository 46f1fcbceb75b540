"""What the bot needs of the rest: users to ask, rows to read, and an inbox that forgets nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from actors.runtime.messages import Request
from storage.rows import InboxRow, QuoteRow

Reply = TypeVar("Reply")


class Users(Protocol):
    """The actors of all users."""

    async def ask(self, user_id: int, message: Request[Reply]) -> Reply:
        """Ask one user's actor, started on demand.

        Raises:
            Unavailable: not now; the same message may be sent again.
            ActorFailed: a bug; it has been reported.
        """
        ...


class Queries(Protocol):
    """Reads that need no order among a user's commands: one indexed row each.

    What they raise while the database does not answer is the `weather` of the dispatcher.
    """

    async def language(self, user_id: int) -> str | None:
        """The language that a user chose; None for a stranger."""
        ...

    async def quote(self, purchase_id: UUID) -> QuoteRow | None:
        """An order as it stands now."""
        ...

    async def approve(self, purchase_id: UUID, query_id: str) -> bool:
        """Let a payment happen, unless another one of the same order is under way."""
        ...

    async def reachable(self, user_id: int, *, reachable: bool) -> None:
        """Note that a user blocked the bot, or came back."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RawUpdate:
    """An update as it came. Lanes order: one user's updates are worked on one after the other."""

    source: str
    source_id: str
    payload: str
    lane: int | None


class UpdateInbox(Protocol):
    """Updates that were accepted and are not done."""

    async def accept(self, updates: Sequence[RawUpdate]) -> None:
        """Commit updates; one that was accepted before changes nothing."""
        ...

    async def waiting(
        self, limit: int, besides_lanes: list[int], besides: list[int]
    ) -> list[InboxRow]:
        """Updates that are due, those without a lane first, then oldest first.

        A lane in hand (`besides_lanes`) and one whose oldest update has to wait are left out, and
        so are updates in hand, by `seq` (`besides`).
        """
        ...

    async def begin(self, row: InboxRow) -> None:
        """Count an attempt, before it is made."""
        ...

    async def done(self, row: InboxRow, reply: str) -> None:
        """Never again. `reply` says in a word what became of it."""
        ...

    async def release(self, row: InboxRow, *, after_s: float, counts: bool) -> None:
        """Try again after a while. `counts` is false for weather, which poisons nothing."""
        ...

    async def resume(self) -> None:
        """Try payments again that were set aside."""
        ...

    async def quarantine(self, row: InboxRow, reason: str) -> None:
        """Set an update aside that fails again and again; it blocks nobody."""
        ...

    async def prune(self) -> None:
        """Forget updates that were done so long ago that they cannot come again."""
        ...
