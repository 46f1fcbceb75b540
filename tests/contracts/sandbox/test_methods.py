"""Every method of the emulator through aiogram's own client, which validates each reply.

Unknown fields pass aiogram silently, so replies are also searched for fields it does not know.
"""

import asyncio
import io
from typing import Any

import pytest
import segno
from aiogram import Bot
from aiogram.types import (
    BotCommand,
    BotCommandScopeAllPrivateChats,
    BotCommandScopeChat,
    BufferedInputFile,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)
from pydantic import BaseModel

from bot.sandbox import ANNA_ID, Person, Sandbox
from bot.sandbox.bot_methods import commands_for

pytestmark = pytest.mark.usefixtures("started")

LINK = "vless://id@203.0.113.7:443?security=reality#Tollgate"
KEYBOARD = InlineKeyboardMarkup(
    inline_keyboard=[[InlineKeyboardButton(text="Buy", callback_data="buy")]]
)


def qr_code(text: str) -> BufferedInputFile:
    buffer = io.BytesIO()
    segno.make(text).save(buffer, kind="png", scale=4)
    return BufferedInputFile(buffer.getvalue(), "qr.png")


def unknown_fields(value: Any) -> list[str]:
    """Names that aiogram took without knowing them, at any depth."""
    if isinstance(value, BaseModel):
        own = list(value.model_extra or {})
        return own + [n for item in value.__dict__.values() for n in unknown_fields(item)]
    if isinstance(value, list):
        return [name for item in value for name in unknown_fields(item)]
    return []


async def test_get_me_tells_who_the_bot_is(bot: Bot) -> None:
    me = await bot.get_me()

    assert (me.id, me.is_bot, me.username) == (bot.id, True, "tollgate_demo_bot")
    assert unknown_fields(me) == []


async def test_a_message_arrives_with_entities_and_keyboard(bot: Bot, anna: Person) -> None:
    sent = await bot.send_message(
        ANNA_ID,
        "<b>Hello</b> <code>x</code>",
        parse_mode="HTML",
        reply_markup=KEYBOARD,
        link_preview_options=LinkPreviewOptions(is_disabled=True),
    )

    seen = anna.messages[-1]
    assert unknown_fields(sent) == []
    assert sent.html_text == "<b>Hello</b> <code>x</code>"
    assert (seen.id, seen.text, seen.button("Buy").data) == (sent.message_id, "Hello x", "buy")
    assert sent.from_user is not None
    assert sent.from_user.id == bot.id


async def test_message_ids_grow(bot: Bot) -> None:
    first, second = [await bot.send_message(ANNA_ID, text) for text in "ab"]

    assert second.message_id > first.message_id


async def test_a_reply_shows_what_it_replies_to(bot: Bot, anna: Person) -> None:
    asked = await anna.say("where?")

    sent = await bot.send_message(
        ANNA_ID, "here", reply_parameters=ReplyParameters(message_id=asked.id)
    )

    assert sent.reply_to_message is not None
    assert sent.reply_to_message.text == "where?"


async def test_a_photo_arrives_byte_for_byte(bot: Bot, anna: Person) -> None:
    code = qr_code(LINK)

    sent = await bot.send_photo(
        ANNA_ID, code, caption=f"<code>{LINK}</code>", parse_mode="HTML", reply_markup=KEYBOARD
    )

    assert unknown_fields(sent) == []
    assert anna.photos == [code.data]
    assert anna.link == LINK
    assert sent.photo is not None
    assert sent.photo[-1].width == sent.photo[-1].height > 100


async def test_an_uploaded_photo_can_be_fetched_and_sent_again(bot: Bot, anna: Person) -> None:
    code = qr_code(LINK)
    sent = await bot.send_photo(ANNA_ID, code)
    assert sent.photo is not None
    file_id = sent.photo[-1].file_id

    file = await bot.get_file(file_id)
    assert file.file_path is not None
    fetched = io.BytesIO()
    await bot.download_file(file.file_path, fetched)
    await bot.send_photo(ANNA_ID, file_id)

    assert fetched.getvalue() == code.data
    assert anna.photos == [code.data, code.data]


async def test_an_edit_replaces_text_and_keyboard_in_place(bot: Bot, anna: Person) -> None:
    sent = await bot.send_message(ANNA_ID, "Paid", reply_markup=KEYBOARD)
    count = len(anna.messages)

    edited = await bot.edit_message_text(
        "<i>Ready</i>", chat_id=ANNA_ID, message_id=sent.message_id, parse_mode="HTML"
    )

    assert isinstance(edited, Message)
    assert unknown_fields(edited) == []
    assert (edited.message_id, edited.html_text) == (sent.message_id, "<i>Ready</i>")
    assert edited.edit_date is not None
    assert len(anna.messages) == count
    assert (anna.messages[-1].text, anna.messages[-1].buttons) == ("Ready", [])


async def test_a_caption_can_be_edited(bot: Bot, anna: Person) -> None:
    sent = await bot.send_photo(ANNA_ID, qr_code(LINK), caption="old")

    await bot.edit_message_caption(chat_id=ANNA_ID, message_id=sent.message_id, caption="new")

    assert anna.messages[-1].text == "new"
    assert len(anna.photos) == 1


