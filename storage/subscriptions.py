"""Paid time: the present state of a subscription, and the append-only ledger that explains it."""

from typing import Any

import asyncpg

from storage.database import Connection
from storage.errors import VersionConflict
from storage.rows import LedgerEntry, SubscriptionRow, SubscriptionStatus

COLUMNS = "id, user_id, plan_id, status, expires_at, pending_s, version"

READ = f"SELECT {COLUMNS} FROM subscriptions WHERE user_id = $1"  # noqa: S608 - a constant of ours
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
"""


async def read(connection: Connection, user_id: int) -> SubscriptionRow | None:
    """The user's subscription, if there ever was one."""
    found = await connection.fetchrow(READ, user_id)
    return None if found is None else subscription_row(found)


async def change(
    connection: Connection,
    before: SubscriptionRow | None,
    after: SubscriptionRow,
    entry: LedgerEntry,
) -> None:
    """Write a new state and the ledger row that explains it.

    Raises:
        VersionConflict: the subscription is not `before` any more.
    """
    if before is None:
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
    else:
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
    await _append(connection, before, after, entry)


async def _append(
    connection: Connection,
    before: SubscriptionRow | None,
    after: SubscriptionRow,
    entry: LedgerEntry,
) -> None:
    await connection.execute(
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
        entry.reason,
        entry.actor,
    )


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
