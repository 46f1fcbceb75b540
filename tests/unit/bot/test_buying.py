"""From a plan to its invoice."""

from dataclasses import replace

import pytest
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendInvoice, SendMessage
from aiogram.types import InlineKeyboardMarkup

from actors.payments.ports import ProviderUnavailable
from actors.runtime.replies import Unavailable
from actors.user.messages import (
    CancelOrder,
    InvoiceAlreadySent,
    InvoiceDue,
    InvoiceRecorded,
    InvoiceSent,
    NotSoldToUser,
    OpenPurchase,
    OpenPurchaseOutcome,
    OrderCancelled,
    PlanNotSold,
)
from bot.callbacks import PlanChosen
from bot.gateways.port import PayPage
from tests.unit.bot.conftest import BUYER, PURCHASE, World, message, person, tap

TAP_ID = "0123456789abcdef"
DUE = InvoiceDue(purchase_id=PURCHASE, plan_id="month", price=150, currency="XTR", provider="stars")
CHOICE = PlanChosen(plan_id="month", operation_id=TAP_ID).pack()


def buttons(world: World) -> list[str]:
    shown = world.telegram.calls[-1]
    assert isinstance(shown, SendMessage | EditMessageText)
    assert isinstance(shown.reply_markup, InlineKeyboardMarkup)
    rows = shown.reply_markup.inline_keyboard
    return [button.callback_data or "" for row in rows for button in row]


async def test_each_plan_button_is_an_order_of_its_own(world: World) -> None:
    await world.feed(message("/buy"))
    first = buttons(world)
    await world.feed(message("/buy"))

    chosen = [PlanChosen.unpack(data) for data in first + buttons(world) if "plan:" in data]
    assert [choice.plan_id for choice in chosen] == ["week", "month", "week", "month"]
    assert len({choice.operation_id for choice in chosen}) == 4


async def test_a_choice_opens_an_order_then_shows_its_invoice_then_says_so(world: World) -> None:
    world.users.answers = {OpenPurchase: DUE, InvoiceSent: InvoiceRecorded()}

    await world.feed(tap(CHOICE, sender=person(language_code="ru")))

    order = OpenPurchase(
        operation_id=TAP_ID, plan_id="month", language="ru", chat_id=BUYER, provider="stars"
    )
    sent = InvoiceSent(operation_id="telegram:5", purchase_id=PURCHASE)
    assert world.users.asked == [(BUYER, order), (BUYER, sent)]
    [invoice] = world.telegram.called(SendInvoice)
    assert invoice.chat_id == BUYER
    [asked] = world.gateways["stars"].asked
    assert (asked.purchase_id, asked.user_id, asked.title) == (PURCHASE, BUYER, "1 месяц")


async def test_a_double_tap_shows_one_invoice_and_a_toast(world: World) -> None:
    outcomes: list[OpenPurchaseOutcome] = [DUE, InvoiceAlreadySent(purchase_id=PURCHASE)]
    world.users.answers = {
        OpenPurchase: lambda _: outcomes.pop(0),
        InvoiceSent: InvoiceRecorded(),
    }

    await world.feed(tap(CHOICE))
    await world.feed(tap(CHOICE))

    opened = [ask for _, ask in world.users.asked if isinstance(ask, OpenPurchase)]
    assert opened[0] == opened[1]
    assert len(world.telegram.called(SendInvoice)) == 1
    toasts = [answer.text for answer in world.telegram.called(AnswerCallbackQuery)]
    assert toasts == [None, "The invoice is already in the chat, a little above."]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(PlanNotSold(), "not for sale"), (NotSoldToUser(), "cannot sell to you")],
)
async def test_without_an_invoice_the_reason_is_told(
    world: World, outcome: OpenPurchaseOutcome, words: str
) -> None:
    world.users.answers = {OpenPurchase: outcome}

    await world.feed(tap(CHOICE))

    assert len(world.telegram.called(AnswerCallbackQuery)) == 1
    assert words in world.telegram.called(EditMessageText)[0].text
    assert not world.telegram.called(SendInvoice)


async def test_an_outage_is_told_to_who_tapped_and_left_to_the_inbox(world: World) -> None:
    world.users.answers = {OpenPurchase: Unavailable("database")}

    with pytest.raises(Unavailable):
        await world.feed(tap(CHOICE))

    [toast] = world.telegram.calls
    assert isinstance(toast, AnswerCallbackQuery)
    assert "done by itself" in str(toast.text)


async def test_an_invoice_that_was_not_recorded_is_tried_again(world: World) -> None:
    world.users.answers = {OpenPurchase: DUE, InvoiceSent: Unavailable("database")}

    with pytest.raises(Unavailable):
        await world.feed(tap(CHOICE))


async def test_a_way_that_does_not_answer_is_told_and_its_order_given_up(world: World) -> None:
    world.users.answers = {OpenPurchase: DUE, CancelOrder: OrderCancelled()}
    world.gateways["stars"].answer = ProviderUnavailable("away")

    await world.feed(tap(CHOICE))

    assert "Nothing was charged" in world.telegram.called(EditMessageText)[0].text
    given_up = CancelOrder(operation_id="telegram:5", purchase_id=PURCHASE)
    assert world.users.asked[1:] == [(BUYER, given_up)]


async def test_a_page_is_recorded_with_its_invoice_and_opens_by_a_button(world: World) -> None:
    page = PayPage(provider_invoice_id="77", url="https://pay.example/77")
    world.gateways["stars"].answer = page
    world.users.answers = {OpenPurchase: DUE, InvoiceSent: InvoiceRecorded()}

    await world.feed(tap(CHOICE))

    sent = world.users.asked[-1][1]
    assert (sent.provider_invoice_id, sent.pay_url) == ("77", page.url)
    [shown] = world.telegram.called(EditMessageText)
    assert shown.reply_markup.inline_keyboard[0][0].url == page.url


async def test_a_page_that_was_shown_before_asks_no_provider(world: World) -> None:
    world.users.answers = {OpenPurchase: replace(DUE, pay_url="https://pay.example/77")}

    await world.feed(tap(CHOICE))

    assert not world.gateways["stars"].asked
    [shown] = world.telegram.called(EditMessageText)
    assert shown.reply_markup.inline_keyboard[0][0].url == "https://pay.example/77"
