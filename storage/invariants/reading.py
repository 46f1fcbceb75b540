"""Judges a database page by page: each page is one moment, so trade meanwhile breaks nothing.

A page is read in one repeatable-read snapshot and judged after its transaction; memory is bounded
by what a page holds.
"""

from collections.abc import AsyncIterator, Mapping

from storage.database import Connection
from storage.invariants.acts import ASKED, Records, broken_records
from storage.invariants.judging import Judge, broken_lives
from storage.invariants.money import source_of
from storage.invariants.rules import Broken, Row, told_of
from storage.invariants.waiting import alert_of, is_set_aside

#: Users in one snapshot.
PAGE = 1_000

SNAPSHOT = {"isolation": "repeatable_read", "readonly": True}
NOW = "SELECT now()"
USERS = "SELECT * FROM users WHERE tg_id > $1 ORDER BY tg_id LIMIT $2"
OF_USERS = {
    "subscriptions": "SELECT * FROM subscriptions WHERE user_id = ANY($1)",
    "payments": "SELECT * FROM payments WHERE user_id = ANY($1)",
    "history": """
        SELECT DISTINCT ON (user_id, kind, subject) id, user_id, at, kind, subject, event, details
        FROM history WHERE user_id = ANY($1) AND kind IN ('purchase', 'payment', 'key')
        ORDER BY user_id, kind, subject, id DESC
    """,
}
#: By what tells of them, for which there are indexes.
PURCHASES = "SELECT * FROM purchases WHERE id = ANY($1::uuid[])"
DUE = "SELECT * FROM outbox WHERE state = 'due' AND kind <> 'refund' AND user_id = ANY($1)"
REFUNDS = "SELECT * FROM outbox WHERE dedupe_key = ANY($1)"
OF_SUBSCRIPTIONS = {
    "credentials": "SELECT * FROM credentials WHERE subscription_id = ANY($1)",
    "ledger": "SELECT * FROM ledger WHERE subscription_id = ANY($1)",
}
ACTS = "SELECT * FROM admin_actions WHERE target = ANY($1) OR operation_id = ANY($2)"
ALERTS = """
SELECT kind, payload FROM outbox
WHERE kind = 'alert' AND payload->>'text_id' = 'alert-key-set-aside'
"""
OF_NOBODY = {
    "nodes": "SELECT * FROM nodes",
    "reconcile_runs": "SELECT * FROM reconcile_runs",
    "settings_history": "SELECT * FROM settings_history",
    "outbox": """
        SELECT kind, payload FROM outbox
        WHERE kind = 'alert' AND payload->>'text_id' = 'alert-node-frozen'
    """,
    "dead_letters": "SELECT id, decided_by FROM dead_letters",
    "admin_actions": """
        SELECT actor, action, target, details FROM admin_actions
        WHERE target IN (SELECT id FROM nodes)
            OR action IN ('policy_set', 'policy_undo', 'dead_letter_retry', 'dead_letter_drop')
    """,
}
ABOUT_USERS = "SELECT count(*) FROM users"


async def broken_pages(
    connection: Connection, judge: Judge, page: int = PAGE
) -> AsyncIterator[tuple[int, list[Broken]]]:
    """What is broken in a database, a page of users after the other.

    Args:
        connection: of nobody else meanwhile, and in no transaction.
        judge: how.
        page: users in one snapshot.

    Yields:
        How many users were judged with this page, and what was found; the first one is of what is
        of no one user.
    """
    async with connection.transaction(**SNAPSHOT):
        records = {name: await connection.fetch(query) for name, query in OF_NOBODY.items()}
    yield 0, broken_records(Records.of(records, owners=judge.owners))
    last, judged = 0, 0
    alerts: set[tuple[str, str]] = set()
    while True:
        async with connection.transaction(**SNAPSHOT):
            now = await connection.fetchval(NOW)
            tables = await _page(connection, last, page)
            # No index finds them: they are read again only for a key that was set aside since.
            aside = {alert_of(row) for row in tables["credentials"] if is_set_aside(row)}
            if judge.owners and not aside <= alerts:
                alerts = told_of(await connection.fetch(ALERTS))
        users = tables["users"]
        if not users:
            return
        last, judged = users[-1]["tg_id"], judged + len(users)
        yield judged, broken_lives(tables, judge.scene(tables, now, alerts), judge)


async def everything_broken(connection: Connection, judge: Judge) -> list[Broken]:
    """What is broken in a database, all of it."""
    return [one async for _, found in broken_pages(connection, judge) for one in found]


async def users(connection: Connection) -> int:
    """How many there are to judge."""
    found: int = await connection.fetchval(ABOUT_USERS)
    return found


async def _page(connection: Connection, after: int, page: int) -> Mapping[str, list[Row]]:
    found: dict[str, list[Row]] = {"users": await connection.fetch(USERS, after, page)}
    found["nodes"] = await connection.fetch(OF_NOBODY["nodes"])
    numbers = [row["tg_id"] for row in found["users"]]
    for name, query in OF_USERS.items():
        found[name] = await connection.fetch(query, numbers)
    ids = [row["id"] for row in found["subscriptions"]]
    for name, query in OF_SUBSCRIPTIONS.items():
        found[name] = await connection.fetch(query, ids)
    orders = {str(row["purchase_id"]) for row in found["payments"] if row["purchase_id"]}
    orders |= {row["subject"] for row in found["history"] if row["kind"] == "purchase"}
    found["purchases"] = await connection.fetch(PURCHASES, list(orders))
    refunds = [f"refund:{source_of(row)}" for row in found["payments"]]
    found["outbox"] = [
        *await connection.fetch(DUE, numbers),
        *await connection.fetch(REFUNDS, refunds),
    ]
    operations = [row["source_id"] for row in found["ledger"] if row["source_kind"] in ASKED]
    found["admin_actions"] = await connection.fetch(
        ACTS, [str(number) for number in numbers], operations
    )
    return found
