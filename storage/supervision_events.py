"""What became of actors: started, failed, restarted, given up."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from storage.database import Connection
from storage.plain import legible, plain
from storage.rows import EventDraft, EventRow

COLUMNS = "id, at, kind, supervisor, actor, incarnation, reason, details, correlation_id"

ADD = """
INSERT INTO supervision_events
    (id, at, kind, supervisor, actor, incarnation, reason, details, correlation_id)
VALUES ($1, now() - $2::interval, $3, $4, $5, $6, $7, $8, $9)
ON CONFLICT (id) DO NOTHING
"""
NEWEST = f"""
SELECT {COLUMNS} FROM supervision_events
WHERE ($2::text IS NULL OR actor = $2) AND ($3::interval IS NULL OR at > now() - $3)
    AND ($4::text[] IS NULL OR kind = ANY($4))
ORDER BY at DESC, seq DESC LIMIT $1
"""  # noqa: S608 - a constant of ours
PRUNE = "DELETE FROM supervision_events WHERE at < now() - interval '30 days'"


async def add(connection: Connection, drafts: Sequence[EventDraft]) -> None:
    """Record events; one that was recorded before stays as it is."""
    await connection.executemany(ADD, [_values(draft) for draft in drafts])


async def newest(
    connection: Connection,
    limit: int,
    actor: str | None,
    within_s: float | None,
    kinds: Sequence[str] | None,
) -> list[EventRow]:
    """The latest events, newest first; None leaves nothing out."""
    within = None if within_s is None else timedelta(seconds=within_s)
    chosen = None if kinds is None else list(kinds)
    return [
        event_row(found) for found in await connection.fetch(NEWEST, limit, actor, within, chosen)
    ]


async def prune(connection: Connection) -> None:
    """Forget what happened long ago."""
    await connection.execute(PRUNE)


def event_row(record: Any) -> EventRow:
    """A row of `COLUMNS`."""
    return EventRow(
        id=record["id"],
        at=record["at"],
        kind=record["kind"],
        supervisor=record["supervisor"],
        actor=record["actor"],
        incarnation=record["incarnation"],
        reason=record["reason"],
        details=record["details"],
        correlation_id=record["correlation_id"],
    )


def _values(draft: EventDraft) -> tuple[Any, ...]:
    return (
        draft.id,
        timedelta(seconds=draft.age_s),
        draft.kind,
        draft.supervisor,
        legible(draft.actor),
        draft.incarnation,
        legible(draft.reason),
        plain(draft.details),
        legible(draft.correlation_id),
    )
