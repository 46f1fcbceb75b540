"""What becomes of an error in a handler: settled here, or raised so that the inbox tries again."""

from contextlib import suppress
from typing import Any

from aiogram import Router
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import TelegramAPIError, TelegramBadRequest, TelegramForbiddenError
from aiogram.filters import ExceptionTypeFilter
from aiogram.types import ErrorEvent, User

from actors.runtime.replies import ActorFailed
from bot.chat import is_late, is_not_modified
from bot.ports import Queries
from bot.texts import Texts


def errors_router(weather: tuple[type[Exception], ...]) -> Router:
    """Errors that repeating cannot cure end here; no other does."""
    router = Router(name="errors")
    router.errors.register(user_blocked_us, ExceptionTypeFilter(TelegramForbiddenError))
    router.errors.register(too_late, ExceptionTypeFilter(TelegramBadRequest))
    router.errors.register(not_now, ExceptionTypeFilter(*weather))
    router.errors.register(given_up)
    return router


async def user_blocked_us(_: ErrorEvent, queries: Queries, event_from_user: User) -> None:
    """Handlers write to the person of the update only, so this is who cannot be reached."""
    await queries.reachable(event_from_user.id, reachable=False)


async def too_late(event: ErrorEvent) -> Any:
    """A tap or question that Telegram forgot, or an edit to what is there already."""
    error = event.exception
    if isinstance(error, TelegramBadRequest) and (is_late(error) or is_not_modified(error)):
        return None
    return UNHANDLED


async def not_now(event: ErrorEvent, texts: Texts) -> Any:
    """Tell the person who tapped that it will be done; the inbox sees to that."""
    query = event.update.callback_query
    if query is not None:
        language = texts.closest(query.from_user.language_code)
        # A courtesy: it must not take the place of the error that has to be raised.
        with suppress(TelegramAPIError):
            await query.answer(texts.get("toast-not-now", language))
    return UNHANDLED


async def given_up(event: ErrorEvent, texts: Texts, *, last_try: bool = False) -> Any:
    """Tell the person that a bug of ours is in the way, once nobody tries any more by himself."""
    if isinstance(event.exception, TelegramAPIError):
        return UNHANDLED  # repeated for longer, and it would not take this either
    if not (last_try or isinstance(event.exception, ActorFailed)):
        return UNHANDLED
    query, message = event.update.callback_query, event.update.message
    with suppress(TelegramAPIError):  # as above
        if query is not None:
            language = texts.closest(query.from_user.language_code)
            await query.answer(texts.get("toast-failed", language), show_alert=True)
        elif message is not None and message.from_user is not None:
            language = texts.closest(message.from_user.language_code)
            await message.answer(texts.get("toast-failed", language))
    return UNHANDLED
