"""Owners read what became of each wish, in words, in every language, within one message."""

from datetime import timedelta
from typing import Any

import pytest

from actors.user.messages import (
    AccessGranted,
    Bound,
    DecidedBefore,
    DoneBefore,
    ManualRejected,
    NoSuchPayment,
    NotHeld,
    OrderNotOpen,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    PlanNotSold,
    RefundedBefore,
    RefundNoted,
    RefundStarted,
    Standing,
    StandingChanged,
    StandingUnchanged,
    Suspended,
    TooMuch,
    UserUnknown,
)
from bot.callbacks import PaymentDecided, PaymentDecision
from bot.keyboards import Button
from bot.replies import Reply
from bot.reports import acts
from bot.reports.names import PROGRAM, WAYS, who_acts
from bot.routers.admin import payments as payments_router
from bot.routers.admin import people as people_router
from bot.texts import LANGUAGES, Texts
from storage.rows import Disposition, PaymentRow
from tests.unit.bot.conftest import BUYER, NOW, PURCHASE
from tests.unit.bot.test_reports import messages_of, shown

DAY_S = 86_400
HELD = PaymentRow(
    provider="cryptopay",
    provider_payment_id="charge-1",
    purchase_id=None,
    user_id=BUYER,
    amount=19_950,
    currency="RUB",
    disposition=Disposition.MISMATCH,
    reason="no such order",
    received_at=NOW,
    number=17,
)


def before(**changes: Any) -> DecidedBefore:
    values: dict[str, Any] = {"who": "telegram:1000", "at": NOW, "approved": True}
    return DecidedBefore(**(values | changes))


def refunded(*, by_hand: bool) -> RefundStarted:
    return RefundStarted(amount=150, currency="XTR", provider="stars", by_hand=by_hand)


WORDS: list[tuple[Reply, str]] = [
    (
        acts.granted(AccessGranted(period_s=30 * DAY_S, expires_at=None), BUYER),
        "🎁 77: 30 days given, waiting for access.",
    ),
    (
        acts.granted(AccessGranted(period_s=DAY_S, expires_at=NOW), BUYER),
        "🎁 77: 1 day given, access until 24 December 2026, 15:04 UTC.",
    ),
    *(
        (
            acts.granted(TooMuch(bound=bound, limit_s=3 * DAY_S), BUYER),
            f"✗ Too much: the bound for {words} is 3 days. Nothing was changed.",
        )
        for bound, words in {
            Bound.ROW: "one gift",
            Bound.USER_DAY: "time for one user within a day",
            Bound.SHOP_DAY: "all gifts within a day",
            Bound.HORIZON: "access ahead of today",
        }.items()
    ),
    (acts.granted(Suspended(), BUYER), "✗ 77 is banned or suspended: lift that first."),
    (
        acts.granted(PlanNotSold(), BUYER),
        "✗ There is no such plan, or no server can take its buyers.",
    ),
    (acts.granted(UserUnknown(), BUYER), "✗ 77 never wrote to the bot."),
    (acts.granted(DoneBefore(), BUYER), "This was done before; nothing changed."),
    *(
        (acts.standing(StandingChanged(kept_s=2 * DAY_S), wish, BUYER), words)
        for wish, words in {
            Standing.REVOKED: "⏸ 77: access is closed. Time kept: 2 days.",
            Standing.RESTORED: "▶️ 77: access is open again. Time: 2 days.",
            Standing.BANNED: "🚫 77 is banned. Time kept: 2 days.",
            Standing.UNBANNED: "▶️ 77 is banned no more. Time: 2 days.",
        }.items()
    ),
    (
        acts.standing(StandingUnchanged(banned=True), Standing.RESTORED, BUYER),
        "77 is banned: only /unban helps.",
    ),
    (
        acts.standing(StandingUnchanged(banned=False), Standing.RESTORED, BUYER),
        "77: there is nothing to change.",
    ),
    (acts.standing(UserUnknown(), Standing.BANNED, BUYER), "✗ 77 never wrote to the bot."),
    (
        acts.standing(DoneBefore(), Standing.BANNED, BUYER),
        "This was done before; nothing changed.",
    ),
    (acts.refund(refunded(by_hand=False), 17), "↩ #17: 150 ⭐ is on its way back."),
    (
        acts.refund(refunded(by_hand=True), 17),
        "↩ #17: access is taken back. Send 150 ⭐ back by hand, and then say so.",
    ),
    (acts.refund(RefundedBefore(done=True), 17), "#17 went back before."),
    (acts.refund(RefundedBefore(done=False), 17), "#17 is on its way back already."),
    (acts.refund(RefundNoted(), 17), "✓ #17 is noted as given back."),
    (acts.refund(NoSuchPayment(), 17), "✗ There is no payment #17 to decide about."),
    (acts.credited(PaymentCredited(purchase_id=PURCHASE), 17), "✓ #17 counts now."),
    (
        acts.credited(NotHeld(), 17),
        (
            "✗ #17 cannot be credited: it waits for no decision any more, or there is no order "
            "that its payer could get for it."
        ),
    ),
    (
        acts.not_going_back(17),
        (
            "✗ #17 is not on its way back, nothing was changed. If it has to go back: "
            "/refund 17 reason"
        ),
    ),
    (acts.credited(NoSuchPayment(), 17), "✗ There is no payment #17 to decide about."),
    (
        acts.credited(TooMuch(bound=Bound.HORIZON, limit_s=360 * DAY_S), 17),
        "✗ Too much: the bound for access ahead of today is 360 days. Nothing was changed.",
    ),
    (acts.decided(PaymentCredited(purchase_id=PURCHASE)), "✓ Approved: the order is paid."),
    (acts.decided(PaymentAlreadyRecorded()), "✓ Approved: the order is paid."),
    (acts.decided(PaymentHeld(reason="<b>\nlate")), "⚠️ The payment is held: <b> late"),
    (acts.decided(ManualRejected()), "✗ Rejected: the buyer is told."),
    (
        acts.decided(before()),
        "Approved before by owner 1000, 24 December 2026, 15:04 UTC.",
    ),
    (
        acts.decided(before(approved=False)),
        "Rejected before by owner 1000, 24 December 2026, 15:04 UTC.",
    ),
    (acts.decided(OrderNotOpen(status=None)), "This order waits for no decision."),
    (acts.NOTHING, "Nothing was done."),
    (
        acts.refund_question(HELD, "asked <twice>\nfor it", lambda: "a" * 16),
        (
            "Refund 199.50 RUB to 77? Payment #17; the access that it bought ends.\n\n"
            "asked <twice> for it"
        ),
    ),
    (
        acts.ban_question(BUYER, "", lambda: "a" * 16),
        "Ban 77? Access ends at once, the time is kept.\n\n-",
    ),
    (acts.held([]), "No payment waits for a decision."),
    (
        acts.held([HELD]),
        (
            "Payments that wait for a decision:\n"
            "#17 12-24 15:04 199.50 RUB cryptopay 77: no such order"
        ),
    ),
]
LONG = [
    acts.held([HELD] * payments_router.HELD),
    acts.decided(PaymentHeld(reason="&" * 9_999)),
    acts.decided(before(who="&" * 9_999)),
    acts.refund_question(HELD, "&" * 9_999, lambda: "a" * 16),
    acts.ban_question(BUYER, "&" * 9_999, lambda: "a" * 16),
    people_router.USAGE,
    payments_router.USAGE,
]


