"""What PostgreSQL itself sees to, whoever writes: kinds of columns, keys, indexes."""

import pytest

from tests.integration.database_fixtures import Rows

WITHOUT_ZONE = """
SELECT table_name || '.' || column_name FROM information_schema.columns
WHERE table_schema = 'public' AND table_name NOT LIKE '\\_pogo%'
    AND data_type IN ('timestamp without time zone', 'date', 'time without time zone')
"""
MOMENTS = """
SELECT count(*) FROM information_schema.columns
WHERE table_schema = 'public' AND data_type = 'timestamp with time zone'
"""
POINTS = """
SELECT c.conrelid::regclass::text || '.' || a.attname || ' -> ' || c.confrelid::regclass::text
FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
WHERE c.contype = 'f'
"""
UNIQUE = """
SELECT i.indrelid::regclass::text || '(' || string_agg(a.attname, ', ' ORDER BY a.attnum) || ')'
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indisunique AND i.indrelid::regclass::text NOT LIKE 'pg_%'
GROUP BY i.indexrelid, i.indrelid
"""

#: Rows that are nothing without the row that they are of.
POINTING = {
    "subscriptions.user_id -> users",
    "purchases.user_id -> users",
    "payments.user_id -> users",
    "payments.purchase_id -> purchases",
    "ledger.subscription_id -> subscriptions",
    "credentials.subscription_id -> subscriptions",
    "credentials.node_id -> nodes",
    "credentials.replaces -> credentials",
    "outbox.user_id -> users",
}
ONCE = {
    "credentials(uuid)",
    "credentials(subscription_id)",
    "subscriptions(user_id)",
    "payments(provider, provider_payment_id)",
    "purchases(provider, provider_invoice_id)",
    "ledger(source_kind, source_id)",
    "ledger(subscription_id, version)",
    "inbox(source, source_id)",
    "outbox(dedupe_key)",
}

#: What is looked for all the time, and the index that finds it.
LOOKS = [
    (
        "SELECT FROM subscriptions WHERE status = 'active' AND expires_at <= now()",
        "subscriptions_by_expiry",
    ),
    (
        """SELECT FROM credentials WHERE node_id = 'a' AND desired = 'present'
        AND applied_gen < gen AND quarantined_at IS NULL AND next_at <= now()""",
        "credentials_due",
    ),
    ("SELECT FROM payments WHERE disposition = 'received'", "payments_uncredited"),
    ("SELECT FROM outbox WHERE state = 'due' AND next_at <= now()", "outbox_due"),
]


async def test_every_moment_knows_its_zone(rows: Rows) -> None:
    assert [row[0] for row in await rows.fetch(WITHOUT_ZONE)] == []
    assert await rows.fetchval(MOMENTS) > 30


async def test_rows_of_users_point_to_them(rows: Rows) -> None:
    found = {row[0] for row in await rows.fetch(POINTS)}
    assert found >= POINTING


async def test_keys_that_must_be_unique_are(rows: Rows) -> None:
    found = {row[0] for row in await rows.fetch(UNIQUE)}
    assert found >= ONCE


@pytest.mark.parametrize(("look", "index"), LOOKS)
async def test_whoever_is_due_is_found_by_an_index(rows: Rows, look: str, index: str) -> None:
    await rows.execute("SET enable_seqscan = off")

    plan = "\n".join(row[0] for row in await rows.fetch(f"EXPLAIN {look}"))

    assert index in plan, plan
