"""A running sandbox and an unmodified aiogram client that talks to it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from aiogram import Bot
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer

from bot.sandbox import ANNA_ID, BORIS_ID, Person, Sandbox

Connect = Callable[[Sandbox], Awaitable[Bot]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Serves a sandbox and gives a client for it; both end with the test."""
    async with AsyncExitStack() as stack:

        async def connected(sandbox: Sandbox, token: str | None = None) -> Bot:
            address = await stack.enter_async_context(sandbox.serve())
            session = AiohttpSession(api=TelegramAPIServer.from_base(address.url))
            inner = await session.create_session()
            # The inner session at once: AiohttpSession.close waits for TLS that we do not use.
            stack.push_async_callback(inner.close)
            return Bot(token or sandbox.token, session=session)

        yield connected


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


@pytest.fixture
async def bot(sandbox: Sandbox, connect: Connect) -> Bot:
    return await connect(sandbox)


@pytest.fixture
def anna(sandbox: Sandbox) -> Person:
    return sandbox.person(ANNA_ID)


@pytest.fixture
def boris(sandbox: Sandbox) -> Person:
    return sandbox.person(BORIS_ID)


@pytest.fixture
async def started(anna: Person, boris: Person, bot: Bot) -> None:
    """Both have written to the bot, and the bot has read it."""
    await anna.say("/start")
    await boris.say("/start")
    await bot.get_updates(offset=-1)
    await bot.get_updates(offset=(await bot.get_updates())[-1].update_id + 1)
