"""Telegram in this process: updates that wait to be confirmed, and messages that people see.

Below the routers of `bot/` everything is the program's own: intake, inbox, worker, actors. A tap or
a command is an update whose `sim` says what a router would have read out of it.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import GetMe

from actors.notifier.ports import (
    CannotReach,
    Carried,
    CarryLater,
    CarryOutcome,
    LinkReady,
    Notice,
    PurchaseProgress,
)
from bot.session import GetRawUpdates
from storage.database import refuse_in_transaction
from tests.simulation.world import Simulated

BOT_ID = 123456
#: Of a method that nobody reads: the exception wants one.
SOME_METHOD = GetMe()


class Telegram:
    """The server: one bot, its updates, its chats."""

    def __init__(self, world: Simulated) -> None:
        self.world = world
        self.updates: list[dict[str, Any]] = []
        self.away = False
        self._next = 1000
        self._came: asyncio.Event = asyncio.Event()
        self._questions: dict[str, asyncio.Future[bool]] = {}
        #: Called with the updates that the bot says it has taken.
        self.confirmed: Callable[[list[dict[str, Any]]], None] = lambda _: None
        #: Called with each notice before a person sees it.
        self.noticed: Callable[[Notice], None] = lambda _: None
        self.blocked: set[int] = set()

    def push(self, content: dict[str, Any]) -> None:
        """Something happened that the bot is to hear of."""
        self._next += 1
        self.updates.append({"update_id": self._next, **content})
        self._came.set()

    def say(self, user_id: int, **sim: Any) -> None:
        """Somebody writes or taps."""
        self.push({"message": {"from": {"id": user_id}, "sim": sim}})

    async def travel(self) -> None:
        """A call of the bot's on its way.

        Raises:
            TelegramNetworkError: it does not arrive.
        """
        refuse_in_transaction()
        world = self.world
        await asyncio.sleep(0.001 + world.chance.random() * world.air.slowest_s)  # noqa: TID251
        if self.away or world.happens(world.air.lost):
            world.count("telegram away")
            raise TelegramNetworkError(method=SOME_METHOD, message="no connection")

    def answered(self) -> None:
        """Whether the bot hears the answer to a call that was carried out.

        Raises:
            TelegramNetworkError: it does not.
        """
        if self.world.happens(self.world.air.reply_lost):
            self.world.count("telegram reply lost")
            raise TelegramNetworkError(method=SOME_METHOD, message="reset")

    async def poll(self, offset: int | None, timeout_s: float) -> list[dict[str, Any]]:
        """A long poll: what is below the offset is confirmed, and never comes again."""
        await self.travel()
        if offset is not None:
            taken = [update for update in self.updates if update["update_id"] < offset]
            if taken:
                self.updates = [u for u in self.updates if u["update_id"] >= offset]
                self.confirmed(taken)
        if not self.updates:
            self._came.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return []
        self.answered()
        return list(self.updates)

    async def ask_before_charge(self, query_id: str, content: dict[str, Any]) -> bool:
        """Whether the bot lets a charge happen, which it has to say within ten seconds."""
        answer: asyncio.Future[bool] = self.world.loop.create_future()
        self._questions[query_id] = answer
        self.push({"pre_checkout_query": {"id": query_id, **content}})
        try:
            async with asyncio.timeout(10.0):
                return await answer
        except TimeoutError:
            self.world.count("pre-checkout timed out")
            return False
        finally:
            del self._questions[query_id]

    async def answer(self, query_id: str, *, ok: bool) -> None:
        """The bot's word about a charge; a late one is refused."""
        await self.travel()
        waiting = self._questions.get(query_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(ok)
        self.answered()


class SimBot:
    """What the program takes for its bot."""

    id = BOT_ID

    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram

    async def __call__(self, method: Any, request_timeout: int | None = None) -> Any:
        """Only the poll for updates is called by method."""
        del request_timeout
        assert isinstance(method, GetRawUpdates), method
        return await self.telegram.poll(method.offset, method.timeout)


class SimCourier:
    """Carries notices."""

    def __init__(self, telegram: Telegram) -> None:
        self._telegram = telegram
        self._messages = 0

    async def carry(self, notice: Notice) -> CarryOutcome:
        """See `Courier`."""
        telegram, world = self._telegram, self._telegram.world
        try:
            await telegram.travel()
            if notice.chat_id in telegram.blocked:
                world.count("bot blocked")
                return CannotReach(reason="blocked")
            telegram.noticed(notice)
            world.tell(f"user {notice.chat_id}", f"reads: {in_words(notice)}")
            telegram.answered()
        except TelegramNetworkError as error:
            return CarryLater(after_s=None, reason=error.message)
        self._messages += 1
        return Carried(message_id=self._messages)


def in_words(notice: Notice) -> str:
    """A notice in a story."""
    match notice:
        case PurchaseProgress():
            return f"order of {notice.plan_id} is {notice.progress.value}"
        case LinkReady():
            return f"link {notice.link[8:16]} until {notice.expires_at:%d %b %H:%M:%S}"
        case _:
            return notice.text_id
