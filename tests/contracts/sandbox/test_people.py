"""What a test can do with a person, and what it reads when something goes wrong."""

from collections.abc import Awaitable, Callable

import pytest
from aiogram import Bot
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.sandbox import (
    ADMIN_ID,
    ANNA_ID,
    BORIS_ID,
    BlockedError,
    Person,
    Sandbox,
)

Connect = Callable[..., Awaitable[Bot]]


def keyboard(*texts: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=t, callback_data=t.lower())] for t in texts]
    )


def test_three_people_are_there_from_the_start() -> None:
    people = Sandbox(admin_id=42).people

    assert [(p.id, p.chat.user["language_code"]) for p in people] == [
        (ANNA_ID, "en"),
        (BORIS_ID, "ru"),
        (42, "en"),
    ]
    assert [p.id for p in Sandbox().people][-1] == ADMIN_ID


def test_a_person_is_created_once(sandbox: Sandbox) -> None:
    clara = sandbox.person(5, first_name="Clara", username="clara", stars=7)

    assert sandbox.person(5, first_name="Other") is clara
    assert (clara.stars, clara.chat.user["first_name"]) == (7, "Clara")


async def test_a_command_is_marked_as_one(anna: Person) -> None:
    said = await anna.say(" /start abc ")

    assert said.text == "/start abc"
    assert said.entities == [{"type": "bot_command", "offset": 0, "length": 6}]


async def test_an_unanswered_tap_ends_in_none_and_a_late_answer_is_refused(
    connect: Connect,
) -> None:
    sandbox = Sandbox(callback_timeout_s=0.05)
    bot = await connect(sandbox)
    anna = sandbox.person(ANNA_ID)
    await anna.say("/start")
    await bot.send_message(ANNA_ID, "menu", reply_markup=keyboard("Buy"))

    assert await anna.tap(anna.messages[-1], "Buy") is None

    query = (await bot.get_updates())[-1].callback_query
    assert query is not None
    with pytest.raises(Exception, match="query is too old"):
        await bot.answer_callback_query(query.id)


async def test_who_has_blocked_the_bot_cannot_use_the_chat(anna: Person) -> None:
    await anna.say("/start")
    anna.block()

    with pytest.raises(BlockedError, match="Anna has blocked the bot"):
        await anna.say("hello?")


async def test_a_port_in_use_is_an_oserror(sandbox: Sandbox) -> None:
    async with sandbox.serve() as address:
        with pytest.raises(OSError, match="address already in use"):
            async with Sandbox().serve("127.0.0.1", address.port):
                pass
