"""Buttons as values, so that a reply can be decided and compared without Telegram."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.callbacks import (
    Go,
    LanguageChosen,
    NewLink,
    OrderStep,
    Page,
    PlanChosen,
    TrialWanted,
    WayChosen,
)
from bot.texts import Price, Texts, Value
from config.money import STARS
from config.plans import Plan, Plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button: a text and what a tap sends."""

    text_id: str
    callback: CallbackData
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UrlButton:
    """One button that opens a page outside."""

    text_id: str
    url: str
    values: Mapping[str, Value] = field(default_factory=dict)


Keyboard = tuple[tuple[Button | UrlButton, ...], ...]

BACK = Button(text_id="button-back", callback=Go(page=Page.CARD))
PLANS = Button(text_id="button-plans", callback=Go(page=Page.PLANS))
HELP = Button(text_id="button-help", callback=Go(page=Page.HELP))
LANGUAGE = Button(text_id="button-language", callback=Go(page=Page.LANGUAGES))
LINK = Button(text_id="button-link", callback=Go(page=Page.LINK))
NEW_LINK = Button(text_id="button-new-link", callback=Go(page=Page.NEW_LINK))
RENEW: Keyboard = ((Button(text_id="button-renew", callback=Go(page=Page.PLANS, anew=True)),),)
# Under news the card is a new message too.
TO_CARD: Keyboard = ((Button(text_id="button-card", callback=Go(page=Page.CARD, anew=True)),),)
# Under a receipt or a link the next page is a new message: what stands above is kept.
UNDER_RECEIPT: Keyboard = (
    (Button(text_id="button-link", callback=Go(page=Page.LINK, anew=True)),),
)
UNDER_LINK: Keyboard = (
    (Button(text_id="button-connect", callback=Go(page=Page.HELP, anew=True)),),
)
LANGUAGES: Keyboard = (
    (
        Button(text_id="button-english", callback=LanguageChosen(language="en")),
        Button(text_id="button-russian", callback=LanguageChosen(language="ru")),
    ),
    (BACK,),
)


def price_of(plan: Plan, currencies: Sequence[str] = (STARS,)) -> Price | None:
    """What a plan costs today, in the first of these currencies that it is sold for."""
    for currency in currencies:
        amount = plan.price_in(currency)
        if amount is not None:
            return Price(amount=amount, currency=currency)
    return None


def buy_button(text_id: str, plans: Plans, currencies: Sequence[str] = (STARS,)) -> Button:
    """Leads to the plans, and names the lowest price of the first currency that has one."""
    prices = [price for plan in plans.plans if (price := price_of(plan, currencies))]
    if not prices:
        return PLANS
    alike = [price for price in prices if price.currency == prices[0].currency]
    return Button(
        text_id=text_id,
        callback=Go(page=Page.PLANS),
        values={"price": min(alike, key=lambda price: price.amount)},
    )


def plan_button(plan: Plan, price: Price, operation_id: str) -> Button:
    """Orders a plan; every tap on this very button is the same order."""
    return Button(
        text_id="button-plan",
        callback=PlanChosen(plan_id=plan.id, operation_id=operation_id),
        values={"plan": plan.title, "price": price},
    )


def way_button(plan_id: str, provider: str, price: Price, operation_id: str) -> Button:
    """Orders a plan, to be paid in one way."""
    return Button(
        text_id="button-way",
        callback=WayChosen(plan_id=plan_id, provider=provider, operation_id=operation_id),
        values={"provider": provider, "price": price},
    )


def try_button(period_s: int) -> Button:
    """Starts the trial."""
    return Button(
        text_id="button-try",
        callback=TrialWanted(),
        values={"time": timedelta(seconds=period_s)},
    )


def new_link_button(operation_id: str, *, leaked: bool) -> Button:
    """Asks for a new link; every tap on this very button is the same wish."""
    return Button(
        text_id="button-leaked" if leaked else "button-lost",
        callback=NewLink(leaked=leaked, operation_id=operation_id),
    )


def cancel_button(purchase_id: UUID) -> Button:
    """Gives an order up."""
    step = OrderStep(step="cancel", purchase_id=purchase_id)
    return Button(text_id="button-cancel-order", callback=step)


def markup(keyboard: Keyboard, texts: Texts, language: str) -> InlineKeyboardMarkup | None:
    """A keyboard as Telegram takes it; None for no buttons."""
    if not keyboard:
        return None
    return InlineKeyboardMarkup(
        inline_keyboard=[[_drawn(button, texts, language) for button in row] for row in keyboard]
    )


def _drawn(button: Button | UrlButton, texts: Texts, language: str) -> InlineKeyboardButton:
    text = texts.get(button.text_id, language, **button.values)
    if isinstance(button, UrlButton):
        return InlineKeyboardButton(text=text, url=button.url)
    return InlineKeyboardButton(text=text, callback_data=button.callback.pack())
