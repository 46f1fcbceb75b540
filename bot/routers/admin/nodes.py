"""Nodes: look, and say what is to be done with one."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot.callbacks import NodeAct, NodeActConfirmed, NodeShown, NodesShown
from bot.ports import Nodes, Operations
from bot.replies import Reply
from bot.reports import nodes as reports
from bot.reports.comparisons import UNSEEN
from bot.reports.fitting import one_line
from bot.routers.admin.wording import number_of, operator, quoted_reason
from bot.screen import Screen

USAGE = Reply(text_id="nodes-usage")
#: As many as a button can name.
MOST_USERS = 10_000_000
VERBS = frozenset(
    {
        *("freeze", "unfreeze", "adopt", "confirm"),
        *("drain", "lost", "remove", "activate", "help"),
    }
)


def nodes_router() -> Router:
    """`/nodes` and its buttons."""
    router = Router(name="nodes")
    router.message.register(nodes, Command("nodes"))
    router.callback_query.register(all_of_button, NodesShown.filter())
    router.callback_query.register(one_of_button, NodeShown.filter())
    router.callback_query.register(act_of_button, NodeActConfirmed.filter())
    return router


async def nodes(_: Message, command: CommandObject, operations: Operations, screen: Screen) -> None:
    """Do what the words after the command say, or say how to say it."""
    words, who = (command.args or "").split(), operator(screen)
    if not words:
        await screen.show(await _all(operations.nodes, screen))
        return
    await screen.show(await _answer(words, operations.nodes, who))


async def all_of_button(_: CallbackQuery, operations: Operations, screen: Screen) -> None:
    """Show all nodes."""
    await screen.acknowledge()
    await screen.show(await _all(operations.nodes, screen))


async def one_of_button(
    _: CallbackQuery, callback_data: NodeShown, operations: Operations, screen: Screen
) -> None:
    """Show a node. An alert that held the button stays."""
    await screen.acknowledge()
    shown = await _one(operations.nodes, callback_data.node)
    await (screen.below() if callback_data.anew else screen).show(shown)


async def act_of_button(
    query: CallbackQuery, callback_data: NodeActConfirmed, operations: Operations, screen: Screen
) -> None:
    """Do what was asked about, the second time."""
    await screen.acknowledge()
    act, node_id, users = callback_data.act, callback_data.node, callback_data.users
    who, reason = operator(screen), quoted_reason(query)
    if act is NodeAct.CONFIRM:
        run = await operations.nodes.confirm(node_id, users, who, reason)
        await screen.show(reports.done("node-is-confirmed", node_id, run.removed))
        return
    await screen.show(await _cleared(operations.nodes, act, node_id, users, who, reason))


async def _all(nodes: Nodes, screen: Screen) -> Reply:
    texts, language = screen.chat.texts, screen.chat.language
    return reports.nodes(await nodes.nodes(), nodes.breakers(), texts, language)


async def _one(nodes: Nodes, node_id: str) -> Reply:
    return reports.node(await nodes.nodes(), nodes.breakers(), node_id)


async def _answer(  # noqa: PLR0911 - one for each way to say it
    words: list[str], nodes: Nodes, who: str
) -> Reply:
    match words:
        case ["confirm", node_id, number, *reason] if (users := _count(number)) is not None:
            if not reason:
                return say_why("nodes", words)
            return await _confirm(nodes, node_id, users, " ".join(reason))
        case [verb, _] if verb in VERBS and verb not in ("confirm", "help"):
            return say_why("nodes", words)
        case ["drain" | "lost" as act, node_id, *reason] if reason:
            return await _ask_to_clear(nodes, NodeAct(act), node_id, " ".join(reason))
        case [verb, node_id, *reason] if verb in VERBS:
            return await _act(nodes, verb, node_id, who, " ".join(reason))
        case [node_id] if node_id not in VERBS:
            return await _one(nodes, node_id)
        case _:
            return USAGE


async def _act(nodes: Nodes, verb: str, node_id: str, who: str, reason: str) -> Reply:
    match verb:
        case "freeze":
            await nodes.freeze(node_id, who, reason)
            return reports.done("node-is-frozen", node_id)
        case "unfreeze":
            await nodes.unfreeze(node_id, who, reason)
            return reports.done("node-is-unfrozen", node_id)
        case "adopt":
            users = await nodes.unfreeze(node_id, who, reason, adopt=True)
            return reports.done("node-is-adopted", node_id, users)
        case "remove":
            await nodes.remove(node_id, who, reason)
            return reports.done("node-is-removed", node_id)
        case "activate":
            await nodes.activate(node_id, who, reason)
            return reports.done("node-is-active", node_id)
        case _:
            return USAGE


async def _ask_to_clear(nodes: Nodes, act: NodeAct, node_id: str, reason: str) -> Reply:
    found = await nodes.nodes()
    users = next((one.users for one in found if one.id == node_id), None)
    if users is None:
        return reports.none_such(found, node_id)
    return reports.question(act, node_id, users, reason)


async def _cleared(
    nodes: Nodes, act: NodeAct, node_id: str, users: int, who: str, reason: str
) -> Reply:
    """Move users, never more than the question named: else it is asked anew."""
    now = next((one.users for one in await nodes.nodes() if one.id == node_id), 0)
    if now > users:
        return reports.question(act, node_id, now, reason)
    clear = nodes.drain if act is NodeAct.DRAIN else nodes.lose
    return reports.done(f"node-is-{act}", node_id, await clear(node_id, who, reason))


async def _confirm(nodes: Nodes, node_id: str, users: int, reason: str) -> Reply:
    """Ask about whom there is now, never about more than the owner counted."""
    (run,) = await nodes.reconcile(node_id, dry_run=True)
    if run.outcome in UNSEEN:
        return reports.not_compared(node_id, run.outcome)
    if run.orphans > users:
        return reports.more_than_said(node_id, run.orphans, users)
    if not run.orphans:
        return reports.done("node-nobody-to-remove", node_id)
    return reports.question(NodeAct.CONFIRM, node_id, run.orphans, reason)


def say_why(command: str, words: list[str]) -> Reply:
    """All was said but the reason."""
    return Reply(
        text_id="node-say-why", values={"words": one_line(" ".join((command, *words)), 200)}
    )


def _count(word: str) -> int | None:
    number = number_of(word.replace(",", ""))
    return number if number is not None and number <= MOST_USERS else None
