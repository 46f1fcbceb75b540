"""Settings that were changed while the program runs; a value is what the latest row says.

An undo gives the old value back, and with it what is left of the time that it was set for: a change
for fifteen minutes stays one for fifteen minutes when another one on top of it is undone.
"""

from datetime import datetime
from typing import Any

from storage.database import Connection
from storage.plain import legible
from storage.rows import SettingChangeRow, SettingConflict, SettingDraft

#: Who undoes what was set for a time.
TIMER = "timer"

COLUMNS = "id, key, old, new, actor, reason, at, revert_at, undoes"

#: Comparing and setting is one act; readers go on.
QUEUE_UP = "LOCK TABLE settings_history IN SHARE ROW EXCLUSIVE MODE"
OVERRIDES = """
SELECT key, new FROM (
    SELECT DISTINCT ON (key) key, new FROM settings_history ORDER BY key, id DESC) latest
WHERE new IS NOT NULL
"""
VALUE_AT = "SELECT new FROM settings_history WHERE key = $1 AND at <= $2 ORDER BY id DESC LIMIT 1"
#: PostgreSQL compares as JSON: 1 and true are two values, 1 and 1.0 are one.
CURRENT = """
SELECT latest.new AS value, latest.new IS NOT DISTINCT FROM $2::jsonb AS expected
FROM (SELECT 1) always LEFT JOIN (
    SELECT new FROM settings_history WHERE key = $1 ORDER BY id DESC LIMIT 1) latest ON true
"""
#: Who listens hears of it when it is committed, and never before.
ADD = f"""
WITH added AS (
    INSERT INTO settings_history (key, old, new, actor, reason, revert_at, undoes, restores)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING {COLUMNS}
)
SELECT added.*, pg_notify('tollgate_settings', key) FROM added
"""  # noqa: S608 - a constant of ours
IN_TIME = "SELECT clock_timestamp() + make_interval(secs => $1)"
READ = f"SELECT {COLUMNS} FROM settings_history WHERE id = $1"  # noqa: S608
LATEST = f"""
SELECT {COLUMNS} FROM settings_history WHERE key = $1 ORDER BY id DESC LIMIT 1
"""  # noqa: S608
UNDONE = "SELECT 1 FROM settings_history WHERE undoes = $1"
#: The change whose value was in force before a row: an undo stands for what it restored.
STOOD_BEFORE = f"""
SELECT {COLUMNS} FROM settings_history WHERE id = (
    SELECT coalesce(restores, id) FROM settings_history
    WHERE key = $1 AND id < $2 ORDER BY id DESC LIMIT 1)
"""  # noqa: S608
#: What was changed since needs nothing, and so does what was undone.
OVER = f"""
SELECT {COLUMNS} FROM settings_history h WHERE revert_at <= now() AND NOT EXISTS (
    SELECT FROM settings_history newer WHERE newer.key = h.key AND newer.id > h.id)
ORDER BY id
"""  # noqa: S608
NEWEST = f"""
SELECT {COLUMNS} FROM settings_history WHERE $2::text IS NULL OR key = $2
ORDER BY id DESC LIMIT $1
"""  # noqa: S608


async def overrides(connection: Connection) -> dict[str, Any]:
    """Values that are in force instead of the file's."""
    return {found["key"]: found["new"] for found in await connection.fetch(OVERRIDES)}


async def value_at(connection: Connection, key: str, moment: datetime) -> Any | None:
    """The value that was in force at a moment; None for the file's."""
    return await connection.fetchval(VALUE_AT, key, moment)


async def change(connection: Connection, draft: SettingDraft) -> SettingChangeRow | SettingConflict:
    """Set a value, if the present one is the expected one."""
    await connection.execute(QUEUE_UP)
    current = await connection.fetchrow(CURRENT, draft.key, draft.expected_old)
    if not current["expected"]:
        return SettingConflict(key=draft.key, current=current["value"])
    revert_at = None
    if draft.revert_after_s is not None:
        revert_at = await connection.fetchval(IN_TIME, draft.revert_after_s)
    reason = legible(draft.reason)
    return change_row(
        await connection.fetchrow(
            ADD, draft.key, current["value"], draft.new, draft.actor, reason, revert_at, None, None
        )
    )


async def undo(
    connection: Connection, change_id: int, actor: str, reason: str
) -> SettingChangeRow | SettingConflict | None:
    """Give back the value before a change, unless another change stands since."""
    await connection.execute(QUEUE_UP)
    found = await connection.fetchrow(READ, change_id)
    if found is None or await connection.fetchval(UNDONE, change_id):
        return None
    wrong = change_row(found)
    latest = change_row(await connection.fetchrow(LATEST, wrong.key))
    if latest.id != wrong.id:
        standing = await _stood_before(connection, wrong.key, latest.id + 1)
        if standing is None or standing.id != wrong.id:
            return SettingConflict(key=wrong.key, current=latest.new)
    return await _give_back(connection, latest, wrong, wrong.id, actor, reason)


async def over(connection: Connection) -> list[SettingChangeRow]:
    """Changes in force whose time is over."""
    return [change_row(found) for found in await connection.fetch(OVER)]


async def revert(connection: Connection) -> list[SettingChangeRow]:
    """Undo what was set for a time that is over."""
    await connection.execute(QUEUE_UP)
    reverted: list[SettingChangeRow] = []
    # Again, because what comes back may have been set for a time too.
    while due := await over(connection):
        for latest in due:
            standing = await _stood_before(connection, latest.key, latest.id + 1) or latest
            reverted.append(
                await _give_back(connection, latest, standing, latest.id, TIMER, "time is over")
            )
    return reverted


async def newest(connection: Connection, limit: int, key: str | None) -> list[SettingChangeRow]:
    """The latest changes, newest first."""
    return [change_row(found) for found in await connection.fetch(NEWEST, limit, key)]


def change_row(record: Any) -> SettingChangeRow:
    """A row of `COLUMNS`."""
    return SettingChangeRow(
        id=record["id"],
        key=record["key"],
        old=record["old"],
        new=record["new"],
        actor=record["actor"],
        reason=record["reason"],
        at=record["at"],
        revert_at=record["revert_at"],
        undoes=record["undoes"],
    )


async def _stood_before(connection: Connection, key: str, row_id: int) -> SettingChangeRow | None:
    found = await connection.fetchrow(STOOD_BEFORE, key, row_id)
    return None if found is None else change_row(found)


async def _give_back(
    connection: Connection,
    latest: SettingChangeRow,
    wrong: SettingChangeRow,
    undoes: int,
    actor: str,
    reason: str,
) -> SettingChangeRow:
    """Let what stood before a wrong change stand again."""
    before = await _stood_before(connection, wrong.key, wrong.id)
    # Who undoes the timer wants the value although its time is over.
    if before is None or wrong.actor == TIMER:
        revert_at, restores = None, None
    else:
        revert_at, restores = before.revert_at, before.id
    record = await connection.fetchrow(
        ADD, wrong.key, latest.new, wrong.old, actor, legible(reason), revert_at, undoes, restores
    )
    return change_row(record)
