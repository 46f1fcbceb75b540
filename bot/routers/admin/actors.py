"""The tree, and what can be done to one actor."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message

from bot.ports import Operations
from bot.replies import Reply
from bot.reports import tree as reports
from bot.reports.fitting import one_line
from bot.routers.admin.wording import operator
from bot.screen import Screen

USAGE = Reply(text_id="actor-usage")
#: Who hands on what is written here. Suspended, nobody would hear the wish to resume it.
EAR = "inbox"


def actors_router() -> Router:
    """`/actors` and `/actor`."""
    router = Router(name="actors")
    router.message.register(actors, Command("actors"))
    router.message.register(actor, Command("actor"))
    return router


async def actors(_: Message, operations: Operations, screen: Screen) -> None:
    """Show the tree."""
    await screen.show(reports.tree(operations.tree()))


async def actor(_: Message, command: CommandObject, operations: Operations, screen: Screen) -> None:
    """Do what the words after the command say, or say how to say it."""
    await screen.show(await _answer((command.args or "").split(), operations, operator(screen)))


async def _answer(  # noqa: PLR0911 - one for each way to say it
    words: list[str], operations: Operations, who: str
) -> Reply:
    match words:
        case ["suspend", name, *_] if name == EAR:
            return Reply(text_id="actor-not-from-here", values={"actor": name})
        case ["suspend", name, *reason]:
            await operations.suspend(name, who, " ".join(reason))
            return _done("actor-suspended", name)
        case ["resume", name, *reason]:
            await operations.resume(name, who, " ".join(reason))
            return _done("actor-resumed", name)
        case ["restart", name, "now", *reason]:
            await operations.restart(name, who, " ".join(reason), at_once=True)
            return _done("actor-restarts-now", name)
        case ["restart", name, *reason]:
            await operations.restart(name, who, " ".join(reason), at_once=False)
            return _done("actor-restarts", name)
        case [name] if name not in ("suspend", "resume", "restart", "help"):
            return reports.details(operations.look(name))
        case _:
            return USAGE


def _done(text_id: str, name: str) -> Reply:
    return Reply(text_id=text_id, values={"actor": one_line(name, 200)})
