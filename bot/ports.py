"""What the bot needs of the rest: users to ask, rows to read, and an inbox that forgets nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from actors.runtime.inspection import ActorDetails, ActorView
from actors.runtime.messages import Request
from bot.node_views import BreakerView, ExpiryView, NodeView
from config.tuning import Forecast, Tunable
from storage.rows import (
    DeadLetterRow,
    EventRow,
    InboxRow,
    LetterDraft,
    PaymentRow,
    PurchaseRow,
    QuoteRow,
    ReconcileRun,
    SettingChangeRow,
    StoryRow,
)

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

    async def payment_by_number(self, number: int) -> PaymentRow | None:
        """The payment that people call by this number."""
        ...

    async def purchase(self, purchase_id: UUID) -> PurchaseRow | None:
        """An order, whoever's it is: for owners only."""
        ...

    async def held_payments(self, limit: int) -> list[PaymentRow]:
        """Money that waits for an owner's decision."""
        ...

    async def story(self, user_id: int) -> list[StoryRow]:
        """What became of a user, oldest first."""
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

    async def refused(self, row: InboxRow, *, after_s: float) -> None:
        """Try again after a while: Telegram did not take the answer, which poisons nothing."""
        ...

    async def quarantine(
        self, row: InboxRow, reason: str, letter: LetterDraft | None = None
    ) -> None:
        """Set an update aside that fails again and again, with a letter; it blocks nobody."""
        ...

    async def prune(self) -> None:
        """Forget updates that were done so long ago that they cannot come again."""
        ...


class OperationRefused(Exception):  # noqa: N818 - what the operator hears
    """An operator's wish that cannot be. The text says why, and what would do."""


class Nodes(Protocol):
    """What operators see and do about nodes; `who` and `reason` as in `Operations`."""

    async def nodes(self) -> list[NodeView]:
        """All nodes, also those that left the settings."""
        ...

    def breakers(self) -> list[BreakerView]:
        """Whether nodes are called, each that is in the settings."""
        ...

    async def order(
        self, node_id: str, order: str, for_s: float | None, who: str, reason: str
    ) -> BreakerView:
        """Isolate a node, call it whatever it answers (`close`), or no more of that (`release`)."""
        ...

    async def reconcile(self, node_id: str | None, *, dry_run: bool) -> list[ReconcileRun]:
        """Compare one node, or all that are in the settings, with the database now."""
        ...

    async def freeze(self, node_id: str, who: str, reason: str) -> None:
        """Remove nobody from a node until somebody says otherwise."""
        ...

    async def unfreeze(self, node_id: str, who: str, reason: str, *, adopt: bool = False) -> int:
        """Work with it again; with `adopt`, users that no row knows stay: how many."""
        ...

    async def confirm(self, node_id: str, removals: int, who: str, reason: str) -> ReconcileRun:
        """Remove so many users without a right from a frozen node, and work with it again."""
        ...

    async def drain(self, node_id: str, who: str, reason: str) -> int:
        """Move everybody to other nodes, and put nobody new there; how many are to move."""
        ...

    async def lose(self, node_id: str, who: str, reason: str) -> int:
        """Give a node up that does not come back; how many are to move."""
        ...

    async def remove(self, node_id: str, who: str, reason: str) -> None:
        """Be done with a node on which nobody is."""
        ...

    async def activate(self, node_id: str, who: str, reason: str) -> None:
        """Work with a node again that was drained, lost or removed."""
        ...


class Operations(Protocol):
    """What operators can see and do while the program runs, from a terminal or from the chat.

    `who` is the operator for the record, `reason` in the operator's words. All raise
    `OperationRefused` for a wish that cannot be, and the weather of the wiring during an outage.
    """

    @property
    def nodes(self) -> Nodes:
        """What can be seen and done about nodes."""
        ...

    async def expiry(self) -> ExpiryView:
        """How the end of access stands."""
        ...

    async def trust_clocks(self, who: str, reason: str) -> None:
        """It is as late as the database's clock says: access ends again."""
        ...

    def tree(self) -> ActorView:
        """The whole tree as it stands."""
        ...

    def look(self, name: str) -> ActorDetails:
        """A look inside one actor."""
        ...

    async def suspend(self, name: str, who: str, reason: str) -> None:
        """Let an actor's messages wait."""
        ...

    async def resume(self, name: str, who: str, reason: str) -> None:
        """Let them through again."""
        ...

    async def restart(self, name: str, who: str, reason: str, *, at_once: bool) -> None:
        """Start an actor anew, after its message in hand or at once."""
        ...

    def policies(self) -> list[Tunable]:
        """Every value that can be changed."""
        ...

    async def try_policy(self, key: str, text: str) -> Forecast:
        """What a change would have done in the last hour; nothing is changed."""
        ...

    async def set_policy(
        self, key: str, text: str, who: str, reason: str, *, revert_after_s: float | None
    ) -> SettingChangeRow:
        """Change a value, for good or for a time; it counts from the next decision."""
        ...

    async def undo_policy(self, change_id: int, who: str, reason: str) -> SettingChangeRow:
        """Take a change back."""
        ...

    async def policy_history(self, limit: int) -> list[SettingChangeRow]:
        """The last changes, newest first."""
        ...

    async def events(self, limit: int, actor: str | None) -> list[EventRow]:
        """What happened in the tree, newest first."""
        ...

    async def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """Messages that were set aside and wait for a decision, newest first."""
        ...

    async def dead_letter(self, letter_id: int) -> DeadLetterRow:
        """One of them, whole."""
        ...

    async def retry_dead_letter(self, letter_id: int, who: str) -> str:
        """Have it worked on again; the answer says in which way."""
        ...

    async def drop_dead_letter(self, letter_id: int, who: str, reason: str) -> None:
        """Never work on it again."""
        ...
