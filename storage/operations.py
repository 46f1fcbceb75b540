"""Transactions of supervision and of operators: what happened, what they changed and decided.

Each is one function, safe to repeat, and holds no connection when it returns.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from storage import (
    admin_actions,
    dead_letters,
    inbox,
    outbox,
    settings_history,
    supervision_events,
)
from storage.database import Connection, Database
from storage.phase import phases
from storage.rows import (
    AdminActionRow,
    AlertDraft,
    CannotRetry,
    DeadLetterRow,
    EventDraft,
    EventRow,
    LetterDraft,
    LetterState,
    NotWaiting,
    SettingChangeRow,
    SettingConflict,
    SettingDraft,
    UpdateReleased,
)


@phases
class OperatorRecords:
    """What supervision writes, and what operators read, change and decide."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(
        self,
        events: Sequence[EventDraft],
        letters: Sequence[LetterDraft],
        alerts: Sequence[AlertDraft],
    ) -> None:
        """Record what happened and tell owners; what was recorded before changes nothing."""
        async with self._database.transaction() as connection:
            if events:
                await supervision_events.add(connection, events)
            if letters:
                await dead_letters.add(connection, letters)
            if alerts:
                await outbox.alert(connection, alerts)

    async def events(
        self,
        limit: int,
        *,
        actor: str | None = None,
        within_s: float | None = None,
        kinds: Sequence[str] | None = None,
    ) -> list[EventRow]:
        """What became of actors, newest first."""
        async with self._database.read() as connection:
            return await supervision_events.newest(connection, limit, actor, within_s, kinds)

    async def prune(self) -> None:
        """Forget events of long ago; what operators did is kept for ever."""
        async with self._database.transaction() as connection:
            await supervision_events.prune(connection)

    async def overrides(self) -> dict[str, Any]:
        """Settings whose values are in force instead of the file's.

        At a start, `revert_due` comes first: time went on while nobody looked.
        """
        async with self._database.read() as connection:
            return await settings_history.overrides(connection)

    async def value_at(self, key: str, moment: datetime) -> Any | None:
        """The value that was in force at a moment; None for the file's."""
        async with self._database.read() as connection:
            return await settings_history.value_at(connection, key, moment)

    async def set_setting(self, draft: SettingDraft) -> SettingChangeRow | SettingConflict:
        """Change a setting, if its value is still the one that the operator saw."""
        async with self._database.transaction() as connection:
            changed = await settings_history.change(connection, draft)
            if isinstance(changed, SettingChangeRow):
                await _note_change(connection, "policy_set", changed)
            return changed

    async def undo_setting(
        self, change_id: int, actor: str, reason: str
    ) -> SettingChangeRow | SettingConflict | None:
        """Give back the value before a change, with what is left of its time.

        Returns:
            None when there is no such change or it was undone before; a conflict when another
            change stands since.
        """
        async with self._database.transaction() as connection:
            undone = await settings_history.undo(connection, change_id, actor, reason)
            if isinstance(undone, SettingChangeRow):
                await _note_change(connection, "policy_undo", undone)
            return undone

    async def revert_due(self) -> list[SettingChangeRow]:
        """Undo what was set for a time that is over: the new rows."""
        async with self._database.read() as connection:
            if not await settings_history.over(connection):  # most times; it takes no lock
                return []
        async with self._database.transaction() as connection:
            reverted = await settings_history.revert(connection)
            for change in reverted:
                await _note_change(connection, "policy_undo", change)
            return reverted

    async def setting_history(self, limit: int, key: str | None = None) -> list[SettingChangeRow]:
        """Changes of settings, newest first."""
        async with self._database.read() as connection:
            return await settings_history.newest(connection, limit, key)

    async def note_action(
        self, actor: str, action: str, target: str, reason: str, details: Mapping[str, Any]
    ) -> None:
        """Record what an operator did; a repeated call is a second row."""
        async with self._database.transaction() as connection:
            await admin_actions.note(connection, actor, action, target, reason, details)

    async def actions(self, limit: int) -> list[AdminActionRow]:
        """What operators did, newest first."""
        async with self._database.read() as connection:
            return await admin_actions.newest(connection, limit)

    async def dead_letters(
        self, limit: int, *, state: str | None = LetterState.WAITING
    ) -> list[DeadLetterRow]:
        """Messages that were given up, newest first; None for those of all states."""
        async with self._database.read() as connection:
            return await dead_letters.newest(connection, limit, state)

    async def dead_letter(self, number: int) -> DeadLetterRow | None:
        """One message that was given up."""
        async with self._database.read() as connection:
            return await dead_letters.read(connection, number)

    async def retry_dead_letter(
        self, number: int, actor: str, *, sendable: bool = True
    ) -> DeadLetterRow | UpdateReleased | CannotRetry | NotWaiting | None:
        """Try again what was given up; `sendable` is whether the caller could send it again.

        Returns:
            `UpdateReleased` when the update behind it is worked on again, which is all; the letter
            when the caller is to send its payload again; None when there is no such letter.
        """
        async with self._database.transaction() as connection:
            letter = await dead_letters.read_alone(connection, number)
            if letter is None:
                return None
            if letter.state is not LetterState.WAITING:
                return NotWaiting(state=letter.state)
            released = await inbox.free(connection, letter.correlation_id)
            if not released and (letter.payload is None or not sendable):
                return CannotRetry(letter=letter)
            retried = await dead_letters.decide(connection, number, LetterState.RETRIED, actor)
            await _note_decision(connection, "dead_letter_retry", retried, actor, "")
            return UpdateReleased(letter=retried) if released else retried

    async def drop_dead_letter(
        self, number: int, actor: str, reason: str
    ) -> DeadLetterRow | NotWaiting | None:
        """Never try again what was given up, nor the update behind it."""
        async with self._database.transaction() as connection:
            letter = await dead_letters.read_alone(connection, number)
            if letter is None:
                return None
            if letter.state is not LetterState.WAITING:
                return NotWaiting(state=letter.state)
            dropped = await dead_letters.decide(connection, number, LetterState.DROPPED, actor)
            await inbox.drop(connection, letter.correlation_id)
            await _note_decision(connection, "dead_letter_drop", dropped, actor, reason)
            return dropped


async def _note_change(connection: Connection, action: str, change: SettingChangeRow) -> None:
    details = {
        "change": change.id,
        "old": change.old,
        "new": change.new,
        "undoes": change.undoes,
        "revert_at": change.revert_at and change.revert_at.isoformat(),
    }
    await admin_actions.note(connection, change.actor, action, change.key, change.reason, details)


async def _note_decision(
    connection: Connection, action: str, letter: DeadLetterRow, actor: str, reason: str
) -> None:
    details = {
        "actor": letter.actor,
        "message_type": letter.message_type,
        "correlation_id": letter.correlation_id,
        "error": letter.error,
    }
    await admin_actions.note(connection, actor, action, str(letter.id), reason, details)
