"""What every handler gets: the language to speak and the screen to show things on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from aiogram import BaseMiddleware, Bot
from aiogram.enums import ChatType
from aiogram.exceptions import TelegramNetworkError, TelegramRetryAfter, TelegramServerError
from aiogram.types import CallbackQuery, Message, TelegramObject, User

from bot.callbacks import Go
from bot.chat import Chat
from bot.ports import OperationRefused, Queries
from bot.replies import Reply
from bot.reports.fitting import cut
from bot.screen import Screen
from bot.texts import Texts
from config.tuning import TuningError

log = structlog.get_logger(__name__)

#: A language is worth this long a wait and then a guess: pre-checkout has ten seconds in all.
LANGUAGE_DEADLINE_S = 2.0

LONGEST_REFUSAL = 1_000
#: Nobody knows whether the answer arrived.
UNHEARD = (TelegramNetworkError, TelegramServerError, TelegramRetryAfter)

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class LanguageMiddleware(BaseMiddleware):
    """Gives handlers `language`: the one the user chose, else the closest to their app's."""

    def __init__(
        self, queries: Queries, texts: Texts, unanswered: tuple[type[Exception], ...]
    ) -> None:
        self._queries = queries
        self._texts = texts
        self._unanswered = unanswered

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Choose the language, then handle."""
        user: User = data["event_from_user"]
        chosen = await self._chosen(user.id)
        data["language"] = self._texts.closest(chosen or user.language_code)
        return await handler(event, data)

    async def _chosen(self, user_id: int) -> str | None:
        try:
            async with asyncio.timeout(LANGUAGE_DEADLINE_S):
                return await self._queries.language(user_id)
        except self._unanswered:
            return None


class ScreenMiddleware(BaseMiddleware):
    """Gives handlers `screen`; needs the language first."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Set up the screen, then handle."""
        bot: Bot = data["bot"]
        user: User = data["event_from_user"]
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


class OperatorMiddleware(BaseMiddleware):
    """Tells operators why a wish was not done; needs the screen first.

    During an outage too: unlike a buyer's, a wish of theirs is not done later by itself, when the
    trouble that it was meant for may be another. Nor is it done twice because its answer was lost:
    the second time, undoing a change would bring back what the first one made.
    """

    def __init__(self, admins: tuple[int, ...], unanswered: tuple[type[Exception], ...]) -> None:
        self._admins = admins
        self._unanswered = unanswered

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> None:
        """Handle; what was tapped stays as it is when nothing came of it."""
        # The filters of the router say the same: one of the two may be broken by a change.
        if not _by_owner(event, self._admins):
            log.warning("operator_refused", user=getattr(data.get("event_from_user"), "id", None))
            return
        try:
            await self._answered(handler, event, data)
        except UNHEARD as lost:
            log.warning("operator_unanswered", reason=type(lost).__name__)

    async def _answered(
        self, handler: Handler, event: TelegramObject, data: dict[str, Any]
    ) -> None:
        screen: Screen = data["screen"]
        try:
            await handler(event, data)
            return
        except (OperationRefused, TuningError) as refusal:
            why = cut(str(refusal), LONGEST_REFUSAL)
            reply = Reply(text_id="operator-refused", values={"why": why})
        except self._unanswered:
            reply = Reply(text_id="operator-not-now")
        await screen.below().show(reply)


def _by_owner(event: TelegramObject, admins: tuple[int, ...]) -> bool:
    """Whether an owner says so with their own words, in their own chat."""
    if isinstance(event, CallbackQuery):
        holder = event.message
        private = holder is not None and holder.chat.type == ChatType.PRIVATE
        return private and event.from_user.id in admins
    if not isinstance(event, Message) or event.from_user is None:
        return False
    own = event.forward_origin is None and event.sender_chat is None
    return own and event.chat.type == ChatType.PRIVATE and event.from_user.id in admins


def _editable(event: TelegramObject, data: dict[str, Any]) -> int | None:
    """The tapped message, if it is a text and its button does not ask for a new one."""
    if not isinstance(event, CallbackQuery) or not isinstance(event.message, Message):
        return None
    pressed = data.get("callback_data")
    if event.message.text is None or (isinstance(pressed, Go) and pressed.anew):
        return None
    return event.message.message_id
