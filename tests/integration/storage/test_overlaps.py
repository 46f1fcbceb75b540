"""Money that names another's order, orders that wait for owners, credits beside a node's word."""

from storage.rows import Disposition, Hold, PaymentDraft, PurchaseStatus
from tests.integration.database_fixtures import Rows
from tests.integration.shop import BUYER, Shop
from tests.integration.storage.races import in_turn
from tests.invariants import assert_invariants

OTHER = 78
#: What a credit of another order does while it is under way: time first, then the order.
CREDIT_UNDER_WAY = """
UPDATE subscriptions SET plan_id = plan_id;
UPDATE purchases SET status = 'paid' WHERE status = 'awaiting_payment'
"""


async def test_another_s_order_does_not_go_back_with_money_that_named_it(
    shop: Shop, rows: Rows
) -> None:
    order = await shop.order(OTHER)
    await shop.users.introduce(BUYER, "en")
    stray = PaymentDraft(
        provider="stars",
        provider_payment_id="stray",
        purchase_id=order.id,
        user_id=BUYER,
        amount=order.price,
        currency=order.currency,
        body_sha256=b"",
    )
    payment, _ = await shop.users.receive_payment(stray)
    await shop.users.record_hold(Hold(payment=payment, purchase=None, reason="another user's"))
    found = await shop.users.payment("stars", "stray")
    assert found is not None

    assert await shop.users.record_refund(await shop.refund_of(found[0]))
    assert await shop.users.record_refunded("stars", "stray", None)

    back = await shop.users.payment("stars", "stray")
    assert back is not None
    assert back[0].disposition is Disposition.REFUNDED
    (still,) = (await shop.record(OTHER)).open_purchases
    assert still.status is PurchaseStatus.AWAITING_PAYMENT
    assert await rows.fetchval("SELECT count(*) FROM outbox WHERE user_id = $1", OTHER) == 0
    await assert_invariants(rows, shop.cipher)


async def test_an_order_that_is_paid_while_access_begins_is_fulfilled_with_it(
    shop: Shop, rows: Rows
) -> None:
    wish = await shop.bought()
    await shop.order()

    await in_turn(rows, CREDIT_UNDER_WAY, shop.confirm(wish))

    assert await rows.fetchval("SELECT count(*) FROM purchases WHERE fulfilled_at IS NULL") == 0


async def test_claims_of_a_user_are_counted(shop: Shop) -> None:
    order = await shop.order(provider="manual")
    assert (await shop.record()).claimed == 0

    await shop.users.claim_paid(order.id, BUYER, ())

    assert (await shop.record()).claimed == 1
