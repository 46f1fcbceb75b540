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


class NodeState(StrEnum):
    """What is done with a node.

    Sold where active or frozen, removed from where active or draining; people leave one that is
    draining or lost, and none is left on a removed one.
    """

    ACTIVE = "active"
    DRAINING = "draining"
    FROZEN = "frozen"
    LOST = "lost"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRow:
    """What operators made of a node."""

    node_id: str
    state: NodeState


@dataclass(frozen=True, slots=True, kw_only=True)
class LeavingRow:
    """A user who has to leave a node."""

    user_id: int
    node_id: str


class Origin(StrEnum):
    """Why a credential was made."""

    ACCESS = "access"
    REISSUE = "reissue"
    MOVE = "move"


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
    #: The provider's own invoice, where it has one: its id, and the page that takes the money.
    provider_invoice_id: str | None = None
    pay_url: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """Money that came in, once for each charge of a provider.

    `number` is what people call it; `provider_ref` is the provider's second id, where it has one.
    """

    provider: str
    provider_payment_id: str
    purchase_id: UUID | None
    user_id: int
    amount: int
    currency: str
    disposition: Disposition
    reason: str | None
    received_at: datetime
    number: int = 0
    provider_ref: str | None = None
    refund_attempts: int = 0


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
    created_at: datetime
    origin: Origin = Origin.ACCESS
    #: One of many wishes that were made at once.
    bulk: bool = False

    @property
    def applied(self) -> bool:
        """Whether the node confirmed the present wish."""
        return self.applied_gen == self.gen


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node as the database knows it; `epoch` is None until the first contact.

    `writer_seq` is how far our own writing has come by the node's last acknowledgement.
    """

    id: str
    state: NodeState
    epoch: UUID | None
    writer_seq: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonBasis:
    """What the database knows of a node before the node is asked; `at` is its clock's moment."""

    node: NodeRow
    database_id: UUID
    at: datetime
    #: The mark of another writer that an operator has accepted.
    accepted_writer: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRow:
    """One uuid as the database wants it on its node, as far as comparing needs it."""

    uuid: UUID
    node_id: str
    user_id: int
    desired: Desired
    gen: int
    applied_gen: int
    #: Whether it was confirmed before the node was asked for its list.
    settled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcileRun:
    """What a comparison found, and what was done about it."""

    node_id: str
    outcome: str
    took_s: float
    on_node: int
    wanted: int
    missing: int = 0
    orphans: int = 0
    raised: int = 0
    removed: int = 0
    dry_run: bool = False
    why: str = ""
    sample: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOverview:
    """A node for operators; `users` should be let in there, `waiting` wishes are unconfirmed."""

    id: str
    state: NodeState
    reason: str
    changed_at: datetime
    changed_by: str
    users: int
    waiting: int
    set_aside: int
    last_run: ReconcileRun | None


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
    bugs: int = 0

    @property
    def listener(self) -> int:
        """Whom it is for: a user, or an owner, who may be none."""
        return self.user_id if self.user_id is not None else int(self.payload["owner"])


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRecord:
    """All rows of one user at one moment of the database's clock.

    `uncredited`: money of theirs is recorded and not decided about. `tried`: they had their trial.
    `gained_today_s`: seconds that the ledger gave them within a day, bought or not. `claimed`: how
    many orders they said to have paid outside, which wait for an owner.
    """

    now: datetime
    user: UserRow | None
    subscription: SubscriptionRow | None
    credentials: tuple[CredentialRow, ...]
    open_purchases: tuple[PurchaseRow, ...]
    uncredited: bool = False
    tried: bool = False
    gained_today_s: int = 0
    claimed: int = 0


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
    provider_ref: str | None = None


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
    """A uuid that is to be let in, for the first time. It may take another's place.

    `operation_id` is the command that is carried out once, where nothing else of it is recorded.
    """

    uuid: UUID
    node_id: str
    replaces: UUID | None = None
    origin: Origin = Origin.ACCESS
    operation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RaisedCredential:
    """A uuid that is to be let in again, under the next generation."""

    uuid: UUID
    node_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedCredential:
    """A uuid that is to be shut out, under the next generation. Absent already: nothing changes."""

    uuid: UUID
    node_id: str


Wish = NewCredential | RaisedCredential | RemovedCredential


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerStep:
    """One row of the ledger, and the subscription that it leads to."""

    after: SubscriptionRow
    entry: LedgerEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertDraft:
    """News for one owner, told once for each `dedupe_key`, which names the owner too."""

    dedupe_key: str
    owner: int
    text_id: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewsDraft:
    """Something to tell a user, once for each `dedupe_key`."""

    dedupe_key: str
    user_id: int
    text_id: str
    arguments: Mapping[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActDraft:
    """What an owner did, recorded with the act; the same `operation_id` is the same act."""

    operation_id: str
    actor: str
    action: str
    target: str
    reason: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessChange:
    """All that one transaction writes about a user's access.

    Without `steps` the time stays as it is, and the subscription must still be `before`.
    `user_status` is None where it stays.
    """

    user_id: int
    before: SubscriptionRow | None
    steps: tuple[LedgerStep, ...] = ()
    wishes: tuple[Wish, ...] = ()
    user_status: UserStatus | None = None
    news: tuple[NewsDraft, ...] = ()
    alerts: tuple[AlertDraft, ...] = ()
    act: ActDraft | None = None

    @property
    def after(self) -> SubscriptionRow | None:
        """The subscription as it will be."""
        return self.steps[-1].after if self.steps else self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Money becomes time: all that one transaction writes."""

    payment: PaymentRow
    purchase: PurchaseRow
    kind: str
    flags: PaymentFlags
    change: AccessChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Money is kept aside, uncredited, for an owner; `reason` is theirs to read.

    With `refund` it goes back by itself, at once.
    """

    payment: PaymentRow
    purchase: PurchaseRow | None
    reason: str
    refund: bool = False
    alerts: tuple[AlertDraft, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money goes back: what one transaction writes before the provider is asked.

    `change` is None where the money had bought nothing. `done`: the provider gave it back already.
    """

    payment: PaymentRow
    reason: str
    change: AccessChange | None
    act: ActDraft | None = None
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """A payment that is to go back to its payer; `invoice_id` is the provider's own, if any."""

    payment: PaymentRow
    invoice_id: str | None
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerRow:
    """How far a provider's list of charges was read."""

    provider: str
    cursor: str | None
    last_success_at: datetime | None
    repairs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryRow:
    """One moment of a user's story, as its table has it."""

    at: datetime
    kind: str
    subject: str
    event: str
    details: Mapping[str, Any]


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
    """Rows behind a message with a link; `moved`: it is of another node than the one before."""

    user: UserRow
    subscription: SubscriptionRow
    link: str
    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalNews:
    """Something to tell a user, and where they stand at the moment of telling."""

    user: UserRow
    subscription: SubscriptionRow | None
    text_id: str
    arguments: Mapping[str, Any]


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
