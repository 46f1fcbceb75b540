"""What operators did: written with the act, never changed."""

from collections.abc import Mapping
from typing import Any

from storage.database import Connection
from storage.errors import RecordedBefore
from storage.plain import legible, plain
from storage.rows import ActDraft, AdminActionRow

COLUMNS = "id, at, actor, action, target, reason, details"

NOTE = """
INSERT INTO admin_actions (actor, action, target, reason, details) VALUES ($1, $2, $3, $4, $5)
"""
ACT = """
INSERT INTO admin_actions (actor, action, target, reason, details, operation_id)
VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (operation_id) DO NOTHING RETURNING 1
"""
NEWEST = f"SELECT {COLUMNS} FROM admin_actions ORDER BY id DESC LIMIT $1"  # noqa: S608


async def note(
    connection: Connection,
    actor: str,
    action: str,
    target: str,
    reason: str,
    details: Mapping[str, Any],
) -> None:
    """Record an act."""
    await connection.execute(
        NOTE, legible(actor), action, legible(target), legible(reason), plain(details)
    )


async def act(connection: Connection, draft: ActDraft) -> None:
    """Record an act that is carried out once.

    Raises:
        RecordedBefore: it was recorded before, and carried out with that.
    """
    recorded = await connection.fetchval(
        ACT,
        legible(draft.actor),
        draft.action,
        legible(draft.target),
        legible(draft.reason),
        plain(draft.details),
        legible(draft.operation_id),
    )
    if recorded is None:
        raise RecordedBefore


async def newest(connection: Connection, limit: int) -> list[AdminActionRow]:
    """The latest acts, newest first."""
    return [action_row(found) for found in await connection.fetch(NEWEST, limit)]


def action_row(record: Any) -> AdminActionRow:
    """A row of `COLUMNS`."""
    return AdminActionRow(
        id=record["id"],
        at=record["at"],
        actor=record["actor"],
        action=record["action"],
        target=record["target"],
        reason=record["reason"],
        details=record["details"],
    )
