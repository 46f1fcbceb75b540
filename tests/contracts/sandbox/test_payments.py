"""Money: who may pay what, what pre-checkout decides, what comes back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import LabeledPrice, PreCheckoutQuery, SuccessfulPayment, Update

from bot.sandbox import ANNA_ID, BORIS_ID, Invoice, Message, Paid, Person, Refused, Sandbox

Connect = Callable[..., Awaitable[Bot]]
pytestmark = pytest.mark.usefixtures("started")

MONTH_S = 2_592_000


def offer(**changes: Any) -> dict[str, Any]:
    return {
        "title": "1 month",
        "description": "30 days",
        "payload": "purchase-1",
        "currency": "XTR",
        "prices": [LabeledPrice(label="1 month", amount=100)],
    } | changes


class Till:
    """The bot's side of a checkout: reads updates one by one and answers."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.offset = 0

    async def next(self) -> Update:
        """The oldest update, which is confirmed by asking for the one after it."""
        [update] = await self.bot.get_updates(offset=self.offset, limit=1, timeout=20)
        self.offset = update.update_id + 1
        return update

    async def query(self) -> PreCheckoutQuery:
        """The next update, which is a pre-checkout."""
        found = (await self.next()).pre_checkout_query
        assert found is not None
        return found

    async def payment(self) -> SuccessfulPayment:
        """The next update, which is a payment."""
        message = (await self.next()).message
        assert message is not None
        assert message.successful_payment is not None
        return message.successful_payment

    async def checkout(
        self, payer: Person, invoice: Message | str, *, ok: bool = True
    ) -> Paid | Refused:
        """A person pays while the bot approves or refuses."""
        paying = asyncio.ensure_future(payer.pay(invoice))
        query = await self.query()
        await self.bot.answer_pre_checkout_query(
            query.id, ok=ok, error_message=None if ok else "Sold out"
        )
        return await paying

    async def charge(self, payer: Person, invoice: Message | str) -> str:
        """A whole approved payment; gives its charge id."""
        outcome = await self.checkout(payer, invoice)
        assert isinstance(outcome, Paid)
        await self.payment()
        return outcome.charge_id


@pytest.fixture
def till(bot: Bot) -> Till:
    return Till(bot)


async def invoice_for(person: Person, bot: Bot, **changes: Any) -> Message:
    await bot.send_invoice(chat_id=person.id, **offer(**changes))
    return person.messages[-1]


async def test_an_approved_payment_is_charged_and_told_once(
    bot: Bot, till: Till, anna: Person
) -> None:
    outcome = await till.checkout(anna, await invoice_for(anna, bot))

    payment = await till.payment()
    assert isinstance(outcome, Paid)
    assert payment.telegram_payment_charge_id == outcome.charge_id
    assert (payment.currency, payment.total_amount) == ("XTR", 100)
    assert payment.invoice_payload == "purchase-1"
    assert not payment.is_recurring
    assert anna.stars == 9_900
    assert await bot.get_updates(offset=till.offset) == []


async def test_the_query_names_payer_price_and_payload(bot: Bot, till: Till, anna: Person) -> None:
    paying = asyncio.ensure_future(anna.pay(await invoice_for(anna, bot)))

    query = await till.query()

    assert query.from_user.id == ANNA_ID
    assert (query.currency, query.total_amount, query.invoice_payload) == (
        "XTR",
        100,
        "purchase-1",
    )
    await bot.answer_pre_checkout_query(query.id, ok=True)
    await paying


async def test_a_refused_payment_is_not_charged_and_the_payer_reads_why(
    bot: Bot, till: Till, anna: Person, sandbox: Sandbox
) -> None:
    outcome = await till.checkout(anna, await invoice_for(anna, bot), ok=False)

    assert outcome == Refused("Sold out")
    assert (anna.stars, sandbox.transactions) == (10_000, [])


async def test_silence_is_a_timeout_and_a_late_answer_is_too_old(connect: Connect) -> None:
    sandbox = Sandbox(precheckout_timeout_s=0.05)
    bot = await connect(sandbox)
    anna = sandbox.person(ANNA_ID)
    await anna.say("/start")
    till = Till(bot)
    await till.next()

    outcome = await anna.pay(await invoice_for(anna, bot))

    assert outcome == Refused("BOT_PRECHECKOUT_TIMEOUT")
    assert anna.stars == 10_000
    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_pre_checkout_query((await till.query()).id, ok=True)


async def test_only_the_first_answer_counts(bot: Bot, till: Till, anna: Person) -> None:
    paying = asyncio.ensure_future(anna.pay(await invoice_for(anna, bot)))
    query = await till.query()
    await bot.answer_pre_checkout_query(query.id, ok=True)

    with pytest.raises(TelegramBadRequest, match="query is too old"):
        await bot.answer_pre_checkout_query(query.id, ok=False, error_message="no")

    assert isinstance(await paying, Paid)


