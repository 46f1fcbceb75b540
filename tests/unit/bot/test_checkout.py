"""Who may pay for what, and when: the whole table."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from bot.checkout import PAYABLE, Approve, NodesNow, Offer, Refusal, Refuse, decide_checkout
from bot.gateways.payload import InvoiceClaim
from config.plans import Plans
from storage.rows import PurchaseStatus, QuoteRow, SubscriptionStatus, UserStatus
from tests.unit.bot.conftest import BUYER, NOW, PURCHASE, month, quote

CLAIM = InvoiceClaim(purchase_id=PURCHASE, user_id=BUYER, plan_id="month")
FIRST, SECOND, BOTH = frozenset({"node-1"}), frozenset({"node-2"}), frozenset({"node-1", "node-2"})
NOWHERE: frozenset[str] = frozenset()
NODES = NodesNow(serving=BOTH, selling=FIRST, returning=FIRST)
WAYS = {"stars": "XTR", "card": "RUB"}
OFFER = Offer(payer_id=BUYER, currency="XTR", total=150)
BY_CARD = {"provider": "card", "currency": "RUB", "price": 19_900}
CARD_OFFER = Offer(payer_id=BUYER, currency="RUB", total=19_900)


@pytest.mark.parametrize("status", sorted(PAYABLE))
def test_an_open_order_may_be_paid_by_its_owner(plans: Plans, status: PurchaseStatus) -> None:
    assert decide_checkout(CLAIM, quote(status=status), OFFER, plans, NODES, WAYS) == Approve()


def test_an_order_by_card_may_be_paid_while_its_plan_is_sold_at_that_price() -> None:
    sold = month().model_copy(update={"prices": {"RUB": Decimal(199)}})
    for plan, decision in (
        (sold, Approve()),
        (month(), Refuse(reason=Refusal.PRICE_CHANGED)),
    ):
        plans = Plans(plans=(plan,))
        assert decide_checkout(CLAIM, quote(**BY_CARD), CARD_OFFER, plans, NODES, WAYS) == decision


def test_an_order_may_be_paid_up_to_its_last_moment(plans: Plans) -> None:
    last = quote(invoice_expires_at=NOW + timedelta(microseconds=1))
    assert decide_checkout(CLAIM, last, OFFER, plans, NODES, WAYS) == Approve()


@pytest.mark.parametrize(
    ("claim", "row", "offer", "reason"),
    [
        (None, quote(), OFFER, Refusal.NOT_YOURS),
        (CLAIM, None, OFFER, Refusal.NOT_YOURS),
        (CLAIM, quote(id=UUID(int=2)), OFFER, Refusal.NOT_YOURS),
        (CLAIM, quote(user_id=1), OFFER, Refusal.NOT_YOURS),
        (replace(CLAIM, user_id=1), quote(), OFFER, Refusal.NOT_YOURS),
        (replace(CLAIM, plan_id="week"), quote(), OFFER, Refusal.NOT_YOURS),
        (CLAIM, quote(), replace(OFFER, payer_id=1), Refusal.NOT_YOURS),
        (CLAIM, quote(user_status=UserStatus.BANNED), OFFER, Refusal.NOT_SOLD_TO_YOU),
        (
            CLAIM,
            quote(subscription_status=SubscriptionStatus.SUSPENDED),
            OFFER,
            Refusal.NOT_SOLD_TO_YOU,
        ),
        (CLAIM, quote(status=PurchaseStatus.PAID), OFFER, Refusal.ALREADY_PAID),
        (CLAIM, quote(invoice_expires_at=NOW), OFFER, Refusal.CLOSED),
        (CLAIM, quote(), replace(OFFER, total=149), Refusal.PRICE_CHANGED),
        (CLAIM, quote(), replace(OFFER, total=151), Refusal.PRICE_CHANGED),
        (CLAIM, quote(), replace(OFFER, currency="RUB"), Refusal.PRICE_CHANGED),
        (CLAIM, quote(price=149), replace(OFFER, total=149), Refusal.PRICE_CHANGED),
        (CLAIM, quote(currency="RUB"), replace(OFFER, currency="RUB"), Refusal.PRICE_CHANGED),
        (CLAIM, quote(provider="card"), OFFER, Refusal.PRICE_CHANGED),
        (CLAIM, quote(provider="manual"), OFFER, Refusal.PRICE_CHANGED),
        (
            CLAIM,
            quote(**(BY_CARD | {"price": 149})),
            replace(CARD_OFFER, total=149),
            Refusal.PRICE_CHANGED,
        ),
        (CLAIM, quote(**(BY_CARD | {"provider": "stars"})), CARD_OFFER, Refusal.PRICE_CHANGED),
        (CLAIM, quote(**BY_CARD), OFFER, Refusal.PRICE_CHANGED),
    ],
)
def test_everything_else_is_refused_with_a_reason(
    plans: Plans,
    claim: InvoiceClaim | None,
    row: QuoteRow | None,
    offer: Offer,
    reason: Refusal,
) -> None:
    assert decide_checkout(claim, row, offer, plans, NODES, WAYS) == Refuse(reason=reason)


@pytest.mark.parametrize("status", sorted(set(PurchaseStatus) - PAYABLE - {PurchaseStatus.PAID}))
def test_an_order_that_is_not_open_is_closed(plans: Plans, status: PurchaseStatus) -> None:
    decision = decide_checkout(CLAIM, quote(status=status), OFFER, plans, NODES, WAYS)
    assert decision == Refuse(reason=Refusal.CLOSED)


@pytest.mark.parametrize(
    "plans",
    [
        Plans(plans=(month(price=200),)),
        Plans(plans=(month().model_copy(update={"id": "year"}),)),
    ],
    ids=["at another price", "not at all"],
)
def test_a_plan_that_is_no_longer_sold_so_is_refused(plans: Plans) -> None:
    decision = decide_checkout(CLAIM, quote(), OFFER, plans, NODES, WAYS)
    assert decision == Refuse(reason=Refusal.PRICE_CHANGED)


@pytest.mark.parametrize(
    "ways", [{}, {"card": "RUB"}, {"stars": "RUB"}], ids=["none", "another", "other money"]
)
def test_a_way_to_pay_that_was_switched_off_since_takes_no_money(
    plans: Plans, ways: dict[str, str]
) -> None:
    decision = decide_checkout(CLAIM, quote(), OFFER, plans, NODES, ways)
    assert decision == Refuse(reason=Refusal.WAY_CLOSED)


def test_a_closed_way_says_nothing_to_a_stranger(plans: Plans) -> None:
    decision = decide_checkout(CLAIM, quote(user_id=1), OFFER, plans, NODES, {})
    assert decision == Refuse(reason=Refusal.NOT_YOURS)


def test_newcomers_are_charged_for_nothing_that_is_long_in_coming(plans: Plans) -> None:
    away = NodesNow(serving=FIRST, selling=NOWHERE, returning=NOWHERE)

    assert decide_checkout(CLAIM, quote(), OFFER, plans, away, WAYS) == Refuse(
        reason=Refusal.PAUSED
    )


@pytest.mark.parametrize("status", [SubscriptionStatus.ACTIVE, SubscriptionStatus.ACTIVATING])
def test_who_has_access_may_extend_it_while_its_node_is_away(
    plans: Plans, status: SubscriptionStatus
) -> None:
    away = NodesNow(serving=FIRST, selling=NOWHERE, returning=NOWHERE)
    row = replace(quote(), subscription_status=status)

    assert decide_checkout(CLAIM, row, OFFER, plans, away, WAYS) == Approve()


def test_an_order_is_paid_while_another_node_of_its_plan_can_take_the_buyer(plans: Plans) -> None:
    other = NodesNow(serving=BOTH, selling=SECOND, returning=SECOND)

    assert decide_checkout(CLAIM, quote(), OFFER, plans, other, WAYS) == Approve()


def test_an_order_of_a_node_that_went_since_is_paid_while_another_one_sells(plans: Plans) -> None:
    """The same order is shown at each tap: refused, nobody could buy until it ran out."""
    left = NodesNow(serving=SECOND, selling=SECOND, returning=SECOND)
    none = NodesNow(serving=NOWHERE, selling=NOWHERE, returning=NOWHERE)

    assert decide_checkout(CLAIM, quote(), OFFER, plans, left, WAYS) == Approve()
    assert decide_checkout(CLAIM, quote(), OFFER, plans, none, WAYS) == Refuse(
        reason=Refusal.PRICE_CHANGED
    )


def test_only_nodes_of_the_plan_count() -> None:
    bound = Plans(plans=(month().model_copy(update={"nodes": ("node-1",)}),))
    left = NodesNow(serving=SECOND, selling=SECOND, returning=SECOND)

    assert decide_checkout(CLAIM, quote(), OFFER, bound, left, WAYS) == Refuse(
        reason=Refusal.PRICE_CHANGED
    )


def test_who_comes_back_to_a_full_node_pays_and_a_newcomer_does_not(plans: Plans) -> None:
    full = NodesNow(serving=FIRST, selling=NOWHERE, returning=FIRST)
    lapsed = quote(subscription_status=SubscriptionStatus.EXPIRED)

    assert decide_checkout(CLAIM, lapsed, OFFER, plans, full, WAYS) == Approve()
    assert decide_checkout(CLAIM, quote(), OFFER, plans, full, WAYS) == Refuse(
        reason=Refusal.PAUSED
    )
