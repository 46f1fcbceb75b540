"""Access without a payment: the trial, and a new link in place of one that is lost or leaked."""

from aiogram import F, Router
from aiogram.types import CallbackQuery

from actors.user.messages import Reissue, StartTrial
from bot import replies
from bot.callbacks import Go, NewLink, Page, TrialWanted, new_operation_id
from bot.ports import Users
from bot.screen import Screen
from config.plans import Plans


def access_router() -> Router:
    """The buttons of the card that cost nothing."""
    router = Router(name="access")
    router.callback_query.register(start_trial, TrialWanted.filter())
    router.callback_query.register(ask_why, Go.filter(F.page == Page.NEW_LINK))
    router.callback_query.register(new_link, NewLink.filter())
    return router


async def start_trial(_: CallbackQuery, users: Users, screen: Screen, operation_id: str) -> None:
    """Let somebody try for nothing, once."""
    await screen.acknowledge()
    wish = StartTrial(operation_id=operation_id, language=screen.chat.language)
    await screen.show(replies.trial(await users.ask(screen.user.id, wish)))


async def ask_why(_: CallbackQuery, screen: Screen) -> None:
    """Ask why a new link is wanted."""
    await screen.acknowledge()
    await screen.show(replies.new_link_question(new_operation_id))


async def new_link(
    _: CallbackQuery, callback_data: NewLink, users: Users, plans: Plans, screen: Screen
) -> None:
    """Have a new link made; the same tap again is the same wish."""
    await screen.acknowledge()
    wish = Reissue(operation_id=callback_data.operation_id, leaked=callback_data.leaked)
    await screen.show(replies.reissue(await users.ask(screen.user.id, wish), plans))