async def test_one_invoice_can_be_paid_again_under_a_new_charge(
    bot: Bot, till: Till, anna: Person
) -> None:
    invoice = await invoice_for(anna, bot)

    first = await till.charge(anna, invoice)
    second = await till.charge(anna, invoice)

    assert first != second
    assert anna.stars == 9_800


async def test_a_forwarded_invoice_without_start_parameter_is_payable_by_others(
    bot: Bot, till: Till, anna: Person, boris: Person
) -> None:
    invoice = await invoice_for(anna, bot)

    assert isinstance(await till.checkout(boris, invoice), Paid)

    assert (anna.stars, boris.stars) == (10_000, 9_900)


async def test_a_forwarded_invoice_with_start_parameter_only_opens_the_bot(
    bot: Bot, till: Till, anna: Person, boris: Person
) -> None:
    invoice = await invoice_for(anna, bot, start_parameter="p1")

    assert isinstance(await boris.pay(invoice), Refused)

    assert boris.stars == 10_000
    assert isinstance(await till.checkout(anna, invoice), Paid)


async def test_an_invoice_link_is_payable_by_anybody(
    bot: Bot, till: Till, anna: Person, boris: Person
) -> None:
    link = await bot.create_invoice_link(**offer())

    await till.charge(anna, link)
    await till.charge(boris, link)

    assert (anna.stars, boris.stars) == (9_900, 9_900)


async def test_a_purse_that_is_too_small_never_reaches_the_bot(bot: Bot, sandbox: Sandbox) -> None:
    poor = sandbox.person(5, stars=99)
    await poor.say("/start")
    invoice = await invoice_for(poor, bot)
    [start] = await bot.get_updates()

    assert await poor.pay(invoice) == Refused("BALANCE_TOO_LOW")

    assert await bot.get_updates(offset=start.update_id + 1) == []


async def test_two_checkouts_cannot_spend_the_same_stars(
    bot: Bot, till: Till, sandbox: Sandbox
) -> None:
    poor = sandbox.person(5, stars=150)
    await poor.say("/start")
    await till.next()
    invoice = await invoice_for(poor, bot)
    paying = [asyncio.ensure_future(poor.pay(invoice)) for _ in range(2)]
    queries = [await till.query(), await till.query()]

    for query in queries:
        await bot.answer_pre_checkout_query(query.id, ok=True)

    outcomes = await asyncio.gather(*paying)
    assert [type(outcome) for outcome in outcomes].count(Paid) == 1
    assert poor.stars == 50


async def test_a_refund_returns_the_stars_and_is_told(bot: Bot, till: Till, anna: Person) -> None:
    charge_id = await till.charge(anna, await invoice_for(anna, bot))

    assert await bot.refund_star_payment(ANNA_ID, charge_id)

    message = (await till.next()).message
    assert message is not None
    assert message.refunded_payment is not None
    assert message.refunded_payment.telegram_payment_charge_id == charge_id
    assert message.refunded_payment.total_amount == 100
    assert anna.stars == 10_000


async def test_a_charge_is_refunded_at_most_once(bot: Bot, till: Till, anna: Person) -> None:
    charge_id = await till.charge(anna, await invoice_for(anna, bot))
    await bot.refund_star_payment(ANNA_ID, charge_id)

    with pytest.raises(TelegramBadRequest, match="CHARGE_ALREADY_REFUNDED"):
        await bot.refund_star_payment(ANNA_ID, charge_id)

    assert anna.stars == 10_000


async def test_a_charge_is_refunded_to_its_payer_only(
    bot: Bot, till: Till, anna: Person, boris: Person
) -> None:
    charge_id = await till.charge(anna, await invoice_for(anna, bot))

    with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
        await bot.refund_star_payment(BORIS_ID, charge_id)

    assert boris.stars == 10_000


async def test_transactions_come_oldest_first_in_pages(bot: Bot, till: Till, anna: Person) -> None:
    invoice = await invoice_for(anna, bot)
    first = await till.charge(anna, invoice)
    second = await till.charge(anna, invoice)
    await bot.refund_star_payment(ANNA_ID, first)

    everything = (await bot.get_star_transactions()).transactions
    page = (await bot.get_star_transactions(offset=1, limit=1)).transactions

    assert [t.id for t in everything] == [first, second, first]
    assert [t.source is not None for t in everything] == [True, True, False]
    assert [t.receiver is not None for t in everything] == [False, False, True]
    assert [t.id for t in page] == [second]
    assert everything[0].amount == 100


