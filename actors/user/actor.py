"""UserActor: one per user; every change to a user's access passes here, one at a time.

State is read from PostgreSQL for each command, with its clock, and never carried over.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.user.decisions import (
    OpenNew,
    RefusePlan,
    RefuseUser,
    SameTap,
    ShowAgain,
    decide_credit,
    decide_link,
    decide_open,
    decide_status,
)
from actors.user.messages import (
    ChooseLanguage,
    CreditPayment,
    CreditPaymentOutcome,
    Introduce,
    InvoiceAlreadySent,
    InvoiceDue,
    InvoiceRecorded,
    InvoiceSent,
    LinkShown,
    NotSoldToUser,
    OpenPurchase,
    OpenPurchaseOutcome,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    PlanNotSold,
    ShowLink,
    ShowLinkOutcome,
    StatusShown,
)
from config.plans import Plans
from storage.errors import VersionConflict
from storage.phases import UserPhases
from storage.rows import (
    CredentialRow,
    Disposition,
    Hold,
    PaymentDraft,
    PaymentRow,
    PurchaseRow,
    SubscriptionRow,
)

log = structlog.get_logger(__name__)

USER = "user"

#: A node's confirmation may change the subscription between reading and writing: once a charge.
DECIDE_TRIES = 3


class UserActor(AsyncioActor):
    """Orders, time and credentials of one user."""

    mailbox_bound = 32

    def __init__(
        self,
        user_id: int,
        phases: UserPhases,
        plans: Plans,
        nodes: Sequence[str],
        directory: Directory,
    ) -> None:
        super().__init__()
        self.user_id = user_id
        self.phases = phases
        self.plans = plans
        self.nodes = nodes
        self.directory = directory

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`. Everything else is read from the database for each command."""
        return {"user_id": self.user_id}

    async def on_introduce(self, message: Introduce) -> StatusShown:
        """Make a newcomer known, and say where the user stands."""
        await self.phases.introduce(self.user_id, message.language)
        return decide_status(await self.phases.load(self.user_id))

    async def on_choose_language(self, message: ChooseLanguage) -> StatusShown:
        """Speak another language from now on."""
        await self.phases.introduce(self.user_id, message.language)
        await self.phases.choose_language(self.user_id, message.language)
        return decide_status(await self.phases.load(self.user_id))

    async def on_open_purchase(self, message: OpenPurchase) -> OpenPurchaseOutcome:
        """A tap on a plan: a new order, or the one that is open."""
        await self.phases.introduce(self.user_id, message.language)
        record = await self.phases.load(self.user_id)
        plan = self.plans.get(message.plan_id)
        match decide_open(record, message, plan, self.nodes, uuid.uuid4()):
            case OpenNew(draft=draft):
                purchase = await self.phases.open_purchase(draft)
                log.info("purchase_opened", purchase_id=str(purchase.id), plan=purchase.plan_id)
                return _invoice(purchase)
            case ShowAgain(purchase=purchase):
                await self.phases.reopen_purchase(purchase.id, message.operation_id)
                return _invoice(purchase)
            case SameTap(purchase=purchase):
                return InvoiceAlreadySent(purchase_id=purchase.id)
            case RefuseUser():
                return NotSoldToUser()
            case RefusePlan():
                return PlanNotSold()

    async def on_invoice_sent(self, message: InvoiceSent) -> InvoiceRecorded:
        """The invoice stands in the chat."""
        await self.phases.await_payment(message.purchase_id, self.user_id)
        return InvoiceRecorded()

    async def on_credit_payment(self, message: CreditPayment) -> CreditPaymentOutcome:
        """Money came in: record it first, then decide what it buys."""
        await self.phases.introduce(self.user_id, message.language)
        payment, purchase = await self.phases.receive_payment(self._draft(message))
        if payment.disposition is not Disposition.RECEIVED:
            return PaymentAlreadyRecorded()
        for _ in range(DECIDE_TRIES):
            try:
                return await self._credit(payment, purchase)
            except VersionConflict:
                log.info("credit_decided_again", payment_id=payment.provider_payment_id)
        raise VersionConflict

    async def on_show_link(self, message: ShowLink) -> ShowLinkOutcome:
        """The link as the node gave it; nobody else ever makes one."""
        del message
        record = await self.phases.load(self.user_id)
        found = decide_link(record)
        if not isinstance(found, CredentialRow):
            return found
        return _shown(self.phases.open_link(found), record.subscription)

    async def _credit(
        self, payment: PaymentRow, purchase: PurchaseRow | None
    ) -> PaymentCredited | PaymentHeld:
        record = await self.phases.load(self.user_id)
        decision = decide_credit(
            record,
            payment,
            purchase,
            self.nodes,
            fresh=uuid.uuid4(),
            fresh_subscription=uuid.uuid4(),
        )
        if isinstance(decision, Hold):
            await self.phases.record_hold(decision)
            log.error("payment_held", reason=decision.reason, amount=payment.amount)
            self.directory.find(NOTIFIER).wake()
            return PaymentHeld(reason=decision.reason)
        # Committed before the node hears of it: a crash below costs time, not money.
        await self.phases.record_credit(decision)
        log.info("payment_credited", purchase_id=str(decision.purchase.id), kind=decision.kind)
        if decision.wish is not None:
            log.info("ACTIVATION_PHASE1_UUID_CREATED", uuid=str(decision.wish.uuid)[:8])
            self.directory.find(PROVISIONER, decision.wish.node_id).wake()
        self.directory.find(NOTIFIER).wake()
        return PaymentCredited(purchase_id=decision.purchase.id)

    def _draft(self, message: CreditPayment) -> PaymentDraft:
        return PaymentDraft(
            provider=message.provider,
            provider_payment_id=message.provider_payment_id,
            purchase_id=message.purchase_id,
            user_id=self.user_id,
            amount=message.amount,
            currency=message.currency,
            body_sha256=message.body_sha256,
        )


def _invoice(purchase: PurchaseRow) -> InvoiceDue:
    return InvoiceDue(
        purchase_id=purchase.id,
        plan_id=purchase.plan_id,
        price=purchase.price,
        currency=purchase.currency,
    )


def _shown(link: str, subscription: SubscriptionRow | None) -> LinkShown:
    if subscription is None or subscription.expires_at is None:
        raise ValueError("active access without an end")
    return LinkShown(link=link, plan_id=subscription.plan_id, expires_at=subscription.expires_at)
