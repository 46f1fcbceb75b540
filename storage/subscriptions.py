"""Paid time: the present state of a subscription, and the append-only ledger that explains it."""

from collections.abc import Sequence
from typing import Any

import asyncpg

from storage.database import Connection
from storage.errors import RecordedBefore, VersionConflict
from storage.plain import legible
from storage.rows import LedgerEntry, LedgerStep, SubscriptionRow, SubscriptionStatus

COLUMNS = "id, user_id, plan_id, status, expires_at, pending_s, version"

READ = f"SELECT {COLUMNS} FROM subscriptions WHERE user_id = $1"  # noqa: S608 - a constant of ours
HOLD = "SELECT version FROM subscriptions WHERE user_id = $1 FOR UPDATE"
#: Money that may be time is decided about before its payer is shut out.
LAPSED = """
SELECT user_id FROM subscriptions s
WHERE s.status = 'active' AND s.expires_at <= now() AND NOT EXISTS (
    SELECT FROM payments p WHERE p.user_id = s.user_id AND p.disposition = 'received')
ORDER BY s.expires_at LIMIT $1
"""
INSERT = """
INSERT INTO subscriptions (id, user_id, plan_id, status, expires_at, pending_s, version)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
UPDATE = """
UPDATE subscriptions SET plan_id = $2, status = $3, expires_at = $4, pending_s = $5, version = $6
WHERE id = $1 AND version = $6 - 1 RETURNING 1
"""
APPEND = """
INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
    pending_before, pending_after, source_kind, source_id, reason, actor)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT (source_kind, source_id) DO NOTHING RETURNING 1
"""


async def read(connection: Connection, user_id: int) -> SubscriptionRow | None:
    """The user's subscription, if there ever was one."""
    found = await connection.fetchrow(READ, user_id)
    return None if found is None else subscription_row(found)


async def lapsed(connection: Connection, limit: int) -> list[int]:
    """Users whose time is over, longest over first."""
    return [found["user_id"] for found in await connection.fetch(LAPSED, limit)]


async def hold(connection: Connection, user_id: int, before: SubscriptionRow | None) -> None:
    """Let nobody else change the subscription until this transaction ends.

    Raises:
        VersionConflict: the subscription is not `before` any more.
    """
    version = await connection.fetchval(HOLD, user_id)
    if version != (None if before is None else before.version):
        raise VersionConflict


async def change(
    connection: Connection, before: SubscriptionRow | None, steps: Sequence[LedgerStep]
) -> None:
    """Write new states, one after the other, and the ledger rows that explain them.

    Raises:
        VersionConflict: the subscription is not `before` any more.
        RecordedBefore: the ledger has a row of one of these sources.
    """
    for step in steps:
        if before is None:
            await _insert(connection, step.after)
        else:
            await _update(connection, step.after)
        await _append(connection, before, step.after, step.entry)
        before = step.after


async def _insert(connection: Connection, after: SubscriptionRow) -> None:
    try:
        await connection.execute(
            INSERT,
            after.id,
            after.user_id,
            after.plan_id,
            after.status,
            after.expires_at,
            after.pending_s,
            after.version,
        )
    except asyncpg.UniqueViolationError as error:
        raise VersionConflict from error


async def _update(connection: Connection, after: SubscriptionRow) -> None:
    changed = await connection.fetchval(
        UPDATE,
        after.id,
        after.plan_id,
        after.status,
        after.expires_at,
        after.pending_s,
        after.version,
    )
    if changed is None:
        raise VersionConflict


async def _append(
    connection: Connection,
    before: SubscriptionRow | None,
    after: SubscriptionRow,
    entry: LedgerEntry,
) -> None:
    appended = await connection.fetchval(
        APPEND,
        after.id,
        after.version,
        entry.delta_s,
        before.expires_at if before else None,
        after.expires_at,
        before.pending_s if before else 0,
        after.pending_s,
        entry.source_kind,
        entry.source_id,
        legible(entry.reason),
        legible(entry.actor),
    )
    if appended is None:
        raise RecordedBefore


def subscription_row(record: Any) -> SubscriptionRow:
    """A row of `COLUMNS`."""
    return SubscriptionRow(
        id=record["id"],
        user_id=record["user_id"],
        plan_id=record["plan_id"],
        status=SubscriptionStatus(record["status"]),
        expires_at=record["expires_at"],
        pending_s=record["pending_s"],
        version=record["version"],
    )
