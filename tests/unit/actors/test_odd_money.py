"""Money that does not fit: the written policy of `actors.user.decisions.money`, line by line."""

from datetime import timedelta
from typing import Any

import pytest

from actors.user.decisions.catalogue import Catalogue
from actors.user.decisions.money import decide_credit, decide_credit_held, decide_refund
from actors.user.messages import (
    Bound,
    CreditHeld,
    NoSuchPayment,
    NotHeld,
    RefundedBefore,
    TooMuch,
)
from config.money import STARS
from config.plans import Limits, Plans
from config.providers import FeeBearer, Terms
from storage.rows import (
    Credit,
    Desired,
    Disposition,
    Hold,
    PaymentFlags,
    PurchaseStatus,
    Refund,
    RemovedCredential,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
)
from tests.unit.actors.rows import (
    FIRST,
    IDS,
    MONTH,
    MONTH_S,
    NODE,
    NOW,
    OWNER,
    PLAN,
    WEEK,
    catalogue,
    credential,
    payment,
    purchase,
    record,
    subscription,
    unapplied,
    user,
)

ACTIVE = SubscriptionStatus.ACTIVE
SHOP = catalogue(PLAN, WEEK)
SERVED = record(subscription=subscription(ACTIVE), credentials=(credential(),))
CREDITED = payment(disposition=Disposition.CREDITED)


def decided(
    rows: UserRecord | None = None, shop: Catalogue | None = None, **changes: Any
) -> Credit | Hold:
    """The decision about a payment of an order; `order_…` are changes of the order."""
    order = {k.removeprefix("order_"): v for k, v in changes.items() if k.startswith("order_")}
    paid = {k: v for k, v in changes.items() if not k.startswith("order_")}
    return decide_credit(rows or record(), payment(**paid), purchase(**order), shop or SHOP, IDS)


def held(rows: UserRecord | None = None, shop: Catalogue | None = None, **changes: Any) -> Hold:
    decision = decided(rows, shop, **changes)
    assert isinstance(decision, Hold)
    return decision


def credited(
    rows: UserRecord | None = None, shop: Catalogue | None = None, **changes: Any
) -> Credit:
    decision = decided(rows, shop, **changes)
    assert isinstance(decision, Credit)
    return decision


@pytest.mark.parametrize("status", [PurchaseStatus.CANCELLED, PurchaseStatus.EXPIRED])
def test_late_money_goes_back_if_the_offer_has_changed(status: PurchaseStatus) -> None:
    dearer = catalogue(PLAN.model_copy(update={"price_stars": 160}))

    assert credited(order_status=status).flags == PaymentFlags(late=True)
    assert held(shop=dearer, order_status=status).refund
    assert held(shop=catalogue(WEEK), order_status=status).refund


def test_an_open_order_keeps_its_price_whatever_is_sold_now() -> None:
    dearer = catalogue(PLAN.model_copy(update={"price_stars": 160}))

    assert credited(shop=dearer).flags == PaymentFlags()


def test_owners_hear_of_held_money_and_can_decide() -> None:
    (alert,) = held(amount=149).alerts

    assert (alert.owner, alert.text_id) == (OWNER, "alert-payment-held")
    assert alert.arguments["number"] == 17
    assert not held(amount=149).refund, "an owner decides first"


def test_owners_hear_of_money_that_came_twice_or_was_too_much() -> None:
    twice = credited(SERVED, order_status=PurchaseStatus.PAID)
    over = credited(amount=151)

    assert [alert.arguments["flag"] for alert in twice.change.alerts] == ["duplicate"]
    assert [alert.arguments["flag"] for alert in over.change.alerts] == ["over"]
    assert credited(order_status=PurchaseStatus.EXPIRED).change.alerts == ()


def test_money_of_somebody_banned_goes_back_at_once() -> None:
    hold = held(record(user=user(status=UserStatus.BANNED)))

    assert hold.refund
    assert hold.alerts == ()


