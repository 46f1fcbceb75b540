"""What to say to each outcome: pure, and an outcome without words fails the type check."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, assert_never
from uuid import UUID

from actors.notifier.ports import Progress, PurchaseProgress
from actors.user.messages import (
    ClaimRecorded,
    InvoiceAlreadySent,
    LinkNotReady,
    NoAccess,
    NoInvoice,
    NotSoldToUser,
    OrderCancelled,
    OrderNotOpen,
    PlanNotSold,
    ReissueOutcome,
    ReissueStarted,
    ReissueTooOften,
    ReissueUnderWay,
    SalesPaused,
    StatusShown,
    TooFarAhead,
    TooManyOrders,
    TrialNotOffered,
    TrialOutcome,
    TrialStarted,
)
from bot import keyboards
from bot.keyboards import Button, Keyboard, UrlButton
from bot.texts import Price, Value
from config.money import STARS
from config.plans import Plan, Plans, Title
from storage.rows import PurchaseStatus, SubscriptionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A message before it has a language. `preface` is a text to put above it."""

    text_id: str
    values: Mapping[str, Value] = field(default_factory=dict)
    keyboard: Keyboard = ()
    preface: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toast:
    """A line shown for a moment over the chat."""

    text_id: str


HELP = Reply(text_id="help", keyboard=((keyboards.BACK,),))
LANGUAGES = Reply(text_id="languages", keyboard=keyboards.LANGUAGES)
TERMS = Reply(text_id="terms")
SALES_PAUSED = Reply(text_id="sales-paused", keyboard=((keyboards.PLANS,), (keyboards.BACK,)))


def card(
    status: StatusShown,
    plans: Plans,
    name: str,
    preface: str | None = None,
    currencies: Sequence[str] = (STARS,),
) -> Reply:
    """The status card: where the user stands, and every way on."""
    text_id, values = _standing(status, plans, name)
    ways = _ways(status, plans, currencies)
    return Reply(text_id=text_id, values=values, keyboard=ways, preface=preface)


def _standing(status: StatusShown, plans: Plans, name: str) -> tuple[str, dict[str, Value]]:
    plan = title(status.plan_id or "", plans)
    # Both states below always have an end; without one, nothing is promised.
    until = status.expires_at or status.now
    if status.banned:
        return "card-banned", {}
    match status.status:
        case SubscriptionStatus.NONE:
            return "card-none", {"name": clean_name(name)}
        case SubscriptionStatus.ACTIVATING:
            return "card-activating", {"plan": plan, "time": timedelta(seconds=status.pending_s)}
        case SubscriptionStatus.ACTIVE if until > status.now:
            return "card-active", {"plan": plan, "until": until, "left": until - status.now}
        case SubscriptionStatus.ACTIVE | SubscriptionStatus.EXPIRED:
            return "card-expired", {"until": until}
        case SubscriptionStatus.SUSPENDED:
            return "card-suspended", {}
        case _:
            assert_never(status.status)


def _ways(status: StatusShown, plans: Plans, currencies: Sequence[str]) -> Keyboard:
    rows: list[tuple[Button, ...]] = []
    shut_out = status.banned or status.status is SubscriptionStatus.SUSPENDED
    if status.has_link:
        rows.append((keyboards.LINK,))
    if status.trial_s and not shut_out:
        rows.append((keyboards.try_button(status.trial_s),))
    if not shut_out:
        none = status.status is SubscriptionStatus.NONE
        text_id = "button-buy" if none else "button-extend"
        rows.append((keyboards.buy_button(text_id, plans, currencies),))
    if status.can_reissue and not shut_out:
        rows.append((keyboards.NEW_LINK,))
    return (*rows, (keyboards.HELP, keyboards.LANGUAGE))


def plan_menu(
    plans: Plans, new_operation_id: Callable[[], str], currencies: Sequence[str] = (STARS,)
) -> Reply:
    """All plans that can be paid for, a button each, and each button an order of its own."""
    buttons = tuple(
        (keyboards.plan_button(plan, price, new_operation_id()),)
        for plan in plans.plans
        if (price := keyboards.price_of(plan, currencies))
    )
    return Reply(text_id="plans", keyboard=(*buttons, (keyboards.BACK,)))


def way_menu(
    plan: Plan, ways: Mapping[str, str], new_operation_id: Callable[[], str], text_id: str = "ways"
) -> Reply:
    """The ways to pay for a plan, a button each; `ways` are currencies by way."""
    buttons = tuple(
        (keyboards.way_button(plan.id, way, price, new_operation_id()),)
        for way, currency in ways.items()
        if (price := keyboards.price_of(plan, (currency,)))
    )
    text_id = text_id if buttons else "no-way-answers"
    rows = (*buttons, (keyboards.PLANS,), (keyboards.BACK,))
    return Reply(text_id=text_id, values={"plan": plan.title}, keyboard=rows)


