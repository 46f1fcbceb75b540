"""What the emulator refuses, in the exception and the words that a client sees."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.methods import (
    AnswerCallbackQuery,
    AnswerPreCheckoutQuery,
    DeleteMessage,
    EditMessageCaption,
    EditMessageText,
    EditUserStarSubscription,
    GetChat,
    GetFile,
    GetStarTransactions,
    RefundStarPayment,
    SendChatAction,
    SendInvoice,
    SendMessage,
    SendPhoto,
    SetMyCommands,
    SetWebhook,
    TelegramMethod,
)
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    ReplyParameters,
)

from bot.sandbox import ANNA_ID, BORIS_ID, Person, RateLimit, Sandbox

Connect = Callable[..., Awaitable[Bot]]

GONE = 1
LONG_KEY = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="x", callback_data="x" * 65)]]
)


@pytest.mark.usefixtures("started")
@pytest.mark.parametrize(
    ("method", "reason"),
    [
        (SendMessage(chat_id=777, text="x"), "chat not found"),
        (SendMessage(chat_id="@channel", text="x"), "chat not found"),
        (SendMessage(chat_id=ANNA_ID, text=" "), "message text is empty"),
        (SendMessage(chat_id=ANNA_ID, text="x" * 4097), "message is too long"),
        (SendMessage(chat_id=ANNA_ID, text="<b>", parse_mode="HTML"), "can't parse entities"),
        (SendMessage(chat_id=ANNA_ID, text="*", parse_mode="MarkdownV2"), "speaks HTML"),
        (SendMessage(chat_id=ANNA_ID, text="x", reply_markup=LONG_KEY), "BUTTON_DATA_INVALID"),
        (
            SendMessage(
                chat_id=ANNA_ID, text="x", reply_parameters=ReplyParameters(message_id=GONE)
            ),
            "message to be replied not found",
        ),
        (
            SendPhoto(chat_id=ANNA_ID, photo=BufferedInputFile(b"no picture", "x.png")),
            "IMAGE_PROCESS_FAILED",
        ),
        (SendPhoto(chat_id=ANNA_ID, photo="unknown"), "wrong file identifier"),
        (SendChatAction(chat_id=ANNA_ID, action="dancing"), "wrong parameter action"),
        (
            EditMessageText(chat_id=ANNA_ID, message_id=GONE, text="x"),
            "message to edit not found",
        ),
        (
            EditMessageCaption(chat_id=ANNA_ID, message_id=GONE, caption="x"),
            "message to edit not found",
        ),
        (DeleteMessage(chat_id=ANNA_ID, message_id=GONE), "message to delete not found"),
        (AnswerCallbackQuery(callback_query_id="5"), "query is too old"),
        (AnswerCallbackQuery(callback_query_id="5", text="x" * 201), "MESSAGE_TOO_LONG"),
        (AnswerPreCheckoutQuery(pre_checkout_query_id="5", ok=True), "query is too old"),
        (AnswerPreCheckoutQuery(pre_checkout_query_id="5", ok=False), "ERROR_TEXT_EMPTY"),
        (
            SendInvoice(
                chat_id=ANNA_ID,
                title="x" * 33,
                description="d",
                payload="p",
                currency="XTR",
                prices=[LabeledPrice(label="x", amount=1)],
            ),
            "title",
        ),
        (RefundStarPayment(user_id=ANNA_ID, telegram_payment_charge_id="?"), "CHARGE_NOT_FOUND"),
        (
            EditUserStarSubscription(
                user_id=ANNA_ID, telegram_payment_charge_id="?", is_canceled=True
            ),
            "CHARGE_NOT_FOUND",
        ),
        (GetStarTransactions(limit=101), "LIMIT_INVALID"),
        (GetStarTransactions(offset=-1), "OFFSET_INVALID"),
        (GetFile(file_id="unknown"), "wrong file_id"),
        (
            SetMyCommands(commands=[BotCommand(command="Start", description="x")]),
            "BOT_COMMAND_INVALID",
        ),
        (SetWebhook(url="https://bot.example/hook"), "loopback"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, TelegramMethod) else str(value),
)
async def test_a_breach_is_a_bad_request(
    bot: Bot, method: TelegramMethod[Any], reason: str
) -> None:
    with pytest.raises(TelegramBadRequest, match=reason):
        await bot(method)


@pytest.mark.usefixtures("started")
async def test_an_edit_that_changes_nothing_is_refused(bot: Bot) -> None:
    sent = await bot.send_message(ANNA_ID, "<b>same</b>", parse_mode="HTML")

    with pytest.raises(TelegramBadRequest, match="message is not modified"):
        await bot.edit_message_text(
            "<b>same</b>", chat_id=ANNA_ID, message_id=sent.message_id, parse_mode="HTML"
        )


@pytest.mark.usefixtures("started")
async def test_a_persons_own_message_cannot_be_edited(bot: Bot, anna: Person) -> None:
    hers = await anna.say("mine")

    with pytest.raises(TelegramBadRequest, match="message can't be edited"):
        await bot.edit_message_text("x", chat_id=ANNA_ID, message_id=hers.id)


@pytest.mark.usefixtures("started")
async def test_a_text_has_no_caption_to_edit(bot: Bot) -> None:
    sent = await bot.send_message(ANNA_ID, "text")

    with pytest.raises(TelegramBadRequest, match="there is no caption"):
        await bot.edit_message_caption(chat_id=ANNA_ID, message_id=sent.message_id, caption="x")


async def test_a_message_older_than_48_hours_cannot_be_deleted(connect: Connect) -> None:
    now = [1_800_000_000]
    sandbox = Sandbox(wall_clock=lambda: now[0])
    bot = await connect(sandbox)
    await sandbox.person(ANNA_ID).say("/start")
    sent = await bot.send_message(ANNA_ID, "old")

    now[0] += 48 * 3600 + 1

    with pytest.raises(TelegramBadRequest, match="can't be deleted"):
        await bot.delete_message(ANNA_ID, sent.message_id)


async def test_a_wrong_token_is_unauthorized(sandbox: Sandbox, connect: Connect) -> None:
    bot = await connect(sandbox, "123456:wrong")

    with pytest.raises(TelegramUnauthorizedError):
        await bot.get_me()


async def test_an_unknown_method_is_not_found(bot: Bot) -> None:
    with pytest.raises(TelegramNotFound):
        await bot(GetChat(chat_id=ANNA_ID))


@pytest.mark.parametrize("body", ["[]", "{", "5"])
async def test_a_body_that_is_no_json_object_is_a_bad_request(sandbox: Sandbox, body: str) -> None:
    headers = {"Content-Type": "application/json"}
    async with sandbox.serve() as address, aiohttp.ClientSession(address.url) as client:
        url = f"/bot{sandbox.token}/sendMessage"
        async with client.post(url, data=body, headers=headers) as response:
            assert (response.status, (await response.json())["ok"]) == (400, False)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)
async def test_a_body_that_is_not_utf_8_is_a_bad_request(
    sandbox: Sandbox, content_type: str
) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n\xff\r\n--b--\r\n'
    headers = {"Content-Type": content_type}
    async with sandbox.serve() as address, aiohttp.ClientSession(address.url) as client:
        url = f"/bot{sandbox.token}/sendMessage"
        async with client.post(url, data=body, headers=headers) as response:
            assert (response.status, (await response.json())["ok"]) == (400, False)


async def test_a_file_that_is_not_there_is_not_found(bot: Bot) -> None:
    with pytest.raises(aiohttp.ClientResponseError, match="404"):
        await bot.download_file("photos/none.png")


async def test_the_bot_cannot_write_first(bot: Bot) -> None:
    with pytest.raises(TelegramForbiddenError, match="can't initiate conversation"):
        await bot.send_message(BORIS_ID, "Buy!")


@pytest.mark.usefixtures("started")
async def test_a_person_who_blocked_the_bot_is_out_of_reach_until_unblocking(
    bot: Bot, anna: Person
) -> None:
    sent = await bot.send_message(ANNA_ID, "hello")

    anna.block()
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.send_message(ANNA_ID, "still there?")
    with pytest.raises(TelegramForbiddenError, match="bot was blocked by the user"):
        await bot.edit_message_text("x", chat_id=ANNA_ID, message_id=sent.message_id)

    anna.unblock()
    assert (await bot.send_message(ANNA_ID, "welcome back")).text == "welcome back"


async def test_a_burst_in_one_chat_ends_in_retry_after(connect: Connect) -> None:
    sandbox = Sandbox(chat_rate=RateLimit(per_s=0.01, burst=3))
    bot = await connect(sandbox)
    anna = sandbox.person(ANNA_ID)
    await anna.say("/start")
    for _ in range(3):
        await bot.send_message(ANNA_ID, "x")

    with pytest.raises(TelegramRetryAfter) as caught:
        await bot.send_message(ANNA_ID, "x")

    assert 90 < caught.value.retry_after <= 100
    assert len([m for m in anna.messages if m.from_bot]) == 3


async def test_the_limit_of_one_chat_does_not_slow_another(connect: Connect) -> None:
    sandbox = Sandbox(chat_rate=RateLimit(per_s=0.01, burst=1))
    bot = await connect(sandbox)
    for person_id in (ANNA_ID, BORIS_ID):
        await sandbox.person(person_id).say("/start")

    await bot.send_message(ANNA_ID, "x")

    assert (await bot.send_message(BORIS_ID, "x")).chat.id == BORIS_ID


async def test_all_chats_share_the_overall_limit(connect: Connect) -> None:
    sandbox = Sandbox(overall_rate=RateLimit(per_s=0.01, burst=2))
    bot = await connect(sandbox)
    people = [sandbox.person(person_id) for person_id in (1, 2, 3)]
    for person in people:
        await person.say("/start")
    await bot.send_message(1, "x")
    await bot.send_message(2, "x")

    with pytest.raises(TelegramRetryAfter):
        await bot.send_message(3, "x")


async def test_a_refused_message_takes_no_turn(connect: Connect) -> None:
    sandbox = Sandbox(chat_rate=RateLimit(per_s=0.01, burst=1))
    bot = await connect(sandbox)
    await sandbox.person(ANNA_ID).say("/start")
    with pytest.raises(TelegramAPIError):
        await bot.send_message(ANNA_ID, "<b>", parse_mode="HTML")

    assert (await bot.send_message(ANNA_ID, "x")).text == "x"
