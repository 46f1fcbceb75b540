"""What a tap on a plan leads to."""

from typing import Any
from uuid import UUID

import pytest

from actors.user.decisions.orders import (
    MOST_OPEN_ORDERS,
    OpenDecision,
    OpenNew,
    ShowAgain,
    decide_open,
)
from actors.user.messages import (
    InvoiceAlreadySent,
    NotSoldToUser,
    OpenPurchase,
    PlanNotSold,
    TooFarAhead,
    TooManyOrders,
)
from config.plans import Plan
from storage.rows import PurchaseDraft, PurchaseStatus, SubscriptionStatus, UserRecord, UserStatus
from tests.unit.actors.rows import (
    BUYER,
    FRESH,
    MONTH_S,
    NODE,
    PLAN,
    SECOND,
    catalogue,
    credential,
    purchase,
    record,
    removed,
    subscription,
    user,
)


def tapped(
    rows: UserRecord,
    *,
    plan: Plan = PLAN,
    nodes: tuple[str, ...] = (NODE,),
    operation_id: str = "tap-2",
    plan_id: str = PLAN.id,
    provider: str = "stars",
) -> OpenDecision:
    """The decision about a tap on the month."""
    message = OpenPurchase(
        operation_id=operation_id,
        plan_id=plan_id,
        language="en",
        chat_id=BUYER,
        provider=provider,
    )
    return decide_open(rows, message, catalogue(plan, nodes=nodes), FRESH)


def draft_of(decision: OpenDecision) -> PurchaseDraft:
    assert isinstance(decision, OpenNew)
    return decision.draft


def test_a_newcomer_gets_an_order_at_the_price_shown() -> None:
    draft = draft_of(tapped(record()))

    assert draft == PurchaseDraft(
        id=FRESH,
        user_id=BUYER,
        kind="new",
        plan_id="month",
        node_id=NODE,
        price=150,
        currency="XTR",
        period_s=MONTH_S,
        provider="stars",
        operation_id="tap-2",
        chat_id=BUYER,
        open_for_s=24 * 3600,
    )


def test_who_bought_before_renews() -> None:
    rows = record(subscription=subscription(SubscriptionStatus.EXPIRED), credentials=(removed(),))

    assert draft_of(tapped(rows)).kind == "renew"


def test_the_same_tap_twice_is_told_that_its_invoice_is_there() -> None:
    sent = purchase(operation_id="tap-2")

    assert tapped(record(open_purchases=(sent,))) == InvoiceAlreadySent(purchase_id=sent.id)


def test_the_same_tap_shows_the_invoice_again_when_sending_it_was_never_confirmed() -> None:
    created = purchase(operation_id="tap-2", status=PurchaseStatus.CREATED)

    assert tapped(record(open_purchases=(created,))) == ShowAgain(purchase=created)


def test_the_same_tap_is_recognised_behind_a_newer_order() -> None:
    newer, same = purchase(id=SECOND), purchase(operation_id="tap-2")

    assert tapped(record(open_purchases=(newer, same))) == InvoiceAlreadySent(purchase_id=same.id)


def test_another_tap_on_the_same_plan_uses_the_open_order() -> None:
    open_one = purchase()

    assert tapped(record(open_purchases=(open_one,))) == ShowAgain(purchase=open_one)


