"""What a charge buys."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from actors.user.decisions.catalogue import Catalogue
from actors.user.decisions.money import decide_credit
from storage.rows import (
    CredentialRow,
    Credit,
    Hold,
    LedgerEntry,
    NewCredential,
    Origin,
    PaymentFlags,
    PaymentRow,
    PurchaseRow,
    PurchaseStatus,
    RaisedCredential,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
    Wish,
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
    SECOND,
    SUBSCRIPTION_ID,
    WEEK,
    catalogue,
    credential,
    payment,
    purchase,
    record,
    removed,
    subscription,
    unapplied,
    user,
)

SHOP = catalogue(PLAN, WEEK)
ACTIVATING = SubscriptionStatus.ACTIVATING
ACTIVE = SubscriptionStatus.ACTIVE


def credited(
    rows: UserRecord,
    charge: PaymentRow | None = None,
    order: PurchaseRow | None = None,
    shop: Catalogue | None = None,
) -> Credit:
    """The credit of a charge that must be credited."""
    decision = _decided(rows, charge or payment(), order or purchase(), shop)
    assert isinstance(decision, Credit)
    return decision


def held(
    rows: UserRecord,
    charge: PaymentRow | None = None,
    order: PurchaseRow | None = None,
    shop: Catalogue | None = None,
) -> Hold:
    """The hold of a charge that must not be credited."""
    decision = _decided(rows, charge or payment(), order, shop)
    assert isinstance(decision, Hold)
    return decision


def _decided(
    rows: UserRecord, charge: PaymentRow, order: PurchaseRow | None, shop: Catalogue | None = None
) -> Credit | Hold:
    return decide_credit(rows, charge, order, shop or SHOP, IDS)


def having(status: SubscriptionStatus, *owned: CredentialRow, **changes: Any) -> UserRecord:
    return record(subscription=subscription(status, **changes), credentials=owned)


def after(credit: Credit) -> SubscriptionRow:
    """The subscription that a credit leads to."""
    assert credit.change.after is not None
    return credit.change.after


def wish(credit: Credit) -> Wish | None:
    """What a credit asks of a node, at most one thing."""
    assert len(credit.change.wishes) <= 1
    return next(iter(credit.change.wishes), None)


def state(row: SubscriptionRow) -> tuple[SubscriptionStatus, datetime | None, int]:
    return row.status, row.expires_at, row.pending_s


def test_the_first_purchase_waits_for_access() -> None:
    credit = credited(record())

    assert state(after(credit)) == (ACTIVATING, None, MONTH_S)
    assert after(credit).version == 1
    assert (credit.change.before, credit.kind) == (None, "new")
    assert wish(credit) == NewCredential(uuid=FRESH, node_id=NODE)


def test_the_secret_of_a_first_purchase_names_nothing_else() -> None:
    """The uuid opens the door; a subscription's id is written in more places than that."""
    credit = credited(record())

    assert wish(credit) == NewCredential(uuid=FRESH, node_id=NODE)
    assert after(credit).id == SUBSCRIPTION_ID


def test_the_entry_is_keyed_by_the_charge_so_that_it_counts_once() -> None:
    assert credited(record()).change.steps[-1].entry == LedgerEntry(
        delta_s=MONTH_S,
        source_kind="payment",
        source_id="stars:charge-1",
        reason="plan month",
        actor=f"user/{BUYER}",
    )


def test_running_time_is_extended_from_its_end() -> None:
    credit = credited(having(ACTIVE, credential()))

    assert state(after(credit)) == (ACTIVE, NOW + 2 * MONTH, 0)
    assert after(credit).version == 5
    assert (credit.kind, wish(credit)) == ("renew", None)


def test_time_that_ran_out_unnoticed_is_extended_from_now() -> None:
    credit = credited(having(ACTIVE, credential(), expires_at=NOW - timedelta(days=2)))

    assert state(after(credit)) == (ACTIVE, NOW + MONTH, 0)
    assert wish(credit) is None


def test_a_second_purchase_before_access_adds_to_what_waits() -> None:
    credit = credited(having(ACTIVATING, unapplied()))

    assert state(after(credit)) == (ACTIVATING, None, 2 * MONTH_S)
    assert wish(credit) is None, "access is being made already"


def test_access_that_was_confirmed_but_does_not_run_is_asked_for_again() -> None:
    credit = credited(having(ACTIVATING, credential()))

    assert wish(credit) == RaisedCredential(uuid=FIRST, node_id=NODE)


@pytest.mark.parametrize("status", [SubscriptionStatus.EXPIRED, SubscriptionStatus.NONE])
def test_a_lapsed_user_gets_the_saved_link_back(status: SubscriptionStatus) -> None:
    credit = credited(having(status, removed(uuid=SECOND), removed(uuid=FIRST)))

    assert (after(credit).status, after(credit).pending_s) == (ACTIVATING, MONTH_S)
    assert wish(credit) == RaisedCredential(uuid=SECOND, node_id=NODE), "the newest one"


def test_a_lapsed_user_whose_node_sells_no_more_gets_a_link_of_the_order_s_node() -> None:
    credit = credited(having(SubscriptionStatus.EXPIRED, removed(node_id="gone")))

    assert wish(credit) == NewCredential(uuid=FRESH, node_id=NODE)


