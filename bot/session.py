"""The way to the Bot API: never from inside a transaction, never with the token in an error."""

from collections.abc import Callable
from typing import Any, TypeAlias

from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import PRODUCTION, TelegramAPIServer
from aiogram.enums import ParseMode
from aiogram.exceptions import ClientDecodeError, TelegramNetworkError
from aiogram.methods import TelegramMethod
from aiogram.methods.base import TelegramType

from config import crashing

#: For those who pass it on and know nothing of Telegram.
TelegramBot: TypeAlias = Bot

#: Telegram answers in tens of milliseconds; after this long the answer is lost.
REQUEST_TIMEOUT_S = 15


class GetRawUpdates(TelegramMethod[list[dict[str, Any]]]):
    """`getUpdates` as plain JSON, so that one update we cannot read does not hide the others.

    Attributes:
        offset: the first update wanted; all before it are confirmed and never come again.
        limit: 1 to 100 updates.
        timeout: seconds that Telegram waits for an update before it answers with none.
        allowed_updates: kinds wanted; always sent, as Telegram otherwise keeps an older list.
    """

    __returning__ = list[dict[str, Any]]
    __api_method__ = "getUpdates"

    offset: int | None = None
    limit: int | None = None
    timeout: int = 0
    allowed_updates: list[str]


class GuardedSession(AiohttpSession):
    """A session that asks `guard` first and hides the token in what it raises."""

    def __init__(self, guard: Callable[[], None], api_base: str | None = None) -> None:
        """Prepare a session; nothing is opened before the first request.

        Args:
            guard: raises when the caller is inside a database transaction.
            api_base: another Bot API server; Telegram's own when None.
        """
        server = TelegramAPIServer.from_base(api_base) if api_base else PRODUCTION
        super().__init__(api=server, timeout=REQUEST_TIMEOUT_S)
        self._guard = guard

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - the signature is aiogram's
    ) -> TelegramType:
        """Call a method; a long poll may take its own time on top of the usual.

        Raises:
            TelegramNetworkError: no answer, or none that can be read.
            TelegramAPIError: the answer is no.
        """
        self._guard()
        if timeout is None and isinstance(method, GetRawUpdates):
            timeout = method.timeout + REQUEST_TIMEOUT_S
        crashing.before(f"telegram {method.__api_method__}")
        try:
            answer = await super().make_request(bot, method, timeout)
            crashing.after(f"telegram {method.__api_method__}")
            return answer
        except TelegramNetworkError as error:
            message = error.message.replace(bot.token, "<token>")
        except (ClientDecodeError, UnicodeDecodeError):
            # Its text would quote the answer, and with it a message that may hold a link.
            message = "an answer that cannot be read"
        # Outside the blocks above, so that no trace of the first error hangs on this one.
        raise TelegramNetworkError(method=method, message=message)


def make_bot(token: str, guard: Callable[[], None], api_base: str | None = None) -> Bot:
    """The bot: messages are HTML and links in them show no preview.

    Raises:
        TokenValidationError: the token has a wrong shape.
    """
    return Bot(
        token,
        session=GuardedSession(guard, api_base),
        default=DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True),
    )
