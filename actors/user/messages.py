"""What a user's actor can be asked, and every answer that it may give."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from actors.runtime.messages import Request
from storage.rows import SubscriptionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusShown:
    """Where a user stands, at `now` of the database."""

    language: str
    now: datetime
    status: SubscriptionStatus
    plan_id: str | None
    expires_at: datetime | None
    pending_s: int
    has_link: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduce(Request[StatusShown]):
    """Someone wrote to the bot. `language` is a guess, kept only for a newcomer."""

    operation_id: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChooseLanguage(Request[StatusShown]):
    """The user wants the bot to speak `language`."""

    operation_id: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceDue:
    """Show this invoice now, then say so with `InvoiceSent`."""

    purchase_id: UUID
    plan_id: str
    price: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceAlreadySent:
    """The same tap came twice: its invoice is in the chat."""

    purchase_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNotSold:
    """No such plan is for sale, or no node can take its buyers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSoldToUser:
    """We do not sell to this user."""


OpenPurchaseOutcome = InvoiceDue | InvoiceAlreadySent | PlanNotSold | NotSoldToUser


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPurchase(Request[OpenPurchaseOutcome]):
    """The user chose a plan. The same `operation_id` is the same tap, however often it comes."""

    operation_id: str
    plan_id: str
    language: str
    chat_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRecorded:
    """The order awaits its payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceSent(Request[InvoiceRecorded]):
    """The invoice of this order stands in the chat."""

    operation_id: str
    purchase_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentCredited:
    """The money counts. Access follows by itself, and the buyer is told through the outbox."""

    purchase_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentHeld:
    """The money is recorded and not credited: an operator decides. `reason` is for them."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentAlreadyRecorded:
    """This charge was recorded before; nothing changed."""


CreditPaymentOutcome = PaymentCredited | PaymentHeld | PaymentAlreadyRecorded


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditPayment(Request[CreditPaymentOutcome]):
    """A provider says that this user paid. `purchase_id` is None when no order could be read.

    `amount` is in the currency's smallest unit; `body_sha256` is of the update as it came.
    """

    operation_id: str
    provider: str
    provider_payment_id: str
    purchase_id: UUID | None
    amount: int
    currency: str
    body_sha256: bytes
    language: str
    chat_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkShown:
    """The user's link, as the node gave it."""

    link: str
    plan_id: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkNotReady:
    """Paid, and access is being made; time has not started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAccess:
    """Nothing was bought, or what was bought has ended."""

    status: SubscriptionStatus


ShowLinkOutcome = LinkShown | LinkNotReady | NoAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowLink(Request[ShowLinkOutcome]):
    """The user wants to see the link again."""

    operation_id: str
