"""What every handler gets: the language to speak and the screen to show things on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot
from aiogram.types import CallbackQuery, Message, TelegramObject, User

from actors.runtime.replies import Unavailable
from bot.callbacks import Go
from bot.chat import Chat
from bot.ports import Queries
from bot.screen import Screen
from bot.texts import Texts

#: A language is worth this long a wait and then a guess: pre-checkout has ten seconds in all.
LANGUAGE_DEADLINE_S = 2.0

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


async def language_of(user: User, queries: Queries, texts: Texts) -> str:
    """The language that a user chose, else the closest one to their app's."""
    try:
        async with asyncio.timeout(LANGUAGE_DEADLINE_S):
            chosen = await queries.language(user.id)
    except (TimeoutError, Unavailable):
        chosen = None
    return texts.closest(chosen or user.language_code)


class LanguageMiddleware(BaseMiddleware):
    """Gives handlers `language`."""

    def __init__(self, queries: Queries, texts: Texts) -> None:
        self._queries = queries
        self._texts = texts

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Choose the language, then handle."""
        user: User | None = data.get("event_from_user")
        if user is not None:
            data["language"] = await language_of(user, self._queries, self._texts)
        return await handler(event, data)


class ScreenMiddleware(BaseMiddleware):
    """Gives handlers `screen`; needs the language first."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Set up the screen, then handle."""
        bot: Bot = data["bot"]
        user: User | None = data.get("event_from_user")
        if user is not None:
            # A private chat has the id of the person in it: nothing is ever shown to a group.
            chat = Chat(
                bot=bot,
                texts=self._texts,
                chat_id=user.id,
                language=data["language"],
                message_id=_editable(event, data),
            )
            tap = event if isinstance(event, CallbackQuery) else None
            data["screen"] = Screen(user=user, chat=chat, tap=tap)
        return await handler(event, data)


def _editable(event: TelegramObject, data: dict[str, Any]) -> int | None:
    """The tapped message, if it is a text and its button does not ask for a new one."""
    if not isinstance(event, CallbackQuery) or not isinstance(event.message, Message):
        return None
    pressed = data.get("callback_data")
    if event.message.text is None or (isinstance(pressed, Go) and pressed.anew):
        return None
    return event.message.message_id
