"""The user's link, as often as they want to see it; it goes to its owner's chat only."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from actors.user.messages import LinkShown, ShowLink
from bot import replies
from bot.callbacks import Go, Page
from bot.ports import Users
from bot.screen import Screen
from config.plans import Plans


def link_router() -> Router:
    """`/link` and its buttons."""
    router = Router(name="link")
    router.message.register(link, Command("link"))
    router.callback_query.register(link_of_button, Go.filter(F.page == Page.LINK))
    return router


async def link(_: Message, users: Users, plans: Plans, screen: Screen, operation_id: str) -> None:
    """Show the link, or why there is none."""
    await _show_link(users, plans, screen, operation_id)


async def link_of_button(
    _: CallbackQuery, users: Users, plans: Plans, screen: Screen, operation_id: str
) -> None:
    """The same for a tap."""
    await screen.acknowledge()
    await _show_link(users, plans, screen, operation_id)


async def _show_link(users: Users, plans: Plans, screen: Screen, operation_id: str) -> None:
    outcome = await users.ask(screen.user.id, ShowLink(operation_id=operation_id))
    match outcome:
        case LinkShown():
            plan = replies.title(outcome.plan_id, plans)
            await screen.chat.send_link(outcome.link, plan=plan, until=outcome.expires_at)
        case _:
            await screen.show(replies.no_link(outcome, plans))
