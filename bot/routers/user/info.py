"""How to connect, the terms, and a way to ask a person about a payment."""

from aiogram import F, Router, html
from aiogram.exceptions import TelegramBadRequest, TelegramForbiddenError
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot import replies
from bot.callbacks import Go, Page
from bot.replies import Reply
from bot.screen import Screen
from bot.texts import DEFAULT_LANGUAGE

#: What an owner gets to read of one question; Telegram's messages end at 4096 characters.
QUESTION_LIMIT = 1000


def info_router() -> Router:
    """`/help`, `/terms` and `/paysupport`; Telegram demands the last two of sellers for Stars."""
    router = Router(name="info")
    router.message.register(help_, Command("help"))
    router.callback_query.register(help_of_button, Go.filter(F.page == Page.HELP))
    router.message.register(terms, Command("terms"))
    router.message.register(payment_support, Command("paysupport"))
    return router


async def help_(_: Message, screen: Screen) -> None:
    """Which app to take and what to do with the link."""
    await screen.show(replies.HELP)


async def help_of_button(_: CallbackQuery, screen: Screen) -> None:
    """The same for a tap."""
    await screen.acknowledge()
    await screen.show(replies.HELP)


async def terms(_: Message, screen: Screen) -> None:
    """What is sold and what is promised."""
    await screen.show(replies.TERMS)


async def payment_support(
    _: Message, command: CommandObject, screen: Screen, admins: tuple[int, ...]
) -> None:
    """Pass a question about a payment to the owners, or say how to ask one."""
    question = (command.args or "")[:QUESTION_LIMIT]
    if not question or not admins:
        await screen.show(Reply(text_id="support-how" if admins else "support-nobody"))
        return
    reached = [await _passed_on(question, admin, screen) for admin in admins]
    await screen.show(Reply(text_id="support-sent" if any(reached) else "support-nobody"))


async def _passed_on(question: str, admin: int, screen: Screen) -> bool:
    """Whether one owner got it; an owner who never started the bot cannot be written to."""
    request = screen.chat.texts.html(
        "support-request",
        DEFAULT_LANGUAGE,
        user=str(screen.user.id),
        name=replies.clean_name(screen.user.full_name),
    )
    try:
        await screen.chat.bot.send_message(admin, f"{request}\n\n{html.quote(question)}")
    except (TelegramForbiddenError, TelegramBadRequest):
        return False
    return True
