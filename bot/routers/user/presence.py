"""Whether a user can be written to: they blocked the bot, or came back."""

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.filters import ChatMemberUpdatedFilter
from aiogram.filters.chat_member_updated import KICKED, MEMBER
from aiogram.types import ChatMemberUpdated

from bot.ports import Queries


def presence_router() -> Router:
    """The bot's own membership in private chats."""
    router = Router(name="presence")
    router.my_chat_member.filter(F.chat.type == ChatType.PRIVATE)
    router.my_chat_member.register(blocked, ChatMemberUpdatedFilter(KICKED))
    router.my_chat_member.register(came_back, ChatMemberUpdatedFilter(MEMBER))
    return router


async def blocked(event: ChatMemberUpdated, queries: Queries) -> None:
    """Notices wait from now on."""
    await queries.reachable(event.from_user.id, reachable=False)


async def came_back(event: ChatMemberUpdated, queries: Queries) -> None:
    """Notices that waited may go."""
    await queries.reachable(event.from_user.id, reachable=True)
