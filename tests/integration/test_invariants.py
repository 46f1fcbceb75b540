"""The closing check of other tests finds what it looks for: one planted breach for each rule."""

import asyncio
from uuid import uuid4

import pytest

from actors.user.messages import Standing
from storage.database import Database
from storage.invariants.acts import RECORD_RULES
from storage.invariants.judging import USER_RULES, Judge, broken_in
from storage.invariants.reading import ALERTS, broken_pages, everything_broken
from storage.invariants.rules import HEALED_WITHIN
from storage.links import LinkCipher
from tests.integration.database_fixtures import Rows
from tests.integration.shop import MONTH_S, Shop, act_of, expire, link_of, pass_time
from tests.invariants import assert_invariants

REFUNDED = """INSERT INTO ledger (subscription_id, version, delta_s, pending_before, pending_after,
    source_kind, source_id, reason, actor)
SELECT subscription_id, 3, {delta_s}, 0, 0, 'refund', source_id, '', '' FROM ledger
WHERE source_kind = 'payment'"""

#: Owners are told of each key that was set aside.
TOLD = """INSERT INTO outbox (kind, dedupe_key, payload)
SELECT 'alert', 'key-set-aside:' || uuid, jsonb_build_object('text_id', 'alert-key-set-aside',
    'owner', 1000, 'arguments', jsonb_build_object('key', left(uuid::text, 8))) FROM credentials"""

RUN = """INSERT INTO reconcile_runs (node_id, at, took_s, outcome, on_node, wanted, removed,
    details)
SELECT 'node-1', now() + interval '1 s' * {after}, 0, '{outcome}', 100, 100, {removed},
    jsonb_build_object('sample', (SELECT jsonb_agg(gen_random_uuid())
        FROM generate_series(1, {sample})))"""

