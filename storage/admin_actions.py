"""What operators did: written with the act, never changed."""

from collections.abc import Mapping
from typing import Any

from storage.database import Connection
from storage.plain import legible, plain
from storage.rows import AdminActionRow

COLUMNS = "id, at, actor, action, target, reason, details"

NOTE = """
INSERT INTO admin_actions (actor, action, target, reason, details) VALUES ($1, $2, $3, $4, $5)
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
