"""Every outcome has words and buttons in every language."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from actors.notifier.ports import Progress, PurchaseProgress
from actors.user.messages import (
    InvoiceAlreadySent,
    LinkNotReady,
    NoAccess,
    NotSoldToUser,
    PlanNotSold,
    StatusShown,
)
from bot import replies
from bot.callbacks import Go, Page, PlanChosen
from bot.checkout import Refusal
from bot.dispatcher import COMMANDS, commands
from bot.keyboards import Button, Keyboard, markup
from bot.replies import Reply, Toast
from bot.texts import LANGUAGES, Texts
from config.plans import Plans
from storage.rows import SubscriptionStatus
from tests.unit.bot.conftest import BUYER, NOW, PURCHASE, status

MONTH_ON = NOW + timedelta(days=30)
STATUSES = {
    "card-none": status(),
    "card-activating": status(
        status=SubscriptionStatus.ACTIVATING, plan_id="month", pending_s=2_592_000
    ),
    "card-active": status(
        status=SubscriptionStatus.ACTIVE, plan_id="month", expires_at=MONTH_ON, has_link=True
    ),
    "card-expired": status(
        status=SubscriptionStatus.EXPIRED, plan_id="month", expires_at=NOW, has_link=False
    ),
    "card-suspended": status(status=SubscriptionStatus.SUSPENDED, plan_id="month"),
}


def notice(progress: Progress, **changes: object) -> PurchaseProgress:
    values: dict[str, object] = {
        "chat_id": BUYER,
        "message_id": None,
        "language": "en",
        "progress": progress,
        "plan_id": "month",
        "price": 150,
        "currency": "XTR",
        "expires_at": MONTH_ON,
    }
    return PurchaseProgress(**(values | changes))  # type: ignore[arg-type] # a row of a table


def said(reply: Reply, texts: Texts, language: str) -> str:
    markup(reply.keyboard, texts, language)
    return texts.html(reply.text_id, language, **reply.values)


def leads_to(keyboard: Keyboard) -> list[Page]:
    buttons = (button.callback for row in keyboard for button in row if isinstance(button, Button))
    return [callback.page for callback in buttons if isinstance(callback, Go)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("text_id", "shown"), STATUSES.items())
def test_a_card_for_every_standing(
    texts: Texts, plans: Plans, text_id: str, shown: StatusShown, language: str
) -> None:
    reply = replies.card(shown, plans, "Ann")
    assert reply.text_id == text_id
    assert said(reply, texts, language)


def test_every_standing_is_in_the_table() -> None:
    assert {shown.status for shown in STATUSES.values()} == set(SubscriptionStatus)


@pytest.mark.parametrize(
    ("text_id", "pages"),
    [
        ("card-none", [Page.PLANS, Page.HELP, Page.LANGUAGES]),
        ("card-activating", [Page.PLANS, Page.HELP, Page.LANGUAGES]),
        ("card-active", [Page.LINK, Page.PLANS, Page.HELP, Page.LANGUAGES]),
        ("card-expired", [Page.PLANS, Page.HELP, Page.LANGUAGES]),
        ("card-suspended", [Page.HELP, Page.LANGUAGES]),
    ],
)
def test_a_card_offers_only_what_can_be_done(
    plans: Plans, text_id: str, pages: Sequence[Page]
) -> None:
    assert leads_to(replies.card(STATUSES[text_id], plans, "Ann").keyboard) == list(pages)


def test_access_that_ran_out_a_moment_ago_is_shown_as_ended(plans: Plans) -> None:
    over = status(status=SubscriptionStatus.ACTIVE, plan_id="month", expires_at=NOW)
    assert replies.card(over, plans, "Ann").text_id == "card-expired"


def test_the_card_names_the_lowest_price(texts: Texts, plans: Plans) -> None:
    keyboard = markup(replies.card(status(), plans, "Ann").keyboard, texts, "en")
    assert keyboard is not None
    assert keyboard.inline_keyboard[0][0].text == "Buy from 50 ⭐"


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_plans_are_offered_with_their_prices(texts: Texts, plans: Plans, language: str) -> None:
    numbers = iter("ab")
    reply = replies.plan_menu(plans, lambda: next(numbers) * 16)
    keyboard = markup(reply.keyboard, texts, language)
    assert keyboard is not None
    labels = [row[0].text for row in keyboard.inline_keyboard[:2]]
    assert (
        labels
        == {
            "en": ["1 week · 50 ⭐", "1 month · 150 ⭐"],
            "ru": ["1 неделя · 50 ⭐", "1 месяц · 150 ⭐"],
        }[language]
    )
    assert [row[0].callback for row in reply.keyboard[:2] if isinstance(row[0], Button)] == [
        PlanChosen(plan_id="week", operation_id="a" * 16),
        PlanChosen(plan_id="month", operation_id="b" * 16),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("outcome", [PlanNotSold(), NotSoldToUser()])
def test_why_there_is_no_invoice(
    texts: Texts, outcome: PlanNotSold | NotSoldToUser, language: str
) -> None:
    reply = replies.no_invoice(outcome)
    assert isinstance(reply, Reply)
    assert said(reply, texts, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invoice_that_is_there_already_is_a_toast(texts: Texts, language: str) -> None:
    toast = replies.no_invoice(InvoiceAlreadySent(purchase_id=PURCHASE))
    assert isinstance(toast, Toast)
    assert texts.get(toast.text_id, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "outcome", [LinkNotReady(), *(NoAccess(status=standing) for standing in SubscriptionStatus)]
)
def test_why_there_is_no_link(
    texts: Texts, plans: Plans, outcome: LinkNotReady | NoAccess, language: str
) -> None:
    assert said(replies.no_link(outcome, plans), texts, language)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("until", [None, MONTH_ON])
@pytest.mark.parametrize("progress", Progress)
def test_the_live_message_has_words_for_every_step(
    texts: Texts, plans: Plans, progress: Progress, until: object, language: str
) -> None:
    shown = said(replies.progress(notice(progress, expires_at=until), plans), texts, language)
    assert shown.startswith({"en": "<b>1 month</b>", "ru": "<b>1 месяц</b>"}[language])
    assert "150 ⭐" in shown


def test_the_live_message_promises_an_end_only_when_it_is_known(texts: Texts, plans: Plans) -> None:
    ready = said(replies.progress(notice(Progress.READY), plans), texts, "en")
    assert ready.endswith("✓ Activated\n✓ Ready · works until 23 January 2027, 15:04 UTC")
    unknown = said(replies.progress(notice(Progress.READY, expires_at=None), plans), texts, "en")
    assert "until" not in unknown


def test_a_plan_that_is_no_longer_sold_keeps_its_id_as_a_name(plans: Plans) -> None:
    assert replies.title("decade", plans).of("ru") == "decade"


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_and_refusals_have_words(texts: Texts, language: str) -> None:
    for page in (replies.HELP, replies.LANGUAGES, replies.TERMS):
        assert said(page, texts, language)
    for refusal in Refusal:
        assert texts.get(refusal, language)


def test_the_command_menu_speaks_every_language(texts: Texts) -> None:
    menus = commands(texts)
    assert list(menus) == [None, "ru"]
    for menu in menus.values():
        assert [command.command for command in menu] == list(COMMANDS)
        assert all(1 <= len(command.description) <= 256 for command in menu)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text_id", [*replies.NEWS, "news-of-tomorrow"])
@pytest.mark.parametrize(
    "arguments", [{}, {"amount": 150, "currency": "XTR", "plan": "month", "period_s": 86_400}]
)
def test_all_news_have_words(
    texts: Texts, plans: Plans, text_id: str, arguments: dict[str, object], language: str
) -> None:
    assert said(replies.personal(text_id, arguments, plans), texts, language)
