"""Buttons as values, so that a reply can be decided and compared without Telegram."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.callbacks import Go, LanguageChosen, Page, PlanChosen
from bot.gateways.stars import CURRENCY
from bot.texts import Price, Texts, Value
from config.plans import Plan, Plans


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """One button: a text and what a tap sends."""

    text_id: str
    callback: CallbackData
    values: Mapping[str, Value] = field(default_factory=dict)


Keyboard = tuple[tuple[Button, ...], ...]

BACK = Button(text_id="button-back", callback=Go(page=Page.CARD))
PLANS = Button(text_id="button-plans", callback=Go(page=Page.PLANS))
HELP = Button(text_id="button-help", callback=Go(page=Page.HELP))
LANGUAGE = Button(text_id="button-language", callback=Go(page=Page.LANGUAGES))
LINK = Button(text_id="button-link", callback=Go(page=Page.LINK))
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


def price_of(plan: Plan) -> Price:
    """What a plan costs today."""
    return Price(amount=plan.price_stars, currency=CURRENCY)


def buy_button(text_id: str, plans: Plans) -> Button:
    """Leads to the plans, and names the lowest price."""
    cheapest = min(plans.plans, key=lambda plan: plan.price_stars)
    return Button(
        text_id=text_id,
        callback=Go(page=Page.PLANS),
        values={"price": price_of(cheapest)},
    )


def plan_button(plan: Plan, operation_id: str) -> Button:
    """Orders a plan; every tap on this very button is the same order."""
    return Button(
        text_id="button-plan",
        callback=PlanChosen(plan_id=plan.id, operation_id=operation_id),
        values={"plan": plan.title, "price": price_of(plan)},
    )


def markup(keyboard: Keyboard, texts: Texts, language: str) -> InlineKeyboardMarkup | None:
    """A keyboard as Telegram takes it; None for no buttons."""
    if not keyboard:
        return None
    return InlineKeyboardMarkup(
        inline_keyboard=[
            [
                InlineKeyboardButton(
                    text=texts.get(button.text_id, language, **button.values),
                    callback_data=button.callback.pack(),
                )
                for button in row
            ]
            for row in keyboard
        ]
    )
