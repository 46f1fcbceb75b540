"""Pre-checkout questions and payments, as they reach the bot."""

import asyncio
import hashlib
from typing import Any
from uuid import UUID

import pytest
from aiogram.exceptions import TelegramBadRequest, TelegramNetworkError
from aiogram.methods import AnswerPreCheckoutQuery

from actors.runtime.replies import Unavailable
from actors.user.messages import (
    CreditPayment,
    NoteRefund,
    PaymentCredited,
    PaymentHeld,
    RefundNoted,
)
from bot.dispatcher import build_dispatcher
from bot.gateways.payload import InvoiceClaim
from bot.middlewares import LANGUAGE_DEADLINE_S
from bot.routers.user import pay
from storage.rows import QuoteRow
from tests.unit.bot.conftest import (
    BUYER,
    PURCHASE,
    World,
    message,
    payment,
    person,
    pre_checkout,
    quote,
)

STRANGER = 666


def signed(world: World, user_id: int = BUYER) -> str:
    claim = InvoiceClaim(purchase_id=PURCHASE, user_id=user_id, plan_id="month")
    return world.signer.sign(claim)


def answer(world: World) -> AnswerPreCheckoutQuery:
    [only] = world.telegram.calls
    assert isinstance(only, AnswerPreCheckoutQuery)
    return only


async def test_the_buyer_may_pay(world: World) -> None:
    world.queries.quotes = {PURCHASE: quote()}

    await world.feed(pre_checkout(signed(world)))

    assert answer(world).ok is True
    assert answer(world).error_message is None


async def test_two_taps_on_pay_let_one_payment_happen(world: World) -> None:
    world.queries.quotes = {PURCHASE: quote()}
    world.queries.approved = {PURCHASE: "the first tap"}

    await world.feed(pre_checkout(signed(world)))

    assert answer(world).ok is False
    assert "on its way" in (answer(world).error_message or "")


@pytest.mark.parametrize("language", ["en", "ru"])
async def test_a_stranger_with_a_forwarded_invoice_may_not(world: World, language: str) -> None:
    world.queries.quotes = {PURCHASE: quote()}

    stranger = person(STRANGER, language_code=language)
    await world.feed(pre_checkout(signed(world), sender=stranger))

    assert answer(world).ok is False
    assert (
        answer(world).error_message
        == {
            "en": "This invoice cannot be paid. Please open a new one: /buy",
            "ru": "Этот счёт нельзя оплатить. Откройте новый: /buy",
        }[language]
    )


async def test_a_forged_payload_is_told_nothing_else_than_a_stranger(world: World) -> None:
    world.queries.quotes = {PURCHASE: quote()}

    await world.feed(pre_checkout("anything at all"))

    assert answer(world).ok is False
    assert "cannot be paid" in (answer(world).error_message or "")


async def test_a_database_that_is_down_costs_the_buyer_nothing(world: World) -> None:
    world.queries.quotes = Unavailable("database")
    world.queries.languages = Unavailable("database")

    await world.feed(pre_checkout(signed(world)))

    assert answer(world).ok is False
    assert "try again" in (answer(world).error_message or "")


async def test_an_outage_by_any_name_is_an_outage(world: World) -> None:
    class DatabaseAwayError(Exception):
        """What the wiring says is weather."""

    world.queries.quotes = world.queries.languages = DatabaseAwayError()
    data = {**world.dispatcher.workflow_data, "weather": (DatabaseAwayError,)}
    del data["unanswered"], data["currencies"]
    world.dispatcher = build_dispatcher(**data)

    await world.feed(pre_checkout(signed(world)))

    assert "try again" in (answer(world).error_message or "")


async def test_a_database_that_is_silent_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: UUID) -> QuoteRow | None:
        await asyncio.Event().wait()
        return None

    monkeypatch.setattr(pay, "QUOTE_DEADLINE_S", 0.01)
    monkeypatch.setattr(world.queries, "quote", never)

    await world.feed(pre_checkout(signed(world)))

    assert "try again" in (answer(world).error_message or "")


def test_all_waits_together_leave_time_for_the_answer() -> None:
    assert LANGUAGE_DEADLINE_S + pay.QUOTE_DEADLINE_S <= 8


