"""Whether nodes are called: look, isolate, close, release."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from bot.ports import Nodes, Operations
from bot.replies import Reply
from bot.reports import calls as reports
from bot.routers.admin.nodes import say_why
from bot.routers.admin.wording import TIME, operator
from bot.screen import Screen
from config.tuning import parse_span

USAGE = Reply(text_id="breaker-usage")


def calls_router() -> Router:
    """`/breaker`."""
    router = Router(name="calls")
    router.message.register(breaker, Command("breaker"))
    return router


async def breaker(
    _: Message, command: CommandObject, operations: Operations, screen: Screen
) -> None:
    """Do what the words after the command say, or say how to say it."""
    match (command.args or "").split():
        case []:
            texts, language = screen.chat.texts, screen.chat.language
            reply = reports.breakers(operations.nodes.breakers(), texts, language)
        case ["isolate" | "close" | "release" as order, node_id, *rest]:
            reply = await _order(operations.nodes, order, node_id, rest, screen)
        case _:
            reply = USAGE
    await screen.show(reply)


async def _order(nodes: Nodes, order: str, node_id: str, rest: list[str], screen: Screen) -> Reply:
    for_s, reason = _time(rest) if order != "release" else (None, rest)
    if not reason:
        return say_why("breaker", [order, node_id, *rest])
    found = await nodes.order(node_id, order, for_s, operator(screen), " ".join(reason))
    texts, language = screen.chat.texts, screen.chat.language
    return reports.ordered(found, order, for_s, texts, language)


def _time(words: list[str]) -> tuple[float | None, list[str]]:
    """For how long, in seconds, and the words after it: `for 15m`, or `15m` alone."""
    match words:
        case ["for", word, *reason] if TIME.fullmatch(word):
            return parse_span(word), reason
        case [word, *reason] if TIME.fullmatch(word):
            return parse_span(word), reason
        case _:
            return None, words
