"""What must be told. One row a message: its text is made from the rows of the moment it goes."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.rows import OutboxRow

COLUMNS = "o.id, o.kind, o.user_id, o.payload, o.version, o.attempts"

#: Telling again under the same key is new news about the same thing.
PURCHASE_NEWS = """
INSERT INTO outbox (kind, user_id, dedupe_key, payload)
SELECT 'notify', user_id, 'purchase:' || id,
    jsonb_build_object('notice', 'purchase', 'purchase_id', id)
FROM purchases WHERE id = $1
ON CONFLICT (dedupe_key) DO UPDATE
    SET state = 'due', next_at = now(), attempts = 0, version = outbox.version + 1
"""
UNFULFILLED = """
SELECT p.id FROM purchases p JOIN subscriptions s ON s.user_id = p.user_id
WHERE s.id = $1 AND p.status = 'paid' AND p.fulfilled_at IS NULL
"""
#: A user who blocked the bot loses nothing: the rows wait.
DUE = f"""
SELECT {COLUMNS} FROM outbox o LEFT JOIN users u ON u.tg_id = o.user_id
WHERE o.state = 'due' AND o.next_at <= now() AND (u.tg_id IS NULL OR u.reachable)
ORDER BY o.next_at, o.created_at, o.payload->>'notice' DESC LIMIT $1
"""  # noqa: S608 - a constant of ours
SENT = """
UPDATE outbox SET state = 'sent', sent_at = now(), attempts = attempts + 1
WHERE id = $1 AND version = $2
"""
POSTPONE = """
UPDATE outbox SET next_at = now() + $3, attempts = attempts + 1 WHERE id = $1 AND version = $2
"""
FAIL = "UPDATE outbox SET state = 'failed', attempts = attempts + 1 WHERE id = $1 AND version = $2"


async def purchase_news(connection: Connection, purchase_id: UUID) -> None:
    """An order's live message is out of date."""
    await connection.execute(PURCHASE_NEWS, purchase_id)


async def unfulfilled(connection: Connection, subscription_id: UUID) -> list[UUID]:
    """Paid orders of a subscription whose access is not on yet."""
    return [found["id"] for found in await connection.fetch(UNFULFILLED, subscription_id)]


async def due(connection: Connection, limit: int) -> list[OutboxRow]:
    """What should be told now, longest waiting first; an order's progress before its link."""
    return [outbox_row(found) for found in await connection.fetch(DUE, limit)]


async def sent(connection: Connection, row: OutboxRow) -> None:
    """Told; unless there is newer news, which stays due."""
    await connection.execute(SENT, row.id, row.version)


async def postpone(connection: Connection, row: OutboxRow, after_s: float) -> None:
    """Tell it later."""
    await connection.execute(POSTPONE, row.id, row.version, timedelta(seconds=after_s))


async def fail(connection: Connection, row: OutboxRow) -> None:
    """It can never be told."""
    await connection.execute(FAIL, row.id, row.version)


def outbox_row(record: Any) -> OutboxRow:
    """A row of `COLUMNS`."""
    return OutboxRow(
        id=record["id"],
        kind=record["kind"],
        user_id=record["user_id"],
        payload=record["payload"],
        version=record["version"],
        attempts=record["attempts"],
    )
