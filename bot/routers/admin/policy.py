"""Restart policies: look, try, change, take back."""

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot.callbacks import PolicyUndo
from bot.ports import Operations
from bot.replies import Reply
from bot.reports import policies as reports
from bot.routers.admin.wording import TIME, number_of, operator
from bot.screen import Screen
from config.tuning import parse_span

HISTORY = 30
USAGE = Reply(text_id="policy-usage")


def policy_router() -> Router:
    """`/policy` and its button."""
    router = Router(name="policy")
    router.message.register(policy, Command("policy"))
    router.callback_query.register(undo_of_button, PolicyUndo.filter())
    return router


async def policy(
    _: Message, command: CommandObject, operations: Operations, screen: Screen
) -> None:
    """Do what the words after the command say, or say how to say it."""
    await screen.show(await _answer((command.args or "").split(), operations, operator(screen)))


async def undo_of_button(
    _: CallbackQuery, callback_data: PolicyUndo, operations: Operations, screen: Screen
) -> None:
    """Take the change back whose answer holds the button."""
    await screen.acknowledge()
    change = await operations.undo_policy(callback_data.change_id, operator(screen), "")
    await screen.show(reports.undone(change))


async def _answer(  # noqa: PLR0911 - one for each way to say it
    words: list[str], operations: Operations, who: str
) -> Reply:
    match words:
        case []:
            return reports.policies(operations.policies(), None)
        case ["history"]:
            return reports.history(await operations.policy_history(HISTORY))
        case ["try", key, value]:
            return reports.forecast(await operations.try_policy(key, value))
        case ["set", key, value, *rest]:
            return await _set(key, value, rest, operations, who)
        case ["undo", number, *reason] if (change_id := number_of(number)) is not None:
            change = await operations.undo_policy(change_id, who, " ".join(reason))
            return reports.undone(change)
        case [group] if group not in ("set", "try", "undo", "help"):
            return reports.policies(operations.policies(), group)
        case _:
            return USAGE


async def _set(key: str, value: str, rest: list[str], operations: Operations, who: str) -> Reply:
    revert_after_s = None
    if rest and TIME.fullmatch(rest[0]):
        revert_after_s = parse_span(rest[0])
        rest = rest[1:]
    change = await operations.set_policy(
        key, value, who, " ".join(rest), revert_after_s=revert_after_s
    )
    return reports.changed(change)
