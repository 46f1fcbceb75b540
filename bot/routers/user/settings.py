"""The language: the one setting that a user has."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from actors.user.messages import ChooseLanguage
from bot import replies
from bot.callbacks import Go, LanguageChosen, Page
from bot.ports import Users
from bot.screen import Screen
from config.plans import Plans


def settings_router() -> Router:
    """`/language`, its button and the languages."""
    router = Router(name="settings")
    router.message.register(languages, Command("language"))
    router.callback_query.register(languages_in_place, Go.filter(F.page == Page.LANGUAGES))
    router.callback_query.register(choose_language, LanguageChosen.filter())
    return router


async def languages(_: Message, screen: Screen) -> None:
    """Offer the languages."""
    await screen.show(replies.LANGUAGES)


async def languages_in_place(_: CallbackQuery, screen: Screen) -> None:
    """Offer the languages where the card was."""
    await screen.acknowledge()
    await screen.show(replies.LANGUAGES)


async def choose_language(
    _: CallbackQuery,
    callback_data: LanguageChosen,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
    currencies: tuple[str, ...],
) -> None:
    """Keep the choice and show the card in it."""
    await screen.acknowledge()
    choice = ChooseLanguage(operation_id=operation_id, language=callback_data.language)
    status = await users.ask(screen.user.id, choice)
    card = replies.card(status, plans, screen.user.first_name, currencies=currencies)
    await screen.speaking(status.language).show(card)
