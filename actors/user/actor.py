"""UserActor: one per user; every change to a user's access passes here, one at a time.

State is read from PostgreSQL for each command, with its clock, and never carried over.
"""

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, TypeVar

import structlog

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.user import outcomes
from actors.user.decisions.access import (
    alerts_of_grant,
    alerts_of_trial,
    decide_expiry,
    decide_grant,
    decide_move,
    decide_reissue,
    decide_repair,
    decide_standing,
    decide_trial,
)
from actors.user.decisions.catalogue import Catalogue, Fresh, Place
from actors.user.decisions.money import (
    act_of_refund,
    decide_credit,
    decide_credit_held,
    decide_refund,
    match_of,
)
from actors.user.decisions.orders import OpenNew, ShowAgain, decide_open, invoice_of
from actors.user.decisions.standing import decide_link, decide_status
from actors.user.messages import (
    AccessExpired,
    AccessMoves,
    AccessRepaired,
    CancelOrder,
    ChangeStanding,
    ChooseLanguage,
    ClaimPaid,
    ClaimRecorded,
    CreditHeld,
    CreditPayment,
    CreditPaymentOutcome,
    DecideManual,
    DoneBefore,
    ExpireAccess,
    GrantAccess,
    GrantOutcome,
    Introduce,
    InvoiceRecorded,
    InvoiceSent,
    ManualOutcome,
    MoveAccess,
    MoveOutcome,
    NoAccess,
    NoSuchPayment,
    NoteRefund,
    NotExpired,
    NotHeld,
    NothingToMove,
    NothingToRepair,
    NotSoldToUser,
    NowhereToGo,
    OpenPurchase,
    OpenPurchaseOutcome,
    OrderCancelled,
    OrderNotOpen,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    PlanNotSold,
    RefundedBefore,
    RefundNoted,
    RefundOutcome,
    RefundPayment,
    RefundStarted,
    Reissue,
    ReissueOutcome,
    ReissueStarted,
    ReissueTooOften,
    ReissueUnderWay,
    RepairAccess,
    SalesPaused,
    ShowLink,
    ShowLinkOutcome,
    StandingOutcome,
    StandingUnchanged,
    StartTrial,
    StatusShown,
    Suspended,
    TooMuch,
    TrialNotOffered,
    TrialOutcome,
    TrialStarted,
    UserUnknown,
)
from config.events import LegacyEvent
from config.providers import RefundWay
from storage.errors import VersionConflict
from storage.phases import UserPhases
from storage.rows import (
    AccessChange,
    AlertDraft,
    CredentialRow,
    Credit,
    Disposition,
    Hold,
    NewCredential,
    PaymentDraft,
    PaymentRow,
    PurchaseStatus,
    Refund,
    RemovedCredential,
    SubscriptionStatus,
    UserRecord,
)

log = structlog.get_logger(__name__)

USER = "user"

#: A node's confirmation may change the subscription between reading and writing: once a charge.
DECIDE_TRIES = 3

Decided = TypeVar("Decided")


