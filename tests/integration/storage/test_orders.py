"""Orders that are never paid, paid outside, or decided about by owners: the first word counts."""

from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from actors.user.outcomes import manual_payment
from storage.rows import AlertDraft, Disposition, PurchaseRow, PurchaseStatus
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, Shop, act_of
from tests.integration.storage.races import at_once
from tests.invariants import assert_invariants

ALERT = AlertDraft(dedupe_key="claim:1000", owner=1000, text_id="alert-x", arguments={})
TOLD = "SELECT count(*) FROM outbox WHERE dedupe_key LIKE $1"


async def decide(
    shop: Shop, order: PurchaseRow, who: str, *, approve: bool, user_id: int = BUYER
) -> PurchaseRow | None:
    """An owner's word about an order."""
    action = "approve_order" if approve else "reject_order"
    act = replace(act_of(action), actor=who, details={"purchase": str(order.id)})
    return await shop.users.decide_manual(
        order.id,
        user_id,
        approve=approve,
        act=act,
        payment=manual_payment(order) if approve else None,
    )


async def test_an_unpaid_order_is_cancelled_and_stays_so(shop: Shop) -> None:
    order = await shop.order()

    for _ in range(2):
        cancelled = await shop.users.cancel_order(order.id, BUYER)
        assert cancelled is not None
        assert cancelled.status is PurchaseStatus.CANCELLED
    assert (await shop.record()).open_purchases == ()


async def test_a_paid_order_is_not_cancelled(shop: Shop) -> None:
    order = await shop.order()
    await shop.pay(order)

    found = await shop.users.cancel_order(order.id, BUYER)

    assert found is not None
    assert found.status is PurchaseStatus.PAID


async def test_nobody_cancels_or_claims_another_s_order(shop: Shop, rows: Rows) -> None:
    order = await shop.order(provider="manual")

    assert await shop.users.cancel_order(order.id, 5) is None
    assert await shop.users.claim_paid(order.id, 5, [ALERT]) is None
    assert await shop.users.cancel_order(uuid4(), BUYER) is None
    assert await decide(shop, order, "tg:1", approve=True, user_id=5) is None

    assert await rows.fetchval("SELECT status FROM purchases") == "awaiting_payment"
    assert await rows.fetchval(TOLD, "claim:%") == 0
    assert await rows.fetchval("SELECT count(*) FROM payments") == 0


async def test_owners_are_asked_once_about_an_order_paid_outside(shop: Shop, rows: Rows) -> None:
    order = await shop.order(provider="manual")

    claimed = await shop.users.claim_paid(order.id, BUYER, [ALERT])
    await rows.execute("DELETE FROM outbox")
    again = await shop.users.claim_paid(order.id, BUYER, [ALERT])

    assert claimed is not None
    assert claimed.status is PurchaseStatus.AWAITING_ADMIN
    assert again == claimed
    assert await rows.fetchval(TOLD, "claim:%") == 0, "asked by the first claim alone"


async def test_an_order_for_stars_cannot_be_claimed(shop: Shop, rows: Rows) -> None:
    order = await shop.order()

    found = await shop.users.claim_paid(order.id, BUYER, [ALERT])

    assert found is not None
    assert found.status is PurchaseStatus.AWAITING_PAYMENT
    assert await rows.fetchval(TOLD, "claim:%") == 0


async def test_an_approved_order_has_its_money_and_waits_for_the_credit(
    shop: Shop, rows: Rows
) -> None:
    order = await shop.order(provider="manual")
    await shop.users.claim_paid(order.id, BUYER, [ALERT])

    decided = await decide(shop, order, "tg:1", approve=True)
    await decide(shop, order, "tg:1", approve=True)

    assert decided is not None
    assert (decided.status, decided.decided_by) == (PurchaseStatus.AWAITING_ADMIN, "tg:1")
    payment = await rows.fetchrow("SELECT * FROM payments")
    assert payment["provider_payment_id"] == str(order.id)
    assert payment["disposition"] == Disposition.RECEIVED
    assert await rows.fetchval("SELECT count(*) FROM admin_actions") == 1
    assert await shop.money.close_expired() == 0


async def test_a_rejected_order_is_told_once_and_has_no_money(shop: Shop, rows: Rows) -> None:
    order = await shop.order(provider="manual")
    await shop.users.claim_paid(order.id, BUYER, [ALERT])

    rejected = await decide(shop, order, "tg:1", approve=False)
    other = await decide(shop, order, "tg:2", approve=True)

    assert rejected is not None
    assert (rejected.status, rejected.decided_by) == (PurchaseStatus.REJECTED, "tg:1")
    assert other == rejected
    assert await rows.fetchval("SELECT count(*) FROM payments") == 0
    assert await rows.fetchval(TOLD, "rejected:%") == 1


async def test_of_two_owners_at_once_one_is_first(shop: Shop, rows: Rows) -> None:
    order = await shop.order(provider="manual")
    await shop.users.claim_paid(order.id, BUYER, [ALERT])

    found = await at_once(
        rows,
        "purchases",
        decide(shop, order, "tg:1", approve=True),
        decide(shop, order, "tg:2", approve=False),
    )

    first, second = found
    assert first == second, "both hear the same word"
    assert first is not None
    (actor,) = [row["actor"] for row in await rows.fetch("SELECT actor FROM admin_actions")]
    assert first.decided_by == actor
    assert await rows.fetchval("SELECT count(*) FROM payments") == (actor == "tg:1")
    assert await rows.fetchval(TOLD, "rejected:%") == (actor == "tg:2")
    await assert_invariants(rows, shop.cipher)


async def test_the_first_invoice_of_an_order_stays(shop: Shop) -> None:
    order = await shop.order()

    await shop.users.record_invoice(order.id, BUYER, "invoice-1", "https://pay.example/1")
    await shop.users.record_invoice(order.id, BUYER, "invoice-2", "https://pay.example/2")

    found = await shop.users.purchase(order.id)
    assert found is not None
    assert (found.provider_invoice_id, found.pay_url) == ("invoice-1", "https://pay.example/1")


@pytest.mark.parametrize(("past", "closed"), [("59 minutes", 0), ("61 minutes", 1)])
async def test_orders_end_an_hour_after_their_invoice(
    shop: Shop, rows: Rows, past: str, closed: int
) -> None:
    await shop.order()
    await rows.execute(f"UPDATE purchases SET invoice_expires_at = now() - interval '{past}'")  # noqa: S608

    assert await shop.money.close_expired() == closed

    status = "expired" if closed else "awaiting_payment"
    assert await rows.fetchval("SELECT status FROM purchases") == status


async def test_an_order_that_owners_are_asked_about_does_not_end_by_itself(
    shop: Shop, rows: Rows
) -> None:
    order: UUID = (await shop.order(provider="manual")).id
    await shop.users.claim_paid(order, BUYER, [])
    await rows.execute("UPDATE purchases SET invoice_expires_at = now() - interval '9 days'")

    assert await shop.money.close_expired() == 0
