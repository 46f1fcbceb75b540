"""What the dispatcher asks Telegram for, and what becomes of errors and of those who leave."""

from typing import Any

import pytest
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramRetryAfter,
)
from aiogram.methods import SendMessage

from actors.runtime.replies import ActorFailed
from actors.user.messages import Introduce
from bot.callbacks import Go, Page
from bot.dispatcher import build_dispatcher
from tests.unit.bot.conftest import BUYER, NOW, World, message, person, status, tap

METHOD = SendMessage(chat_id=BUYER, text="x")


def membership(new: str, chat_type: str = "private") -> dict[str, Any]:
    bot = person(123456, is_bot=True)
    old = {"kicked": "member", "member": "kicked"}[new]
    return {
        "my_chat_member": {
            "chat": {"id": BUYER, "type": chat_type},
            "from": person(),
            "date": int(NOW.timestamp()),
            "old_chat_member": {"status": old, "user": bot, "until_date": 0},
            "new_chat_member": {"status": new, "user": bot, "until_date": 0},
        }
    }


def test_only_updates_that_are_worked_on_are_asked_for(world: World) -> None:
    assert world.dispatcher.resolve_used_update_types() == [
        "callback_query",
        "message",
        "my_chat_member",
        "pre_checkout_query",
    ]


def test_dispatchers_share_no_routers(world: World) -> None:
    data = dict(world.dispatcher.workflow_data)
    del data["unanswered"], data["currencies"]
    first, second = build_dispatcher(**data), build_dispatcher(**data)
    assert not set(first.sub_routers) & set(second.sub_routers)


@pytest.mark.parametrize(("new", "reachable"), [("kicked", False), ("member", True)])
async def test_who_blocks_the_bot_cannot_be_reached_until_they_return(
    world: World, new: str, *, reachable: bool
) -> None:
    await world.feed(membership(new))

    assert world.queries.reach == [(BUYER, reachable)]


async def test_being_removed_from_a_group_says_nothing_about_a_person(world: World) -> None:
    await world.feed(membership("kicked", chat_type="group"))

    assert not world.queries.reach


async def test_a_block_noticed_while_answering_is_noted_and_ends_there(world: World) -> None:
    world.users.answers[Introduce] = status()
    blocked = TelegramForbiddenError(method=METHOD, message="bot was blocked by the user")
    world.telegram.fail_next("sendMessage", blocked)

    await world.feed(message("/start"))

    assert world.queries.reach == [(BUYER, False)]


@pytest.mark.parametrize(
    "error",
    [
        TelegramNetworkError(method=METHOD, message="x"),
        TelegramRetryAfter(method=METHOD, message="x", retry_after=3),
        TelegramBadRequest(method=METHOD, message="can't parse entities"),
    ],
)
async def test_what_may_be_cured_by_repeating_is_raised(world: World, error: Exception) -> None:
    world.users.answers[Introduce] = status()
    world.telegram.fail_next("sendMessage", error)

    with pytest.raises(type(error)):
        await world.feed(message("/start"))


async def test_a_tap_that_cannot_be_answered_for_another_reason_is_raised(world: World) -> None:
    error = TelegramBadRequest(method=METHOD, message="Bad Request: MESSAGE_TOO_LONG")
    world.telegram.fail_next("answerCallbackQuery", error)

    with pytest.raises(TelegramBadRequest):
        await world.feed(tap(Go(page=Page.HELP).pack()))


@pytest.mark.parametrize("update", [message("/start"), tap(Go(page=Page.CARD).pack())])
async def test_a_bug_is_not_swallowed(world: World, update: dict[str, Any]) -> None:
    world.users.answers[Introduce] = ActorFailed("user[77]")

    with pytest.raises(ActorFailed):
        await world.feed(update)


@pytest.mark.parametrize("update", [message("/start"), tap(Go(page=Page.CARD).pack())])
async def test_a_person_is_told_of_a_bug_once_nobody_tries_any_more(
    world: World, update: dict[str, Any]
) -> None:
    world.users.answers[Introduce] = ActorFailed("user/77")

    with pytest.raises(ActorFailed):
        await world.feed(update)

    assert "it is our fault" in str(world.telegram.calls[-1])


async def test_a_bug_that_is_tried_again_is_told_to_nobody(world: World) -> None:
    world.users.answers[Introduce] = KeyError("a bug")

    with pytest.raises(KeyError):
        await world.feed(message("/start"))

    assert "our fault" not in str(world.telegram.calls)