@pytest.mark.parametrize(("reply", "words"), WORDS)
def test_every_outcome_is_told_in_words(texts: Texts, reply: Reply, words: str) -> None:
    assert shown(reply, texts, "en") == words
    assert shown(reply, texts, "ru") != words


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reply", LONG)
def test_whatever_people_write_it_fits(texts: Texts, reply: Reply, language: str) -> None:
    assert shown(reply, texts, language)


def test_every_text_for_owners_is_in_the_table() -> None:
    known = {entry.id.name for entry in messages_of("shop.ftl")}
    drawn = {text_id for text_id in known if text_id.startswith(("button-", "command-"))}
    assert {reply.text_id for reply, _ in WORDS} | {reply.text_id for reply in LONG} == (
        known - drawn
    )


def test_money_to_send_back_by_hand_brings_the_button_that_says_so() -> None:
    ((done,),) = acts.refund(refunded(by_hand=True), 17).keyboard
    assert isinstance(done, Button)
    assert done.callback == PaymentDecided(decision=PaymentDecision.DONE, number=17)
    assert not acts.refund(refunded(by_hand=False), 17).keyboard


def test_each_held_payment_has_its_own_two_buttons() -> None:
    other = 18
    keyboard = acts.held([HELD, PaymentRow(**{**vars_of(HELD), "number": other})]).keyboard
    assert [row[0].callback for row in keyboard if isinstance(row[0], Button)] == [
        PaymentDecided(decision=decision, number=number)
        for number in (HELD.number, other)
        for decision in (PaymentDecision.CREDIT, PaymentDecision.REFUND)
    ]


def vars_of(row: PaymentRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PaymentRow.__dataclass_fields__}


@pytest.mark.parametrize(
    ("who", "english", "russian"),
    [
        ("telegram:1000", "owner 1000", "владелец 1000"),
        ("user/77", "the buyer", "покупатель"),
        ("tollgate", "the program", "программа"),
        ("provisioner", "the program", "программа"),
        ("stars", "Telegram Stars", "Звёзды Telegram"),
        ("cryptopay", "Crypto Pay", "Crypto Pay"),
        ("card", "Bank card", "Банковская карта"),
        ("manual", "Transfer", "Перевод"),
        ("anna at a terminal", "anna at a terminal", "anna at a terminal"),
        ("telegram:1\nx", "telegram:1 x", "telegram:1 x"),
    ],
)
def test_whoever_acts_has_a_name(texts: Texts, who: str, english: str, russian: str) -> None:
    named = [texts.get("who-name", language, **who_acts(who)) for language in LANGUAGES]
    assert named == [english, russian]


def test_no_name_of_ours_is_shown_as_it_is(texts: Texts) -> None:
    for name in PROGRAM | WAYS:
        assert texts.get("who-name", "en", **who_acts(name)) != name


def test_a_span_of_time_is_days_or_hours(texts: Texts) -> None:
    too_much = TooMuch(bound=Bound.ROW, limit_s=int(timedelta(hours=5).total_seconds()))
    assert "is 5 hours" in shown(acts.granted(too_much, BUYER), texts, "en")
