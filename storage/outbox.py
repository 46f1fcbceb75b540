"""What must be told. One row a message: its text is made from the rows of the moment it goes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.plain import plain
from storage.rows import AlertDraft, NewsDraft, OutboxRow

COLUMNS = "o.id, o.kind, o.user_id, o.payload, o.version, o.attempts, o.bugs"

#: Telling again under the same key is new news about the same thing.
PURCHASE_NEWS = """
INSERT INTO outbox (kind, user_id, dedupe_key, payload)
SELECT 'notify', user_id, 'purchase:' || id,
    jsonb_build_object('notice', 'purchase', 'purchase_id', id)
FROM purchases WHERE id = $1
ON CONFLICT (dedupe_key) DO UPDATE
    SET state = 'due', next_at = now(), attempts = 0, bugs = 0, version = outbox.version + 1
"""
#: An alert is about what happened: the first one of its key says all. Those of one transaction are
#: told in the order in which it was told of them.
ALERT = """
INSERT INTO outbox (kind, dedupe_key, payload, created_at)
VALUES ('alert', $1, $2, clock_timestamp())
ON CONFLICT (dedupe_key) DO NOTHING
"""
#: As of an alert: what happened is told once.
NEWS = """
INSERT INTO outbox (kind, user_id, dedupe_key, payload, created_at)
VALUES ('notify', $1, $2, $3, clock_timestamp())
ON CONFLICT (dedupe_key) DO NOTHING
"""
UNFULFILLED = """
SELECT p.id FROM purchases p JOIN subscriptions s ON s.user_id = p.user_id
WHERE s.id = $1 AND p.status = 'paid' AND p.fulfilled_at IS NULL
"""
#: Alerts that ask an owner for something: they do not grow old, since nobody else would do it.
TASKS = (
    "alert-key-set-aside",
    "alert-manual-payment",
    "alert-node-frozen",
    "alert-payment-held",
    "alert-refund-by-hand",
)
#: A user who blocked the bot loses nothing: the rows wait. In order for each person: while one
#: message waits to be repeated, no other overtakes it. An owner need not be a user, so an alert has
#: none, and alerts hold back nothing.
#: The condition, of outbox `o` and of listener `u`, whom there need not be.
TOLD_NOW = f"""o.state = 'due' AND o.kind <> 'refund' AND o.next_at <= now()
    AND (u.tg_id IS NULL OR u.reachable)
    AND (o.kind <> 'alert' OR o.created_at > now() - interval '1 day'
        OR o.payload->>'text_id' = ANY('{{{",".join(TASKS)}}}'))
    AND NOT EXISTS (
        SELECT FROM outbox other
        WHERE other.user_id = o.user_id AND other.kind <> 'refund' AND other.state = 'due'
            AND other.next_at > now())"""
DUE = f"""
SELECT {COLUMNS} FROM outbox o
    LEFT JOIN users u ON u.tg_id = coalesce(o.user_id, (o.payload->>'owner')::bigint)
WHERE {TOLD_NOW}
ORDER BY o.created_at, o.payload->>'notice' DESC LIMIT $1
"""  # noqa: S608 - a constant of ours
#: Counted before the message goes: what cannot be recorded is not told every second.
BEGIN = """
UPDATE outbox SET attempts = attempts + 1, next_at = now() + $3
WHERE id = $1 AND version = $2 AND state = 'due' RETURNING 1
"""
RESUME = """
UPDATE outbox SET next_at = now()
WHERE state = 'due' AND kind <> 'refund' AND next_at > now()
"""
SENT = "UPDATE outbox SET state = 'sent', sent_at = now() WHERE id = $1 AND version = $2"
POSTPONE = "UPDATE outbox SET next_at = now() + $3 WHERE id = $1 AND version = $2"
STUMBLE = """
UPDATE outbox SET next_at = now() + $3, bugs = bugs + 1 WHERE id = $1 AND version = $2
"""
FAIL = "UPDATE outbox SET state = 'failed' WHERE id = $1 AND version = $2"


async def purchase_news(connection: Connection, purchase_id: UUID) -> None:
    """An order's live message is out of date."""
    await connection.execute(PURCHASE_NEWS, purchase_id)


async def alert(connection: Connection, drafts: Sequence[AlertDraft]) -> None:
    """Tell owners, once for each key."""
    await connection.executemany(ALERT, [(draft.dedupe_key, _payload(draft)) for draft in drafts])


async def news(connection: Connection, draft: NewsDraft) -> None:
    """Tell a user, once for each key."""
    payload = {"notice": "news", **_words(draft)}
    await connection.execute(NEWS, draft.user_id, draft.dedupe_key, payload)


async def unfulfilled(connection: Connection, subscription_id: UUID) -> list[UUID]:
    """Paid orders of a subscription whose access is not on yet."""
    return [found["id"] for found in await connection.fetch(UNFULFILLED, subscription_id)]


async def due(connection: Connection, limit: int) -> list[OutboxRow]:
    """What should be told now, oldest first; an order's progress before its link."""
    return [outbox_row(found) for found in await connection.fetch(DUE, limit)]


async def begin(connection: Connection, row: OutboxRow, busy_for_s: float) -> bool:
    """Count an attempt before it is made; False when the row was told or has newer news."""
    busy_for = timedelta(seconds=busy_for_s)
    return await connection.fetchval(BEGIN, row.id, row.version, busy_for) is not None


async def resume(connection: Connection) -> None:
    """Nobody waits for the timer of a process that is gone."""
    await connection.execute(RESUME)


async def sent(connection: Connection, row: OutboxRow) -> None:
    """Told; unless there is newer news, which stays due."""
    await connection.execute(SENT, row.id, row.version)


async def postpone(connection: Connection, row: OutboxRow, after_s: float) -> None:
    """Tell it later."""
    await connection.execute(POSTPONE, row.id, row.version, timedelta(seconds=after_s))


async def stumbled(connection: Connection, row: OutboxRow, after_s: float) -> None:
    """Telling it ended in a bug of ours: count that, and tell it later."""
    await connection.execute(STUMBLE, row.id, row.version, timedelta(seconds=after_s))


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
        bugs=record["bugs"],
    )


def _payload(draft: AlertDraft) -> dict[str, Any]:
    return {"notice": "alert", "owner": draft.owner, **_words(draft)}


def _words(draft: AlertDraft | NewsDraft) -> dict[str, Any]:
    return {"text_id": draft.text_id, "arguments": plain(draft.arguments)}