async def test_an_answer_that_comes_too_late_is_done_with(world: World) -> None:
    late = "Bad Request: query is too old and response timeout expired or query ID is invalid"
    method = AnswerPreCheckoutQuery(pre_checkout_query_id="question-1", ok=True)
    world.telegram.fail_next(
        "answerPreCheckoutQuery", TelegramBadRequest(method=method, message=late)
    )
    world.queries.quotes = {PURCHASE: quote()}

    await world.feed(pre_checkout(signed(world)))


async def test_an_answer_that_was_lost_is_tried_again(world: World) -> None:
    method = AnswerPreCheckoutQuery(pre_checkout_query_id="question-1", ok=True)
    lost = TelegramNetworkError(method=method, message="gone")
    world.telegram.fail_next("answerPreCheckoutQuery", lost)
    world.queries.quotes = {PURCHASE: quote()}

    with pytest.raises(TelegramNetworkError):
        await world.feed(pre_checkout(signed(world)))


async def credited(world: World, update: dict[str, Any], raw: str = "{}") -> CreditPayment:
    world.users.answers = {CreditPayment: PaymentCredited(purchase_id=PURCHASE)}
    await world.feed(update, raw)
    [(user_id, asked)] = world.users.asked
    assert user_id == update["message"]["from"]["id"]
    assert isinstance(asked, CreditPayment)
    return asked


async def test_a_payment_is_handed_over_whole_and_nothing_is_said(world: World) -> None:
    raw = '{"update_id": 5, "text": "ё"}'

    assert await credited(world, payment(signed(world)), raw) == CreditPayment(
        operation_id="stars:charge-1",
        provider="stars",
        provider_payment_id="charge-1",
        purchase_id=PURCHASE,
        amount=150,
        currency="XTR",
        body_sha256=hashlib.sha256(raw.encode()).digest(),
        language="en",
        chat_id=BUYER,
    )
    assert not world.telegram.calls


@pytest.mark.parametrize("payload", ["", "not ours", "a.b.c.d"])
async def test_a_payment_with_a_foreign_payload_is_recorded_all_the_same(
    world: World, payload: str
) -> None:
    assert (await credited(world, payment(payload))).purchase_id is None


async def test_a_payment_for_somebody_elses_order_names_no_order(world: World) -> None:
    stolen = payment(signed(world), sender=person(STRANGER))

    assert (await credited(world, stolen)).purchase_id is None


async def test_a_payment_made_in_a_group_counts_and_its_link_stays_private(world: World) -> None:
    asked = await credited(world, payment(signed(world), chat_type="group"))

    assert asked.chat_id == BUYER


async def test_held_money_is_told_by_the_courier_and_not_twice(world: World) -> None:
    world.users.answers = {CreditPayment: PaymentHeld(reason="amount")}

    await world.feed(payment(signed(world)))

    assert not world.telegram.calls


async def test_a_payment_that_could_not_be_recorded_is_tried_again(world: World) -> None:
    world.users.answers = {CreditPayment: Unavailable("database")}

    with pytest.raises(Unavailable):
        await world.feed(payment(signed(world)))


async def test_a_payment_by_card_is_the_cards_and_keeps_the_providers_own_id(world: World) -> None:
    update = payment(signed(world))
    update["message"]["successful_payment"] |= {
        "currency": "RUB",
        "total_amount": 19_900,
        "provider_payment_charge_id": "bank-9",
    }

    asked = await credited(world, update)

    assert (asked.provider, asked.operation_id) == ("card", "card:charge-1")
    assert (asked.amount, asked.currency, asked.provider_ref) == (19_900, "RUB", "bank-9")


async def test_money_that_telegram_gave_back_is_noted_for_its_payer(world: World) -> None:
    world.users.answers = {NoteRefund: RefundNoted()}
    refund = {
        "currency": "XTR",
        "total_amount": 150,
        "invoice_payload": "whatever",
        "telegram_payment_charge_id": "charge-1",
    }

    await world.feed(message(refunded_payment=refund))

    note = NoteRefund(
        operation_id="stars:charge-1:refunded",
        provider="stars",
        provider_payment_id="charge-1",
    )
    assert world.users.asked == [(BUYER, note)]