def test_what_the_terms_forgive_is_enough_and_no_unit_less() -> None:
    lenient = catalogue(
        terms={"stars": Terms(provider="stars", currency=STARS, forgiven_parts=100)}
    )

    assert credited(shop=lenient, amount=149).flags == PaymentFlags()
    assert not held(shop=lenient, amount=148).refund


def test_a_fee_that_the_payer_bears_is_not_too_much() -> None:
    terms = Terms(provider="stars", currency=STARS, fee_bearer=FeeBearer.PAYER, fee_parts=200)
    with_fee = catalogue(terms={"stars": terms})

    assert credited(shop=with_fee, amount=153).flags == PaymentFlags()
    assert credited(shop=with_fee, amount=154).flags == PaymentFlags(over=True)


def test_no_payment_carries_access_further_than_its_plan_reaches() -> None:
    """Only the second payment of one order can: the first is not sold then."""
    near = catalogue(PLAN.model_copy(update={"horizon_s": 2 * MONTH_S - 1}))
    far = catalogue(PLAN.model_copy(update={"horizon_s": 2 * MONTH_S}))

    hold = held(SERVED, near)

    assert hold.refund
    assert [alert.text_id for alert in hold.alerts] == ["alert-run-away"]
    assert credited(SERVED, far).kind == "renew"


def test_a_day_gives_one_user_no_more_than_its_bound() -> None:
    limits = Limits(user_day_s=3 * MONTH_S)
    shop = catalogue(plans=Plans(plans=(PLAN,), limits=limits))

    assert credited(record(gained_today_s=2 * MONTH_S), shop).kind == "new"
    assert held(record(gained_today_s=2 * MONTH_S + 1), shop).refund


