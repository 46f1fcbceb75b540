"""Time of one tier beside another's: gifts, refunds and offers keep what was paid for."""

from datetime import timedelta

from actors.user.decisions.access import decide_grant
from actors.user.decisions.money import decide_credit, decide_refund
from actors.user.decisions.orders import OpenNew, decide_open
from actors.user.messages import GrantAccess, OpenPurchase, TooFarAhead
from config.plans import Limits, Plans
from storage.rows import (
    AccessChange,
    Credit,
    Disposition,
    NewCredential,
    Origin,
    PaymentRow,
    PurchaseRow,
    Refund,
    SubscriptionStatus,
    UserRecord,
)
from tests.unit.actors.rows import (
    BUYER,
    FIRST,
    FRESH,
    IDS,
    MONTH,
    MONTH_S,
    NODE,
    NOW,
    PLAN,
    catalogue,
    credential,
    payment,
    purchase,
    record,
    subscription,
)

ACTIVE = SubscriptionStatus.ACTIVE
PREMIUM = PLAN.model_copy(
    update={"id": "premium", "tier": "premium", "price_stars": 450, "nodes": ("node-2",)}
)
SHOP = catalogue(PLAN, PREMIUM, nodes=(NODE, "node-2"))
MOVED = (NewCredential(uuid=FRESH, node_id="node-2", replaces=FIRST, origin=Origin.MOVE),)
GIFT = GrantAccess(operation_id="gift", plan_id="premium", period_s=60, who="owner", reason="")


def served(plan_id: str, left: timedelta) -> UserRecord:
    running = subscription(ACTIVE, plan_id=plan_id, expires_at=NOW + left)
    return record(subscription=running, credentials=(credential(),))


def taken_back(rows: UserRecord, order: PurchaseRow) -> AccessChange:
    charge: PaymentRow = payment(disposition=Disposition.CREDITED)
    refund = decide_refund(rows, charge, order, SHOP, reason="", actor="owner")
    assert isinstance(refund, Refund)
    assert refund.change is not None
    return refund.change


def test_a_gift_of_another_tier_makes_no_more_of_what_was_bought() -> None:
    change = decide_grant(served(PLAN.id, MONTH), GIFT, SHOP, IDS, 0)

    assert isinstance(change, AccessChange)
    converted, given = change.steps
    assert converted.entry.delta_s == -MONTH_S * 2 // 3
    assert given.entry.delta_s == 60
    assert given.after.expires_at == NOW + MONTH / 3 + timedelta(seconds=60)
    assert change.wishes == MOVED


def test_a_refund_takes_what_the_money_is_worth_in_the_dearer_tier() -> None:
    """A month of the cheap tier became ten days; a month of the dear one was paid beside it."""
    change = taken_back(served("premium", MONTH + MONTH / 3), purchase())

    assert [step.entry.delta_s for step in change.steps] == [-MONTH_S // 3]
    assert change.after is not None
    assert change.after.expires_at == NOW + MONTH


def test_a_refund_leaves_none_of_the_time_that_a_cheaper_tier_made_of_it() -> None:
    order = purchase(plan_id="premium", price=450)

    change = taken_back(served(PLAN.id, 3 * MONTH), order)

    assert [step.entry.source_kind for step in change.steps] == ["refund", "change"]
    assert sum(step.entry.delta_s for step in change.steps) == -3 * MONTH_S
    assert change.after is not None
    assert change.after.status is SubscriptionStatus.EXPIRED
    assert len(change.wishes) == 1


def test_time_that_ran_out_a_moment_ago_keeps_nobody_on_the_old_tiers_node() -> None:
    lapsed = served(PLAN.id, timedelta(0))
    order = purchase(plan_id="premium", price=450, node_id="node-2")

    credit = decide_credit(lapsed, payment(amount=450), order, SHOP, IDS)

    assert isinstance(credit, Credit)
    assert credit.change.wishes == MOVED


def test_nothing_is_sold_that_would_be_given_back_at_once() -> None:
    """Three years of the cheap tier would come of one of the dear: further than it reaches."""
    message = OpenPurchase(
        operation_id="tap", plan_id=PLAN.id, language="en", chat_id=BUYER, provider="stars"
    )
    near = catalogue(PLAN.model_copy(update={"horizon_s": 3 * MONTH_S}), PREMIUM)
    daily = catalogue(plans=Plans(plans=(PLAN,), limits=Limits(user_day_s=MONTH_S)))

    assert isinstance(decide_open(record(), message, near, FRESH), OpenNew)
    assert isinstance(decide_open(served("premium", MONTH), message, near, FRESH), TooFarAhead)
    assert isinstance(decide_open(record(), message, daily, FRESH), OpenNew)
    assert isinstance(decide_open(record(gained_today_s=1), message, daily, FRESH), TooFarAhead)
