"""Dead letters: messages that were set aside, and what is decided about them."""

from typing import assert_never

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from bot.callbacks import LetterDecided, LetterDecision
from bot.ports import Operations
from bot.replies import Reply
from bot.reports import letters as reports
from bot.routers.admin.wording import number_of, operator
from bot.screen import Screen

LETTERS = 50
USAGE = Reply(text_id="letters-usage")


def letters_router() -> Router:
    """`/dl` and its buttons."""
    router = Router(name="letters")
    router.message.register(letters, Command("dl"))
    router.callback_query.register(decide_of_button, LetterDecided.filter())
    return router


async def letters(
    _: Message, command: CommandObject, operations: Operations, screen: Screen
) -> None:
    """Do what the words after the command say, or say how to say it."""
    await screen.show(await _answer((command.args or "").split(), operations, operator(screen)))


async def decide_of_button(
    _: CallbackQuery, callback_data: LetterDecided, operations: Operations, screen: Screen
) -> None:
    """Do what the button says with the letter above it."""
    await screen.acknowledge()
    letter_id, who = callback_data.letter_id, operator(screen)
    match callback_data.decision:
        case LetterDecision.RETRY:
            reply = await _retry(letter_id, operations, who)
        case LetterDecision.DROP:
            reply = await _drop(letter_id, operations, who, "")
        case _:
            assert_never(callback_data.decision)
    await screen.show(reply)


async def _answer(words: list[str], operations: Operations, who: str) -> Reply:
    match words:
        case [] | ["list"]:
            return reports.letters(await operations.dead_letters(LETTERS))
        case [verb, number, *reason] if (letter_id := number_of(number)) is not None:
            return await _one(verb, letter_id, " ".join(reason), operations, who)
        case _:
            return USAGE


async def _one(verb: str, letter_id: int, reason: str, operations: Operations, who: str) -> Reply:
    match verb:
        case "show":
            return reports.letter(await operations.dead_letter(letter_id))
        case "retry":
            return await _retry(letter_id, operations, who)
        case "drop":
            return await _drop(letter_id, operations, who, reason)
        case _:
            return USAGE


async def _retry(letter_id: int, operations: Operations, who: str) -> Reply:
    return reports.retried(letter_id, await operations.retry_dead_letter(letter_id, who))


async def _drop(letter_id: int, operations: Operations, who: str, reason: str) -> Reply:
    await operations.drop_dead_letter(letter_id, who, reason)
    return reports.dropped(letter_id)