@pytest.mark.parametrize(
    "offer",
    [{"plan_id": "week"}, {"price": 100}, {"period_s": MONTH_S // 2}],
    ids=["another plan", "another price", "another period"],
)
def test_an_order_of_another_offer_is_left_alone(offer: dict[str, Any]) -> None:
    draft = draft_of(tapped(record(open_purchases=(purchase(**offer),))))

    assert (draft.id, draft.price, draft.period_s) == (FRESH, 150, MONTH_S)


@pytest.mark.parametrize(
    "rows",
    [
        record(user=None),
        record(user=user(status=UserStatus.BANNED)),
        record(subscription=subscription(SubscriptionStatus.SUSPENDED)),
    ],
    ids=["stranger", "banned", "suspended"],
)
def test_nothing_is_sold_to_some(rows: UserRecord) -> None:
    assert tapped(rows) == NotSoldToUser()


def test_a_plan_that_is_not_sold_is_refused() -> None:
    assert tapped(record(), plan_id="year") == PlanNotSold()


def test_a_plan_without_a_node_that_takes_buyers_is_refused() -> None:
    elsewhere = PLAN.model_copy(update={"nodes": ("node-9",)})

    assert tapped(record(), plan=elsewhere, nodes=("node-1", "node-2")) == PlanNotSold()
    assert tapped(record(), nodes=()) == PlanNotSold()


def test_a_newcomer_goes_to_the_first_node_of_the_plan() -> None:
    second_only = PLAN.model_copy(update={"nodes": ("node-2", "node-3")})

    chosen = draft_of(tapped(record(), plan=second_only, nodes=("node-1", "node-2", "node-3")))

    assert chosen.node_id == "node-2"


@pytest.mark.parametrize(
    ("status", "served"),
    [
        (SubscriptionStatus.ACTIVE, credential(node_id="node-2")),
        (SubscriptionStatus.EXPIRED, removed(node_id="node-2")),
    ],
    ids=["active", "lapsed"],
)
def test_who_was_served_stays_on_that_node(status: SubscriptionStatus, served: Any) -> None:
    rows = record(subscription=subscription(status), credentials=(served,))

    assert draft_of(tapped(rows, nodes=("node-1", "node-2"))).node_id == "node-2"


def test_present_access_decides_the_node_before_access_that_ended() -> None:
    present = credential(node_id="node-2")
    ended = removed(uuid=UUID(int=5), node_id="node-1")
    rows = record(
        subscription=subscription(SubscriptionStatus.ACTIVE), credentials=(ended, present)
    )

    assert draft_of(tapped(rows, nodes=("node-1", "node-2"))).node_id == "node-2"


def test_who_was_served_moves_where_the_plan_is_sold() -> None:
    rows = record(
        subscription=subscription(SubscriptionStatus.EXPIRED),
        credentials=(removed(node_id="node-9"),),
    )

    assert draft_of(tapped(rows, nodes=("node-1",))).node_id == "node-1"


def test_time_on_a_node_that_is_gone_is_not_extended() -> None:
    """The money would buy seconds that nobody could use."""
    rows = record(
        subscription=subscription(SubscriptionStatus.ACTIVE),
        credentials=(credential(node_id="node-9"),),
    )

    assert tapped(rows, nodes=("node-1",)) == PlanNotSold()


def test_a_way_to_pay_that_is_off_or_has_no_price_of_the_plan_sells_nothing() -> None:
    assert tapped(record(), provider="card") == PlanNotSold()


def test_an_order_of_another_way_to_pay_is_left_alone() -> None:
    other = purchase(provider="card")

    assert draft_of(tapped(record(open_purchases=(other,)))).id == FRESH


def test_an_order_in_another_currency_is_left_alone() -> None:
    """The same number of a currency of before: its invoice would be refused until it closes."""
    other = purchase(currency="RUB")

    assert draft_of(tapped(record(open_purchases=(other,)))).id == FRESH


def test_a_flood_of_orders_is_refused() -> None:
    orders = tuple(purchase(id=UUID(int=n), price=n) for n in range(1, MOST_OPEN_ORDERS + 1))

    assert tapped(record(open_purchases=orders)) == TooManyOrders()
    assert isinstance(tapped(record(open_purchases=orders[1:])), OpenNew)
    assert tapped(record(open_purchases=orders[1:], claimed=1)) == TooManyOrders()


def test_nobody_buys_further_ahead_than_a_plan_reaches() -> None:
    """Money that could not be credited would have to be given back."""
    near = PLAN.model_copy(update={"horizon_s": 2 * MONTH_S - 1})
    far = PLAN.model_copy(update={"horizon_s": 2 * MONTH_S})
    served = subscription(SubscriptionStatus.ACTIVE)
    rows = record(subscription=served, credentials=(credential(),))

    assert tapped(rows, plan=near) == TooFarAhead(until=served.expires_at or rows.now)
    assert isinstance(tapped(rows, plan=far), OpenNew)
