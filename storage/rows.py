"""Rows as the rest of the program sees them: frozen, typed, every moment timezone-aware."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
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
    """A raw update that was accepted and is not done. `lane` orders: one user, one lane."""

    source: str
    source_id: str
    seq: int
    payload: str
    lane: int | None
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """Something to tell. `version` grows when the news changes while it is being told."""

    id: UUID
    kind: str
    user_id: int | None
    payload: dict[str, str]
    version: int
    attempts: int


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
