"""What a user's actor can be asked, and every answer that it may give."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from actors.runtime.messages import Request
from storage.rows import PurchaseStatus, SubscriptionStatus


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
    #: Seconds that may be tried for nothing; None when there is nothing to try any more.
    trial_s: int | None = None
    can_reissue: bool = False
    banned: bool = False


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
    """Show this invoice now, then say so with `InvoiceSent`.

    `pay_url` is the provider's page of an order that was shown before, so that no second invoice is
    made; None where there is none yet.
    """

    purchase_id: UUID
    plan_id: str
    price: int
    currency: str
    provider: str
    pay_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceAlreadySent:
    """The same tap came twice: its invoice is in the chat."""

    purchase_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNotSold:
    """No such plan is for sale, or no node can take its buyers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesPaused:
    """Every node that could take the user is full, or has not answered for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotSoldToUser:
    """We do not sell to this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TooFarAhead:
    """Access reaches so far ahead already that no more of this plan is sold now."""

    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TooManyOrders:
    """So many orders wait for their payment that another one is refused."""


NoInvoice = (
    InvoiceAlreadySent | PlanNotSold | SalesPaused | NotSoldToUser | TooFarAhead | TooManyOrders
)
OpenPurchaseOutcome = InvoiceDue | NoInvoice


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenPurchase(Request[OpenPurchaseOutcome]):
    """The user chose a plan. The same `operation_id` is the same tap, however often it comes."""

    operation_id: str
    plan_id: str
    language: str
    chat_id: int
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceRecorded:
    """The order awaits its payment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceSent(Request[InvoiceRecorded]):
    """The invoice of this order stands in the chat.

    `provider_invoice_id` and `pay_url` are of a provider that has invoices of its own.
    """

    operation_id: str
    purchase_id: UUID
    provider_invoice_id: str | None = None
    pay_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCancelled:
    """Nothing is expected for this order any more. Money that comes all the same is not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNotOpen:
    """The order does not wait for its payment any more; `status` is None for an unknown one."""

    status: PurchaseStatus | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelOrder(Request[OrderCancelled | OrderNotOpen]):
    """The user changed their mind about an order that is not paid."""

    operation_id: str
    purchase_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRecorded:
    """The owners were asked to look for the money. The same claim again changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimPaid(Request[ClaimRecorded | OrderNotOpen]):
    """The user says that an order was paid outside; an owner decides."""

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
    provider_ref: str | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStarted:
    """Access is being made; the trial's time starts when it works."""

    period_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialNotOffered:
    """There is no trial, or this person had one, or bought already."""


TrialOutcome = TrialStarted | TrialNotOffered | SalesPaused | NotSoldToUser


@dataclass(frozen=True, slots=True, kw_only=True)
class StartTrial(Request[TrialOutcome]):
    """The user wants to try for nothing, which each person may once."""

    operation_id: str
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueStarted:
    """A new link is being made and comes by itself. `old_works`: until then the old one does."""

    old_works: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueUnderWay:
    """A new link is being made already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReissueTooOften:
    """So many new links were made within a day that the next has to wait."""

    per_day: int


ReissueOutcome = ReissueStarted | ReissueUnderWay | ReissueTooOften | NoAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class Reissue(Request[ReissueOutcome]):
    """The user wants a new link.

    With `leaked` the old one is shut out at once; without, when the new one works.
    """

    operation_id: str
    leaked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessExpired:
    """The time was over; the link is shut out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotExpired:
    """There is time left, or money that has to be decided about first; nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireAccess(Request[AccessExpired | NotExpired]):
    """Somebody saw that this user's time may be over."""

    operation_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUnknown:
    """This person never wrote to the bot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoneBefore:
    """The very same command of the same owner was carried out before; nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessGranted:
    """Time was given: it runs until `expires_at`, or waits for access."""

    period_s: int
    expires_at: datetime | None


