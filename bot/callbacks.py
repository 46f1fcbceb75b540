"""What buttons carry. It comes back from strangers, so each field says what it may hold."""

import secrets
from enum import StrEnum
from typing import Annotated, Literal

from aiogram.filters.callback_data import CallbackData
from pydantic import Field, StringConstraints

OPERATION_ID_BYTES = 12
#: The number of a row: what PostgreSQL's bigint holds.
RowNumber = Annotated[int, Field(ge=1, lt=2**63)]


def new_operation_id() -> str:
    """96 random bits as 16 characters: names one button, so that a double tap is one order."""
    return secrets.token_urlsafe(OPERATION_ID_BYTES)


class Page(StrEnum):
    """Where a button leads."""

    CARD = "card"
    PLANS = "plans"
    LINK = "link"
    HELP = "help"
    LANGUAGES = "languages"


class Go(CallbackData, prefix="go"):
    """Show a page: in place of the tapped message or, with `anew`, below it."""

    page: Page
    anew: bool = False


class PlanChosen(CallbackData, prefix="plan"):
    """Buy this plan; `operation_id` was made when the button was drawn."""

    plan_id: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,16}$")]
    operation_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16}$")]


class LanguageChosen(CallbackData, prefix="speak"):
    """Speak this language from now on."""

    language: Literal["en", "ru"]


class PolicyUndo(CallbackData, prefix="undo"):
    """Take a change of a policy back."""

    change_id: RowNumber


class LetterDecision(StrEnum):
    """What an operator wants of a dead letter."""

    RETRY = "retry"
    DROP = "drop"


class LetterDecided(CallbackData, prefix="letter"):
    """Do so with a dead letter."""

    decision: LetterDecision
    letter_id: RowNumber
