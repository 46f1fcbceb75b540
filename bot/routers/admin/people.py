"""Time that is given, access that is closed, and the story of one person."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from actors.user.messages import ChangeStanding, GrantAccess, Standing
from bot.callbacks import BanConfirmed, NothingDone, new_operation_id
from bot.ports import Queries, Users
from bot.replies import Reply
from bot.reports import acts
from bot.reports.story import story_text, told
from bot.routers.admin.wording import operator, quoted_reason, span_of, user_of
from bot.screen import Screen
from config.plans import Plans

USAGE = Reply(text_id="people-usage")
STANDINGS = {
    "revoke": Standing.REVOKED,
    "restore": Standing.RESTORED,
    "ban": Standing.BANNED,
    "unban": Standing.UNBANNED,
}


def people_router() -> Router:
    """`/grant`, `/revoke`, `/restore`, `/ban`, `/unban`, `/why`."""
    router = Router(name="people")
    router.message.register(grant, Command("grant"))
    router.message.register(change_standing, Command(*STANDINGS))
    router.message.register(why, Command("why"))
    router.callback_query.register(ban, BanConfirmed.filter())
    router.callback_query.register(nothing, NothingDone.filter())
    return router


async def grant(
    _: Message,
    command: CommandObject,
    users: Users,
    plans: Plans,
    screen: Screen,
    operation_id: str,
) -> None:
    """Give time: a plan's, or so much."""
    match (command.args or "").split():
        case [name, what, *reason] if reason and (user_id := user_of(name)) is not None:
            plan_id = what if plans.get(what) else None
            period_s = None if plan_id else span_of(what)
            if plan_id is None and period_s is None:
                await screen.show(USAGE)
                return
            wish = GrantAccess(
                operation_id=operation_id,
                plan_id=plan_id,
                period_s=period_s,
                who=operator(screen),
                reason=" ".join(reason),
            )
            await screen.show(acts.granted(await users.ask(user_id, wish), user_id))
        case _:
            await screen.show(USAGE)


async def change_standing(
    _: Message, command: CommandObject, users: Users, screen: Screen, operation_id: str
) -> None:
    """Close access or open it again; a ban is asked about first."""
    standing = STANDINGS[command.command.lower()]
    match (command.args or "").split():
        case [name, *words] if words and (user_id := user_of(name)) is not None:
            reason = " ".join(words)
            if standing is Standing.BANNED:
                await screen.show(acts.ban_question(user_id, reason, new_operation_id))
                return
            wish = ChangeStanding(
                operation_id=operation_id, standing=standing, who=operator(screen), reason=reason
            )
            await screen.show(acts.standing(await users.ask(user_id, wish), standing, user_id))
        case _:
            await screen.show(USAGE)


async def ban(
    query: CallbackQuery, callback_data: BanConfirmed, users: Users, screen: Screen
) -> None:
    """Ban, the second time of asking."""
    await screen.acknowledge()
    wish = ChangeStanding(
        operation_id=callback_data.operation_id,
        standing=Standing.BANNED,
        who=operator(screen),
        reason=quoted_reason(query),
    )
    outcome = await users.ask(callback_data.user_id, wish)
    await screen.show(acts.standing(outcome, Standing.BANNED, callback_data.user_id))


async def nothing(_: CallbackQuery, screen: Screen) -> None:
    """Do nothing, and say so."""
    await screen.acknowledge()
    await screen.show(acts.NOTHING)


async def why(
    _: Message, command: CommandObject, queries: Queries, plans: Plans, screen: Screen
) -> None:
    """Tell what became of somebody."""
    user_id = user_of((command.args or "").strip())
    if user_id is None:
        await screen.show(USAGE)
        return
    rows = await queries.story(user_id)
    texts, language = screen.chat.texts, screen.chat.language
    await screen.show(told(user_id, story_text(rows, plans, texts, language)))
