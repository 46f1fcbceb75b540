"""Money becomes time in one transaction, which may be repeated and is recorded once."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from storage.errors import VersionConflict
from storage.rows import (
    Credit,
    Disposition,
    Hold,
    NewCredential,
    PaymentDraft,
    PurchaseStatus,
    SubscriptionStatus,
)
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, MONTH_S, NODE, Shop, expire, pass_time
from tests.invariants import assert_invariants


async def written(rows: Rows) -> tuple[int, int, int]:
    """How many ledger rows, credentials and messages there are."""
    return (
        await rows.fetchval("SELECT count(*) FROM ledger"),
        await rows.fetchval("SELECT count(*) FROM credentials"),
        await rows.fetchval("SELECT count(*) FROM outbox"),
    )


async def test_a_credit_is_written_whole(shop: Shop, rows: Rows) -> None:
    order = await shop.order()
    credit = await shop.pay(order)

    assert await written(rows) == (1, 1, 1)
    record = await shop.record()
    assert record.subscription == credit.change.after
    (owned,) = record.credentials
    (wish,) = credit.change.wishes
    assert isinstance(wish, NewCredential)
    assert (owned.uuid, owned.node_id, owned.gen) == (wish.uuid, NODE, 1)
    found = await rows.fetchrow("SELECT * FROM purchases")
    assert (found["status"], found["fulfilled_at"]) == ("paid", None)
    payment = await rows.fetchrow("SELECT * FROM payments")
    assert payment["disposition"] == "credited"
    await assert_invariants(rows, shop.cipher)


async def test_a_credit_that_is_repeated_counts_once(shop: Shop, rows: Rows) -> None:
    """What a retry does after a commit whose outcome was not heard."""
    credit = await shop.decided(*await shop.charge(await shop.order()))

    await shop.users.record_credit(credit)
    await shop.users.record_credit(credit)

    assert await written(rows) == (1, 1, 1)
    await assert_invariants(rows, shop.cipher)


async def test_a_credit_that_is_decided_again_counts_once(shop: Shop, rows: Rows) -> None:
    payment, order = await shop.charge(await shop.order())
    await shop.users.record_credit(await shop.decided(payment, order))

    await shop.users.record_credit(await shop.decided(payment, order))

    assert await written(rows) == (1, 1, 1)
    await assert_invariants(rows, shop.cipher)


async def test_many_records_of_one_credit_at_once_count_once(shop: Shop, rows: Rows) -> None:
    credit = await shop.decided(*await shop.charge(await shop.order()))

    await asyncio.gather(*(shop.users.record_credit(credit) for _ in range(20)))

    assert await written(rows) == (1, 1, 1)
    await assert_invariants(rows, shop.cipher)


async def test_many_pushes_of_one_charge_at_once_are_one_payment(shop: Shop, rows: Rows) -> None:
    order = await shop.order()

    received = await asyncio.gather(*(shop.charge(order, "charge-1") for _ in range(20)))

    assert await rows.fetchval("SELECT count(*) FROM payments") == 1
    assert {payment.provider_payment_id for payment, _ in received} == {"charge-1"}


async def test_a_credit_decided_from_old_rows_writes_nothing(shop: Shop, rows: Rows) -> None:
    """Access was confirmed between the reading and the writing: decide again, lose nothing."""
    wish = await shop.bought()
    payment, order = await shop.charge(await shop.order())
    stale = await shop.decided(payment, order)
    await shop.confirm(wish)
    before = await written(rows)

    with pytest.raises(VersionConflict):
        await shop.users.record_credit(stale)

    assert await written(rows) == before
    unsettled = await rows.fetchval("SELECT count(*) FROM payments WHERE disposition = 'received'")
    assert unsettled == 1, "the charge waits for the next decision"
    await shop.users.record_credit(await shop.decided(payment, order))
    left = await rows.fetchval("SELECT expires_at - now() FROM subscriptions")
    assert left > timedelta(seconds=2 * MONTH_S - 300)
    await assert_invariants(rows, shop.cipher)


async def test_two_first_credits_of_one_user_are_one_subscription(shop: Shop, rows: Rows) -> None:
    first = await shop.decided(*await shop.charge(await shop.order()))
    second = await shop.decided(*await shop.charge(await shop.order(price=200)))
    await shop.users.record_credit(first)

    with pytest.raises(VersionConflict):
        await shop.users.record_credit(second)

    assert await written(rows) == (1, 1, 1)
    await assert_invariants(rows, shop.cipher)


async def test_a_credit_of_running_time_fulfils_the_order_at_once(shop: Shop, rows: Rows) -> None:
    await shop.served()
    order = await shop.order(price=200)

    await shop.pay(order)

    fulfilled = "SELECT fulfilled_at IS NOT NULL FROM purchases WHERE id = $1"
    assert await rows.fetchval(fulfilled, order.id)
    assert (await shop.credential()).applied, "no word to the node"
    await assert_invariants(rows, shop.cipher)


async def test_an_order_that_is_paid_again_after_it_lapsed_waits_for_access_again(
    shop: Shop, rows: Rows
) -> None:
    order = await shop.order(period_s=60)
    await shop.pay(order)
    await shop.confirm(await shop.credential())
    await pass_time(rows, 61)
    await expire(rows)

    await shop.pay(order)

    assert await rows.fetchval("SELECT fulfilled_at FROM purchases") is None
    await shop.confirm(await shop.credential())
    assert await rows.fetchval("SELECT fulfilled_at FROM purchases") is not None
    await assert_invariants(rows, shop.cipher)


async def test_flags_of_odd_money_are_kept(shop: Shop, rows: Rows) -> None:
    order = await shop.order()
    await shop.pay(order)
    await shop.pay(order)

    flags = await rows.fetch("SELECT duplicate_invoice FROM payments ORDER BY received_at")
    assert [flag for (flag,) in flags] == [False, True]


async def held(shop: Shop) -> Hold:
    payment, order = await shop.charge(await shop.order())
    return Hold(payment=payment, purchase=order, reason="paid too little")


async def test_a_hold_is_recorded_and_told_once(shop: Shop, rows: Rows) -> None:
    hold = await held(shop)

    await shop.users.record_hold(hold)
    await shop.users.record_hold(hold)

    payment = await rows.fetchrow("SELECT * FROM payments")
    assert (payment["disposition"], payment["reason"]) == ("mismatch", "paid too little")
    assert await rows.fetchval("SELECT version FROM outbox") == 1
    assert await written(rows) == (0, 0, 1)
    await assert_invariants(rows, shop.cipher)


async def test_a_hold_without_an_order_is_told_by_itself_and_once(shop: Shop, rows: Rows) -> None:
    hold = replace(await held(shop), purchase=None)

    await shop.users.record_hold(hold)
    await shop.users.record_hold(hold)

    found = await rows.fetch(
        "SELECT user_id, payload->>'text_id', payload->'arguments'->>'currency' FROM outbox"
    )
    assert [tuple(row) for row in found] == [(BUYER, "news-held", "XTR")]
    assert await rows.fetchval("SELECT disposition FROM payments") == Disposition.MISMATCH


async def test_money_that_was_credited_is_never_held(shop: Shop, rows: Rows) -> None:
    payment, order = await shop.charge(await shop.order())
    await shop.users.record_credit(await shop.decided(payment, order))

    await shop.users.record_hold(Hold(payment=payment, purchase=order, reason="late thought"))

    assert await rows.fetchval("SELECT disposition FROM payments") == Disposition.CREDITED
    await assert_invariants(rows, shop.cipher)


async def test_money_for_an_unknown_order_is_recorded_all_the_same(shop: Shop) -> None:
    await shop.users.introduce(BUYER, "en")
    draft = PaymentDraft(
        provider="stars",
        provider_payment_id="charge-1",
        purchase_id=uuid4(),
        user_id=BUYER,
        amount=150,
        currency="XTR",
        body_sha256=b"",
    )

    payment, purchase = await shop.users.receive_payment(draft)

    assert (payment.purchase_id, purchase) == (None, None)
    assert payment.disposition is Disposition.RECEIVED


# The ledger.


@pytest.mark.parametrize(
    "change", ["UPDATE ledger SET delta_s = 0", "DELETE FROM ledger", "TRUNCATE ledger"]
)
async def test_the_ledger_is_append_only(shop: Shop, rows: Rows, change: str) -> None:
    await shop.bought()

    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await rows.execute(change)


async def test_one_source_gives_time_once(shop: Shop, rows: Rows) -> None:
    await shop.bought()

    with pytest.raises(asyncpg.UniqueViolationError, match="ledger_source_once"):
        await rows.execute(
            "INSERT INTO ledger (subscription_id, version, delta_s, pending_before, pending_after,"
            " source_kind, source_id, reason, actor) SELECT subscription_id, 2, delta_s, 0, 0,"
            " source_kind, source_id, '', '' FROM ledger"
        )


@pytest.mark.parametrize(
    "broken",
    [
        "UPDATE subscriptions SET pending_s = -1",
        "UPDATE subscriptions SET status = 'active'",
        "UPDATE subscriptions SET status = 'paused'",
        "UPDATE credentials SET applied_gen = gen + 1",
        "UPDATE credentials SET gen = 0",
        "UPDATE payments SET disposition = 'lost'",
        "INSERT INTO users (tg_id, language) VALUES (0, 'en')",
        "INSERT INTO users (tg_id, language) VALUES (5, 'English')",
    ],
)
async def test_rows_that_make_no_sense_are_refused(shop: Shop, rows: Rows, broken: str) -> None:
    await shop.bought()
    with pytest.raises(asyncpg.CheckViolationError):
        await rows.execute(broken)


# Orders and users.


async def test_only_the_open_orders_of_a_user_are_loaded_newest_first(
    shop: Shop, rows: Rows
) -> None:
    paid = await shop.order(price=1)
    await shop.pay(paid)
    old = await shop.order(price=2)
    expired = await shop.order(price=3)
    await rows.execute("UPDATE purchases SET invoice_expires_at = now() WHERE id = $1", expired.id)
    young = await shop.order(price=4)
    await shop.order(user_id=5)

    assert [order.id for order in (await shop.record()).open_purchases] == [young.id, old.id]


async def test_another_tap_is_remembered_as_the_last(shop: Shop) -> None:
    order = await shop.order()

    await shop.users.reopen_purchase(order.id, "tap-9")

    (found,) = (await shop.record()).open_purchases
    assert found.operation_id == "tap-9"


async def test_a_paid_order_is_not_opened_again(shop: Shop, rows: Rows) -> None:
    order = await shop.order()
    await shop.pay(order)

    await shop.users.reopen_purchase(order.id, "tap-9")
    await shop.users.record_invoice(order.id, BUYER, None, None)

    found = await rows.fetchrow("SELECT * FROM purchases")
    assert (found["status"], found["operation_id"]) == (PurchaseStatus.PAID, order.operation_id)


async def test_nobody_else_can_say_that_an_invoice_stands_in_a_chat(shop: Shop, rows: Rows) -> None:
    order = await shop.order()
    await rows.execute("UPDATE purchases SET status = 'created'")

    await shop.users.record_invoice(order.id, 5, None, None)

    assert await rows.fetchval("SELECT status FROM purchases") == PurchaseStatus.CREATED


async def test_who_is_known_keeps_their_language(shop: Shop) -> None:
    await shop.users.introduce(BUYER, "en")
    await shop.users.choose_language(BUYER, "ru")

    again = await shop.users.introduce(BUYER, "en")

    assert again.language == "ru"


async def test_a_stranger_s_record_is_empty(shop: Shop) -> None:
    record = await shop.users.load(404)

    assert (record.user, record.subscription, record.credentials) == (None, None, ())
    assert record.now.utcoffset() == timedelta(0)


async def test_one_user_s_rows_are_never_another_s(shop: Shop) -> None:
    await shop.bought(1)
    await shop.bought(2)
    first, second = await shop.record(1), await shop.record(2)

    assert first.subscription is not None
    assert second.subscription is not None
    assert first.subscription.user_id == 1
    assert first.credentials[0].subscription_id == first.subscription.id
    assert first.credentials[0].uuid != second.credentials[0].uuid


async def test_a_credit_extends_what_is_there_and_nothing_else(shop: Shop, rows: Rows) -> None:
    await shop.served(1)
    await shop.served(2)
    before = (await shop.record(2)).subscription

    credit: Credit = await shop.pay(await shop.order(1, price=200))

    assert credit.change.after is not None
    assert credit.change.after.status is SubscriptionStatus.ACTIVE
    assert (await shop.record(2)).subscription == before
    await assert_invariants(rows, shop.cipher)