class Bound(StrEnum):
    """Which bound a credit or a grant would break."""

    ROW = "row"
    USER_DAY = "user_day"
    SHOP_DAY = "shop_day"
    HORIZON = "horizon"


@dataclass(frozen=True, slots=True, kw_only=True)
class TooMuch:
    """So much may not be given; `limit_s` is the bound in seconds."""

    bound: Bound
    limit_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """This user is banned or suspended: lift that first."""


GrantOutcome = AccessGranted | TooMuch | UserUnknown | Suspended | DoneBefore | PlanNotSold


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantAccess(Request[GrantOutcome]):
    """An owner gives time away: of this plan; for `period_s`, or for the plan's own period."""

    operation_id: str
    plan_id: str | None
    period_s: int | None
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRepaired:
    """The same key is wished for again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToRepair:
    """The key is not to be let in any more, or is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairAccess(Request[AccessRepaired | NothingToRepair]):
    """A node lost a key that it had confirmed at this generation."""

    operation_id: str
    uuid: UUID
    gen: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessMoves:
    """A key on another node is being made; the old one goes when it works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToMove:
    """The user depends on no node that is on its way out, or is moving already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NowhereToGo:
    """No other node of the user's plan answers and has room."""


MoveOutcome = AccessMoves | NothingToMove | NowhereToGo


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAccess(Request[MoveOutcome]):
    """The user's node is drained, or lost."""

    operation_id: str


class Standing(StrEnum):
    """What an owner makes of a user's access."""

    REVOKED = "revoke"
    """No access; what is left of the time is kept."""
    RESTORED = "restore"
    """Access again, with the time that was kept."""
    BANNED = "ban"
    """As revoked, and nothing is sold to the user any more."""
    UNBANNED = "unban"
    """As restored, and the user may buy again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingChanged:
    """So it is now; `kept_s` seconds are kept, or wait for access again."""

    kept_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingUnchanged:
    """So it was before, or there is nothing to change. `banned`: only unbanning helps."""

    banned: bool


StandingOutcome = StandingChanged | StandingUnchanged | UserUnknown | DoneBefore


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeStanding(Request[StandingOutcome]):
    """An owner revokes or restores access, bans or unbans."""

    operation_id: str
    standing: Standing
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundStarted:
    """The access that it bought is taken back, and the money is on its way."""

    amount: int
    currency: str
    provider: str
    by_hand: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundedBefore:
    """This money went back before, or is on its way."""

    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSuchPayment:
    """This user has no such payment, or it was not decided about yet."""


RefundOutcome = RefundStarted | RefundedBefore | NoSuchPayment


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundPayment(Request[RefundOutcome]):
    """Give money back and end what it bought. Held money goes back too."""

    operation_id: str
    provider: str
    provider_payment_id: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundNoted:
    """The money is back at its payer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteRefund(Request[RefundNoted | RefundedBefore | NoSuchPayment]):
    """The provider gave this money back, or an owner did by hand (`who`).

    A refund that was not ours ends what the money bought as well.
    """

    operation_id: str
    provider: str
    provider_payment_id: str
    who: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotHeld:
    """This money is not held: it was credited, or goes back, or is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditHeld(Request[PaymentCredited | NotHeld | NoSuchPayment | TooMuch]):
    """An owner lets held money count as what was ordered."""

    operation_id: str
    provider: str
    provider_payment_id: str
    who: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualRejected:
    """The buyer is told that no money was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedBefore:
    """Somebody decided about this order before."""

    who: str
    at: datetime
    approved: bool


ManualOutcome = CreditPaymentOutcome | ManualRejected | DecidedBefore | OrderNotOpen


@dataclass(frozen=True, slots=True, kw_only=True)
class DecideManual(Request[ManualOutcome]):
    """An owner found the money of an order that is paid outside, or did not."""

    operation_id: str
    purchase_id: UUID
    approve: bool
    who: str