#: By rule: what to change in a database with one served user, so that the rule is broken.
BREACHES = {
    "I4 money has the ledger rows": [
        "DELETE FROM ledger WHERE source_kind = 'payment'",
        "UPDATE payments SET disposition = 'received'",
        "UPDATE payments SET disposition = 'mismatch'",
        "UPDATE payments SET disposition = 'refund_pending'",
        "UPDATE payments SET disposition = 'refunded'",
        REFUNDED.format(delta_s=0),
    ],
    "I4 a refund takes no more": [REFUNDED.format(delta_s=-MONTH_S - 1)],
    "I4 money on its way back waits": [
        "UPDATE payments SET disposition = 'refund_pending'",
        """INSERT INTO outbox (kind, user_id, dedupe_key, payload)
        SELECT 'refund', user_id, 'refund:' || provider || ':' || provider_payment_id, '{}'
        FROM payments""",
    ],
    "I4 time is only credited for a payment": [
        "UPDATE ledger SET source_id = 'stars:nobody' WHERE source_kind = 'payment'",
        "UPDATE purchases SET period_s = period_s - 1",
    ],
    "I5 no payment waits": [
        "UPDATE payments SET disposition = 'received', received_at = now() - interval '31 s'",
    ],
    "I5 active access is applied": [
        "UPDATE credentials SET gen = gen + 1",
        "UPDATE credentials SET link_enc = NULL",
    ],
    "I12 no wish waits": [
        """UPDATE credentials SET gen = gen + 1;
        UPDATE history SET at = at - interval '91 s'""",
    ],
    "I12 owners know of each wish": [
        "UPDATE credentials SET gen = gen + 1, quarantined_at = now()",
    ],
    "I12 owners know of each node": [
        "UPDATE nodes SET state = 'frozen', reason = 'a sign', changed_by = 'tollgate'",
    ],
    "I12 no message or refund is due": [
        "UPDATE outbox SET next_at = now() - interval '61 s'",
        """INSERT INTO outbox (kind, user_id, dedupe_key, payload, next_at)
        SELECT 'refund', user_id, 'refund:' || provider || ':' || provider_payment_id, '{}',
            now() - interval '61 s' FROM payments;
        UPDATE users SET reachable = false""",
    ],
    "I12 time that is over": [
        "UPDATE subscriptions SET expires_at = now() - interval '91 s'",
    ],
    "I6 access has a present credential": [
        "UPDATE credentials SET desired = 'absent'",
        "UPDATE subscriptions SET status = 'expired'",
    ],
    "I7 the ledger is a chain": [
        "UPDATE ledger SET version = 7 WHERE source_kind = 'activation'",
        "UPDATE ledger SET pending_before = 1 WHERE source_kind = 'activation'",
        "UPDATE ledger SET expires_before = now() WHERE source_kind = 'payment'",
    ],
    "I7 the ledger ends where the subscription stands": [
        "UPDATE subscriptions SET expires_at = expires_at + interval '1 s'",
        "UPDATE subscriptions SET version = version + 1",
    ],
    "I8 two credentials are present only while": [
        """INSERT INTO credentials (uuid, subscription_id, node_id, desired)
        SELECT gen_random_uuid(), subscription_id, node_id, 'present' FROM credentials""",
    ],
    "I9 a key belongs to one": [
        "DELETE FROM credentials",
        "UPDATE credentials SET uuid = gen_random_uuid()",
        "UPDATE credentials SET replaces = gen_random_uuid()",
        "UPDATE credentials SET subscription_id = gen_random_uuid()",
    ],
    "I10 no generation is below": [
        """INSERT INTO history (user_id, kind, subject, event, details)
        SELECT 77, 'key', left(uuid::text, 8), 'wished', '{"gen": 2}' FROM credentials""",
    ],
    "I10 nothing newer than the wish is applied": [
        """ALTER TABLE credentials DROP CONSTRAINT credentials_confirmed_within_wish;
        UPDATE credentials SET applied_gen = gen + 1""",
    ],
    "I13 time that owners give": [
        *(
            f"UPDATE ledger SET source_kind = '{kind}' WHERE source_kind = 'payment'"  # noqa: S608
            for kind in ("grant", "suspend", "restore")
        ),
    ],
    "I13 whoever is banned": [
        "UPDATE users SET status = 'banned'",
        """INSERT INTO admin_actions (actor, action, target, reason)
        VALUES ('tg:1000', 'ban', '77', '')""",
    ],
    "I13 an order that an owner decided": [
        "UPDATE purchases SET decided_by = 'tg:1000'",
    ],
    "I13 what owners make of nodes": [
        "UPDATE nodes SET changed_by = 'tg:1000'",
        """INSERT INTO settings_history (key, new, actor, reason)
        VALUES ('reconciler.interval_s', '5', 'tg:1000', '')""",
        """INSERT INTO dead_letters (letter_id, actor, message_type, attempts, error, traceback,
            state, decided_at, decided_by)
        VALUES (gen_random_uuid(), '', '', 3, '', '', 'dropped', now(), 'tg:1000')""",
    ],
    "I15 a comparison removes no more": [
        RUN.format(after=1, outcome="mended", removed=21, sample=0),
        RUN.format(after=1, outcome="removing", removed=0, sample=21),
        ";".join(
            RUN.format(after=after, outcome="removing", removed=0, sample=15) for after in (1, 2)
        ),
    ],
    "I17 only what is bought": [
        "UPDATE ledger SET delta_s = 0 WHERE source_kind = 'payment'",
        "UPDATE ledger SET delta_s = 1 WHERE source_kind = 'activation'",
        "UPDATE ledger SET source_kind = 'refund' WHERE source_kind = 'payment'",
        "UPDATE ledger SET source_kind = 'gift' WHERE source_kind = 'payment'",
    ],
    "I17 no row is beyond": [
        """ALTER TABLE ledger DROP CONSTRAINT ledger_within_bounds;
        UPDATE ledger SET delta_s = 316224001 WHERE source_kind = 'payment'""",
    ],
    "I4 the story ends where": [
        "UPDATE purchases SET status = 'cancelled'",
        "UPDATE payments SET disposition = 'received'",
        "DELETE FROM history",
    ],
    "I17 each change of time is what its row": [
        "UPDATE ledger SET delta_s = delta_s + 1 WHERE source_kind = 'payment'",
        """UPDATE ledger SET expires_after = expires_after + interval '1 s'
        WHERE source_kind = 'activation'""",
    ],
    "I17 time starts no earlier than access": [
        "UPDATE credentials SET first_applied_at = first_applied_at + interval '1 s'",
    ],
    "I16 a link contains the uuid of its row": [
        "UPDATE credentials SET uuid = gen_random_uuid()",
    ],
}

