"""Each scripted fault looks to the client like the trouble it stands for."""

import asyncio

import pytest
from aiogram import Bot
from aiogram.exceptions import (
    RestartingTelegram,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramConflictError,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)

from bot.sandbox import ANNA_ID, Fault, Person, Sandbox
from bot.sandbox.faults import AnyFault

pytestmark = pytest.mark.usefixtures("started")


def texts(person: Person) -> list[str]:
    return [m.text for m in person.messages if m.from_bot]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.status(400, "Bad Request: no"), TelegramBadRequest),
        (Fault.status(401), TelegramUnauthorizedError),
        (Fault.status(403), TelegramForbiddenError),
        (Fault.status(409), TelegramConflictError),
        (Fault.status(429, retry_after_s=7), TelegramRetryAfter),
        (Fault.status(500), TelegramServerError),
        (Fault.status(500, "Internal Server Error: restart"), RestartingTelegram),
        (Fault.status(502), TelegramServerError),
        (Fault.drop(), TelegramNetworkError),
    ],
)
async def test_a_call_that_fails_is_not_executed(
    bot: Bot, sandbox: Sandbox, anna: Person, fault: AnyFault, error: type[TelegramAPIError]
) -> None:
    sandbox.faults.next("sendMessage", fault)

    with pytest.raises(error):
        await bot.send_message(ANNA_ID, "first")
    await bot.send_message(ANNA_ID, "second")

    assert texts(anna) == ["second"]


async def test_a_lost_reply_leaves_the_message_in_the_chat(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    sandbox.faults.next("sendMessage", Fault.reply_lost())

    with pytest.raises(TelegramNetworkError):
        await bot.send_message(ANNA_ID, "sent")

    assert texts(anna) == ["sent"]


async def test_retry_after_is_told(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.faults.next("sendMessage", Fault.status(429, retry_after_s=7))

    with pytest.raises(TelegramRetryAfter) as caught:
        await bot.send_message(ANNA_ID, "x")

    assert caught.value.retry_after == 7


async def test_a_held_call_takes_effect_when_released(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    gate = asyncio.Event()
    sandbox.faults.next("sendMessage", Fault.hold(gate))
    sandbox.calls.clear()

    sending = asyncio.ensure_future(bot.send_message(ANNA_ID, "late"))
    await bot.send_chat_action(ANNA_ID, "typing")  # others are not held up
    assert texts(anna) == []
    gate.set()
    await sending

    assert texts(anna) == ["late"]


async def test_a_delayed_call_takes_effect(bot: Bot, sandbox: Sandbox, anna: Person) -> None:
    sandbox.faults.next("sendMessage", Fault.delay(0.01))

    await bot.send_message(ANNA_ID, "late")

    assert texts(anna) == ["late"]


async def test_faults_strike_in_order_and_only_their_method(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    sandbox.faults.next("SENDMESSAGE", Fault.status(502), times=2)
    sandbox.faults.next("sendMessage", Fault.drop())

    await bot.get_me()
    for error in (TelegramServerError, TelegramServerError, TelegramNetworkError):
        with pytest.raises(error):
            await bot.send_message(ANNA_ID, "x")
    await bot.send_message(ANNA_ID, "through")

    assert texts(anna) == ["through"]


async def test_a_star_stands_for_whichever_call_comes_next(bot: Bot, sandbox: Sandbox) -> None:
    sandbox.faults.next("*", Fault.status(502))

    with pytest.raises(TelegramServerError):
        await bot.get_me()
    assert (await bot.get_me()).is_bot


async def test_clearing_ends_all_trouble(bot: Bot, sandbox: Sandbox, anna: Person) -> None:
    sandbox.faults.next("getMe", Fault.drop())
    sandbox.faults.duplicate_next_update()

    sandbox.faults.clear()

    assert (await bot.get_me()).is_bot
    await anna.say("once")
    assert len(await bot.get_updates()) == 1


async def test_a_duplicated_update_comes_twice_under_one_id(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    sandbox.faults.duplicate_next_update()

    await anna.say("hello")
    await anna.say("world")

    updates = await bot.get_updates()
    assert [u.message.text for u in updates if u.message] == ["hello", "hello", "world"]
    assert updates[0].update_id == updates[1].update_id < updates[2].update_id


async def test_a_confirmed_update_can_be_delivered_again(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    await anna.say("hello")
    [update] = await bot.get_updates()
    assert await bot.get_updates(offset=update.update_id + 1) == []

    sandbox.redeliver(update.model_dump(mode="json", exclude_none=True))

    [again] = await bot.get_updates()
    assert again.update_id == update.update_id


async def test_an_update_that_is_swallowed_never_comes_and_is_kept_for_the_test(
    bot: Bot, sandbox: Sandbox, anna: Person
) -> None:
    sandbox.faults.swallow_next_update(lambda update: update["message"]["text"] == "lost")

    await anna.say("hello")
    await anna.say("lost")
    await anna.say("lost")

    updates = await bot.get_updates()
    assert [u.message.text for u in updates if u.message] == ["hello", "lost"]
    [lost] = sandbox.faults.swallowed
    assert updates[0].update_id < lost["update_id"] < updates[1].update_id
