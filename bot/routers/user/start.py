"""The status card: where every conversation begins and every way back leads."""

from aiogram import F, Router
from aiogram.filters import CommandStart
from aiogram.types import CallbackQuery, Message

from actors.user.messages import Introduce
from bot import replies
from bot.callbacks import Go, Page
from bot.ports import Users
from bot.replies import Toast
from bot.screen import Screen
from config.plans import Plans


def start_router() -> Router:
    """`/start` and the button back."""
    router = Router(name="start")
    router.message.register(start, CommandStart())
    router.callback_query.register(back, Go.filter(F.page == Page.CARD))
    return router


def unknown_router() -> Router:
    """Whatever no other router knows; to be asked last."""
    router = Router(name="unknown")
    router.message.register(unknown_text, F.text)
    router.callback_query.register(outdated_button)
    return router


async def start(
    _: Message,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
) -> None:
    """Someone came, or came back."""
    await _show_card(users, plans, screen, operation_id, currencies)


async def back(
    _: CallbackQuery,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
) -> None:
    """Back to the card."""
    await screen.acknowledge()
    await _show_card(users, plans, screen, operation_id, currencies)


async def unknown_text(
    _: Message,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
) -> None:
    """The bot does not chat: a hint, and the card with its buttons."""
    await _show_card(users, plans, screen, operation_id, currencies, preface="hint")


async def outdated_button(
    _: CallbackQuery,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
) -> None:
    """A button of an older version, or one that somebody made up."""
    await screen.acknowledge(Toast(text_id="toast-outdated"))
    await _show_card(users, plans, screen, operation_id, currencies)


async def _show_card(
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
    preface: str | None = None,
) -> None:
    introduce = Introduce(operation_id=operation_id, language=screen.chat.language)
    status = await users.ask(screen.user.id, introduce)
    card = replies.card(status, plans, screen.user.first_name, preface, currencies)
    await screen.speaking(status.language).show(card)
