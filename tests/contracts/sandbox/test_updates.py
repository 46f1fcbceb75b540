"""How updates reach the bot: long polling, webhooks, what is kept and what is confirmed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramConflictError
from aiogram.types import Update
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.sandbox import ANNA_ID, BORIS_ID, Person, Sandbox
from bot.sandbox.webhook import SECRET_HEADER

Connect = Callable[..., Awaitable[Bot]]


def said(updates: list[Update]) -> list[str | None]:
    return [update.message.text for update in updates if update.message]


# --- long polling ---------------------------------------------------------------------------


async def test_updates_stay_until_a_higher_offset_confirms_them(bot: Bot, anna: Person) -> None:
    for text in ("one", "two", "three"):
        await anna.say(text)

    first = await bot.get_updates()
    again = await bot.get_updates()
    rest = await bot.get_updates(offset=first[0].update_id + 1)

    assert said(first) == said(again) == ["one", "two", "three"]
    assert said(rest) == ["two", "three"]
    assert said(await bot.get_updates()) == ["two", "three"]


async def test_a_negative_offset_keeps_only_the_end(bot: Bot, anna: Person) -> None:
    for text in ("one", "two", "three"):
        await anna.say(text)

    assert said(await bot.get_updates(offset=-2)) == ["two", "three"]
    assert said(await bot.get_updates()) == ["two", "three"]


async def test_a_batch_has_at_most_the_limit(bot: Bot, anna: Person) -> None:
    for number in range(105):
        await anna.say(str(number))

    assert len(await bot.get_updates(limit=2)) == 2
    assert len(await bot.get_updates(limit=1000)) == 100


async def test_a_long_poll_returns_as_soon_as_something_is_said(bot: Bot, anna: Person) -> None:
    polling = asyncio.ensure_future(bot.get_updates(timeout=50))
    await bot.get_me()  # by now the poll has reached the server

    await anna.say("hello")

    assert said(await asyncio.wait_for(polling, 20)) == ["hello"]


async def test_a_poll_without_time_returns_at_once(bot: Bot) -> None:
    assert await bot.get_updates() == []


async def test_a_second_poll_ends_the_first_with_a_conflict(bot: Bot, anna: Person) -> None:
    older = asyncio.ensure_future(bot.get_updates(timeout=50))
    await bot.get_me()
    newer = asyncio.ensure_future(bot.get_updates(timeout=50))

    with pytest.raises(TelegramConflictError, match="terminated by other getUpdates"):
        await older
    await anna.say("for the newer")
    assert said(await newer) == ["for the newer"]


async def test_unwanted_kinds_are_never_queued_and_the_wish_is_remembered(
    bot: Bot, anna: Person
) -> None:
    await bot.get_updates(allowed_updates=["my_chat_member"])

    await anna.say("not wanted")
    anna.block()

    [update] = await bot.get_updates()
    assert update.my_chat_member is not None


async def test_an_empty_wish_means_everything_again(bot: Bot, anna: Person) -> None:
    await bot.get_updates(allowed_updates=["callback_query"])
    await bot.get_updates(allowed_updates=[])

    await anna.say("wanted")

    assert said(await bot.get_updates()) == ["wanted"]


async def test_updates_are_forgotten_after_24_hours(
    bot: Bot, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await anna.say("yesterday")
    loop = asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + 24 * 3600 - 60)
    assert said(await bot.get_updates()) == ["yesterday"]
    await anna.say("today")

    monkeypatch.setattr(loop, "time", lambda: real() + 24 * 3600 + 60)

    assert said(await bot.get_updates()) == ["today"]


async def test_a_later_sandbox_repeats_no_update_id_and_no_message_id(
    connect: Connect,
) -> None:
    async def ids_at(wall_time: float) -> list[tuple[int, int]]:
        sandbox = Sandbox(wall_clock=lambda: wall_time)
        bot = await connect(sandbox)
        messages = [await sandbox.person(ANNA_ID).say("x") for _ in range(50)]
        updates = await bot.get_updates()
        return [(m.id, u.update_id) for m, u in zip(messages, updates, strict=True)]

    earlier = await ids_at(1_800_000_000)
    later = await ids_at(1_800_000_060)

    assert later[0][0] > earlier[-1][0]
    assert later[0][1] > earlier[-1][1]


async def test_what_was_not_confirmed_survives_an_outage_of_the_server(
    sandbox: Sandbox, connect: Connect, anna: Person
) -> None:
    async with sandbox.serve():
        await anna.say("before")
    await anna.say("during")

    bot = await connect(sandbox)

    assert said(await bot.get_updates()) == ["before", "during"]


async def test_blocking_and_unblocking_are_told(bot: Bot, anna: Person) -> None:
    anna.block()
    anna.block()
    anna.unblock()

    updates = await bot.get_updates()

    changes = [u.my_chat_member for u in updates if u.my_chat_member]
    assert [(c.old_chat_member.status, c.new_chat_member.status) for c in changes] == [
        ("member", "kicked"),
        ("kicked", "member"),
    ]
    assert changes[0].from_user.id == changes[0].chat.id == ANNA_ID


# --- webhooks -------------------------------------------------------------------------------


@dataclass
class Hook:
    """A bot's webhook: says what it is told to say, and keeps what it got."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    secrets: list[str | None] = field(default_factory=list)
    reply: dict[str, Any] | None = None
    garbage: bool = False
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def serve(self, request: web.Request) -> web.Response:
        """Takes one delivery."""
        async with self._arrived:
            self.got.append(await request.json())
            self.secrets.append(request.headers.get(SECRET_HEADER))
            self._arrived.notify_all()
        status = self.statuses.pop(0) if self.statuses else 200
        if self.garbage:
            return web.Response(body=b"no part", content_type="multipart/form-data")
        return web.json_response(self.reply if status == 200 else None, status=status)

    async def deliveries(self, count: int) -> list[str]:
        """The texts of all deliveries, once there are at least `count`."""
        async with self._arrived, asyncio.timeout(20):
            await self._arrived.wait_for(lambda: len(self.got) >= count)
        return [update["message"]["text"] for update in self.got if "message" in update]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(webhook_retry_s=0.01)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    made = Hook()
    app = web.Application()
    app.router.add_post("/hook", made.serve)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/hook"))
        yield made


