"""Operations: what operators see and do, the same from a terminal and from the chat.

Who did what and why is committed before it is done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.expiry.actor import EXPIRY
from actors.expiry.messages import ShowExpiry, TrustClocks
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.events import DeadLetter, Event, EventKind, Observer
from actors.runtime.inspection import ActorDetails, ActorView
from actors.runtime.mailbox import Envelope
from actors.runtime.messages import RestartByHand
from actors.runtime.replies import Unavailable
from bot.node_views import ExpiryView
from bot.ports import OperationRefused
from config.logging import redact, redacted
from config.tuning import Forecast, Tunable, TuningError, parse_value, tunables, with_overrides
from storage.operations import OperatorRecords
from storage.plain import legible
from storage.rows import (
    AdminActionRow,
    CannotRetry,
    DeadLetterRow,
    EventRow,
    NotWaiting,
    SettingChangeRow,
    SettingConflict,
    StoryRow,
    UpdateReleased,
)
from supervisors.engine.child import Child
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import Exceeded, Scope
from supervisors.engine.snapshot import SHOWN, details_of, find, view_of
from supervisors.operators.forecast import too_many
from supervisors.operators.journal import message_of
from supervisors.operators.nodes import NodeOperations
from supervisors.operators.policies import (
    POLICIES,
    PolicyBoard,
    SetPolicy,
    UndoPolicy,
    engine_policy,
)

#: How far a forecast looks back, seconds, and at how many crashes at most.
FORECAST_S = 3_600.0
FORECAST_CRASHES = 10_000
#: A restart by hand waits so long: who asked for one of the inbox that the wish came through is
#: answered first, and the wish is done with, or the new life would read it again. Seconds.
ANSWER_FIRST_S = 1.0
#: How a life ends that was cut off: by an operator or past a deadline, which spends no restart.
CUT_OFF = asyncio.CancelledError.__name__
#: The largest number that a row can have.
LARGEST_ID = 2**63 - 1
#: More of a name than any actor has is not repeated to who asked for it.
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What the tree does with a policy: which supervisors have it, and what happens above it."""

    supervisors: tuple[str, ...]
    exceeded: Exceeded
    scope: Scope


async def _no_stories(_: int) -> list[StoryRow]:
    raise OperationRefused("this back-end has no stories to tell")


