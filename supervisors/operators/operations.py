"""Operations: what operators see and do, the same from a terminal and from the chat.

Who did what and why is committed before it is done.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from actors.runtime.address import Directory
from actors.runtime.events import Event, EventKind, Observer
from actors.runtime.inspection import ActorDetails, ActorView
from actors.runtime.mailbox import Envelope
from actors.runtime.messages import RestartByHand
from bot.ports import OperationRefused
from config.tuning import Forecast, Tunable, TuningError, parse_value, tunables, with_overrides
from storage.operations import OperatorRecords
from storage.rows import (
    CannotRetry,
    DeadLetterRow,
    EventRow,
    NotWaiting,
    SettingChangeRow,
    SettingConflict,
    UpdateReleased,
)
from supervisors.engine.child import Child
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import Exceeded, Scope
from supervisors.engine.snapshot import SHOWN, details_of, find, view_of
from supervisors.operators.forecast import too_many
from supervisors.operators.journal import message_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """What the tree does with a policy: which supervisors have it, and what happens above it."""

    supervisors: tuple[str, ...]
    exceeded: Exceeded
    scope: Scope


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

    def tree(self, shown: int = SHOWN) -> ActorView:
        """See `Operations`."""
        return view_of(self.root(), shown=shown)

    def look(self, name: str) -> ActorDetails:
        """See `Operations`."""
        return details_of(*self._find(name))

    async def suspend(self, name: str, who: str, reason: str) -> None:
        """See `Operations`."""
        supervisor, child = self._actor(name)
        await self.records.note_action(who, "actor_suspend", name, reason, {})
        child.mailbox.suspend()
        self._tell(EventKind.SUSPENDED, supervisor, child, who, reason)

    async def resume(self, name: str, who: str, reason: str) -> None:
        """See `Operations`."""
        supervisor, child = self._actor(name)
        await self.records.note_action(who, "actor_resume", name, reason, {})
        child.mailbox.resume()
        self._tell(EventKind.RESUMED, supervisor, child, who, reason)

    async def restart(self, name: str, who: str, reason: str, *, at_once: bool) -> None:
        """See `Operations`. The answer does not wait for the end: it may be the asker's own."""
        if name == self.root().name:
            raise OperationRefused(f"{name} is the top of the tree; restart the program instead")
        supervisor, child = self._find(name)
        await self.records.note_action(who, "actor_restart", name, reason, {"at_once": at_once})
        order = RestartByHand(child=child.key, at_once=at_once, who=who, reason=reason)
        supervisor.actor_inbox.put(Envelope(order, None, None, supervisor.clock.now()))

    def policies(self) -> list[Tunable]:
        """See `Operations`."""
        return tunables(self.board.defaults, self.board.current)

    async def try_policy(self, key: str, text: str) -> Forecast:
        """See `Operations`."""
        value = self._parsed(key, text)
        section, _, field = key.partition(".")
        charter = self.charters[section]
        rows = await self.records.events(
            FORECAST_CRASHES, within_s=FORECAST_S, kinds=[EventKind.CRASHED]
        )
        crashes = [
            row
            for row in reversed(rows)
            if row.supervisor.split("/", 1)[0] in charter.supervisors
            and not row.details.get("weather")
        ]
        changed = with_overrides(self.board.current, {key: value})
        before, after = (
            too_many(
                crashes,
                engine_policy(getattr(policies, section)),
                charter.exceeded,
                charter.scope,
            )
            for policies in (self.board.current, changed)
        )
        return Forecast(
            key=key,
            old=getattr(getattr(self.board.current, section), field),
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
            key=key, text=text, who=who, reason=reason, revert_after_s=revert_after_s
        )
        match await self.directory.find(POLICIES).ask(message):
            case SettingChangeRow() as changed:
                return self._in_words(changed)
            case SettingConflict(current=current):
                raise OperationRefused(f"{key} was changed just now, to {current}; look again")
            case TuningError() as error:
                raise OperationRefused(str(error))

    async def undo_policy(self, change_id: int, who: str, reason: str) -> SettingChangeRow:
        """See `Operations`."""
        message = UndoPolicy(change_id=change_id, who=who, reason=reason)
        match await self.directory.find(POLICIES).ask(message):
            case SettingChangeRow() as undone:
                return self._in_words(undone)
            case SettingConflict(key=key, current=current):
                raise OperationRefused(
                    f"{key} was changed again since, to {current}; undo that change, or set it"
                )
            case None:
                raise OperationRefused(
                    f"there is no change {change_id}, or it was taken back before"
                )

    async def policy_history(self, limit: int) -> list[SettingChangeRow]:
        """See `Operations`."""
        return [self._in_words(row) for row in await self.records.setting_history(limit)]

    async def events(self, limit: int, actor: str | None) -> list[EventRow]:
        """See `Operations`."""
        return await self.records.events(limit, actor=actor)

    async def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """See `Operations`."""
        return await self.records.dead_letters(limit)

    async def dead_letter(self, letter_id: int) -> DeadLetterRow:
        """See `Operations`."""
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
                kind, _, key = letter.actor.partition("/")
                self.directory.find(kind, key).tell(message, operation_id=letter.operation_id)
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
        match await self.records.drop_dead_letter(letter_id, who, reason):
            case None:
                raise OperationRefused(f"there is no dead letter {letter_id}")
            case NotWaiting(state=state):
                raise OperationRefused(f"dead letter {letter_id} was {state} before")
            case DeadLetterRow():
                return

    def _find(self, name: str) -> tuple[Nursery, Child]:
        found = find(self.root(), name)
        if found is None:
            raise OperationRefused(
                f"no actor {name} is there now; `tollgate tree` shows who is. "
                "A user's actor is there while it has something to do"
            )
        return found

    def _actor(self, name: str) -> tuple[Nursery, Child]:
        supervisor, child = self._find(name)
        if isinstance(child.actor, Nursery):
            raise OperationRefused(f"{name} is a supervisor and takes no messages to suspend")
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
        section, _, field = change.key.partition(".")
        of_file = getattr(getattr(self.board.defaults, section, None), field, None)
        return replace(
            change,
            old=of_file if change.old is None else change.old,
            new=of_file if change.new is None else change.new,
        )

    def _parsed(self, key: str, text: str) -> Any:
        try:
            return parse_value(self.board.current, key, text)
        except TuningError as error:
            raise OperationRefused(str(error)) from None
