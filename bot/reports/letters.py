"""Messages that were set aside, and what was decided about them."""

from collections.abc import Sequence

from bot.callbacks import LetterDecided, LetterDecision
from bot.keyboards import Button, Keyboard
from bot.replies import Reply
from bot.reports.fitting import cut_head, fitting, one_line
from storage.rows import DeadLetterRow, LetterState

LONGEST_WORD = 120
TRACEBACK_ROOM = 2_900


def letters(found: Sequence[DeadLetterRow]) -> Reply:
    """Those that wait for a decision."""
    if not found:
        return Reply(text_id="letters-none")
    block, more = fitting([_letter(letter) for letter in found])
    return Reply(
        text_id="letters", values={"list": block, "more": more, "newest": str(found[0].id)}
    )


def letter(found: DeadLetterRow) -> Reply:
    """One of them, whole."""
    return Reply(
        text_id="letter",
        values={
            "id": str(found.id),
            "message": one_line(found.message_type, LONGEST_WORD),
            "actor": one_line(found.actor, LONGEST_WORD),
            "state": found.state,
            "who": one_line(found.decided_by or "-", LONGEST_WORD),
            "attempts": found.attempts,
            "error": one_line(found.error, LONGEST_WORD),
            "at": found.created_at,
            "correlation": one_line(found.correlation_id, LONGEST_WORD) or "-",
            "traceback": cut_head(found.traceback.strip(), TRACEBACK_ROOM) or "-",
        },
        keyboard=_ways(found),
    )


def retried(letter_id: int, how: str) -> Reply:
    """It is worked on again."""
    return Reply(text_id="letter-retried", values={"id": str(letter_id), "how": one_line(how, 500)})


def dropped(letter_id: int) -> Reply:
    """Nobody will work on it."""
    return Reply(text_id="letter-dropped", values={"id": str(letter_id)})


def _letter(letter: DeadLetterRow) -> str:
    words = f"{letter.message_type} to {letter.actor}: {letter.error} x{letter.attempts}"
    return f"#{letter.id} {letter.created_at:%m-%d %H:%M} {one_line(words, LONGEST_WORD)}"


def _ways(found: DeadLetterRow) -> Keyboard:
    """In rows of their own: a drop is for ever, and fingers slip."""
    if found.state is not LetterState.WAITING:
        return ()
    retry = LetterDecided(decision=LetterDecision.RETRY, letter_id=found.id)
    drop = LetterDecided(decision=LetterDecision.DROP, letter_id=found.id)
    return (
        (Button(text_id="button-retry", callback=retry),),
        (Button(text_id="button-drop", callback=drop),),
    )
