"""What becomes of a provider's word about money."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from actors.notifier.ports import OwnerAlert
from actors.payments.decisions import (
    REFUND_CAP_S,
    LeftToOwners,
    Postponed,
    Returned,
    credit_again,
    decide_cursor,
    decide_end,
    decide_missing,
    decide_poll_wait,
    decide_refund,
    decide_rest,
)
from actors.payments.messages import credit_of
from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GivenBack,
    ReturnedCharge,
)
from bot.reports.alerts import alert
from storage.rows import Disposition, PaymentRow, RefundOrder

PAYMENT = PaymentRow(
    provider="stars",
    provider_payment_id="c1",
    purchase_id=None,
    user_id=7,
    amount=150,
    currency="XTR",
    disposition=Disposition.REFUND_PENDING,
    reason=None,
    received_at=datetime(2026, 1, 1, tzinfo=UTC),
    number=12,
)
ORDER = RefundOrder(payment=PAYMENT, invoice_id=None, age_s=10.0)
LATER = GiveBackLater(after_s=None, reason="no answer")


def page(*found: Charge | ReturnedCharge, more: bool = True, newest: bool = True) -> ChargePage:
    return ChargePage(found=found, cursor="next", more=more, newest_first=newest)


def a_charge(number: str) -> Charge:
    return Charge(
        provider_payment_id=number, user_id=7, purchase_id=None, amount=1, currency="XTR", body="{}"
    )


def test_what_is_given_back_is_done() -> None:
    assert decide_refund(ORDER, GivenBack(), 0.5, [1]) == Returned()


def test_each_owner_hears_once_what_has_to_be_done_by_hand() -> None:
    decision = decide_refund(ORDER, GiveBackByHand(reason="no call"), 0.5, [1, 2])

    assert isinstance(decision, LeftToOwners)
    assert [alert.owner for alert in decision.alerts] == [1, 2]
    assert len({alert.dedupe_key for alert in decision.alerts}) == 2
    assert decision == decide_refund(ORDER, GiveBackByHand(reason="no call"), 0.9, [1, 2])
    assert decision.alerts[0].text_id == "alert-refund-by-hand"
    assert decision.alerts[0].arguments["number"] == 12


@pytest.mark.parametrize(("attempts", "ceiling"), [(0, 10.0), (1, 20.0), (99_999, REFUND_CAP_S)])
def test_a_refund_is_repeated_ever_more_slowly_up_to_a_cap(attempts: int, ceiling: float) -> None:
    order = replace(ORDER, payment=replace(PAYMENT, refund_attempts=attempts))

    assert decide_refund(order, LATER, 1.0, []) == Postponed(after_s=ceiling)
    assert decide_refund(order, LATER, 0.0, []) == Postponed(after_s=0.0)


def test_a_provider_s_own_wish_to_wait_counts() -> None:
    asked = GiveBackLater(after_s=33.0, reason="flood")
    assert decide_refund(ORDER, asked, 0.1, []) == Postponed(after_s=33.0)


def test_each_owner_hears_once_of_a_refund_that_takes_an_hour() -> None:
    young = decide_refund(replace(ORDER, age_s=3_599.0), LATER, 0.5, [1, 2])
    late = decide_refund(replace(ORDER, age_s=3_600.0), LATER, 0.5, [1, 2])
    later = decide_refund(replace(ORDER, age_s=9_999.0), LATER, 0.5, [1, 2])

    assert isinstance(young, Postponed)
    assert young.alerts == ()
    assert isinstance(late, Postponed)
    assert [alert.dedupe_key for alert in late.alerts] == ["refund-stuck:12:1", "refund-stuck:12:2"]
    assert late == later
    assert late.alerts[0].arguments == {
        "number": 12,
        "amount": 150,
        "currency": "XTR",
        "provider": "stars",
        "user_id": 7,
        "reason": "no answer",
    }


def test_alerts_have_what_their_texts_have_places_for() -> None:
    stuck = decide_refund(replace(ORDER, age_s=3_600.0), LATER, 0.5, [1])
    by_hand = decide_refund(ORDER, GiveBackByHand(reason="no call"), 0.5, [1])

    for decision in (stuck, by_hand):
        assert isinstance(decision, Postponed | LeftToOwners)
        (draft,) = decision.alerts
        notice = OwnerAlert(
            chat_id=1, language="en", text_id=draft.text_id, arguments=draft.arguments
        )
        assert alert(notice).text_id == draft.text_id


def test_a_poisoned_payment_is_left_alone_longer_than_a_busy_user() -> None:
    busy = [decide_rest(failures, failed=False) for failures in (0, 1, 99_999)]
    failed = [decide_rest(failures, failed=True) for failures in (0, 1, 99_999)]
    assert busy == [2.0, 4.0, 60.0]
    assert failed == [60.0, 120.0, 3_600.0]


def test_a_provider_that_is_away_is_never_asked_at_once() -> None:
    assert decide_poll_wait(0, 0.0, 60.0, 600.0) == 30.0
    assert decide_poll_wait(99_999, 1.0, 60.0, 600.0) == 600.0


def test_only_what_is_unknown_is_missing() -> None:
    gone, old = (ReturnedCharge(provider_payment_id=n, user_id=7) for n in ("r1", "r2"))
    missing = decide_missing(page(a_charge("a"), a_charge("b"), gone, old), {"a"}, {"r2"})
    assert missing.charges == (a_charge("b"),)
    assert missing.returns == (gone,)
    assert not decide_missing(page(a_charge("a")), {"a"}, set())


def test_a_reading_ends_where_all_is_known_only_if_older_charges_were_read_before() -> None:
    assert decide_end(page(), missing=False, whole=False)
    assert not decide_end(page(), missing=True, whole=False)
    assert not decide_end(page(), missing=False, whole=True)
    assert not decide_end(page(newest=False), missing=False, whole=False)
    assert decide_end(page(more=False), missing=True, whole=True)


def test_a_list_with_the_newest_first_is_read_from_its_top_again() -> None:
    assert decide_cursor(page(), ends=True) is None
    assert decide_cursor(page(), ends=False) == "next"
    assert decide_cursor(page(newest=False), ends=True) == "next"


def test_push_poll_and_sweep_credit_by_the_same_operation() -> None:
    assert credit_again(PAYMENT).operation_id == credit_of("stars", a_charge("c1")).operation_id
