"""How Telegram learns where updates go, against the sandbox: set once, never taken away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiogram import Bot
from structlog.testing import capture_logs

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.mailbox import Mailbox
from bot.intake import (
    MAX_CONNECTIONS,
    PAUSE_S,
    WEBHOOK_LOOK_S,
    TelegramIntake,
    WebhookIntake,
)
from bot.sandbox import Call, Fault, Sandbox
from bot.session import make_bot
from storage.database import Database, refuse_in_transaction
from storage.errors import StorageUnavailable
from storage.inbox import PostgresInbox
from tests.clock import ManualClock, until
from tests.integration.database_fixtures import Rows

SECRET = "0123456789abcdef"
ALLOWED = ["message", "pre_checkout_query"]
#: Nobody listens there: what is delivered waits at Telegram's.
URL = "http://127.0.0.1:1/telegram/hook"


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
async def bot(sandbox: Sandbox) -> AsyncIterator[Bot]:
    async with sandbox.serve() as address:
        made = make_bot(sandbox.token, refuse_in_transaction, address.url)
        yield made
        await made.session.close()


@asynccontextmanager
async def living(actor: AsyncioActor) -> AsyncIterator[tuple[ManualClock, list[Ending]]]:
    """An actor from its start to its orderly end: its clock, and how it ended."""
    clock, endings = ManualClock(), list[Ending]()
    post = Post(
        name="intake",
        mailbox=Mailbox("intake", 10),
        surroundings=Surroundings(clock=clock, weather=(StorageUnavailable,)),
        ended=lambda _, ending: endings.append(ending),
    )
    actor.take_post(post)
    await actor.started
    yield clock, endings
    actor.stop()
    await actor.wait_ended()


def calls(sandbox: Sandbox, method: str) -> list[Call]:
    """What the bot called, oldest first."""
    return [call for call in sandbox.calls if call.method == method]


async def test_telegram_is_told_where_updates_go_and_keeps_it(sandbox: Sandbox, bot: Bot) -> None:
    async with living(WebhookIntake(bot, URL, SECRET, ALLOWED)):
        await until(lambda: calls(sandbox, "setWebhook"))

    (told,) = calls(sandbox, "setWebhook")
    assert told.params["url"] == URL
    assert told.params["secret_token"] == SECRET
    assert told.params["allowed_updates"] == ALLOWED
    assert told.params["max_connections"] == MAX_CONNECTIONS
    assert not told.params.get("drop_pending_updates")
    assert (await bot.get_webhook_info()).url == URL, "what comes meanwhile is kept"
    assert calls(sandbox, "deleteWebhook") == []


async def test_a_telegram_that_is_away_is_told_when_it_is_back(sandbox: Sandbox, bot: Bot) -> None:
    sandbox.faults.next("setWebhook", Fault.status(502), times=2)

    async with living(WebhookIntake(bot, URL, SECRET, ALLOWED)) as (clock, endings):
        for pause in (PAUSE_S[0], 2 * PAUSE_S[0]):
            await until(lambda: clock.delays)
            assert clock.delays == [pause]
            clock.advance(pause)
        await until(lambda: len(calls(sandbox, "setWebhook")) == 3)
        while not (await bot.get_webhook_info()).url:
            pass
    assert [ending.error for ending in endings] == [None]


async def test_a_webhook_that_another_back_end_took_away_is_set_again(
    sandbox: Sandbox, bot: Bot
) -> None:
    """One of before that still polls does so, and then nothing would come for ever."""
    async with living(WebhookIntake(bot, URL, SECRET, ALLOWED)) as (clock, _):
        await until(lambda: clock.delays)
        clock.advance(WEBHOOK_LOOK_S)
        await until(lambda: calls(sandbox, "getWebhookInfo") and clock.delays)
        assert len(calls(sandbox, "setWebhook")) == 1, "it is there: nothing is done"

        await bot.delete_webhook()
        clock.advance(WEBHOOK_LOOK_S)
        await until(lambda: len(calls(sandbox, "setWebhook")) == 2)

    assert (await bot.get_webhook_info()).url == URL


async def test_a_webhook_that_telegram_does_not_take_is_told_with_its_words(
    sandbox: Sandbox, bot: Bot
) -> None:
    words = "Bad Request: bad webhook: HTTPS url must be provided for webhook"
    sandbox.faults.next("setWebhook", Fault.status(400, words))

    with capture_logs() as logs:
        async with living(WebhookIntake(bot, URL, SECRET, ALLOWED)) as (clock, _):
            await until(lambda: clock.delays)

    assert [entry["reason"] for entry in logs if entry["event"] == "webhook_not_taken"] == [words]


async def test_a_wrong_token_ends_the_actor(sandbox: Sandbox, bot: Bot) -> None:
    sandbox.faults.next("setWebhook", Fault.status(401))

    async with living(WebhookIntake(bot, URL, SECRET, ALLOWED)) as (_, endings):
        await until(lambda: endings)
    assert "Unauthorized" in type(endings[0].error).__name__


async def test_polling_takes_a_webhook_out_of_the_way_and_loses_no_update(
    sandbox: Sandbox, bot: Bot, database: Database, rows: Rows
) -> None:
    await bot.set_webhook(URL, secret_token=SECRET)
    await sandbox.person(1001).say("hello")
    intake = TelegramIntake(
        bot, PostgresInbox(database), ALLOWED, Address("inbox", lambda _: None, ManualClock())
    )

    async with living(intake) as (clock, _):
        await until(lambda: clock.delays)
        clock.advance(PAUSE_S[0])
        await until(lambda: not sandbox.pending_updates)

    assert await rows.fetchval("SELECT count(*) FROM inbox WHERE payload LIKE '%hello%'") == 1
    assert len(calls(sandbox, "deleteWebhook")) == 1