async def test_a_card_payment_costs_no_stars_and_is_no_star_transaction(
    bot: Bot, till: Till, anna: Person, sandbox: Sandbox
) -> None:
    prices = [LabeledPrice(label="a", amount=30_000), LabeledPrice(label="b", amount=5_000)]
    invoice = await invoice_for(anna, bot, currency="RUB", provider_token="card", prices=prices)

    outcome = await till.checkout(anna, invoice)

    payment = await till.payment()
    assert isinstance(outcome, Paid)
    assert (payment.currency, payment.total_amount) == ("RUB", 35_000)
    assert (anna.stars, sandbox.transactions) == (10_000, [])
    with pytest.raises(TelegramBadRequest, match="CHARGE_NOT_FOUND"):
        await bot.refund_star_payment(ANNA_ID, outcome.charge_id)


# --- subscriptions --------------------------------------------------------------------------


@pytest.fixture
async def link(bot: Bot) -> str:
    return await bot.create_invoice_link(**offer(subscription_period=MONTH_S))


async def test_the_first_payment_of_a_subscription_says_when_it_expires(
    till: Till, anna: Person, link: str
) -> None:
    await till.checkout(anna, link)

    payment = await till.payment()
    assert payment.is_recurring
    assert payment.is_first_recurring
    assert payment.subscription_expiration_date is not None


async def test_a_renewal_is_a_new_charge_without_pre_checkout_one_period_later(
    till: Till, anna: Person, link: str
) -> None:
    await till.checkout(anna, link)
    first = await till.payment()

    outcome = anna.renew(first.telegram_payment_charge_id)

    renewal = await till.payment()
    assert outcome == Paid(renewal.telegram_payment_charge_id)
    assert renewal.telegram_payment_charge_id != first.telegram_payment_charge_id
    assert renewal.is_recurring
    assert not renewal.is_first_recurring
    assert first.subscription_expiration_date is not None
    assert renewal.subscription_expiration_date == first.subscription_expiration_date + MONTH_S
    assert anna.stars == 9_800


async def test_one_charge_renews_once(till: Till, anna: Person, link: str) -> None:
    charge_id = await till.charge(anna, link)
    anna.renew(charge_id)

    assert isinstance(anna.renew(charge_id), Refused)


async def test_the_subscriber_stops_and_resumes_and_the_bot_is_told(
    till: Till, anna: Person, link: str
) -> None:
    charge_id = await till.charge(anna, link)

    anna.cancel_subscription(charge_id)
    assert isinstance(anna.renew(charge_id), Refused)
    anna.resume_subscription(charge_id)
    assert isinstance(anna.renew(charge_id), Paid)

    told = [(await till.next()).subscription for _ in range(2)]
    assert [s.state for s in told if s] == ["canceled", "active"]
    assert told[0] is not None
    assert (told[0].user.id, told[0].invoice_payload) == (ANNA_ID, "purchase-1")


async def test_a_renewal_that_cannot_be_paid_fails_and_the_bot_is_told(
    till: Till, sandbox: Sandbox, link: str
) -> None:
    poor = sandbox.person(5, stars=150)
    charge_id = await till.charge(poor, link)

    assert poor.renew(charge_id) == Refused("BALANCE_TOO_LOW")

    told = (await till.next()).subscription
    assert told is not None
    assert told.state == "failed"


async def test_the_bot_stops_and_reenables_a_subscription(
    bot: Bot, till: Till, anna: Person, link: str
) -> None:
    charge_id = await till.charge(anna, link)

    await bot.edit_user_star_subscription(ANNA_ID, charge_id, is_canceled=True)
    assert isinstance(anna.renew(charge_id), Refused)
    await bot.edit_user_star_subscription(ANNA_ID, charge_id, is_canceled=False)

    assert isinstance(anna.renew(charge_id), Paid)


async def test_a_plain_payment_is_no_subscription(bot: Bot, till: Till, anna: Person) -> None:
    charge_id = await till.charge(anna, await invoice_for(anna, bot))

    with pytest.raises(TelegramBadRequest, match="SUBSCRIPTION_NOT_FOUND"):
        await bot.edit_user_star_subscription(ANNA_ID, charge_id, is_canceled=True)
    with pytest.raises(LookupError):
        anna.renew(charge_id)


async def test_a_charge_that_nobody_was_asked_about_is_announced_and_listed(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    before = anna.stars
    invoice = Invoice(title="1 month", description="", payload="x", currency="XTR", amount=7)

    charge = sandbox.charge(anna.id, invoice)

    [update] = await bot.get_updates()
    assert update.message is not None
    assert update.message.successful_payment is not None
    assert update.message.successful_payment.telegram_payment_charge_id == charge
    assert [entry["id"] for entry in sandbox.transactions] == [charge]
    assert anna.stars == before - 7