async def test_updates_are_posted_with_the_secret(bot: Bot, anna: Person, hook: Hook) -> None:
    await bot.set_webhook(hook.url, secret_token="s-1")

    await anna.say("one")
    await anna.say("two")

    assert await hook.deliveries(2) == ["one", "two"]
    assert hook.secrets == ["s-1", "s-1"]
    for update in hook.got:
        Update.model_validate(update)


async def test_what_waited_before_the_webhook_is_delivered_too(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    await anna.say("early")

    await bot.set_webhook(hook.url)

    assert await hook.deliveries(1) == ["early"]
    assert hook.secrets == [None]


async def test_an_update_is_repeated_until_2xx_and_the_next_one_waits(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.statuses = [500, 401, 200, 204]
    await bot.set_webhook(hook.url)

    await anna.say("one")
    await anna.say("two")

    assert await hook.deliveries(4) == ["one", "one", "one", "two"]
    assert len({update["update_id"] for update in hook.got}) == 2


async def test_a_failed_delivery_shows_in_the_webhook_info(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.statuses = [500] * 1000
    await bot.set_webhook(hook.url, max_connections=1, allowed_updates=["message"])
    await anna.say("one")
    await hook.deliveries(2)

    info = await bot.get_webhook_info()

    assert (info.url, info.pending_update_count) == (hook.url, 1)
    assert info.last_error_message == "Wrong response from the webhook: 500"
    assert (info.max_connections, info.allowed_updates) == (1, ["message"])


async def test_an_unreachable_webhook_is_tried_again(
    bot: Bot, anna: Person, hook: Hook, unused_tcp_port: int
) -> None:
    await bot.set_webhook(f"http://127.0.0.1:{unused_tcp_port}/hook")
    await anna.say("patience")
    async with asyncio.timeout(20):
        while not (await bot.get_webhook_info()).last_error_message:
            await bot.get_me()

    await bot.set_webhook(hook.url)

    assert await hook.deliveries(1) == ["patience"]
    assert (await bot.get_webhook_info()).last_error_message is None


async def test_polling_is_refused_while_a_webhook_is_set(bot: Bot, hook: Hook) -> None:
    await bot.set_webhook(hook.url)

    with pytest.raises(TelegramConflictError, match="webhook is active"):
        await bot.get_updates()

    await bot.delete_webhook()
    assert await bot.get_updates() == []


async def test_setting_a_webhook_ends_a_poll(bot: Bot, hook: Hook) -> None:
    polling = asyncio.ensure_future(bot.get_updates(timeout=50))
    await bot.get_me()

    await bot.set_webhook(hook.url)

    with pytest.raises(TelegramConflictError, match="terminated by setWebhook"):
        await polling


async def test_an_empty_address_removes_the_webhook_and_keeps_updates(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.statuses = [500] * 1000
    await bot.set_webhook(hook.url)
    await anna.say("kept")
    await hook.deliveries(1)

    await bot.set_webhook("")

    assert (await bot.get_webhook_info()).url == ""
    assert said(await bot.get_updates()) == ["kept"]


@pytest.mark.parametrize("drop", [True, False])
async def test_pending_updates_are_dropped_only_on_request(
    bot: Bot, anna: Person, drop: bool
) -> None:
    await anna.say("old")

    await bot.delete_webhook(drop_pending_updates=drop)

    assert said(await bot.get_updates()) == ([] if drop else ["old"])


async def test_a_method_in_the_webhooks_answer_is_executed(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.reply = {"method": "sendMessage", "chat_id": ANNA_ID, "text": "by reply"}
    await bot.set_webhook(hook.url)

    await anna.say("hello")

    assert (await anna.wait_for("by reply")).from_bot


async def test_a_refused_method_in_the_answer_does_not_stop_delivery(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.reply = {"method": "sendMessage", "chat_id": BORIS_ID, "text": "he never wrote"}
    await bot.set_webhook(hook.url)

    await anna.say("one")
    await anna.say("two")

    assert await hook.deliveries(2) == ["one", "two"]


async def test_a_reply_that_cannot_be_read_stops_no_delivery(
    bot: Bot, anna: Person, hook: Hook
) -> None:
    hook.garbage = True
    await bot.set_webhook(hook.url)

    await anna.say("one")
    await anna.say("two")

    assert await hook.deliveries(2) == ["one", "two"]