def test_time_left_of_another_tier_is_converted_by_price() -> None:
    """A month at twice the price: thirty days that are left are worth fifteen of it."""
    better = PLAN.model_copy(update={"id": "better", "tier": "better", "price_stars": 300})
    credit = credited(
        SERVED,
        catalogue(PLAN, better),
        order_plan_id="better",
        order_price=300,
        amount=300,
    )

    deltas = [(step.entry.source_kind, step.entry.delta_s) for step in credit.change.steps]
    assert credit.kind == "change"
    assert deltas == [("change", -MONTH_S // 2), ("payment", MONTH_S)]
    assert credit.change.after is not None
    assert credit.change.after.expires_at == NOW + MONTH / 2 + MONTH
    assert [step.after.version for step in credit.change.steps] == [5, 6]


def test_buying_another_length_of_the_same_tier_converts_nothing() -> None:
    credit = credited(SERVED, order_plan_id="week", order_price=50, amount=50)

    assert [step.entry.source_kind for step in credit.change.steps] == ["payment"]


def test_a_plan_of_other_nodes_moves_the_key_and_the_old_one_works_until_then() -> None:
    abroad = PLAN.model_copy(update={"id": "abroad", "tier": "abroad", "nodes": ("node-2",)})
    shop = catalogue(PLAN, abroad, nodes=(NODE, "node-2"))

    credit = credited(SERVED, shop, order_plan_id="abroad", order_node_id="node-2")

    (new,) = credit.change.wishes
    assert (new.node_id, getattr(new, "replaces", None)) == ("node-2", FIRST)
    assert credit.change.after is not None
    assert credit.change.after.status is ACTIVE


def test_an_owner_lets_held_money_count() -> None:
    message = CreditHeld(
        operation_id="op",
        provider="stars",
        provider_payment_id="charge-1",
        who="telegram:1000",
        reason="close enough",
    )
    kept = payment(amount=1, disposition=Disposition.MISMATCH)

    credit = decide_credit_held(record(), kept, purchase(), SHOP, IDS, message)
    assert isinstance(credit, Credit)
    assert credit.change.act is not None
    assert credit.change.act.actor == "telegram:1000"

    foreign = purchase(user_id=5)
    assert decide_credit_held(record(), CREDITED, purchase(), SHOP, IDS, message) == NotHeld()
    assert decide_credit_held(record(), kept, foreign, SHOP, IDS, message) == NotHeld()
    assert decide_credit_held(record(), kept, None, SHOP, IDS, message) == NotHeld()

    near = catalogue(PLAN.model_copy(update={"horizon_s": MONTH_S}))
    assert decide_credit_held(SERVED, kept, purchase(), near, IDS, message) == TooMuch(
        bound=Bound.HORIZON, limit_s=MONTH_S
    )


def refunded(rows: UserRecord, **changes: Any) -> Refund:
    refund = decide_refund(
        rows,
        payment(**({"disposition": Disposition.CREDITED} | changes)),
        purchase(),
        SHOP,
        reason="asked",
        actor="telegram:1000",
    )
    assert isinstance(refund, Refund)
    return refund


def test_a_refund_takes_what_is_left_and_the_key() -> None:
    change = refunded(SERVED).change

    assert change is not None
    assert change.after is not None
    assert (change.after.status, change.after.expires_at) == (SubscriptionStatus.EXPIRED, NOW)
    assert change.steps[0].entry.delta_s == -MONTH_S
    assert change.wishes == (RemovedCredential(uuid=FIRST, node_id=NODE),)


def test_a_refund_leaves_time_that_was_not_bought_by_it() -> None:
    twice = record(
        subscription=subscription(ACTIVE, expires_at=NOW + 2 * MONTH), credentials=(credential(),)
    )
    change = refunded(twice).change

    assert change is not None
    assert change.after is not None
    assert (change.after.status, change.after.expires_at) == (ACTIVE, NOW + MONTH)
    assert change.wishes == ()


def test_a_refund_never_takes_more_than_is_left() -> None:
    nearly = subscription(ACTIVE, expires_at=NOW + timedelta(hours=1))
    change = refunded(record(subscription=nearly, credentials=(credential(),))).change

    assert change is not None
    assert change.steps[0].entry.delta_s == -3600


def test_a_refund_takes_time_that_waits() -> None:
    waiting = record(
        subscription=subscription(SubscriptionStatus.ACTIVATING), credentials=(unapplied(),)
    )
    change = refunded(waiting).change

    assert change is not None
    assert change.after is not None
    assert (change.after.status, change.after.pending_s) == (SubscriptionStatus.EXPIRED, 0)
    assert [type(wish) for wish in change.wishes] == [RemovedCredential]


def test_a_refund_of_somebody_suspended_ends_no_suspension() -> None:
    kept = record(
        subscription=subscription(SubscriptionStatus.SUSPENDED, expires_at=NOW, pending_s=MONTH_S),
        credentials=(credential(desired=Desired.ABSENT),),
    )
    change = refunded(kept).change

    assert change is not None
    assert change.after is not None
    assert (change.after.status, change.after.pending_s) == (SubscriptionStatus.SUSPENDED, 0)


def test_held_money_goes_back_and_nothing_else_changes() -> None:
    assert refunded(SERVED, disposition=Disposition.MISMATCH).change is None


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"disposition": Disposition.RECEIVED}, NoSuchPayment()),
        ({"disposition": Disposition.REFUND_PENDING}, RefundedBefore(done=False)),
        ({"disposition": Disposition.REFUNDED}, RefundedBefore(done=True)),
        ({"disposition": Disposition.CREDITED, "user_id": 5}, NoSuchPayment()),
    ],
)
def test_money_goes_back_once_and_to_its_payer(changes: dict[str, Any], outcome: object) -> None:
    charge = payment(**changes)

    assert decide_refund(SERVED, charge, purchase(), SHOP, reason="", actor="") == outcome
    assert decide_refund(SERVED, None, None, SHOP, reason="", actor="") == NoSuchPayment()
