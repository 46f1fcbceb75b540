"""What became of an owner's wish about people and money."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import assert_never

from actors.user.messages import (
    AccessGranted,
    DecidedBefore,
    DoneBefore,
    GrantOutcome,
    ManualOutcome,
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
    RefundOutcome,
    RefundStarted,
    Standing,
    StandingChanged,
    StandingOutcome,
    StandingUnchanged,
    Suspended,
    TooMuch,
    UserUnknown,
)
from bot.callbacks import BanConfirmed, NothingDone, PaymentDecision, RefundConfirmed
from bot.keyboards import Button, Keyboard
from bot.replies import Reply
from bot.reports.alerts import payment_buttons
from bot.reports.fitting import one_line
from bot.reports.names import who_acts
from bot.texts import Price, Value
from config.money import in_words
from storage.rows import PaymentRow

LONGEST_REASON = 500
DONE_BEFORE = Reply(text_id="act-done-before")
NO_ORDER = Reply(text_id="act-no-order")
NOTHING = Reply(text_id="act-nothing")
_NO = Button(text_id="button-no", callback=NothingDone())


def granted(  # noqa: PLR0911 - one for each outcome
    outcome: GrantOutcome, user_id: int
) -> Reply:
    """Time was given, or why not."""
    user = str(user_id)
    match outcome:
        case AccessGranted():
            time = timedelta(seconds=outcome.period_s)
            if outcome.expires_at is None:
                return Reply(text_id="act-granted", values={"user": user, "time": time})
            until = outcome.expires_at
            values: dict[str, Value] = {"user": user, "time": time, "until": until}
            return Reply(text_id="act-granted-until", values=values)
        case TooMuch():
            return _too_much(outcome)
        case Suspended():
            return Reply(text_id="act-suspended-first", values={"user": user})
        case PlanNotSold():
            return Reply(text_id="act-no-plan")
        case UserUnknown():
            return Reply(text_id="act-user-unknown", values={"user": user})
        case DoneBefore():
            return DONE_BEFORE
        case _:
            assert_never(outcome)


def standing(outcome: StandingOutcome, wish: Standing, user_id: int) -> Reply:
    """A user's standing was changed, or why not."""
    user = str(user_id)
    match outcome:
        case StandingChanged():
            kept = timedelta(seconds=outcome.kept_s)
            return Reply(text_id=f"act-{wish}", values={"user": user, "kept": kept})
        case StandingUnchanged(banned=True):
            return Reply(text_id="act-is-banned", values={"user": user})
        case StandingUnchanged():
            return Reply(text_id="act-unchanged", values={"user": user})
        case UserUnknown():
            return Reply(text_id="act-user-unknown", values={"user": user})
        case DoneBefore():
            return DONE_BEFORE
        case _:
            assert_never(outcome)


def refund(outcome: RefundOutcome | RefundNoted, number: int) -> Reply:
    """Money goes back, or why not."""
    name = str(number)
    match outcome:
        case RefundStarted():
            text_id = "act-refund-by-hand" if outcome.by_hand else "act-refund-started"
            price = Price(amount=outcome.amount, currency=outcome.currency)
            by_hand = (PaymentDecision.DONE,) if outcome.by_hand else ()
            return Reply(
                text_id=text_id,
                values={"number": name, "price": price},
                keyboard=payment_buttons(number, by_hand),
            )
        case RefundedBefore():
            text_id = "act-refunded-before" if outcome.done else "act-refund-under-way"
            return Reply(text_id=text_id, values={"number": name})
        case RefundNoted():
            return Reply(text_id="act-refund-noted", values={"number": name})
        case NoSuchPayment():
            return no_payment(number)
        case _:
            assert_never(outcome)


def credited(outcome: PaymentCredited | NotHeld | NoSuchPayment | TooMuch, number: int) -> Reply:
    """Held money counts now, or why not."""
    match outcome:
        case PaymentCredited():
            return Reply(text_id="act-credited", values={"number": str(number)})
        case NotHeld():
            return Reply(text_id="act-not-held", values={"number": str(number)})
        case NoSuchPayment():
            return no_payment(number)
        case TooMuch():
            return _too_much(outcome)
        case _:
            assert_never(outcome)


def decided(outcome: ManualOutcome) -> Reply:
    """An order that is paid outside was approved or rejected, or somebody was quicker."""
    match outcome:
        case PaymentCredited() | PaymentAlreadyRecorded():
            return Reply(text_id="act-approved")
        case PaymentHeld():
            why = one_line(outcome.reason, LONGEST_REASON)
            return Reply(text_id="act-held", values={"reason": why})
        case ManualRejected():
            return Reply(text_id="act-rejected")
        case DecidedBefore():
            text_id = "act-approved-before" if outcome.approved else "act-rejected-before"
            return Reply(text_id=text_id, values={**who_acts(outcome.who), "at": outcome.at})
        case OrderNotOpen():
            return NO_ORDER
        case _:
            assert_never(outcome)


def no_payment(number: int) -> Reply:
    """There is no such payment."""
    return Reply(text_id="act-no-payment", values={"number": str(number)})


def not_going_back(number: int) -> Reply:
    """Nobody asked for this money to go back, so it cannot be said to be back."""
    return Reply(text_id="act-not-going-back", values={"number": str(number)})


def refund_question(payment: PaymentRow, reason: str, new_operation_id: Callable[[], str]) -> Reply:
    """The second tap of a refund. The reason stands in the question, and is read from there."""
    yes = RefundConfirmed(number=payment.number, operation_id=new_operation_id())
    return Reply(
        text_id="ask-refund",
        values={
            "number": str(payment.number),
            "price": Price(amount=payment.amount, currency=payment.currency),
            "user": str(payment.user_id),
            "reason": one_line(reason, LONGEST_REASON) or "-",
        },
        keyboard=((Button(text_id="button-yes-refund", callback=yes),), (_NO,)),
    )


def ban_question(user_id: int, reason: str, new_operation_id: Callable[[], str]) -> Reply:
    """The second tap of a ban; as above."""
    yes = BanConfirmed(user_id=user_id, operation_id=new_operation_id())
    return Reply(
        text_id="ask-ban",
        values={"user": str(user_id), "reason": one_line(reason, LONGEST_REASON) or "-"},
        keyboard=((Button(text_id="button-yes-ban", callback=yes),), (_NO,)),
    )


def held(payments: Sequence[PaymentRow]) -> Reply:
    """Money that waits for a decision, with the buttons to decide."""
    if not payments:
        return Reply(text_id="held-none")
    rows: Keyboard = ()
    for payment in payments:
        both = (PaymentDecision.CREDIT, PaymentDecision.REFUND)
        rows += payment_buttons(payment.number, both)
    return Reply(
        text_id="held", values={"list": "\n".join(_held(one) for one in payments)}, keyboard=rows
    )


def _held(payment: PaymentRow) -> str:
    words = f"{payment.provider} {payment.user_id}: {payment.reason or '-'}"
    sum_ = f"{in_words(payment.amount, payment.currency)} {payment.currency}"
    return f"#{payment.number} {payment.received_at:%m-%d %H:%M} {sum_} {one_line(words, 150)}"


def _too_much(outcome: TooMuch) -> Reply:
    limit = timedelta(seconds=outcome.limit_s)
    return Reply(text_id="act-too-much", values={"bound": str(outcome.bound), "limit": limit})