def pay_page(
    purchase_id: UUID, plan_id: str, price: int, currency: str, url: str, plans: Plans
) -> Reply:
    """The provider's page that takes the money of an order."""
    asked = Price(amount=price, currency=currency)
    pay = UrlButton(text_id="button-pay", url=url, values={"price": asked})
    return Reply(
        text_id="pay-page",
        values={"plan": title(plan_id, plans), "price": asked},
        keyboard=((pay,), (keyboards.cancel_button(purchase_id),)),
    )


def no_invoice(outcome: NoInvoice) -> Reply | Toast:
    """Why a tap on a plan brings no new invoice."""
    match outcome:
        case InvoiceAlreadySent():
            return Toast(text_id="toast-invoice-above")
        case PlanNotSold():
            return Reply(text_id="plan-not-sold", keyboard=((keyboards.PLANS,), (keyboards.BACK,)))
        case SalesPaused():
            return SALES_PAUSED
        case NotSoldToUser():
            return Reply(text_id="not-sold-to-you", keyboard=((keyboards.BACK,),))
        case TooFarAhead():
            values: dict[str, Value] = {"until": outcome.until}
            return Reply(text_id="too-far-ahead", values=values, keyboard=((keyboards.BACK,),))
        case TooManyOrders():
            return Reply(text_id="too-many-orders", keyboard=((keyboards.BACK,),))
        case _:
            assert_never(outcome)


def order_step(outcome: OrderCancelled | ClaimRecorded | OrderNotOpen) -> Reply:
    """What became of an order that its buyer gave up, or says to have paid."""
    match outcome:
        case OrderCancelled():
            text_id = "order-cancelled"
        case ClaimRecorded() | OrderNotOpen(status=PurchaseStatus.AWAITING_ADMIN):
            text_id = "claim-recorded"
        case OrderNotOpen(status=PurchaseStatus.PAID):
            text_id = "order-paid"
        case OrderNotOpen():
            text_id = "order-closed"
        case _:
            assert_never(outcome)
    return Reply(text_id=text_id, keyboard=((keyboards.PLANS,), (keyboards.BACK,)))


def trial(outcome: TrialOutcome) -> Reply:
    """What became of the wish to try for nothing."""
    match outcome:
        case TrialStarted():
            time = timedelta(seconds=outcome.period_s)
            back = ((keyboards.BACK,),)
            return Reply(text_id="trial-started", values={"time": time}, keyboard=back)
        case TrialNotOffered():
            rows = ((keyboards.PLANS,), (keyboards.BACK,))
            return Reply(text_id="trial-not-offered", keyboard=rows)
        case SalesPaused():
            return SALES_PAUSED
        case NotSoldToUser():
            return Reply(text_id="not-sold-to-you", keyboard=((keyboards.BACK,),))
        case _:
            assert_never(outcome)


def new_link_question(new_operation_id: Callable[[], str]) -> Reply:
    """Why a new link is wanted: it decides whether the old one goes at once."""
    return Reply(
        text_id="new-link",
        keyboard=(
            (keyboards.new_link_button(new_operation_id(), leaked=False),),
            (keyboards.new_link_button(new_operation_id(), leaked=True),),
            (keyboards.BACK,),
        ),
    )


def reissue(outcome: ReissueOutcome, plans: Plans) -> Reply:
    """What became of the wish for a new link."""
    back = ((keyboards.BACK,),)
    match outcome:
        case ReissueStarted():
            text_id = "reissue-started" if outcome.old_works else "reissue-leaked"
            return Reply(text_id=text_id, keyboard=back)
        case ReissueUnderWay():
            return Reply(text_id="reissue-under-way", keyboard=back)
        case ReissueTooOften():
            values: dict[str, Value] = {"count": outcome.per_day}
            return Reply(text_id="reissue-too-often", values=values, keyboard=back)
        case NoAccess():
            return no_link(outcome, plans)
        case _:
            assert_never(outcome)


def no_link(outcome: LinkNotReady | NoAccess, plans: Plans) -> Reply:
    """Why there is no link to show."""
    match outcome:
        case LinkNotReady():
            return Reply(text_id="link-not-ready", keyboard=((keyboards.BACK,),))
        case NoAccess(status=SubscriptionStatus.SUSPENDED):
            return Reply(text_id="card-suspended", keyboard=((keyboards.BACK,),))
        case NoAccess(status=SubscriptionStatus.NONE):
            buy = keyboards.buy_button("button-buy", plans)
            return Reply(text_id="link-none", keyboard=((buy,), (keyboards.BACK,)))
        case NoAccess():
            extend = keyboards.buy_button("button-extend", plans)
            return Reply(text_id="link-ended", keyboard=((extend,), (keyboards.BACK,)))
        case _:
            assert_never(outcome)