#: Everything that rules are about.
TABLES = (
    "users",
    "subscriptions",
    "credentials",
    "ledger",
    "purchases",
    "payments",
    "outbox",
    "history",
    "admin_actions",
    "nodes",
    "reconcile_runs",
    "settings_history",
    "dead_letters",
)

CASES = [(rule, breach) for rule, breaches in BREACHES.items() for breach in breaches]


@pytest.fixture
def shop(database: Database, cipher: LinkCipher) -> Shop:
    return Shop(database, cipher)


async def test_a_healthy_life_breaks_no_rule(shop: Shop, rows: Rows) -> None:
    await assert_invariants(rows, shop.cipher)
    await shop.served(period_s=60)
    await shop.pay(await shop.order(price=200))
    await assert_invariants(rows, shop.cipher)
    await pass_time(rows, 31 * 86_400)
    await expire(rows)
    await assert_invariants(rows, shop.cipher)
    await shop.bought()
    await assert_invariants(rows, shop.cipher)
    await shop.confirm(await shop.credential())
    await assert_invariants(rows, shop.cipher)


async def test_a_life_with_everything_in_it_breaks_no_rule(shop: Shop, rows: Rows) -> None:
    await shop.users.record_change(await shop.grant_of(90))
    await assert_invariants(rows, shop.cipher)
    await shop.confirm(await shop.credential())
    payment = (await shop.pay(await shop.order())).payment
    for standing in (Standing.REVOKED, Standing.RESTORED, Standing.BANNED, Standing.UNBANNED):
        await shop.users.record_change(await shop.standing_of(standing))
        await assert_invariants(rows, shop.cipher)
    await shop.confirm(await shop.credential())
    await shop.users.record_refund(await shop.refund_of(payment, act=act_of("refund")))
    await assert_invariants(rows, shop.cipher)
    await shop.users.record_refunded("stars", payment.provider_payment_id, None)
    await pass_time(rows, 91)
    await shop.users.record_change(await shop.expiry_of())

    await assert_invariants(rows, shop.cipher)
    assert await rows.fetchval("SELECT count(DISTINCT source_kind) FROM ledger") == 7


@pytest.mark.parametrize(("rule", "breach"), CASES)
async def test_a_breach_is_found(shop: Shop, rows: Rows, rule: str, breach: str) -> None:
    await shop.served()
    await rows.execute("SET session_replication_role = replica")
    await rows.execute(breach)

    with pytest.raises(AssertionError, match=rule):
        await assert_invariants(rows, shop.cipher, working=True, owners=True)


def test_every_rule_has_a_breach() -> None:
    for rule in (*USER_RULES, *RECORD_RULES):
        assert any(str(rule).startswith(covered) for covered in BREACHES), rule


@pytest.mark.parametrize(("rule", "breach"), CASES)
async def test_plain_rows_are_judged_alike(shop: Shop, rows: Rows, rule: str, breach: str) -> None:
    """Whoever keeps the tables in memory asks the same rules, and hears the same."""
    await shop.served()
    await rows.execute("SET session_replication_role = replica")
    await rows.execute(breach)
    judge = Judge(open_link=shop.cipher.open, owners=True)

    async with shop.database.read() as connection:
        tables = {
            table: [dict(row) for row in await connection.fetch(f"SELECT * FROM {table}")]  # noqa: S608
            for table in TABLES
        }
        broken = broken_in(tables, await connection.fetchval("SELECT now()"), judge)
        paged = await everything_broken(connection, judge)

    assert any(one.rule.startswith(rule) for one in broken)
    assert {one.rule for one in broken} == {one.rule for one in paged}


async def test_a_key_under_way_is_a_finding_only_where_nothing_should_be(
    shop: Shop, rows: Rows
) -> None:
    """A shop where people trade always has some; after a while it is one there, too."""
    await shop.served()
    await rows.execute("SET session_replication_role = replica")
    await rows.execute("UPDATE credentials SET gen = gen + 1")
    at_work = Judge(open_link=shop.cipher.open, patience=HEALED_WITHIN)
    at_rest = Judge(open_link=shop.cipher.open)

    async with shop.database.read() as connection:
        assert await everything_broken(connection, at_work) == []
        assert [one.rule[:2] for one in await everything_broken(connection, at_rest)] == ["I5"]
        await rows.execute("UPDATE history SET at = at - interval '91 s'")
        late = await everything_broken(connection, at_work)

    assert {one.rule.split()[0] for one in late} == {"I5", "I12"}


