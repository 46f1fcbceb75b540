"""Rows as the rest of the program sees them: frozen, typed, every moment timezone-aware."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID


class UserStatus(StrEnum):
    """Whether we sell to a user."""

    ACTIVE = "active"
    BANNED = "banned"


class SubscriptionStatus(StrEnum):
    """Where a subscription stands; only `active` time runs."""

    NONE = "none"
    ACTIVATING = "activating"
    ACTIVE = "active"
    EXPIRED = "expired"
    SUSPENDED = "suspended"


class PurchaseStatus(StrEnum):
    """Where an order stands."""

    CREATED = "created"
    AWAITING_PAYMENT = "awaiting_payment"
    AWAITING_ADMIN = "awaiting_admin"
    PAID = "paid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"


class Disposition(StrEnum):
    """What became of money that came in."""

    RECEIVED = "received"
    CREDITED = "credited"
    MISMATCH = "mismatch"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"


class Desired(StrEnum):
    """What one uuid on one node should be."""

    PRESENT = "present"
    ABSENT = "absent"


class LetterState(StrEnum):
    """What became of a message that crashed its handler again and again."""

    WAITING = "waiting"
    RETRIED = "retried"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A person who wrote to the bot."""

    tg_id: int
    status: UserStatus
    language: str
    reachable: bool
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """A user's access: until when, or how many paid seconds wait for it to begin."""

    id: UUID
    user_id: int
    plan_id: str
    status: SubscriptionStatus
    expires_at: datetime | None
    pending_s: int
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseRow:
    """An order: what was offered, at which price, and how far it has come."""

    id: UUID
    user_id: int
    kind: str
    plan_id: str
    node_id: str
    price: int
    currency: str
    period_s: int
    provider: str
    status: PurchaseStatus
    operation_id: str
    chat_id: int
    message_id: int | None
    invoice_expires_at: datetime
    fulfilled_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """Money that came in, once for each charge of a provider."""

    provider: str
    provider_payment_id: str
    purchase_id: UUID | None
    user_id: int
    amount: int
    currency: str
    disposition: Disposition
    reason: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRow:
    """One uuid on one node: the wish (`desired`, `gen`) and what is confirmed (`applied_gen`)."""

    uuid: UUID
    subscription_id: UUID
    node_id: str
    desired: Desired
    gen: int
    applied_gen: int
    first_applied_at: datetime | None
    replaces: UUID | None
    link_enc: bytes | None
    attempts: int
    last_class: str | None
    quarantined: bool

    @property
    def applied(self) -> bool:
        """Whether the node confirmed the present wish."""
        return self.applied_gen == self.gen


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node as the database knows it; `epoch` is None until the first contact."""

    id: str
    state: str
    epoch: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """A raw update that was accepted and is not done. `lane` orders: one user, one lane.

    `attempts` never ended or ended in a bug; `refusals` are answers that Telegram did not take.
    """

    source: str
    source_id: str
    seq: int
    payload: str
    lane: int | None
    attempts: int
    refusals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """Something to tell. `version` grows when the news changes while it is being told."""

    id: UUID
    kind: str
    user_id: int | None
    payload: Mapping[str, Any]
    version: int
    attempts: int

    @property
    def listener(self) -> int:
        """Whom it is for: a user, or an owner, who may be none."""
        return self.user_id if self.user_id is not None else int(self.payload["owner"])


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """All rows of one user at one moment of the database's clock."""

    now: datetime
    user: UserRow | None
    subscription: SubscriptionRow | None
    credentials: tuple[CredentialRow, ...]
    open_purchases: tuple[PurchaseRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuoteRow:
    """What a pre-checkout question is answered from: an order and the moment of reading it."""

    now: datetime
    purchase: PurchaseRow
    user_status: UserStatus
    subscription_status: SubscriptionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseDraft:
    """An order to be written; it may be paid for `open_for_s` seconds from then."""

    id: UUID
    user_id: int
    kind: str
    plan_id: str
    node_id: str
    price: int
    currency: str
    period_s: int
    provider: str
    operation_id: str
    chat_id: int
    open_for_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentDraft:
    """A charge to be recorded. An unknown `purchase_id` is recorded as none."""

    provider: str
    provider_payment_id: str
    purchase_id: UUID | None
    user_id: int
    amount: int
    currency: str
    body_sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentFlags:
    """What was odd about a charge that is credited all the same."""

    late: bool = False
    over: bool = False
    duplicate_invoice: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Why paid time changed. (`source_kind`, `source_id`) is there once, for ever."""

    delta_s: int
    source_kind: str
    source_id: str
    reason: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCredential:
    """A uuid that is to be let in, for the first time. It may take another's place."""

    uuid: UUID
    node_id: str
    replaces: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedCredential:
    """A uuid that is to be let in again, under the next generation."""

    uuid: UUID
    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Money becomes time: all that one transaction writes. `wish` is None when access is on."""

    payment: PaymentRow
    purchase: PurchaseRow
    kind: str
    flags: PaymentFlags
    before: SubscriptionRow | None
    after: SubscriptionRow
    entry: LedgerEntry
    wish: NewCredential | RaisedCredential | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money is kept aside, uncredited, for an operator; `reason` is theirs to read."""

    payment: PaymentRow
    purchase: PurchaseRow | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """The node's answer was recorded; these people have news."""

    user_id: int
    activated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A newer wish overtook the one that was answered: nothing was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PurchaseNews:
    """Rows behind an order's live message."""

    user: UserRow
    purchase: PurchaseRow
    subscription: SubscriptionRow | None
    held: bool
    delayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNews:
    """Rows behind a message with a link."""

    user: UserRow
    subscription: SubscriptionRow
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertNews:
    """What an owner should know at once; no `language` for one who never wrote to the bot."""

    owner: int
    language: str | None
    text_id: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """Something that became of an actor, so many seconds ago."""

    id: UUID
    age_s: float
    kind: str
    supervisor: str
    actor: str
    incarnation: int | None
    reason: str
    details: Mapping[str, Any]
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """Something that became of an actor."""

    id: UUID
    at: datetime
    kind: str
    supervisor: str
    actor: str
    incarnation: int | None
    reason: str
    details: Mapping[str, Any]
    correlation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterDraft:
    """A message that is given up. Without a `payload` it cannot be sent again by itself."""

    id: UUID
    age_s: float
    correlation_id: str
    operation_id: str
    actor: str
    message_type: str
    payload: Mapping[str, Any] | None
    attempts: int
    error: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRow:
    """A message that was given up, and what an operator decided about it."""

    id: int
    letter_id: UUID
    correlation_id: str
    operation_id: str
    actor: str
    message_type: str
    payload: Mapping[str, Any] | None
    attempts: int
    error: str
    traceback: str
    state: LetterState
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReleased:
    """The update behind a dead letter is worked on again, whole."""

    letter: DeadLetterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class CannotRetry:
    """Neither an update that was set aside nor a message is there to try again; it waits on."""

    letter: DeadLetterRow


@dataclass(frozen=True, slots=True, kw_only=True)
class NotWaiting:
    """It was decided about this letter before."""

    state: LetterState


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDraft:
    """News for one owner, told once for each `dedupe_key`, which names the owner too."""

    dedupe_key: str
    owner: int
    text_id: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDraft:
    """A change of a setting, as seen from the value that it replaces; None is the file's."""

    key: str
    expected_old: Any
    new: Any
    actor: str
    reason: str
    revert_after_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingChangeRow:
    """A setting was changed; None is the file's value."""

    id: int
    key: str
    old: Any
    new: Any
    actor: str
    reason: str
    at: datetime
    revert_at: datetime | None
    undoes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingConflict:
    """Somebody else changed the setting first: this is its value now."""

    key: str
    current: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminActionRow:
    """What an operator did."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    reason: str
    details: Mapping[str, Any]
