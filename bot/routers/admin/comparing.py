"""Comparing nodes with the database: a look first, and then a button that mends."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot.callbacks import NodesCompared
from bot.ports import Nodes, Operations
from bot.replies import Reply
from bot.reports import comparisons as reports
from bot.reports.nodes import ALL
from bot.screen import Screen

USAGE = Reply(text_id="reconcile-usage")


def comparing_router() -> Router:
    """`/reconcile` and its button."""
    router = Router(name="comparing")
    router.message.register(reconcile, Command("reconcile"))
    router.callback_query.register(reconcile_of_button, NodesCompared.filter())
    return router


async def reconcile(
    _: Message, command: CommandObject, operations: Operations, screen: Screen
) -> None:
    """Tell what differs; nothing is changed."""
    match (command.args or "").split():
        case []:
            reply = await _compared(operations.nodes, None, screen, really=False)
        case [node_id] if node_id != "help":
            reply = await _compared(operations.nodes, node_id, screen, really=False)
        case _:
            reply = USAGE
    await screen.show(reply)


async def reconcile_of_button(
    _: CallbackQuery, callback_data: NodesCompared, operations: Operations, screen: Screen
) -> None:
    """Compare, below a page that has other buttons too; or mend, in place of the question."""
    await screen.acknowledge()
    node_id, really = callback_data.node, callback_data.really
    only = None if node_id == ALL else node_id
    reply = await _compared(operations.nodes, only, screen, really=really)
    await (screen if really else screen.below()).show(reply)


async def _compared(nodes: Nodes, node_id: str | None, screen: Screen, *, really: bool) -> Reply:
    runs = await nodes.reconcile(node_id, dry_run=not really)
    frozen = {one.id for one in await nodes.nodes() if one.state == "frozen"}
    texts, language = screen.chat.texts, screen.chat.language
    return reports.compared(runs, frozen, node_id, texts, language)
