"""Money goes back once: access ends with the intent, and the row waits until the money is there."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.errors import VersionConflict
from storage.rows import (
    AlertDraft,
    Credit,
    Disposition,
    Hold,
    PaymentFlags,
    PaymentRow,
    PurchaseStatus,
    RefundOrder,
    SubscriptionStatus,
)
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, MONTH_S, Shop, act_of
from tests.integration.storage.races import at_once, in_turn
from tests.invariants import assert_invariants

ALERT = AlertDraft(dedupe_key="by-hand:1000", owner=1000, text_id="alert-refund", arguments={})
WRITTEN = """
SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM outbox),
    (SELECT count(*) FROM admin_actions), (SELECT count(*) FROM history)
"""


async def paid(shop: Shop, *, served: bool = True) -> PaymentRow:
    """A credited payment of somebody with access."""
    credit = await shop.pay(await shop.order())
    if served:
        await shop.confirm(await shop.credential())
    return await now(shop, credit.payment)


async def now(shop: Shop, payment: PaymentRow) -> PaymentRow:
    """A payment as it stands."""
    found = await shop.users.payment(payment.provider, payment.provider_payment_id)
    assert found is not None
    return found[0]


async def going_back(shop: Shop) -> tuple[PaymentRow, RefundOrder]:
    """A payment on its way back."""
    payment = await paid(shop)
    assert await shop.users.record_refund(await shop.refund_of(payment))
    (order,) = await shop.money.refunds_due(10)
    return await now(shop, payment), order


async def held(shop: Shop, *, refund: bool = False) -> PaymentRow:
    """Money of an order that is kept aside, or goes back at once."""
    payment, order = await shop.charge(await shop.order())
    hold = Hold(payment=payment, purchase=order, reason="too little", refund=refund)
    await shop.users.record_hold(hold)
    return await now(shop, payment)


async def order_status(rows: Rows, order_id: UUID | None) -> PurchaseStatus:
    return PurchaseStatus(await rows.fetchval("SELECT status FROM purchases WHERE id=$1", order_id))


async def refund_row(rows: Rows) -> dict[str, Any]:
    return dict(await rows.fetchrow("SELECT * FROM outbox WHERE kind = 'refund'"))


# The intent.


async def test_a_refund_ends_what_the_money_bought(shop: Shop, rows: Rows) -> None:
    payment = await paid(shop)
    act = act_of("refund")

    assert await shop.users.record_refund(await shop.refund_of(payment, act=act))

    after = await now(shop, payment)
    assert (after.disposition, after.reason) == (Disposition.REFUND_PENDING, "asked for")
    assert await order_status(rows, payment.purchase_id) is PurchaseStatus.REFUND_PENDING
    record = await shop.record()
    assert record.subscription is not None
    assert record.subscription.status is SubscriptionStatus.EXPIRED
    assert await rows.fetchval("SELECT operation_id FROM admin_actions") == act.operation_id
    assert (await refund_row(rows))["state"] == "due"
    await assert_invariants(rows, shop.cipher)


async def test_a_refund_that_is_recorded_again_writes_nothing(shop: Shop, rows: Rows) -> None:
    refund = await shop.refund_of(await paid(shop), act=act_of("refund"))
    assert await shop.users.record_refund(refund)
    before = await rows.fetchrow(WRITTEN)

    assert not await shop.users.record_refund(refund)
    other = replace(refund, act=act_of("refund"))
    assert not await shop.users.record_refund(other), "another owner's, and too late"

    assert await rows.fetchrow(WRITTEN) == before
    await assert_invariants(rows, shop.cipher)


async def test_a_refund_decided_from_old_rows_writes_nothing(shop: Shop, rows: Rows) -> None:
    payment = await paid(shop, served=False)
    stale = await shop.refund_of(payment, act=act_of("refund"))
    await shop.confirm(await shop.credential())
    before = await rows.fetchrow(WRITTEN)

    with pytest.raises(VersionConflict):
        await shop.users.record_refund(stale)

    assert await rows.fetchrow(WRITTEN) == before
    assert (await now(shop, payment)).disposition is Disposition.CREDITED


async def test_a_refund_and_a_node_s_answer_at_once_do_not_lock_each_other_out(
    shop: Shop, rows: Rows
) -> None:
    """Both write the subscription, the order and its live message, in this order."""
    payment = await paid(shop, served=False)
    refund, wish = await shop.refund_of(payment), await shop.credential()

    async def refunded() -> str:
        try:
            await shop.users.record_refund(refund)
        except VersionConflict:
            return "decide again"
        return "refunded"

    async def confirmed() -> str:
        return type(await shop.confirm(wish)).__name__

    held = "SELECT FROM credentials FOR UPDATE"
    outcomes = await in_turn(rows, held, confirmed(), refunded())

    assert outcomes == ["Confirmed", "decide again"]
    await assert_invariants(rows, shop.cipher, healed=False)


async def test_money_that_the_provider_gave_back_already_is_not_asked_for(
    shop: Shop, rows: Rows
) -> None:
    payment = await paid(shop)

    assert await shop.users.record_refund(await shop.refund_of(payment, done=True))

    assert (await now(shop, payment)).disposition is Disposition.REFUNDED
    assert await order_status(rows, payment.purchase_id) is PurchaseStatus.REFUNDED
    assert await shop.money.refunds_due(10) == []
    told = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = 'news-refunded'"
    assert await rows.fetchval(told) == 1
    await assert_invariants(rows, shop.cipher)


async def test_one_of_two_payments_going_back_leaves_the_order_paid(shop: Shop, rows: Rows) -> None:
    order = await shop.order()
    first = (await shop.pay(order)).payment
    await shop.confirm(await shop.credential())
    second = (await shop.pay(order)).payment

    assert await shop.users.record_refund(await shop.refund_of(await now(shop, second)))
    assert await order_status(rows, order.id) is PurchaseStatus.PAID

    assert await shop.users.record_refund(await shop.refund_of(await now(shop, first)))
    assert await order_status(rows, order.id) is PurchaseStatus.REFUND_PENDING
    assert await shop.users.record_refunded("stars", first.provider_payment_id, None)
    assert await order_status(rows, order.id) is PurchaseStatus.REFUND_PENDING, "one is on its way"
    assert await shop.users.record_refunded("stars", second.provider_payment_id, None)
    assert await order_status(rows, order.id) is PurchaseStatus.REFUNDED
    await assert_invariants(rows, shop.cipher)


async def test_held_money_goes_back_without_touching_time(shop: Shop, rows: Rows) -> None:
    payment = await held(shop)

    assert await shop.users.record_refund(await shop.refund_of(payment))

    assert (await now(shop, payment)).disposition is Disposition.REFUND_PENDING
    assert await rows.fetchval("SELECT count(*) FROM ledger") == 0
    await assert_invariants(rows, shop.cipher)


async def test_money_held_for_going_back_is_due_at_once(shop: Shop, rows: Rows) -> None:
    payment = await held(shop, refund=True)

    (order,) = await shop.money.refunds_due(10)

    assert (order.payment, order.invoice_id) == (payment, None)
    assert (payment.disposition, payment.reason) == (Disposition.REFUND_PENDING, "too little")
    assert await order_status(rows, payment.purchase_id) is PurchaseStatus.REFUND_PENDING
    await assert_invariants(rows, shop.cipher)


async def test_a_credit_of_held_money_and_its_refund_at_once_are_one_of_both(
    shop: Shop, rows: Rows
) -> None:
    payment = await held(shop)
    order = await shop.users.purchase(payment.purchase_id or UUID(int=0))
    assert order is not None
    refund = await shop.refund_of(payment)
    # What `decide_credit_held` makes of it: the same, whatever was paid.
    credit: Credit = await shop.decided(payment, order)
    credit = replace(credit, flags=PaymentFlags())

    await at_once(
        rows, "payments", shop.users.record_credit(credit), shop.users.record_refund(refund)
    )

    entries = await rows.fetchval("SELECT count(*) FROM ledger")
    after = (await now(shop, payment)).disposition
    assert (after, entries) in [(Disposition.CREDITED, 1), (Disposition.REFUND_PENDING, 0)]
    await assert_invariants(rows, shop.cipher)


# What waits for the provider.


async def test_a_refund_is_due_with_what_the_provider_needs(shop: Shop, rows: Rows) -> None:
    payment = await paid(shop)
    await rows.execute("UPDATE purchases SET provider_invoice_id = 'invoice-9'")
    await shop.users.record_refund(await shop.refund_of(payment))
    await rows.execute("UPDATE outbox SET created_at = now() - interval '1 hour'")

    (order,) = await shop.money.refunds_due(10)

    assert order.payment.provider_payment_id == payment.provider_payment_id
    assert order.invoice_id == "invoice-9"
    assert order.age_s == pytest.approx(3_600, abs=60)


async def test_an_attempt_is_counted_before_it_is_made(shop: Shop, rows: Rows) -> None:
    payment, order = await going_back(shop)

    assert await shop.money.begin_refund(order, 60.0)

    assert (await now(shop, payment)).refund_attempts == 1
    row = await refund_row(rows)
    assert (row["attempts"], row["state"]) == (1, "due")
    assert await shop.money.refunds_due(10) == [], "nobody else's while the call may run"


async def test_what_a_dead_process_left_is_due_at_once(shop: Shop) -> None:
    _, order = await going_back(shop)
    await shop.money.begin_refund(order, 3_600.0)

    await shop.money.resume()

    (again,) = await shop.money.refunds_due(10)
    assert again.payment.refund_attempts == 1


async def test_a_refund_that_is_put_off_comes_again(shop: Shop, rows: Rows) -> None:
    _, order = await going_back(shop)

    await shop.money.postpone_refund(order, 900.0)

    assert await shop.money.refunds_due(10) == []
    waits = await rows.fetchval("SELECT next_at - now() FROM outbox WHERE kind = 'refund'")
    assert timedelta(seconds=800) < waits <= timedelta(seconds=900)


async def test_a_refund_by_hand_is_asked_of_no_provider_and_told_once(
    shop: Shop, rows: Rows
) -> None:
    payment, order = await going_back(shop)

    await shop.money.refund_by_hand(order, [ALERT])
    await rows.execute("DELETE FROM outbox WHERE kind = 'alert'")
    await shop.money.refund_by_hand(order, [ALERT])

    assert await shop.money.refunds_due(10) == []
    assert not await shop.money.begin_refund(order, 60.0)
    assert (await refund_row(rows))["state"] == "failed"
    assert await rows.fetchval("SELECT count(*) FROM outbox WHERE kind = 'alert'") == 0
    assert (await now(shop, payment)).disposition is Disposition.REFUND_PENDING
    await assert_invariants(rows, shop.cipher)


async def test_money_that_is_back_is_recorded_and_told_once(shop: Shop, rows: Rows) -> None:
    payment, order = await going_back(shop)
    act = act_of("refunded_by_hand")

    assert await shop.users.record_refunded("stars", payment.provider_payment_id, act)
    before = await rows.fetchrow(WRITTEN)
    assert not await shop.users.record_refunded("stars", payment.provider_payment_id, act)
    again = act_of("refunded_by_hand")
    assert not await shop.users.record_refunded("stars", payment.provider_payment_id, again)

    assert await rows.fetchrow(WRITTEN) == before
    assert not await shop.money.begin_refund(order, 60.0), "there is nothing to give back"
    assert (await refund_row(rows))["state"] == "sent"
    assert (await now(shop, payment)).disposition is Disposition.REFUNDED
    assert await rows.fetchval("SELECT refunded_at IS NOT NULL FROM payments")
    assert await order_status(rows, payment.purchase_id) is PurchaseStatus.REFUNDED
    await assert_invariants(rows, shop.cipher)


async def test_two_words_of_one_arrival_at_once_are_told_once(shop: Shop, rows: Rows) -> None:
    payment, _ = await going_back(shop)

    heard = await at_once(
        rows,
        "payments",
        *(shop.users.record_refunded("stars", payment.provider_payment_id, None) for _ in range(2)),
    )

    assert sorted(heard) == [False, True]


async def test_money_that_is_not_on_its_way_does_not_arrive(shop: Shop) -> None:
    payment = await paid(shop)

    assert not await shop.users.record_refunded("stars", payment.provider_payment_id, None)
    assert not await shop.users.record_refunded("stars", "nobody's", None)

    assert (await now(shop, payment)).disposition is Disposition.CREDITED


async def test_an_attempt_and_an_arrival_at_once_do_not_lock_each_other_out(
    shop: Shop, rows: Rows
) -> None:
    payment, order = await going_back(shop)

    arrived, begun = await in_turn(
        rows,
        "SELECT FROM payments FOR UPDATE",
        shop.users.record_refunded("stars", payment.provider_payment_id, None),
        shop.money.begin_refund(order, 60.0),
    )

    assert (arrived, begun) == (True, False)
    assert (await now(shop, payment)).disposition is Disposition.REFUNDED


# What the sweep finds, and what it asks of lists.


async def test_charges_that_nobody_decided_about_are_found_oldest_first(
    shop: Shop, rows: Rows
) -> None:
    order = await shop.order()
    old, _ = await shop.charge(order, "old")
    young, _ = await shop.charge(order, "young")
    await shop.pay(await shop.order(price=200))
    await rows.execute(
        "UPDATE payments SET received_at = now() - interval '3 s' WHERE number = $1", old.number
    )

    assert [p.number for p in await shop.money.uncredited(2.0, 10)] == [old.number]
    assert [p.number for p in await shop.money.uncredited(0.0, 10)] == [old.number, young.number]
    assert len(await shop.money.uncredited(0.0, 1)) == 1


async def test_held_money_is_found_after_a_while_from_the_decision(shop: Shop, rows: Rows) -> None:
    payment = await held(shop)
    await rows.execute("UPDATE payments SET received_at = now() - interval '2 days'")
    assert await shop.money.held_too_long(86_400.0, 10) == []

    await rows.execute("UPDATE payments SET settled_at = now() - interval '25 hours'")

    assert [p.number for p in await shop.money.held_too_long(86_400.0, 10)] == [payment.number]
    assert [p.number for p in await shop.queries.held_payments(10)] == [payment.number]
    found = await shop.queries.payment_by_number(payment.number)
    assert found is not None
    assert found.provider_payment_id == payment.provider_payment_id
    assert await shop.queries.payment_by_number(404) is None


async def test_which_charges_of_a_list_are_known_and_which_went_back(shop: Shop) -> None:
    order = await shop.order()
    await shop.charge(order, "kept")
    payment, _ = await shop.charge(order, "back")
    hold = Hold(payment=payment, purchase=None, reason="too little", refund=True)
    await shop.users.record_hold(hold)

    ids = ["kept", "back", "new"]
    assert await shop.money.known("stars", ids) == {"kept", "back"}
    assert await shop.money.returned("stars", ids) == {"back"}
    assert await shop.money.known("crypto", ids) == set()


async def test_how_far_a_list_was_read_is_kept_and_repairs_add_up(shop: Shop) -> None:
    unread = await shop.money.poller("stars")
    assert (unread.cursor, unread.last_success_at, unread.repairs) == (None, None, 0)

    await shop.money.poll_succeeded("stars", "17", 2)
    await shop.money.poll_succeeded("stars", "19", 1)

    read = await shop.money.poller("stars")
    assert (read.cursor, read.repairs) == ("19", 3)
    assert read.last_success_at is not None
    assert (await shop.money.poller("crypto")).cursor is None


async def test_a_user_s_time_is_what_is_left_after_half_of_it_went_back(
    shop: Shop, rows: Rows
) -> None:
    """Two months bought, one given back: one month is left, and the key stays."""
    await paid(shop)
    second = (await shop.pay(await shop.order(price=200))).payment

    await shop.users.record_refund(await shop.refund_of(await now(shop, second)))

    left = await rows.fetchval("SELECT expires_at - now() FROM subscriptions")
    assert abs(left - timedelta(seconds=MONTH_S)) < timedelta(minutes=5)
    assert (await shop.credential(BUYER)).applied
    await assert_invariants(rows, shop.cipher)