async def test_alerts_are_read_once_for_all_pages(shop: Shop, rows: Rows) -> None:
    """No index finds them. Who was set aside while pages were read is looked for again."""
    for user_id in range(1, 6):
        await shop.served(user_id)
    await rows.execute("UPDATE credentials SET gen = gen + 1, quarantined_at = now()")
    await rows.execute(TOLD)
    judge = Judge(open_link=shop.cipher.open, owners=True, healed=False)
    asked: list[str] = []

    async with shop.database.read() as connection:
        with connection.query_logger(lambda record: asked.append(record.query)):
            pages = [page async for page in broken_pages(connection, judge, page=1)]

    assert [found for _, found in pages] == [[]] * 6
    assert asked.count(ALERTS) == 1


async def test_pages_are_as_the_whole(shop: Shop) -> None:
    """Nobody is left out, and nobody is judged twice."""
    for user_id in (5, 77, 9_000_000_001):
        await shop.bought(user_id)
    judge = Judge(open_link=shop.cipher.open, away={"node-2"})

    async with shop.database.transaction() as connection:
        await connection.execute("UPDATE subscriptions SET status = 'expired'")
    async with shop.database.read() as connection:
        pages = [page async for page in broken_pages(connection, judge, page=2)]

    assert [judged for judged, _ in pages] == [0, 2, 3]
    subjects = [one.subject for _, found in pages for one in found]
    assert subjects == ["user 5", "user 77", "user 9000000001"]


async def test_trade_meanwhile_is_no_finding(shop: Shop, rows: Rows) -> None:
    """What comes in after a page was begun is not seen by half."""
    judge = Judge(open_link=shop.cipher.open)
    users = range(1, 41)
    for user_id in users:
        await shop.served(user_id)

    async def trade() -> None:
        for user_id in users:
            await shop.pay(await shop.order(user_id))
            await shop.users.record_change(await shop.reissue_of(user_id))

    async with shop.database.read() as connection:
        trading = asyncio.create_task(trade())
        broken = []
        while not trading.done():
            broken += [
                one async for _, found in broken_pages(connection, judge, 7) for one in found
            ]
        await trading

    assert broken == []
    assert await rows.fetchval("SELECT count(*) FROM credentials") == 2 * len(users)


async def test_a_third_credential_is_found(shop: Shop, rows: Rows) -> None:
    served = await shop.served()
    replacing = (
        "INSERT INTO credentials (uuid, subscription_id, node_id, desired, replaces,"
        " first_applied_at) VALUES ($1, $2, 'node-1', 'present', $3, $4)"
    )
    await rows.execute(replacing, uuid4(), served.subscription_id, served.uuid, None)
    await assert_invariants(rows, shop.cipher)
    await rows.execute(replacing, uuid4(), served.subscription_id, None, None)

    with pytest.raises(AssertionError, match="I8"):
        await assert_invariants(rows, shop.cipher)


async def test_a_wish_without_a_row_is_found(shop: Shop, rows: Rows) -> None:
    """A node received a wish that the database does not have, or has no more."""
    served = await shop.served()
    await assert_invariants(rows, shop.cipher, seen=[(served.uuid, 1)])

    for seen in [(served.uuid, 2), (uuid4(), 1)]:
        with pytest.raises(AssertionError, match="I1 "):
            await assert_invariants(rows, shop.cipher, seen=[seen])


async def test_a_link_of_somebody_else_is_found(shop: Shop, rows: Rows) -> None:
    await shop.served()
    await rows.execute("UPDATE credentials SET link_enc = $1", shop.cipher.close(link_of(uuid4())))

    with pytest.raises(AssertionError, match="I16"):
        await assert_invariants(rows, shop.cipher)


async def test_what_holds_eventually_is_not_asked_of_a_sick_world(shop: Shop, rows: Rows) -> None:
    await shop.served()
    await rows.execute("UPDATE credentials SET gen = gen + 1")

    await assert_invariants(rows, shop.cipher, healed=False)
    with pytest.raises(AssertionError, match="I5"):
        await assert_invariants(rows, shop.cipher)