def test_a_lapsed_user_gets_back_the_link_of_the_order_s_node() -> None:
    here, elsewhere = removed(uuid=FIRST), removed(uuid=SECOND, node_id="node-2")

    credit = credited(having(SubscriptionStatus.EXPIRED, elsewhere, here))

    assert wish(credit) == RaisedCredential(uuid=FIRST, node_id=NODE)


def test_a_subscription_without_any_credential_gets_a_new_one() -> None:
    credit = credited(having(SubscriptionStatus.EXPIRED))

    assert wish(credit) == NewCredential(uuid=FRESH, node_id=NODE)


def test_the_last_plan_bought_names_the_subscription() -> None:
    week = purchase(plan_id="week", period_s=7, price=50)
    credit = credited(having(ACTIVE, credential()), payment(amount=50), week)

    assert after(credit).plan_id == "week"
    assert after(credit).expires_at == NOW + MONTH + timedelta(seconds=7)


def test_an_ordinary_charge_has_no_flag() -> None:
    assert credited(record()).flags == PaymentFlags()


@pytest.mark.parametrize(
    "status", [PurchaseStatus.CANCELLED, PurchaseStatus.EXPIRED, PurchaseStatus.REJECTED]
)
def test_money_for_a_closed_order_is_credited_and_flagged(status: PurchaseStatus) -> None:
    assert credited(record(), order=purchase(status=status)).flags == PaymentFlags(late=True)


def test_money_after_the_invoice_expired_is_credited_and_flagged() -> None:
    at_the_end = purchase(invoice_expires_at=NOW)

    assert credited(record(), order=at_the_end).flags == PaymentFlags(late=True)


def test_too_much_money_is_credited_and_flagged() -> None:
    assert credited(record(), payment(amount=151)).flags == PaymentFlags(over=True)


def test_a_second_charge_for_one_order_extends_and_is_flagged() -> None:
    paid = purchase(status=PurchaseStatus.PAID)
    credit = credited(having(ACTIVE, credential()), order=paid)

    assert credit.flags == PaymentFlags(duplicate_invoice=True)
    assert after(credit).expires_at == NOW + 2 * MONTH


HELD: list[tuple[str, UserRecord, PaymentRow, PurchaseRow | None, str]] = [
    ("no order", record(), payment(), None, "no such order"),
    ("other payer", record(), payment(), purchase(user_id=5), "the order is another user's"),
    (
        "other currency",
        record(),
        payment(currency="RUB"),
        purchase(),
        "paid in RUB, ordered in XTR",
    ),
    ("too little", record(), payment(amount=149), purchase(), "paid 149, ordered for 150"),
    (
        "banned",
        record(user=user(status=UserStatus.BANNED)),
        payment(),
        purchase(),
        "the user is banned or suspended",
    ),
    (
        "suspended",
        having(SubscriptionStatus.SUSPENDED, removed()),
        payment(),
        purchase(),
        "the user is banned or suspended",
    ),
    ("unknown user", record(user=None), payment(), purchase(), "the user is banned or suspended"),
]


@pytest.mark.parametrize(
    ("rows", "charge", "order", "reason"), [case[1:] for case in HELD], ids=[c[0] for c in HELD]
)
def test_money_that_does_not_fit_is_held(
    rows: UserRecord, charge: PaymentRow, order: PurchaseRow | None, reason: str
) -> None:
    hold = held(rows, charge, order)

    assert hold.reason == reason
    assert hold.payment == charge


def test_the_buyer_is_told_of_a_hold_on_their_own_order_alone() -> None:
    """The live message of an order is in its owner's chat; a stranger's money is no news there."""
    mine, foreign = purchase(), purchase(user_id=5)

    assert held(record(), payment(amount=1), mine).purchase == mine
    assert held(record(), payment(), foreign).purchase is None


def test_a_decision_changes_none_of_the_rows_it_was_made_from() -> None:
    rows = having(ACTIVE, credential())
    same = replace(rows)

    credited(rows)

    assert rows == same


def test_one_uuid_is_one_user_s_for_ever() -> None:
    """However often access lapses, the uuid that comes back is the first one."""
    owned = removed(gen=9, applied_gen=9)
    uuids: set[UUID] = set()
    for gen in range(9, 15, 2):
        again = wish(
            credited(having(SubscriptionStatus.EXPIRED, replace(owned, gen=gen, applied_gen=gen)))
        )
        assert isinstance(again, RaisedCredential)
        uuids.add(again.uuid)

    assert uuids == {FIRST}


def test_money_for_an_order_on_a_node_that_is_gone_buys_access_on_another() -> None:
    order = purchase(node_id="node-9")

    assert wish(credited(record(), order=order)) == NewCredential(uuid=FRESH, node_id=NODE)


def test_access_that_waits_for_a_node_that_is_gone_is_replaced() -> None:
    lost = credential(node_id="node-9", applied_gen=0)
    rows = having(SubscriptionStatus.ACTIVATING, lost, pending_s=60)

    assert wish(credited(rows)) == NewCredential(
        uuid=FRESH, node_id=NODE, replaces=lost.uuid, origin=Origin.MOVE
    )


def test_access_that_was_set_aside_is_asked_for_again() -> None:
    stuck = credential(applied_gen=0, quarantined=True)
    rows = having(SubscriptionStatus.ACTIVATING, stuck, pending_s=60)

    assert wish(credited(rows)) == RaisedCredential(uuid=stuck.uuid, node_id=NODE)
