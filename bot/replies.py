"""What to say to each outcome: pure, and an outcome without words fails the type check."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import assert_never

from actors.notifier.ports import Progress, PurchaseProgress
from actors.user.messages import (
    InvoiceAlreadySent,
    LinkNotReady,
    NoAccess,
    NotSoldToUser,
    PlanNotSold,
    StatusShown,
)
from bot import keyboards
from bot.keyboards import Button, Keyboard
from bot.texts import Price, Value
from config.plans import Plans, Title
from storage.rows import SubscriptionStatus


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


def card(status: StatusShown, plans: Plans, name: str, preface: str | None = None) -> Reply:
    """The status card: where the user stands, and every way on."""
    text_id, values = _standing(status, plans, name)
    return Reply(text_id=text_id, values=values, keyboard=_ways(status, plans), preface=preface)


def _standing(status: StatusShown, plans: Plans, name: str) -> tuple[str, dict[str, Value]]:
    plan = title(status.plan_id or "", plans)
    # Both states below always have an end; without one, nothing is promised.
    until = status.expires_at or status.now
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


def _ways(status: StatusShown, plans: Plans) -> Keyboard:
    rows: list[tuple[Button, ...]] = []
    if status.has_link:
        rows.append((keyboards.LINK,))
    if status.status is SubscriptionStatus.NONE:
        rows.append((keyboards.buy_button("button-buy", plans),))
    elif status.status is not SubscriptionStatus.SUSPENDED:
        rows.append((keyboards.buy_button("button-extend", plans),))
    return (*rows, (keyboards.HELP, keyboards.LANGUAGE))


def plan_menu(plans: Plans, new_operation_id: Callable[[], str]) -> Reply:
    """All plans, a button each, and each button an order of its own."""
    buttons = tuple((keyboards.plan_button(plan, new_operation_id()),) for plan in plans.plans)
    return Reply(text_id="plans", keyboard=(*buttons, (keyboards.BACK,)))


def no_invoice(outcome: InvoiceAlreadySent | PlanNotSold | NotSoldToUser) -> Reply | Toast:
    """Why a tap on a plan brings no new invoice."""
    match outcome:
        case InvoiceAlreadySent():
            return Toast(text_id="toast-invoice-above")
        case PlanNotSold():
            return Reply(text_id="plan-not-sold", keyboard=((keyboards.PLANS,), (keyboards.BACK,)))
        case NotSoldToUser():
            return Reply(text_id="not-sold-to-you", keyboard=((keyboards.BACK,),))
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


def progress(notice: PurchaseProgress, plans: Plans) -> Reply:
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
        case Progress.READY:
            text_id = "progress-ready" if "until" in values else "progress-activated"
        case Progress.EXTENDED:
            text_id = "progress-extended" if "until" in values else "progress-activated"
        case _:
            assert_never(notice.progress)
    return Reply(text_id=text_id, values=values, keyboard=keyboards.UNDER_RECEIPT)


def title(plan_id: str, plans: Plans) -> Title:
    """A plan's name; its id for a plan that was bought once and is no longer sold."""
    plan = plans.get(plan_id)
    return plan.title if plan else Title.model_construct(en=plan_id, ru=plan_id)


def clean_name(name: str) -> str:
    """A name without line breaks, control characters and marks that turn text around."""
    return "".join(char for char in name if char.isprintable()).strip() or "…"
