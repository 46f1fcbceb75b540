"""The end of access: look, and say that it is so late."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot.callbacks import ClocksConfirmed
from bot.ports import Operations
from bot.replies import Reply
from bot.reports import clocks as reports
from bot.routers.admin.nodes import say_why
from bot.routers.admin.wording import operator, quoted_reason
from bot.screen import Screen

USAGE = Reply(text_id="expiry-usage")


def expiry_router() -> Router:
    """`/expiry` and the button of its question."""
    router = Router(name="expiry")
    router.message.register(expiry, Command("expiry"))
    router.callback_query.register(confirm, ClocksConfirmed.filter())
    return router


async def expiry(
    _: Message, command: CommandObject, operations: Operations, screen: Screen
) -> None:
    """Show how the end of access stands, or ask whether it is so late."""
    match (command.args or "").split():
        case []:
            reply = reports.expiry(await operations.expiry())
        case ["confirm"]:
            reply = say_why("expiry", ["confirm"])
        case ["confirm", *reason]:
            view = await operations.expiry()
            held = bool(view.held)
            reply = reports.question(view, " ".join(reason)) if held else reports.expiry(view)
        case _:
            reply = USAGE
    await screen.show(reply)


async def confirm(
    query: CallbackQuery, callback_data: ClocksConfirmed, operations: Operations, screen: Screen
) -> None:
    """It is so late, the second time of asking; what is held for another reason is asked anew."""
    await screen.acknowledge()
    reason, view = quoted_reason(query), await operations.expiry()
    if view.held and reports.mark_of(view.held) != callback_data.held:
        await screen.show(reports.question(view, reason))
        return
    await operations.trust_clocks(operator(screen), reason)
    await screen.show(reports.CONFIRMED)
