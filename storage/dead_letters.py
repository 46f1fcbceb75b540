"""Messages that crashed their handler again and again: an operator retries or drops them.

Lock order: dead letters, inbox.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from storage.database import Connection
from storage.plain import is_plain, legible, plain
from storage.rows import DeadLetterRow, LetterDraft, LetterState

COLUMNS = """id, letter_id, correlation_id, operation_id, actor, message_type, payload, attempts,
    error, traceback, state, created_at, decided_at, decided_by"""

#: A letter is known by two keys, and ON CONFLICT takes one: the lock serves the other. Who decides
#: about a letter decides alone.
QUEUE_UP = "LOCK TABLE dead_letters IN SHARE ROW EXCLUSIVE MODE"
ADD = """
INSERT INTO dead_letters (letter_id, created_at, correlation_id, operation_id, actor,
    message_type, payload, attempts, error, traceback)
SELECT $1, now() - $2::interval, $3, $4, $5, $6, $7, $8, $9, $10
WHERE NOT EXISTS (SELECT FROM dead_letters WHERE letter_id = $1)
ON CONFLICT (correlation_id) WHERE state = 'waiting' AND correlation_id <> ''
    DO UPDATE SET operation_id = excluded.operation_id, actor = excluded.actor,
        message_type = excluded.message_type, payload = excluded.payload,
        attempts = excluded.attempts, error = excluded.error, traceback = excluded.traceback
    WHERE excluded.traceback <> ''
"""
NEWEST = f"""
SELECT {COLUMNS} FROM dead_letters WHERE $2::text IS NULL OR state = $2 ORDER BY id DESC LIMIT $1
"""  # noqa: S608 - a constant of ours
READ = f"SELECT {COLUMNS} FROM dead_letters WHERE id = $1"  # noqa: S608
DECIDE = f"""
UPDATE dead_letters SET state = $2, decided_by = $3, decided_at = now() WHERE id = $1
RETURNING {COLUMNS}
"""  # noqa: S608


async def add(connection: Connection, drafts: Sequence[LetterDraft]) -> None:
    """Record letters; a second one of a journey changes the one that waits.

    One without a traceback only says that there is a letter, and changes nothing.
    """
    await connection.execute(QUEUE_UP)
    await connection.executemany(ADD, [_values(draft) for draft in drafts])


async def newest(connection: Connection, limit: int, state: str | None) -> list[DeadLetterRow]:
    """The latest letters, newest first; None for those of all states."""
    return [letter_row(found) for found in await connection.fetch(NEWEST, limit, state)]


async def read(connection: Connection, number: int) -> DeadLetterRow | None:
    """One letter."""
    found = await connection.fetchrow(READ, number)
    return None if found is None else letter_row(found)


async def read_alone(connection: Connection, number: int) -> DeadLetterRow | None:
    """One letter, about which nobody else decides until the transaction ends."""
    await connection.execute(QUEUE_UP)
    return await read(connection, number)


async def decide(
    connection: Connection, number: int, state: LetterState, actor: str
) -> DeadLetterRow:
    """Record what became of a letter."""
    return letter_row(await connection.fetchrow(DECIDE, number, state, legible(actor)))


def letter_row(record: Any) -> DeadLetterRow:
    """A row of `COLUMNS`."""
    return DeadLetterRow(
        id=record["id"],
        letter_id=record["letter_id"],
        correlation_id=record["correlation_id"],
        operation_id=record["operation_id"],
        actor=record["actor"],
        message_type=record["message_type"],
        payload=record["payload"],
        attempts=record["attempts"],
        error=record["error"],
        traceback=record["traceback"],
        state=LetterState(record["state"]),
        created_at=record["created_at"],
        decided_at=record["decided_at"],
        decided_by=record["decided_by"],
    )


def _values(draft: LetterDraft) -> tuple[Any, ...]:
    # A message that would come back as another one is not sent again.
    payload = plain(draft.payload) if is_plain(draft.payload) else None
    return (
        draft.id,
        timedelta(seconds=draft.age_s),
        legible(draft.correlation_id),
        legible(draft.operation_id),
        legible(draft.actor),
        draft.message_type,
        payload,
        draft.attempts,
        draft.error,
        legible(draft.traceback),
    )
