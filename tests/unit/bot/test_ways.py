"""How an order is paid: in which way, on which page, by hand, and what becomes of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from aiogram.methods import AnswerCallbackQuery, EditMessageText, SendInvoice

from actors.payments.ports import ProviderUnavailable
from actors.user.messages import (
    CancelOrder,
    ClaimPaid,
    ClaimRecorded,
    InvoiceDue,
    InvoiceRecorded,
    InvoiceSent,
    OpenPurchase,
    OrderCancelled,
    OrderNotOpen,
    TooFarAhead,
    TooManyOrders,
)
from bot import replies
from bot.callbacks import OrderDecided, OrderStep, PaymentDecided, PlanChosen, WayChosen
from bot.dispatcher import build_dispatcher
from bot.gateways.manual.gateway import ManualGateway
from bot.keyboards import Button
from bot.reports.alerts import WAYS, alert
from bot.texts import LANGUAGES, Texts
from config.plans import Plans
from config.providers import Terms
from storage.rows import PurchaseStatus
from tests.unit.bot.conftest import (
    BUYER,
    NOW,
    PURCHASE,
    FakeGateway,
    World,
    month,
    person,
    stars_offer,
    tap,
)
from tests.unit.bot.test_reports import notice, shown

TAP_ID = "0123456789abcdef"
CHOICE = PlanChosen(plan_id="month", operation_id=TAP_ID).pack()
DUE = InvoiceDue(purchase_id=PURCHASE, plan_id="month", price=150, currency="XTR", provider="stars")
BY_HAND = "Send it to <IBAN> & tell us"
SOLD = Plans(plans=(month().model_copy(update={"prices": {"RUB": Decimal(199)}}),))


def selling(world: World, plans: Plans = SOLD) -> World:
    """The same shop with a second way to pay: by hand, in roubles."""
    gateways = {
        "stars": world.gateways["stars"],
        "manual": ManualGateway(BY_HAND, "RUB"),
        "dear": FakeGateway(Terms(provider="dear", currency="EUR"), stars_offer()),
    }
    data = {**world.dispatcher.workflow_data, "gateways": gateways, "plans": plans}
    del data["unanswered"], data["currencies"]
    world.dispatcher = build_dispatcher(**data)
    return world


def rows(world: World) -> list[Any]:
    [last] = world.telegram.called(EditMessageText)[-1:]
    return [row[0] for row in last.reply_markup.inline_keyboard]


def way(provider: str) -> str:
    return WayChosen(plan_id="month", provider=provider, operation_id=TAP_ID).pack()


async def test_with_two_ways_the_buyer_is_asked_and_no_order_is_made(world: World) -> None:
    await selling(world).feed(tap(CHOICE))

    assert [button.text for button in rows(world)[:2]] == [
        "Telegram Stars · 150 ⭐",
        "Transfer · 199 RUB",
    ]
    chosen = [WayChosen.unpack(button.callback_data) for button in rows(world)[:2]]
    assert [one.provider for one in chosen] == ["stars", "manual"]
    assert len({one.operation_id for one in chosen}) == 2
    assert not world.users.asked


async def test_with_one_way_for_this_plan_nothing_is_asked(world: World, plans: Plans) -> None:
    world.users.answers = {OpenPurchase: DUE, InvoiceSent: InvoiceRecorded()}

    await selling(world, plans).feed(tap(CHOICE))

    assert len(world.telegram.called(SendInvoice)) == 1
    assert world.users.asked[0][1].operation_id == TAP_ID


@pytest.mark.parametrize("provider", ["dear", "nobody"])
async def test_a_way_that_this_plan_is_not_sold_in_opens_no_order(
    world: World, provider: str
) -> None:
    await selling(world).feed(tap(way(provider)))

    assert "not for sale" in world.telegram.called(EditMessageText)[0].text
    assert not world.users.asked


async def test_by_hand_the_words_of_the_shop_are_shown_as_they_are(world: World) -> None:
    due = replace(DUE, provider="manual", price=19_900, currency="RUB")
    world.users.answers = {OpenPurchase: due, InvoiceSent: InvoiceRecorded()}

    await selling(world).feed(tap(way("manual")))

    [page] = world.telegram.called(EditMessageText)
    assert "199 RUB" in page.text
    assert "Send it to &lt;IBAN&gt; &amp; tell us" in page.text
    steps = [OrderStep.unpack(button.callback_data) for button in rows(world)]
    assert [(one.step, one.purchase_id) for one in steps] == [
        ("paid", PURCHASE),
        ("cancel", PURCHASE),
    ]
    assert world.users.asked[-1][1] == InvoiceSent(operation_id="telegram:5", purchase_id=PURCHASE)


async def test_when_a_way_does_not_answer_the_others_are_offered(world: World) -> None:
    world.users.answers = {OpenPurchase: DUE, CancelOrder: OrderCancelled()}
    world.gateways["stars"].answer = ProviderUnavailable("away")

    await selling(world).feed(tap(way("stars")))

    assert "Transfer · 199 RUB" in rows(world)[0].text
    assert "Telegram Stars" not in "".join(button.text for button in rows(world))


@pytest.mark.parametrize(
    ("step", "outcome", "words"),
    [
        ("cancel", OrderCancelled(), "is cancelled"),
        ("cancel", OrderNotOpen(status=PurchaseStatus.PAID), "is paid already"),
        ("cancel", OrderNotOpen(status=PurchaseStatus.EXPIRED), "is closed"),
        ("cancel", OrderNotOpen(status=None), "is closed"),
        ("paid", ClaimRecorded(), "A person is checking"),
        ("paid", OrderNotOpen(status=PurchaseStatus.AWAITING_ADMIN), "A person is checking"),
        ("paid", OrderNotOpen(status=PurchaseStatus.PAID), "is paid already"),
        ("paid", OrderNotOpen(status=PurchaseStatus.REJECTED), "is closed"),
    ],
)
async def test_a_step_of_an_order_is_asked_of_who_tapped_and_told(
    world: World, step: Any, outcome: Any, words: str
) -> None:
    world.users.answers = {CancelOrder: outcome, ClaimPaid: outcome}
    stranger = 666

    await world.feed(
        tap(OrderStep(step=step, purchase_id=PURCHASE).pack(), sender=person(stranger))
    )

    kind = CancelOrder if step == "cancel" else ClaimPaid
    # Of the tapper's own actor: with somebody else's order it finds none of theirs.
    asked = kind(operation_id="telegram:5", purchase_id=PURCHASE)
    assert world.users.asked == [(stranger, asked)]
    assert words in world.telegram.called(EditMessageText)[0].text
    assert len(world.telegram.called(AnswerCallbackQuery)) == 1


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (TooFarAhead(until=NOW), "until 24 December 2026, 15:04 UTC"),
        (TooManyOrders(), "close by themselves"),
    ],
)
async def test_why_no_more_is_sold_is_told(world: World, outcome: Any, words: str) -> None:
    world.users.answers = {OpenPurchase: outcome}

    await world.feed(tap(CHOICE))

    assert words in world.telegram.called(EditMessageText)[0].text
    assert not world.telegram.called(SendInvoice)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_of_an_order_has_words_and_fits(texts: Texts, language: str) -> None:
    menus = [
        replies.way_menu(SOLD.plans[0], ways, lambda: TAP_ID, text_id)
        for ways in ({"stars": "XTR", "manual": "RUB"}, {})
        for text_id in ("ways", "way-not-answering")
    ]
    page = replies.pay_page(PURCHASE, "month", 150, "XTR", "https://pay.example/1", SOLD)
    for reply in (*menus, page, replies.new_link_question(lambda: TAP_ID)):
        assert shown(reply, texts, language)


@pytest.mark.parametrize("text_id", WAYS)
def test_an_alert_about_money_brings_the_buttons_to_act(text_id: str) -> None:
    arguments = {"number": 17, "user_id": BUYER, "amount": 150, "currency": "XTR"}
    reply = alert(
        notice(text_id, **arguments, provider="stars", reason="x", flag="over"), plans=SOLD
    )
    buttons = [row[0] for row in reply.keyboard]
    assert [one.callback for one in buttons if isinstance(one, Button)] == [
        PaymentDecided(decision=decision, number=17) for decision in WAYS[text_id]
    ]


def test_an_alert_about_a_claim_names_the_plan_and_brings_both_buttons(texts: Texts) -> None:
    arguments = {"user_id": BUYER, "plan": "month", "amount": 19_900, "currency": "RUB"}
    told = notice("alert-manual-payment", **arguments, purchase_id=str(PURCHASE))
    reply = alert(told, SOLD)
    assert "says to have paid 199 RUB for 1 month." in shown(reply, texts, "en")
    assert [row[0].callback for row in reply.keyboard if isinstance(row[0], Button)] == [
        OrderDecided(decision=decision, purchase_id=PURCHASE) for decision in ("approve", "reject")
    ]


@pytest.mark.parametrize("number", [None, "17", 0, -1, 2**63, True, 1.5])
def test_an_alert_with_a_number_that_names_nothing_has_no_buttons(number: Any) -> None:
    arguments = {"number": number, "user_id": BUYER, "flag": "over"}
    assert not alert(notice("alert-payment-odd", **arguments)).keyboard
    claim = {"user_id": BUYER, "plan": "x", "amount": 1, "currency": "XTR", "purchase_id": number}
    assert not alert(notice("alert-manual-payment", **claim)).keyboard


@pytest.mark.parametrize(
    ("flag", "words"),
    [("late", "came late"), ("over", "more than the price"), ("duplicate", "was paid before")],
)
def test_what_is_odd_about_money_is_said_in_words(texts: Texts, flag: str, words: str) -> None:
    told = notice("alert-payment-odd", number=17, user_id=BUYER, flag=flag)
    assert words in shown(alert(told), texts, "en")


def test_money_that_is_held_and_bounds_are_told_in_words(texts: Texts) -> None:
    money = {"number": 17, "user_id": BUYER, "amount": 150, "currency": "XTR"}
    held = notice("alert-payment-held", **money, provider="cryptopay", reason="no such order")
    assert "150 ⭐, Crypto Pay, from 77. no such order" in shown(alert(held), texts, "en")
    run = notice("alert-run-away", user_id=BUYER, bound="user_day", limit_s=172_800)
    assert "time for one user within a day: 2 days." in shown(alert(run), texts, "en")


def test_the_order_in_a_button_is_whole() -> None:
    step = OrderStep(step="paid", purchase_id=UUID(int=7))
    assert OrderStep.unpack(step.pack()).purchase_id == UUID(int=7)
