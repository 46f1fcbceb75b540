"""A purchase from start to link, over HTTP, as the buyer's chat shows it."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta

import pytest
from aiogram import Bot, Dispatcher

from actors.notifier.ports import Carried, LinkReady, Progress, PurchaseProgress
from actors.user.messages import (
    CreditPayment,
    Introduce,
    InvoiceDue,
    InvoiceRecorded,
    InvoiceSent,
    OpenPurchase,
    PaymentCredited,
)
from bot.courier import TelegramCourier
from bot.dispatcher import build_dispatcher, commands
from bot.gateways.payload import PayloadSigner
from bot.gateways.stars.gateway import StarsGateway
from bot.sandbox import Message, Paid, Refused
from bot.sandbox.sandbox import ANNA_ID, BORIS_ID, Sandbox
from bot.session import GetRawUpdates, make_bot
from bot.texts import Texts
from config.plans import Plans
from tests.unit.bot.conftest import (
    LINK,
    NODES_NOW,
    NOW,
    PURCHASE,
    FakeQueries,
    FakeUsers,
    quote,
    status,
)

DUE = InvoiceDue(purchase_id=PURCHASE, plan_id="month", price=150, currency="XTR", provider="stars")
NEWS = PurchaseProgress(
    chat_id=ANNA_ID,
    message_id=None,
    language="en",
    progress=Progress.ACTIVATING,
    plan_id="month",
    price=150,
    currency="XTR",
    expires_at=None,
)


class Buyers(FakeUsers):
    """Users who sell a month to everybody; `credited` holds the payments handed to them."""

    def __init__(self) -> None:
        super().__init__(
            {
                Introduce: lambda ask: status(language=ask.language),
                OpenPurchase: DUE,
                InvoiceSent: InvoiceRecorded(),
                CreditPayment: self._credit,
            }
        )
        self.credited: asyncio.Queue[CreditPayment] = asyncio.Queue()

    def _credit(self, ask: CreditPayment) -> PaymentCredited:
        self.credited.put_nowait(ask)
        return PaymentCredited(purchase_id=PURCHASE)


async def poll(bot: Bot, dispatcher: Dispatcher) -> None:
    """What the intake does, without an inbox."""
    offset = 0
    allowed = dispatcher.resolve_used_update_types()
    while True:
        request = GetRawUpdates(offset=offset, timeout=1, allowed_updates=allowed)
        for update in await bot(request):
            offset = update["update_id"] + 1
            operation_id, raw = f"telegram:{update['update_id']}", json.dumps(update)
            await dispatcher.feed_raw_update(bot, update, operation_id=operation_id, raw_update=raw)


@pytest.fixture
def users() -> Buyers:
    return Buyers()


@pytest.fixture
async def sandbox() -> AsyncGenerator[tuple[Sandbox, str]]:
    sandbox = Sandbox()
    async with sandbox.serve("127.0.0.1", 0) as address:
        yield sandbox, address.url


@pytest.fixture
async def bot(
    sandbox: tuple[Sandbox, str],
    users: Buyers,
    plans: Plans,
    texts: Texts,
    signer: PayloadSigner,
) -> AsyncGenerator[Bot]:
    bot = make_bot(sandbox[0].token, lambda: None, sandbox[1])
    queries = FakeQueries(quotes={PURCHASE: quote(user_id=ANNA_ID)})
    dispatcher = build_dispatcher(
        users=users,
        queries=queries,
        plans=plans,
        nodes=lambda: NODES_NOW,
        texts=texts,
        signer=signer,
        gateways={"stars": StarsGateway(bot, signer)},
        admins=(),
    )
    for language, menu in commands(texts).items():
        await bot.set_my_commands(menu, language_code=language)
    polling = asyncio.create_task(poll(bot, dispatcher))
    yield bot
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    await bot.session.close()


async def bought(sandbox: Sandbox) -> Message:
    """Anna's invoice for a month."""
    anna = sandbox.person(ANNA_ID)
    await anna.say("/start")
    card = await anna.wait_for("Hi, Anna!")
    await anna.tap(card, "Buy from 50 ⭐")
    await anna.tap(await anna.wait_for("Choose a plan"), "1 month · 150 ⭐")
    return await anna.wait_for(lambda message: message.invoice is not None)


async def test_a_month_is_bought_and_its_link_delivered(
    sandbox: tuple[Sandbox, str], bot: Bot, users: Buyers, texts: Texts, plans: Plans
) -> None:
    anna = sandbox[0].person(ANNA_ID)

    outcome = await anna.pay(await bought(sandbox[0]))
    assert isinstance(outcome, Paid)
    credit = await asyncio.wait_for(users.credited.get(), timeout=5)
    assert (credit.provider_payment_id, credit.purchase_id) == (outcome.charge_id, PURCHASE)

    courier = TelegramCourier(bot, texts, plans)
    first = await courier.carry(NEWS)
    assert isinstance(first, Carried)
    until = NOW + timedelta(days=30)
    ready = replace(NEWS, message_id=first.message_id, progress=Progress.READY, expires_at=until)
    assert await courier.carry(ready) == await courier.carry(ready) == first
    link = LinkReady(chat_id=ANNA_ID, language="en", link=LINK, plan_id="month", expires_at=until)
    assert isinstance(await courier.carry(link), Carried)

    assert anna.link == LINK
    [picture] = anna.photos
    assert picture.startswith(b"\x89PNG")
    assert "✓ Activated" in anna.transcript
    assert "Activating" not in anna.transcript


async def test_a_forwarded_invoice_only_opens_the_bot(
    sandbox: tuple[Sandbox, str], bot: Bot
) -> None:
    assert bot.id
    invoice = await bought(sandbox[0])

    outcome = await sandbox[0].person(BORIS_ID).pay(invoice)

    assert isinstance(outcome, Refused)
    assert "only opens the bot" in outcome.reason