async def test_a_keyboard_can_be_taken_away_alone(bot: Bot, anna: Person) -> None:
    sent = await bot.send_message(ANNA_ID, "menu", reply_markup=KEYBOARD)

    await bot.edit_message_reply_markup(chat_id=ANNA_ID, message_id=sent.message_id)

    assert (anna.messages[-1].text, anna.messages[-1].buttons) == ("menu", [])


async def test_a_deleted_message_is_gone(bot: Bot, anna: Person) -> None:
    sent = await bot.send_message(ANNA_ID, "secret")

    assert await bot.delete_message(ANNA_ID, sent.message_id)

    assert sent.message_id not in [m.id for m in anna.messages]


@pytest.mark.parametrize("alert", [False, True])
async def test_a_tap_is_delivered_and_its_answer_is_seen(
    bot: Bot, anna: Person, alert: bool
) -> None:
    sent = await bot.send_message(ANNA_ID, "menu", reply_markup=KEYBOARD)
    tapping = asyncio.ensure_future(anna.tap(anna.messages[-1], "Buy"))

    [update] = await bot.get_updates(timeout=20)
    query = update.callback_query
    assert query is not None
    assert unknown_fields(update) == []
    assert isinstance(query.message, Message)
    assert (query.data, query.message.message_id) == ("buy", sent.message_id)
    assert query.from_user.id == ANNA_ID
    await bot.answer_callback_query(query.id, text="Sold out", show_alert=alert)

    answer = await tapping
    assert answer is not None
    assert (answer.text, answer.alert) == ("Sold out", alert)


async def test_a_tap_on_a_deleted_message_names_it_as_inaccessible(bot: Bot, anna: Person) -> None:
    sent = await bot.send_message(ANNA_ID, "menu", reply_markup=KEYBOARD)
    seen = anna.messages[-1]
    await bot.delete_message(ANNA_ID, sent.message_id)
    tapping = asyncio.ensure_future(anna.tap(seen, "Buy"))

    [update] = await bot.get_updates(timeout=20)

    assert update.callback_query is not None
    assert not isinstance(update.callback_query.message, Message)
    await update.callback_query.answer().as_(bot)
    assert (await tapping) is not None


async def test_a_chat_action_is_accepted(bot: Bot) -> None:
    assert await bot.send_chat_action(ANNA_ID, "typing")


async def test_the_narrowest_commands_in_the_own_language_win(bot: Bot, sandbox: Sandbox) -> None:
    everyone = [BotCommand(command="start", description="Start")]
    russian = [BotCommand(command="start", description="Начать")]
    admin = [BotCommand(command="nodes", description="Nodes")]

    assert await bot.set_my_commands(everyone)
    assert await bot.set_my_commands(
        russian, scope=BotCommandScopeAllPrivateChats(), language_code="ru"
    )
    assert await bot.set_my_commands(admin, scope=BotCommandScopeChat(chat_id=ANNA_ID))

    assert [command.description for command in await bot.get_my_commands()] == ["Start"]
    seen = [
        commands_for(sandbox._world, chat_id, language)[0]["description"]
        for chat_id, language in ((5, "en"), (5, "ru"), (ANNA_ID, "ru"))
    ]
    assert seen == ["Start", "Начать", "Nodes"]
    assert await bot.delete_my_commands(scope=BotCommandScopeChat(chat_id=ANNA_ID))
    assert commands_for(sandbox._world, ANNA_ID, "en")[0]["description"] == "Start"


async def test_an_invoice_arrives_as_a_card_with_a_pay_button(bot: Bot, anna: Person) -> None:
    sent = await bot.send_invoice(
        ANNA_ID,
        title="1 month",
        description="30 days",
        payload="p-1",
        currency="XTR",
        prices=[LabeledPrice(label="1 month", amount=100)],
        provider_token="",
        start_parameter="p1",
    )

    assert unknown_fields(sent) == []
    assert sent.invoice is not None
    assert (sent.invoice.total_amount, sent.invoice.start_parameter) == (100, "p1")
    assert anna.messages[-1].buttons[0].pays


async def test_an_invoice_link_is_a_link(bot: Bot) -> None:
    link = await bot.create_invoice_link(
        title="1 month",
        description="30 days",
        payload="p-1",
        currency="XTR",
        prices=[LabeledPrice(label="1 month", amount=100)],
    )

    assert link.startswith("https://t.me/$")


async def test_log_out_and_close_say_yes(bot: Bot) -> None:
    assert await bot.log_out()
    assert await bot.close()


async def test_calls_are_logged_in_order(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.calls.clear()

    await bot.send_message(ANNA_ID, "one")
    await bot.send_chat_action(ANNA_ID, "typing")

    assert [(call.method, call.params["chat_id"]) for call in sandbox.calls] == [
        ("sendMessage", ANNA_ID),
        ("sendChatAction", ANNA_ID),
    ]