def progress(  # noqa: PLR0911 - one for each step
    notice: PurchaseProgress, plans: Plans
) -> Reply:
    """The live message of an order: a receipt that grows."""
    values: dict[str, Value] = {
        "plan": title(notice.plan_id, plans),
        "price": Price(amount=notice.price, currency=notice.currency),
    }
    if notice.expires_at is not None:
        values["until"] = notice.expires_at
    match notice.progress:
        case Progress.ACTIVATING:
            return Reply(text_id="progress-activating", values=values)
        case Progress.DELAYED:
            return Reply(text_id="progress-delayed", values=values)
        case Progress.HELD:
            return Reply(text_id="progress-held", values=values)
        case Progress.REFUNDING:
            return Reply(text_id="progress-refunding", values=values)
        case Progress.REFUNDED:
            return Reply(text_id="progress-refunded", values=values, keyboard=keyboards.TO_CARD)
        case Progress.REJECTED:
            return Reply(text_id="progress-rejected", values=values, keyboard=keyboards.TO_CARD)
        case Progress.READY:
            text_id = "progress-ready" if "until" in values else "progress-activated"
        case Progress.EXTENDED:
            text_id = "progress-extended" if "until" in values else "progress-activated"
        case _:
            assert_never(notice.progress)
    return Reply(text_id=text_id, values=values, keyboard=keyboards.UNDER_RECEIPT)


#: News that need no more than their text, and what is offered below each.
NEWS: Mapping[str, Keyboard] = {
    "news-expired": keyboards.RENEW,
    "news-ends-in-3-days": keyboards.RENEW,
    "news-ends-tomorrow": keyboards.RENEW,
    "news-ends-soon": keyboards.RENEW,
    "news-missed": keyboards.RENEW,
    "news-refunded": keyboards.TO_CARD,
    "news-rejected": keyboards.TO_CARD,
    "news-suspended": (),
    "news-restored": keyboards.TO_CARD,
    "news-granted": keyboards.TO_CARD,
    "news-trial": keyboards.TO_CARD,
    "news-held": (),
    "news-over": (),
    "news-reissue": (),
}
#: News that say more when they can: the text, and the value that it has a place for.
RICHER_NEWS: Mapping[str, tuple[str, str]] = {
    "news-refunded": ("news-refunded-sum", "price"),
    "news-rejected": ("news-rejected-order", "plan"),
    "news-granted": ("news-granted-time", "time"),
    "news-trial": ("news-trial-time", "time"),
    "news-held": ("news-held-sum", "price"),
    "news-over": ("news-over-sum", "price"),
}


def personal(text_id: str, arguments: Mapping[str, Any], plans: Plans) -> Reply:
    """News for a user. Those of another release bring the way to the card instead of nothing."""
    keyboard = NEWS.get(text_id)
    if keyboard is None:
        return Reply(text_id="news-other", keyboard=keyboards.TO_CARD)
    values = _news_values(arguments, plans)
    richer, place = RICHER_NEWS.get(text_id, (text_id, ""))
    if place in values:
        return Reply(text_id=richer, values={place: values[place]}, keyboard=keyboard)
    return Reply(text_id=text_id, keyboard=keyboard)


def _news_values(arguments: Mapping[str, Any], plans: Plans) -> dict[str, Value]:
    """What can be read of the arguments; they may be another release's."""
    values: dict[str, Value] = {}
    amount, currency = arguments.get("amount"), arguments.get("currency")
    if type(amount) is int and isinstance(currency, str):
        values["price"] = Price(amount=amount, currency=currency)
    plan, period_s = arguments.get("plan"), arguments.get("period_s")
    if isinstance(plan, str):
        values["plan"] = title(plan, plans)
    if type(period_s) is int:
        values["time"] = timedelta(seconds=period_s)
    return values


def title(plan_id: str, plans: Plans) -> Title:
    """A plan's name; its id for a plan that was bought once and is no longer sold."""
    plan = plans.get(plan_id)
    return plan.title if plan else Title.model_construct(en=plan_id, ru=plan_id)


def clean_name(name: str) -> str:
    """A name without line breaks, control characters and marks that turn text around."""
    return "".join(char for char in name if char.isprintable()).strip() or "…"
