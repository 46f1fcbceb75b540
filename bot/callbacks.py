"""What buttons carry. It comes back from strangers, so each field says what it may hold."""

import secrets
from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from aiogram.filters.callback_data import CallbackData
from pydantic import Field, StringConstraints

OPERATION_ID_BYTES = 12
#: What `new_operation_id` makes.
OperationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16}$")]
#: A plan, or a way to pay.
ShortName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]{1,16}$")]
#: A person, by Telegram's number (https://core.telegram.org/bots/api#user).
UserId = Annotated[int, Field(ge=1, lt=2**52)]
#: The number of a row: what PostgreSQL's bigint holds.
RowNumber = Annotated[int, Field(ge=1, lt=2**63)]

#: As the settings name nodes.
NODE_ID = r"[a-z0-9][a-z0-9-]{0,31}"
NodeId = Annotated[str, StringConstraints(pattern=rf"^{NODE_ID}$")]
#: More than one back-end ever serves.
UserCount = Annotated[int, Field(ge=0, le=10_000_000)]


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
    NEW_LINK = "newlink"


class Go(CallbackData, prefix="go"):
    """Show a page: in place of the tapped message or, with `anew`, below it."""

    page: Page
    anew: bool = False


class PlanChosen(CallbackData, prefix="plan"):
    """Buy this plan; `operation_id` was made when the button was drawn."""

    plan_id: ShortName
    operation_id: OperationId


class WayChosen(CallbackData, prefix="way"):
    """Pay for this plan in this way; `operation_id` as in `PlanChosen`."""

    plan_id: ShortName
    provider: ShortName
    operation_id: OperationId


class OrderStep(CallbackData, prefix="order"):
    """The buyer says that an order was paid outside, or that it is not wanted any more."""

    step: Literal["paid", "cancel"]
    purchase_id: UUID


class TrialWanted(CallbackData, prefix="try"):
    """Try for nothing."""


class NewLink(CallbackData, prefix="newlink"):
    """A new link, with `leaked` at once; `operation_id` as in `PlanChosen`."""

    leaked: bool
    operation_id: OperationId


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


class PaymentDecision(StrEnum):
    """What an owner wants of money that came in."""

    CREDIT = "credit"
    REFUND = "refund"
    DONE = "done"


class PaymentDecided(CallbackData, prefix="money"):
    """Do so with a payment, by the number that people call it. A refund is asked about again."""

    decision: PaymentDecision
    number: RowNumber


class OrderDecided(CallbackData, prefix="manual"):
    """The money of an order that is paid outside was found, or was not."""

    decision: Literal["approve", "reject"]
    purchase_id: UUID


class RefundConfirmed(CallbackData, prefix="refund"):
    """The second tap of a refund; `operation_id` as in `PlanChosen`."""

    number: RowNumber
    operation_id: OperationId


class BanConfirmed(CallbackData, prefix="ban"):
    """The second tap of a ban; `operation_id` as in `PlanChosen`."""

    user_id: UserId
    operation_id: OperationId


class NothingDone(CallbackData, prefix="nothing"):
    """An owner thought better of it."""


class NodeShown(CallbackData, prefix="node"):
    """Show a node: in place of the tapped message or, with `anew`, below it."""

    node: NodeId
    anew: bool = False


class NodesShown(CallbackData, prefix="nodes"):
    """Show all nodes."""


class NodesCompared(CallbackData, prefix="compare"):
    """Compare a node, or all (`*`), with the database; nothing is changed unless `really`."""

    node: Annotated[str, StringConstraints(pattern=rf"^(\*|{NODE_ID})$")]
    really: bool


class NodeAct(StrEnum):
    """What is asked about a second time, since it is about many users at once."""

    CONFIRM = "confirm"
    DRAIN = "drain"
    LOSE = "lost"


class NodeActConfirmed(CallbackData, prefix="nodeyes"):
    """The second tap: so many users are named in the question, and more are not meant."""

    act: NodeAct
    node: NodeId
    users: UserCount


class ClocksConfirmed(CallbackData, prefix="clocks"):
    """The second tap of a word about the time. `held` is `mark_of` what the question said."""

    held: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
