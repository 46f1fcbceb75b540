"""The closing check of other tests finds what it looks for: one planted breach for each rule."""

from uuid import uuid4

import pytest

from storage.database import Database
from storage.links import LinkCipher
from tests.integration.database_fixtures import Rows
from tests.integration.shop import Shop, expire, link_of, pass_time
from tests.invariants import ALWAYS, EVENTUALLY, assert_invariants

#: By rule: what to change in a database with one served user, so that the rule is broken.
BREACHES = {
    "I4 a credited payment has one ledger row": [
        "DELETE FROM ledger WHERE source_kind = 'payment'",
        "UPDATE payments SET disposition = 'received'",
        "UPDATE payments SET disposition = 'mismatch'",
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
    "I17 each change of time is what was bought": [
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
