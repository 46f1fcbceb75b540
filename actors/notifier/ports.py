"""What the notifier needs of the outside: someone who carries a notice to a person."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


class Progress(StrEnum):
    """How far a paid order has come, in the words of the buyer's live message."""

    ACTIVATING = "activating"
    DELAYED = "delayed"  # the node does not answer; nothing is lost
    READY = "ready"
    EXTENDED = "extended"  # access was on already: time was added
    HELD = "held"  # recorded, not credited; an operator decides
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    REJECTED = "rejected"  # an owner found no money


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseProgress:
    """The one live message of an order. `message_id` is None until it was first sent."""

    chat_id: int
    message_id: int | None
    language: str
    progress: Progress
    plan_id: str
    price: int
    currency: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkReady:
    """The link, to copy and to scan; `moved`: it takes the place of one of another node."""

    chat_id: int
    language: str
    link: str
    plan_id: str
    expires_at: datetime
    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerAlert:
    """What an owner should know at once, by a text that another release may have chosen."""

    chat_id: int
    language: str
    text_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalNotice:
    """News of a person's own, by a text that another release may have chosen."""

    chat_id: int
    language: str
    text_id: str
    arguments: Mapping[str, Any]


Notice = PurchaseProgress | LinkReady | PersonalNotice | OwnerAlert


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """Telegram took it. An edit that changed nothing counts too."""

    message_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CarryLater:
    """Not now. `after_s` is the wait that Telegram asked for, None where it named none."""

    after_s: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotReach:
    """The person blocked the bot or is gone: the notice waits for them to come back."""

    reason: str


CarryOutcome = Carried | CarryLater | CannotReach


class Courier(Protocol):
    """Carries notices to people; never raises for what Telegram answers."""

    async def carry(self, notice: Notice) -> CarryOutcome:
        """Send or edit one notice."""
        ...