def plain_line(row: StoryRow) -> str:
    """One moment of a story in the words of its table."""
    told = [row.kind, row.subject, row.event]
    told += [f"{name}={value}" for name, value in row.details.items() if value is not None]
    return " ".join(told)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOperations:
    """The `Operations` of a running tree."""

    root: Callable[[], Nursery]
    charters: Mapping[str, Charter]
    board: PolicyBoard
    records: OperatorRecords
    directory: Directory
    observer: Observer
    #: Messages that may be sent again, by the kind of their actor and their own name.
    messages: Mapping[tuple[str, str], type]
    #: Reads what became of a user, oldest first; nothing of one whom nobody knows.
    stories: Callable[[int], Awaitable[list[StoryRow]]] = _no_stories
    #: One moment of it in words that need no knowledge of the code.
    story_line: Callable[[StoryRow], str] = plain_line
    #: Looks at nodes and steers them; a back-end of tests may have none.
    of_nodes: NodeOperations | None = None

    @property
    def nodes(self) -> NodeOperations:
        """See `Operations`.

        Raises:
            OperationRefused: this back-end has none.
        """
        if self.of_nodes is None:
            raise OperationRefused("this back-end has no nodes to look at")
        return self.of_nodes

    def tree(self, shown: int = SHOWN) -> ActorView:
        """See `Operations`."""
        return view_of(self.root(), shown=shown)

    def look(self, name: str) -> ActorDetails:
        """See `Operations`."""
        details = details_of(*self._find(name))
        return replace(details, state=redact(None, "", dict(details.state)))

    async def suspend(self, name: str, who: str, reason: str) -> None:
        """See `Operations`."""
        self._actor(name)
        await self._note(who, "actor_suspend", name, reason)
        supervisor, child = self._actor(name)  # it may have left meanwhile
        child.mailbox.suspend()
        self._tell(EventKind.SUSPENDED, supervisor, child, who, reason)

    async def resume(self, name: str, who: str, reason: str) -> None:
        """See `Operations`."""
        self._actor(name)
        await self._note(who, "actor_resume", name, reason)
        supervisor, child = self._actor(name)
        child.mailbox.resume()
        self._tell(EventKind.RESUMED, supervisor, child, who, reason)

    async def restart(self, name: str, who: str, reason: str, *, at_once: bool) -> None:
        """See `Operations`. The answer does not wait for the end: it may be the asker's own."""
        self._find(name)
        await self._note(who, "actor_restart", name, reason, at_once=at_once)
        supervisor, child = self._find(name)
        order = RestartByHand(child=child.key, at_once=at_once, who=who, reason=reason)
        supervisor.clock.call_later(ANSWER_FIRST_S, lambda: self._give(name, order))

    def policies(self) -> list[Tunable]:
        """See `Operations`."""
        return tunables(self.board.defaults, self.board.current)

    async def try_policy(self, key: str, text: str) -> Forecast:
        """See `Operations`."""
        value = self._parsed(key, text)
        section, _, field = key.partition(".")
        if section not in self.charters:
            raise OperationRefused(
                f"{key} is no restart policy, so nothing can be foretold; "
                "set it for a while (--for 15m), and it goes back by itself"
            )
        charter = self.charters[section]
        rows = await self.records.events(
            FORECAST_CRASHES, within_s=FORECAST_S, kinds=[EventKind.CRASHED]
        )
        crashes = [
            row
            for row in reversed(rows)
            if row.supervisor in charter.supervisors
            and row.reason != CUT_OFF
            and not row.details.get("weather")
        ]
        current = self.board.current
        before, after = [
            # On another thread: a thousand restarts within the window of each of 10,000 crashes
            # take longer than the loop may stand still.
            await asyncio.to_thread(
                too_many,
                crashes,
                engine_policy(getattr(policies, section)),
                charter.exceeded,
                charter.scope,
            )
            for policies in (current, with_overrides(current, {key: value}))
        ]
        return Forecast(
            key=key,
            old=getattr(getattr(current, section), field),
            new=value,
            within_s=FORECAST_S,
            restarts=len(crashes),
            actors=len({row.actor for row in crashes}),
            too_many_before=before,
            too_many_after=after,
        )

    async def set_policy(
        self, key: str, text: str, who: str, reason: str, *, revert_after_s: float | None
    ) -> SettingChangeRow:
        """See `Operations`."""
        message = SetPolicy(
            key=key, text=text, who=who, reason=redacted(reason), revert_after_s=revert_after_s
        )
        match await self.directory.find(POLICIES).ask(message):
            case SettingChangeRow() as changed:
                return self._in_words(changed)
            case SettingConflict() as conflict:
                value = self._value_in(conflict)
                raise OperationRefused(f"{key} was changed just now, to {value}; look again")
            case TuningError() as error:
                raise OperationRefused(str(error))

    async def undo_policy(self, change_id: int, who: str, reason: str) -> SettingChangeRow:
        """See `Operations`."""
        message = UndoPolicy(change_id=change_id, who=who, reason=redacted(reason))
        refusal = f"there is no change {change_id}, or it was taken back before"
        if not 1 <= change_id <= LARGEST_ID:
            raise OperationRefused(refusal)
        match await self.directory.find(POLICIES).ask(message):
            case SettingChangeRow() as undone:
                return self._in_words(undone)
            case SettingConflict() as conflict:
                value = self._value_in(conflict)
                raise OperationRefused(
                    f"{conflict.key} was changed again since, to {value};"
                    " undo that change, or set it"
                )
            case None:
                raise OperationRefused(refusal)

    async def policy_history(self, limit: int) -> list[SettingChangeRow]:
        """See `Operations`."""
        return [self._in_words(row) for row in await self.records.setting_history(limit)]

    async def events(self, limit: int, actor: str | None) -> list[EventRow]:
        """See `Operations`."""
        return await self.records.events(limit, actor=None if actor is None else legible(actor))

    async def story(self, user_id: int) -> list[StoryRow]:
        """What became of a user, oldest first.

        Raises:
            OperationRefused: nobody knows this user.
        """
        found = await self.stories(user_id)
        if not found:
            raise OperationRefused(f"nobody with the Telegram id {user_id} ever wrote to the bot")
        return found

    async def acts(self, limit: int) -> list[AdminActionRow]:
        """What operators did, newest first."""
        return await self.records.actions(limit)

    async def expiry(self) -> ExpiryView:
        """See `Operations`."""
        shown = await self.directory.find(EXPIRY).ask(ShowExpiry())
        return ExpiryView(
            ended=shown.ended, reminded=shown.reminded, held=shown.held, off=shown.off
        )

    async def trust_clocks(self, who: str, reason: str) -> None:
        """It is as late as the database's clock says: access ends again.

        Raises:
            OperationRefused: nothing is held.
        """
        await self._note(who, "expiry_confirm", EXPIRY, reason)
        if not await self.directory.find(EXPIRY).ask(TrustClocks(who=who)):
            raise OperationRefused("nothing is held; see: tollgate expiry")

    async def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """See `Operations`."""
        return await self.records.dead_letters(limit)

    async def dead_letter(self, letter_id: int) -> DeadLetterRow:
        """See `Operations`."""
        letter = None
        if 1 <= letter_id <= LARGEST_ID:
            letter = await self.records.dead_letter(letter_id)
        if letter is None:
            raise OperationRefused(f"there is no dead letter {letter_id}")
        return letter

    async def retry_dead_letter(self, letter_id: int, who: str) -> str:
        """See `Operations`."""
        letter = await self.dead_letter(letter_id)
        message = self._message_of(letter)
        found = await self.records.retry_dead_letter(letter_id, who, sendable=message is not None)
        match found:
            case UpdateReleased():
                return "the update is worked on again, whole"
            case DeadLetterRow():
                self._send_again(letter, message)
                return f"sent to {letter.actor} again"
            case NotWaiting(state=state):
                raise OperationRefused(f"dead letter {letter_id} was {state} before")
            case CannotRetry():
                raise OperationRefused(
                    f"dead letter {letter_id} cannot be sent again: this release does not know "
                    f"{letter.message_type}; drop it, or install the release that does"
                )
            case None:
                raise OperationRefused(f"there is no dead letter {letter_id}")

    async def drop_dead_letter(self, letter_id: int, who: str, reason: str) -> None:
        """See `Operations`."""
        await self.dead_letter(letter_id)
        match await self.records.drop_dead_letter(letter_id, who, redacted(reason)):
            case None:
                raise OperationRefused(f"there is no dead letter {letter_id}")
            case NotWaiting(state=state):
                raise OperationRefused(f"dead letter {letter_id} was {state} before")
            case DeadLetterRow():
                return

    def _find(self, name: str) -> tuple[Nursery, Child]:
        if name == self.root().name:
            raise OperationRefused(
                f"{name} is the top of the tree: `tollgate tree` shows it, and to restart it is to "
                "restart the program"
            )
        found = find(self.root(), name)
        if found is None:
            shown = "".join(c if c.isprintable() else "?" for c in name[:LONGEST_NAME])
            raise OperationRefused(
                f"no actor {shown} is there now; `tollgate tree` shows who is. "
                "A user's actor is there while it has something to do"
            )
        return found

    def _give(self, name: str, order: RestartByHand) -> None:
        """Hand an order to the supervisor of the moment; who has left needs no new life."""
        found = find(self.root(), name)
        if found is not None:
            supervisor, _ = found
            supervisor.actor_inbox.put(Envelope(order, None, None, supervisor.clock.now()))

    def _actor(self, name: str) -> tuple[Nursery, Child]:
        supervisor, child = self._find(name)
        if isinstance(child.actor, Nursery):
            raise OperationRefused(f"{name} is a supervisor and takes no messages to suspend")
        if child.actor is not None and not _takes_messages(child.actor):
            raise OperationRefused(
                f"{name} works by itself and takes no messages: to suspend it would stop nothing"
            )
        return supervisor, child

    def _tell(
        self, kind: EventKind, supervisor: Nursery, child: Child, who: str, reason: str
    ) -> None:
        self.observer.event(
            Event(
                kind=kind,
                at=supervisor.clock.now(),
                supervisor=supervisor.name,
                actor=child.spec.name,
                incarnation=child.incarnation,
                reason=reason,
                details={"who": who},
            )
        )

    async def _note(self, who: str, action: str, name: str, reason: str, **details: Any) -> None:
        await self.records.note_action(who, action, name, redacted(reason), details)

    def _send_again(self, letter: DeadLetterRow, message: Any) -> None:
        """Send what a letter holds; if it is not taken, it is a dead letter once more."""
        kind, _, key = letter.actor.partition("/")
        address = self.directory.find(kind, key)
        try:
            address.tell(message, operation_id=letter.operation_id)
        except Unavailable as refusal:
            self.observer.dead_letter(
                DeadLetter(
                    at=self.root().clock.now(),
                    actor=letter.actor,
                    message=message,
                    attempts=letter.attempts,
                    error=refusal,
                    correlation_id=letter.correlation_id,
                    operation_id=letter.operation_id,
                )
            )
            raise OperationRefused(
                f"not now: {refusal}; the message waits as a new dead letter"
            ) from None

    def _message_of(self, letter: DeadLetterRow) -> Any | None:
        """The message in a letter; None if this release cannot read it."""
        kind = letter.actor.partition("/")[0]
        message_type = self.messages.get((kind, letter.message_type))
        if message_type is None or letter.payload is None:
            return None
        try:
            return message_of(message_type, letter.payload)
        except ValueError:
            return None

    def _in_words(self, change: SettingChangeRow) -> SettingChangeRow:
        """A change with the file's values where the record says only that they are the file's."""
        of_file = self.board.of_file(change.key)
        return replace(
            change,
            old=of_file if change.old is None else change.old,
            new=of_file if change.new is None else change.new,
        )

    def _value_in(self, conflict: SettingConflict) -> Any:
        """The value that stands in the way, the file's if the record says only that."""
        value = conflict.current
        return self.board.of_file(conflict.key) if value is None else value

    def _parsed(self, key: str, text: str) -> Any:
        try:
            return parse_value(self.board.current, key, text)
        except TuningError as error:
            raise OperationRefused(str(error)) from None


def _takes_messages(actor: AsyncioActor) -> bool:
    """Whether it has handlers, besides what every actor has."""
    return any(
        name.startswith("on_") and not hasattr(AsyncioActor, name) for name in dir(type(actor))
    )
