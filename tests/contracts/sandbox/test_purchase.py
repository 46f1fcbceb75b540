"""A whole purchase with three unmodified bots: two libraries, and both ways of getting updates.

Each bot is written as its library's users write it; the conversation is one and the same.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import segno
import telegram
import telegram.ext as ptb
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command, CommandStart
from aiogram.methods import SendMessage
from aiogram.types import (
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
)
from aiogram.webhook.aiohttp_server import SimpleRequestHandler
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.sandbox import ANNA_ID, Paid, Sandbox

LINK = "vless://9f1c@203.0.113.7:443?security=reality&sni=example.org#Tollgate"
SECRET = "s-1"
RunBot = Callable[[str, str], AbstractAsyncContextManager[None]]


def qr_code() -> bytes:
    buffer = io.BytesIO()
    segno.make(LINK).save(buffer, kind="png", scale=4)
    return buffer.getvalue()


CAPTION = f"<code>{LINK.replace('&', '&amp;')}</code>"


# --- the bot, written with aiogram ----------------------------------------------------------


def aiogram_bot(url: str, token: str) -> tuple[Bot, Dispatcher]:
    bot = Bot(token, session=AiohttpSession(api=TelegramAPIServer.from_base(url)))
    dispatcher = Dispatcher()
    charges: list[str] = []

    @dispatcher.message(CommandStart())
    async def start(message: Message) -> SendMessage:
        key = InlineKeyboardButton(text="Buy 1 month", callback_data="buy")
        board = InlineKeyboardMarkup(inline_keyboard=[[key]])
        return message.answer("<b>Welcome</b>", parse_mode="HTML", reply_markup=board)

    @dispatcher.callback_query(F.data == "buy")
    async def buy(query: CallbackQuery) -> None:
        await query.answer("One moment")
        assert isinstance(query.message, Message)
        await query.message.edit_text("Your invoice:")
        await query.message.answer_invoice(
            title="1 month",
            description="30 days",
            payload="purchase-1",
            currency="XTR",
            prices=[LabeledPrice(label="1 month", amount=100)],
            start_parameter="p1",
        )

    @dispatcher.pre_checkout_query()
    async def approve(query: PreCheckoutQuery) -> None:
        await query.answer(ok=True)

    @dispatcher.message(F.successful_payment)
    async def deliver(message: Message) -> None:
        assert message.successful_payment is not None
        charges.append(message.successful_payment.telegram_payment_charge_id)
        photo = BufferedInputFile(qr_code(), "qr.png")
        await message.answer_photo(photo, caption=CAPTION, parse_mode="HTML")

    @dispatcher.message(Command("refund"))
    async def refund(message: Message) -> None:
        try:
            await bot.refund_star_payment(message.chat.id, charges[0])
        except TelegramBadRequest as error:
            await message.answer(error.message)

    return bot, dispatcher


@asynccontextmanager
async def aiogram_polling(url: str, token: str) -> AsyncIterator[None]:
    bot, dispatcher = aiogram_bot(url, token)
    polling = asyncio.ensure_future(
        dispatcher.start_polling(bot, handle_signals=False, polling_timeout=1)
    )
    try:
        yield
    finally:
        await dispatcher.stop_polling()
        await polling


@asynccontextmanager
async def aiogram_webhook(url: str, token: str) -> AsyncIterator[None]:
    bot, dispatcher = aiogram_bot(url, token)
    app = web.Application()
    handler = SimpleRequestHandler(dispatcher, bot, handle_in_background=False, secret_token=SECRET)
    handler.register(app, "/hook")
    async with TestServer(app) as server:
        await bot.set_webhook(str(server.make_url("/hook")), secret_token=SECRET)
        try:
            yield
        finally:
            await bot.delete_webhook()
            await bot.session.close()


# --- the same bot, written with python-telegram-bot -----------------------------------------

_Context = ptb.ContextTypes.DEFAULT_TYPE


async def ptb_start(update: telegram.Update, _: _Context) -> None:
    key = telegram.InlineKeyboardButton("Buy 1 month", callback_data="buy")
    board = telegram.InlineKeyboardMarkup([[key]])
    assert update.message is not None
    await update.message.reply_text("<b>Welcome</b>", parse_mode="HTML", reply_markup=board)


async def ptb_buy(update: telegram.Update, context: _Context) -> None:
    query = update.callback_query
    assert query is not None
    await query.answer("One moment")
    await query.edit_message_text("Your invoice:")
    await context.bot.send_invoice(
        chat_id=query.from_user.id,
        title="1 month",
        description="30 days",
        payload="purchase-1",
        currency="XTR",
        prices=[telegram.LabeledPrice("1 month", 100)],
        start_parameter="p1",
    )


async def ptb_approve(update: telegram.Update, _: _Context) -> None:
    assert update.pre_checkout_query is not None
    await update.pre_checkout_query.answer(ok=True)


async def ptb_deliver(update: telegram.Update, context: _Context) -> None:
    assert update.message is not None
    assert update.message.successful_payment is not None
    charge_id = update.message.successful_payment.telegram_payment_charge_id
    context.bot_data["charge"] = charge_id
    await update.message.reply_photo(qr_code(), caption=CAPTION, parse_mode="HTML")


async def ptb_refund(update: telegram.Update, context: _Context) -> None:
    assert update.message is not None
    try:
        await context.bot.refund_star_payment(update.message.chat_id, context.bot_data["charge"])
    except telegram.error.BadRequest as error:
        await update.message.reply_text(error.message)


@asynccontextmanager
async def ptb_polling(url: str, token: str) -> AsyncIterator[None]:
    builder = ptb.Application.builder().token(token)
    app = builder.base_url(f"{url}/bot").base_file_url(f"{url}/file/bot").build()
    app.add_handler(ptb.CommandHandler("start", ptb_start))
    app.add_handler(ptb.CommandHandler("refund", ptb_refund))
    app.add_handler(ptb.CallbackQueryHandler(ptb_buy, pattern="buy"))
    app.add_handler(ptb.PreCheckoutQueryHandler(ptb_approve))
    app.add_handler(ptb.MessageHandler(ptb.filters.SUCCESSFUL_PAYMENT, ptb_deliver))
    async with app:
        assert app.updater is not None
        await app.start()
        await app.updater.start_polling(timeout=1)
        try:
            yield
        finally:
            await app.updater.stop()
            await app.stop()


# --- the conversation -----------------------------------------------------------------------


@pytest.mark.parametrize("run_bot", [aiogram_polling, aiogram_webhook, ptb_polling])
async def test_a_purchase_from_start_to_refused_second_refund(run_bot: RunBot) -> None:
    sandbox = Sandbox()
    anna = sandbox.person(ANNA_ID)
    async with sandbox.serve() as address, run_bot(address.url, sandbox.token):
        await anna.say("/start")
        menu = await anna.wait_for("Welcome")
        assert menu.entities == [{"type": "bold", "offset": 0, "length": 7}]

        answer = await anna.tap(menu, "Buy")
        assert answer is not None
        assert answer.text == "One moment"
        assert (await anna.wait_for("Your invoice:")).id == menu.id

        invoice = await anna.wait_for(lambda m: m.invoice is not None)
        outcome = await anna.pay(invoice)
        assert isinstance(outcome, Paid)
        assert anna.stars == 9_900

        await anna.wait_for(lambda m: m.photo is not None)
        assert anna.photos == [qr_code()]
        assert anna.link == LINK

        await anna.say("/refund")
        refunded = await anna.wait_for(lambda m: "refunded_payment" in m.raw)
        refund = refunded.raw["refunded_payment"]
        assert refund["telegram_payment_charge_id"] == outcome.charge_id
        assert anna.stars == 10_000

        await anna.say("/refund")
        # python-telegram-bot changes the case of what it passes on.
        await anna.wait_for(lambda m: m.text.casefold().endswith("charge_already_refunded"))
        assert anna.stars == 10_000