class UserActor(AsyncioActor):
    """Orders, time and credentials of one user."""

    mailbox_bound = 32

    def __init__(
        self,
        user_id: int,
        phases: UserPhases,
        catalogue: Catalogue,
        directory: Directory,
        places: Callable[[], Mapping[str, Place]] = dict,
        placing: Callable[[list[str]], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        """Take what it works with.

        Args:
            user_id: whose it is.
            phases: what is read and written.
            catalogue: what the shop offers.
            directory: where the others are.
            places: how the nodes stand at a moment.
            placing: is told on which nodes one more is put while that is written.
        """
        super().__init__()
        self.user_id = user_id
        self.phases = phases
        self.offers = catalogue
        self.directory = directory
        self.places = places
        self.placing = placing

    @property
    def catalogue(self) -> Catalogue:
        """What the shop offers at this moment."""
        return replace(self.offers, places=self.places())

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`. Everything else is read from the database for each command."""
        return {"user_id": self.user_id}

    async def on_introduce(self, message: Introduce) -> StatusShown:
        """Make a newcomer known, and say where the user stands."""
        await self.phases.introduce(self.user_id, message.language)
        return await self._status()

    async def on_choose_language(self, message: ChooseLanguage) -> StatusShown:
        """Speak another language from now on."""
        await self.phases.introduce(self.user_id, message.language)
        await self.phases.choose_language(self.user_id, message.language)
        return await self._status()

    async def on_show_link(self, message: ShowLink) -> ShowLinkOutcome:
        """The link as the node gave it; nobody else ever makes one."""
        del message
        record = await self.phases.load(self.user_id)
        found = decide_link(record)
        if not isinstance(found, CredentialRow):
            return found
        return outcomes.link_shown(self.phases.open_link(found), record.subscription)

    # Orders

    async def on_open_purchase(self, message: OpenPurchase) -> OpenPurchaseOutcome:
        """A tap on a plan: a new order, or the one that is open."""
        await self.phases.introduce(self.user_id, message.language)
        record = await self.phases.load(self.user_id)
        match decide_open(record, message, self.catalogue, uuid.uuid4()):
            case OpenNew(draft=draft):
                purchase = await self.phases.open_purchase(draft)
                log.info("purchase_opened", purchase_id=str(purchase.id), plan=purchase.plan_id)
                return invoice_of(purchase)
            case ShowAgain(purchase=purchase):
                await self.phases.reopen_purchase(purchase.id, message.operation_id)
                return invoice_of(purchase)
            case refusal:
                return refusal

    async def on_invoice_sent(self, message: InvoiceSent) -> InvoiceRecorded:
        """The invoice stands in the chat."""
        await self.phases.record_invoice(
            message.purchase_id, self.user_id, message.provider_invoice_id, message.pay_url
        )
        return InvoiceRecorded()

    async def on_cancel_order(self, message: CancelOrder) -> OrderCancelled | OrderNotOpen:
        """The user changed their mind. Money that comes all the same is credited as late."""
        purchase = await self.phases.cancel_order(message.purchase_id, self.user_id)
        if purchase is not None and purchase.status is PurchaseStatus.CANCELLED:
            return OrderCancelled()
        return OrderNotOpen(status=purchase.status if purchase else None)

    async def on_claim_paid(self, message: ClaimPaid) -> ClaimRecorded | OrderNotOpen:
        """The user says that they paid outside: the owners look."""
        alerts = await self._alerts_of_claim(message)
        purchase = await self.phases.claim_paid(message.purchase_id, self.user_id, alerts)
        if purchase is None or purchase.status is not PurchaseStatus.AWAITING_ADMIN:
            return OrderNotOpen(status=purchase.status if purchase else None)
        self._wake_notifier()
        return ClaimRecorded()

    async def on_decide_manual(self, message: DecideManual) -> ManualOutcome:
        """An owner found the money of an order, or did not. The first owner's word counts."""
        purchase = await self.phases.purchase(message.purchase_id)
        if purchase is None or purchase.user_id != self.user_id:
            return OrderNotOpen(status=None)
        payment = outcomes.manual_payment(purchase) if message.approve else None
        decided = await self.phases.decide_manual(
            purchase.id,
            self.user_id,
            approve=message.approve,
            act=outcomes.act_of_manual(message, purchase),
            payment=payment,
        )
        self._wake_notifier()
        outcome = outcomes.manual(message, decided)
        if outcome is not None or payment is None:
            return outcome or OrderNotOpen(status=decided.status if decided else None)
        return await self._receive(payment)

    # Money in

    async def on_credit_payment(self, message: CreditPayment) -> CreditPaymentOutcome:
        """Money came in: record it first, then decide what it buys."""
        await self.phases.introduce(self.user_id, message.language)
        return await self._receive(outcomes.payment_draft(message, self.user_id))

    async def on_credit_held(
        self, message: CreditHeld
    ) -> PaymentCredited | NotHeld | NoSuchPayment | TooMuch:
        """An owner lets held money count."""
        found = await self.phases.payment(message.provider, message.provider_payment_id)
        if found is None or found[0].user_id != self.user_id:
            return NoSuchPayment()
        payment, purchase = found

        def decide(record: UserRecord) -> Credit | NotHeld | TooMuch:
            return decide_credit_held(
                record, payment, purchase, self.catalogue, self._fresh(), message
            )

        decision = await self._decided(decide, self._record_credit)
        if not isinstance(decision, Credit):
            return decision
        return PaymentCredited(purchase_id=decision.purchase.id)

    async def _receive(self, draft: PaymentDraft) -> CreditPaymentOutcome:
        payment, purchase = await self.phases.receive_payment(draft)
        # A charge is one person's for ever: their actor decides, whoever it is said of now.
        theirs = payment.user_id != self.user_id
        if theirs or payment.disposition is not Disposition.RECEIVED:
            return PaymentAlreadyRecorded()

        def decide(record: UserRecord) -> Credit | Hold:
            return decide_credit(record, payment, purchase, self.catalogue, self._fresh())

        decision = await self._decided(decide, self._record_credit)
        if isinstance(decision, Credit):
            return PaymentCredited(purchase_id=decision.purchase.id)
        return PaymentHeld(reason=decision.reason)

    async def _record_credit(self, decision: Credit | Hold | NotHeld | TooMuch) -> None:
        """Committed before the node hears of it: a crash below costs time, not money."""
        match decision:
            case Credit():
                with self._placing(decision.change):
                    await self.phases.record_credit(decision)
                self._log_credit(decision)
                self._wake(decision.change)
            case Hold():
                await self.phases.record_hold(decision)
                self._log_hold(decision)
                self._wake_notifier()
            case _:
                return

    # Money back

    async def on_refund_payment(self, message: RefundPayment) -> RefundOutcome:
        """End what money bought, and send it back."""
        found = await self.phases.payment(message.provider, message.provider_payment_id)
        payment, purchase = found or (None, None)

        def decide(record: UserRecord) -> Refund | RefundedBefore | NoSuchPayment:
            return decide_refund(
                record,
                payment,
                purchase,
                self.catalogue,
                reason=message.reason or "money given back",
                actor=message.who,
                act=act_of_refund(message, payment) if payment else None,
            )

        decision = await self._decided(decide, self._record_refund)
        if not isinstance(decision, Refund):
            return decision
        terms = self.catalogue.terms.get(message.provider)
        return RefundStarted(
            amount=decision.payment.amount,
            currency=decision.payment.currency,
            provider=message.provider,
            by_hand=terms is None or terms.refund is RefundWay.BY_HAND,
        )

    async def on_note_refund(
        self, message: NoteRefund
    ) -> RefundNoted | RefundedBefore | NoSuchPayment:
        """Money is back at its payer, by our wish or by somebody else's."""
        found = await self.phases.payment(message.provider, message.provider_payment_id)
        payment, purchase = found or (None, None)
        if payment is not None and payment.user_id != self.user_id:
            return NoSuchPayment()
        if payment is not None and payment.disposition is Disposition.REFUND_PENDING:
            return await self._refund_arrived(message, payment)

        def decide(record: UserRecord) -> Refund | RefundedBefore | NoSuchPayment:
            return decide_refund(
                record,
                payment,
                purchase,
                self.catalogue,
                reason="given back outside",
                actor=message.who or message.provider,
                act=outcomes.act_of_arrival(message, payment) if payment else None,
                done=True,
            )

        decision = await self._decided(decide, self._record_refund)
        return RefundNoted() if isinstance(decision, Refund) else decision

    async def _refund_arrived(
        self, message: NoteRefund, payment: PaymentRow
    ) -> RefundNoted | RefundedBefore:
        if message.who is not None and not await self._by_hand(payment):
            # The provider is still asked: taken at the owner's word, nobody would be any more.
            return RefundedBefore(done=False)
        act = outcomes.act_of_arrival(message, payment)
        noted = await self.phases.record_refunded(
            payment.provider, payment.provider_payment_id, act
        )
        self._wake_notifier()
        log.info("payment_refunded", payment=payment.number, noted=noted)
        return RefundNoted() if noted else RefundedBefore(done=True)

    async def _by_hand(self, payment: PaymentRow) -> bool:
        terms = self.catalogue.terms.get(payment.provider)
        if terms is None or terms.refund is RefundWay.BY_HAND:
            return True
        return await self.phases.waits_for_hand(payment)

    async def _record_refund(self, decision: Refund | RefundedBefore | NoSuchPayment) -> None:
        if not isinstance(decision, Refund):
            return
        await self.phases.record_refund(decision)
        log.info("refund_begun", payment=decision.payment.number, done=decision.done)
        if decision.change is not None:
            self._wake(decision.change)
        self._wake_notifier()

    # Access

    async def on_start_trial(self, message: StartTrial) -> TrialOutcome:
        """Let a person try, once for ever."""
        await self.phases.introduce(self.user_id, message.language)
        given_today_s = await self.phases.given_today()
        alerts: tuple[AlertDraft, ...] = ()

        def decide(
            record: UserRecord,
        ) -> AccessChange | TooMuch | TrialNotOffered | SalesPaused | NotSoldToUser:
            nonlocal alerts
            decision = decide_trial(record, self.catalogue, self._fresh(), given_today_s)
            if isinstance(decision, TooMuch):
                alerts = alerts_of_trial(self.user_id, decision, self.catalogue, record.now)
            return decision

        outcome = await self._change(decide)
        if isinstance(outcome, TooMuch):
            log.error("trial_refused", bound=outcome.bound)
            await self.phases.alert(alerts)
            self._wake_notifier()
            outcome = TrialNotOffered()
        if isinstance(outcome, DoneBefore):
            outcome = TrialNotOffered()
        if not isinstance(outcome, AccessChange):
            log.info(LegacyEvent.TRIAL_REFUSED, user_id=self.user_id)
            return outcome
        log.info(LegacyEvent.TRIAL_STARTED, user_id=self.user_id)
        return TrialStarted(period_s=outcome.steps[-1].entry.delta_s)

    async def on_grant_access(self, message: GrantAccess) -> GrantOutcome:
        """An owner gives time away."""
        given_today_s = await self.phases.given_today()

        def decide(
            record: UserRecord,
        ) -> AccessChange | TooMuch | UserUnknown | Suspended | PlanNotSold:
            return decide_grant(record, message, self.catalogue, self._fresh(), given_today_s)

        outcome = await self._change(decide)
        if isinstance(outcome, TooMuch):
            log.error("grant_refused", bound=outcome.bound, who=message.who)
            alerts = alerts_of_grant(message, self.user_id, outcome, self.catalogue)
            await self.phases.alert(alerts)
            self._wake_notifier()
        return outcomes.granted(outcome) if isinstance(outcome, AccessChange) else outcome

    async def on_change_standing(self, message: ChangeStanding) -> StandingOutcome:
        """An owner revokes or restores access, bans or unbans."""
        act = outcomes.act_of_standing(message, self.user_id)

        def decide(record: UserRecord) -> AccessChange | StandingUnchanged | UserUnknown:
            return decide_standing(record, message.standing, act, self.catalogue, self._fresh())

        outcome = await self._change(decide)
        return outcomes.standing(outcome) if isinstance(outcome, AccessChange) else outcome

    async def on_reissue(self, message: Reissue) -> ReissueOutcome:
        """A new link; the old one goes when the new one works, or at once."""

        def decide(
            record: UserRecord,
        ) -> AccessChange | ReissueUnderWay | ReissueTooOften | NoAccess:
            return decide_reissue(record, message, self.catalogue, self._fresh())

        outcome = await self._change(decide)
        if isinstance(outcome, DoneBefore):
            return ReissueUnderWay()
        if not isinstance(outcome, AccessChange):
            return outcome
        log.info(
            LegacyEvent.REISSUE_TWO_PHASE_ACTIVATION, user_id=self.user_id, leaked=message.leaked
        )
        return ReissueStarted(old_works=not message.leaked)

    async def on_expire_access(self, message: ExpireAccess) -> AccessExpired | NotExpired:
        """End access whose time is over."""
        del message
        outcome = await self._change(decide_expiry)
        if isinstance(outcome, AccessChange):
            log.info("access_expired", user_id=self.user_id)
            return AccessExpired()
        return NotExpired()

    async def on_repair_access(self, message: RepairAccess) -> AccessRepaired | NothingToRepair:
        """Let a key in again that its node lost."""

        def decide(record: UserRecord) -> AccessChange | NothingToRepair:
            return decide_repair(record, message.uuid, message.gen)

        outcome = await self._change(decide)
        return AccessRepaired() if isinstance(outcome, AccessChange) else NothingToRepair()

    async def on_move_access(self, message: MoveAccess) -> MoveOutcome:
        """Give the user a key on a node that stays; the old one works until then, if it can."""
        del message

        def decide(record: UserRecord) -> AccessChange | NothingToMove | NowhereToGo:
            return decide_move(record, self.catalogue, self._fresh())

        outcome = await self._change(decide)
        if isinstance(outcome, AccessChange):
            log.info("access_moves", user_id=self.user_id)
            return AccessMoves()
        return NothingToMove() if isinstance(outcome, DoneBefore) else outcome

    # What all of these share

    async def _status(self) -> StatusShown:
        return decide_status(await self.phases.load(self.user_id), self.catalogue.plans)

    async def _decided(
        self,
        decide: Callable[[UserRecord], Decided],
        record_it: Callable[[Decided], Any],
    ) -> Decided:
        """Load, decide, record; decide again when the rows changed in between."""
        for _ in range(DECIDE_TRIES):
            decision = decide(await self.phases.load(self.user_id))
            try:
                await record_it(decision)
            except VersionConflict:
                log.info("decided_again", user_id=self.user_id)
                continue
            return decision
        raise VersionConflict

    async def _change(self, decide: Callable[[UserRecord], Decided]) -> Decided | DoneBefore:
        """A change of access, recorded; or why there is none."""
        recorded = True

        async def record_it(decision: Decided) -> None:
            nonlocal recorded
            if isinstance(decision, AccessChange):
                with self._placing(decision):
                    recorded = await self.phases.record_change(decision)
                if recorded:
                    self._wake(decision)

        decision = await self._decided(decide, record_it)
        return decision if recorded else DoneBefore()

    def _placing(self, change: AccessChange) -> AbstractContextManager[object]:
        """From the same step as the decision on: others decide while this one is written."""
        return self.placing([w.node_id for w in change.wishes if isinstance(w, NewCredential)])

    def _fresh(self) -> Fresh:
        return Fresh(uuid=uuid.uuid4(), subscription=uuid.uuid4())

    def _wake(self, change: AccessChange) -> None:
        """Whoever has work by this change is told; who is not told finds it within a second."""
        for wish in change.wishes:
            if not isinstance(wish, RemovedCredential):
                log.info(LegacyEvent.ACTIVATION_PHASE1_UUID_CREATED, uuid=str(wish.uuid)[:8])
        for node_id in {wish.node_id for wish in change.wishes} & set(self.catalogue.nodes):
            self.directory.find(PROVISIONER, node_id).wake()
        self._wake_notifier()

    def _wake_notifier(self) -> None:
        self.directory.find(NOTIFIER).wake()

    async def _alerts_of_claim(self, message: ClaimPaid) -> tuple[AlertDraft, ...]:
        purchase = await self.phases.purchase(message.purchase_id)
        if purchase is None:
            return ()
        arguments = outcomes.claim_in_words(purchase)
        return self.catalogue.alerts(f"claim:{purchase.id}", "alert-manual-payment", arguments)

    def _log_credit(self, credit: Credit) -> None:
        purchase, after = credit.purchase, credit.change.after
        log.info("payment_credited", purchase_id=str(purchase.id), kind=credit.kind)
        if credit.kind == "new":
            return
        active = after is not None and after.status is SubscriptionStatus.ACTIVE
        event = LegacyEvent.RENEWAL_EXTENDED if active else LegacyEvent.RENEWAL_REACTIVATED
        log.info(event, user_id=self.user_id, plan=purchase.plan_id)

    def _log_hold(self, hold: Hold) -> None:
        payment, purchase = hold.payment, hold.purchase
        log.error("payment_held", reason=hold.reason, amount=payment.amount, refund=hold.refund)
        if purchase is not None and not match_of(payment, purchase, self.catalogue).enough:
            log.error(
                LegacyEvent.PAYMENT_AMOUNT_MISMATCH,
                user_id=self.user_id,
                paid=payment.amount,
                paid_in=payment.currency,
                price=purchase.price,
                currency=purchase.currency,
            )
