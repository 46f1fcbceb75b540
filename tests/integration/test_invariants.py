"""The closing check of other tests finds what it looks for: one planted breach for each rule."""

from uuid import uuid4

import pytest

from actors.user.messages import Standing
from storage.database import Database
from storage.links import LinkCipher
from tests.integration.database_fixtures import Rows
from tests.integration.shop import MONTH_S, Shop, act_of, expire, link_of, pass_time
from tests.invariants import ALWAYS, EVENTUALLY, assert_invariants

REFUNDED = """INSERT INTO ledger (subscription_id, version, delta_s, pending_before, pending_after,
    source_kind, source_id, reason, actor)
SELECT subscription_id, 3, {delta_s}, 0, 0, 'refund', source_id, '', '' FROM ledger
WHERE source_kind = 'payment'"""

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
    "the story ends where": [
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
        await assert_invariants(rows, shop.cipher)


def test_every_rule_has_a_breach() -> None:
    for rule in ALWAYS | EVENTUALLY:
        assert any(rule.startswith(covered) for covered in BREACHES), rule


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


async def test_a_generation_that_fell_is_found(shop: Shop, rows: Rows) -> None:
    """A node received a wish that the database does not have, or has no more."""
    served = await shop.served()
    await assert_invariants(rows, shop.cipher, seen=[(served.uuid, 1)])

    for seen in [(served.uuid, 2), (uuid4(), 1)]:
        with pytest.raises(AssertionError, match="I10"):
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
