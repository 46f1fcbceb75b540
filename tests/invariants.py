"""What is always true of the database: the invariants of ARCHITECTURE.md that SQL can see.

Each query finds the rows that break a rule; a healthy database gives none.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from config.plans import LONGEST_PERIOD_S
from storage.links import LinkCipher

Rows: TypeAlias = "asyncpg.Connection[Any]"

#: How long before its ledger row a change of time may have been decided, seconds.
DECIDED_BEFORE_S = 30

ALWAYS = {
    "I4 money has the ledger rows that its disposition says": """
        SELECT p.provider, p.provider_payment_id, p.disposition,
            count(*) FILTER (WHERE l.source_kind = 'payment') AS credits,
            count(*) FILTER (WHERE l.source_kind = 'refund') AS refunds
        FROM payments p LEFT JOIN ledger l ON l.source_kind IN ('payment', 'refund')
            AND l.source_id = p.provider || ':' || p.provider_payment_id
        GROUP BY p.provider, p.provider_payment_id, p.disposition
        HAVING CASE WHEN p.disposition = 'credited'
                THEN count(*) FILTER (WHERE l.source_kind = 'payment') <> 1
                    OR count(*) FILTER (WHERE l.source_kind = 'refund') <> 0
            WHEN p.disposition IN ('refund_pending', 'refunded')
                THEN count(*) FILTER (WHERE l.source_kind = 'payment')
                    <> count(*) FILTER (WHERE l.source_kind = 'refund')
            ELSE count(l.id) <> 0 END
    """,
    "I4 a refund takes no more than its payment bought": """
        SELECT back.id, back.source_id, back.delta_s FROM ledger back
            LEFT JOIN ledger bought ON bought.source_kind = 'payment'
                AND bought.source_id = back.source_id
                AND bought.subscription_id = back.subscription_id
        WHERE back.source_kind = 'refund' AND -back.delta_s > coalesce(bought.delta_s, -1)
    """,
    "I4 money on its way back waits for its provider, or for an owner": """
        SELECT p.number, p.disposition, b.state FROM payments p LEFT JOIN outbox b
            ON b.kind = 'refund'
                AND b.dedupe_key = 'refund:' || p.provider || ':' || p.provider_payment_id
        WHERE CASE p.disposition
            WHEN 'refund_pending' THEN coalesce(b.state, '') NOT IN ('due', 'failed')
            ELSE b.state = 'due' END
    """,
    "I4 time is only credited for a payment": """
        SELECT l.id, l.source_id FROM ledger l WHERE l.source_kind = 'payment'
            AND NOT EXISTS (SELECT FROM payments p JOIN purchases o ON o.id = p.purchase_id
                WHERE l.source_id = p.provider || ':' || p.provider_payment_id
                    AND l.delta_s = o.period_s)
    """,
    "I6 access has a present credential and nothing else has; running time waits for nothing": """
        SELECT s.id, s.status, s.pending_s, count(c.uuid) AS present
        FROM subscriptions s
            LEFT JOIN credentials c ON c.subscription_id = s.id AND c.desired = 'present'
        GROUP BY s.id
        HAVING (s.status IN ('active', 'activating')) <> (count(c.uuid) > 0)
            OR (s.status = 'active' AND s.pending_s <> 0)
    """,
    "I7 the ledger is a chain": """
        SELECT * FROM (
            SELECT id, subscription_id, version, expires_before, pending_before,
                lag(version, 1, 0) OVER w AS last_version,
                lag(expires_after) OVER w AS last_expires,
                lag(pending_after, 1, 0::bigint) OVER w AS last_pending
            FROM ledger WINDOW w AS (PARTITION BY subscription_id ORDER BY version)) chain
        WHERE version <> last_version + 1 OR expires_before IS DISTINCT FROM last_expires
            OR pending_before <> last_pending
    """,
    "I7 the ledger ends where the subscription stands": """
        SELECT s.id, s.version, l.version AS last_version
        FROM subscriptions s LEFT JOIN LATERAL (
            SELECT * FROM ledger WHERE subscription_id = s.id ORDER BY version DESC LIMIT 1) l
            ON true
        WHERE s.version <> coalesce(l.version, 0) OR s.pending_s <> coalesce(l.pending_after, 0)
            OR s.expires_at IS DISTINCT FROM l.expires_after
    """,
    "I8 two credentials are present only while one is to replace the other": """
        SELECT subscription_id, count(*) FROM credentials WHERE desired = 'present'
        GROUP BY subscription_id HAVING count(*) > 2 OR (count(*) = 2 AND NOT EXISTS (
            SELECT FROM credentials new JOIN credentials old ON old.uuid = new.replaces
            WHERE new.subscription_id = credentials.subscription_id
                AND new.desired = 'present' AND old.desired = 'present'
                AND new.first_applied_at IS NULL))
    """,
    "I10 nothing newer than the wish is applied": """
        SELECT uuid, gen, applied_gen FROM credentials WHERE applied_gen > gen OR gen < 1
    """,
    "I13 time that owners give, stop or let go on has their act": """
        SELECT l.id, l.source_kind, l.source_id FROM ledger l
        WHERE l.source_kind IN ('grant', 'suspend', 'restore')
            AND NOT EXISTS (SELECT FROM admin_actions a WHERE a.operation_id = l.source_id)
    """,
    "I17 only what is bought, given or taken back changes the sum of time": """
        SELECT id, source_kind, delta_s FROM ledger
        WHERE NOT CASE WHEN source_kind IN ('payment', 'grant', 'trial') THEN delta_s > 0
            WHEN source_kind IN ('activation', 'expiry', 'suspend', 'restore') THEN delta_s = 0
            WHEN source_kind = 'refund' THEN delta_s <= 0 ELSE source_kind = 'change' END
    """,
    "I17 no row is beyond the bounds": f"""
        SELECT id, delta_s FROM ledger WHERE abs(delta_s) > {LONGEST_PERIOD_S}
    """,  # noqa: S608 - a constant of ours
    # What waits and what runs grew by just that much; except that a decision was made a little
    # before its row, which only shows where time ended in between.
    "I17 each change of time is what its row says": f"""
        SELECT id, delta_s, gained, waits FROM (
            SELECT id, delta_s, pending_after - pending_before AS waits,
                expires_before > at AS ran,
                CASE WHEN expires_after IS DISTINCT FROM expires_before
                    THEN extract(epoch FROM expires_after - greatest(at, expires_before))
                    ELSE 0 END AS gained,
                source_kind
            FROM ledger) entry
        WHERE delta_s NOT BETWEEN waits + gained AND waits + gained
            + CASE WHEN ran OR gained = 0 OR source_kind = 'activation'
                THEN 0 ELSE {DECIDED_BEFORE_S} END
    """,  # noqa: S608 - a constant of ours
    "I17 time starts no earlier than access": """
        SELECT l.id, l.source_id FROM ledger l WHERE l.source_kind = 'activation'
            AND NOT EXISTS (SELECT FROM credentials c WHERE c.subscription_id = l.subscription_id
                AND c.uuid::text = split_part(l.source_id, ':', 1) AND c.first_applied_at <= l.at)
    """,
    "the story ends where orders and payments stand": """
        WITH told AS (SELECT DISTINCT ON (kind, subject) kind, subject, event FROM history
            WHERE kind IN ('purchase', 'payment') ORDER BY kind, subject, id DESC),
        stands AS (
            SELECT 'purchase' AS kind, id::text AS subject, status FROM purchases
            UNION ALL SELECT 'payment', number::text, disposition FROM payments)
        SELECT * FROM stands LEFT JOIN told USING (kind, subject)
        WHERE event IS DISTINCT FROM status
    """,
}

#: Once there has been no fault for a while.
EVENTUALLY = {
    "I5 no payment waits to be credited": """
        SELECT provider_payment_id FROM payments
        WHERE disposition = 'received' AND received_at < now() - interval '30 seconds'
    """,
    "I5 active access is applied, and has a link": """
        SELECT s.id FROM subscriptions s WHERE s.status = 'active' AND NOT EXISTS (
            SELECT FROM credentials c WHERE c.subscription_id = s.id AND c.desired = 'present'
                AND c.applied_gen = c.gen AND c.link_enc IS NOT NULL)
    """,
}

LINKS = "SELECT uuid, link_enc FROM credentials WHERE link_enc IS NOT NULL"
GENERATIONS = "SELECT uuid, gen FROM credentials"


async def assert_invariants(
    connection: Rows,
    cipher: LinkCipher,
    *,
    healed: bool = True,
    seen: Iterable[tuple[UUID, int]] = (),
) -> None:
    """Fail with every rule that the database breaks.

    Args:
        connection: to look with.
        cipher: opens links.
        healed: whether what holds eventually must hold now.
        seen: generations that were seen of uuids, such as those that nodes received.
    """
    broken = {
        rule: [dict(row) for row in found]
        for rule, query in (ALWAYS | (EVENTUALLY if healed else {})).items()
        if (found := await connection.fetch(query))
    }
    if foreign := await _foreign_links(connection, cipher):
        broken["I16 a link contains the uuid of its row"] = foreign
    if fallen := await _fallen(connection, seen):
        broken["I10 no generation falls below one that was seen"] = fallen
    assert not broken, broken


async def _foreign_links(connection: Rows, cipher: LinkCipher) -> list[dict[str, Any]]:
    return [
        dict(row)
        for row in await connection.fetch(LINKS)
        if not cipher.open(row["link_enc"]).startswith(f"vless://{row['uuid']}@")
    ]


async def _fallen(connection: Rows, seen: Iterable[tuple[UUID, int]]) -> list[dict[str, Any]]:
    now = {row["uuid"]: row["gen"] for row in await connection.fetch(GENERATIONS)}
    return [
        {"uuid": uuid, "seen": gen, "gen": now.get(uuid)}
        for uuid, gen in seen
        if now.get(uuid, 0) < gen
    ]
