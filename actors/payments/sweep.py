"""SweepActor: finishes what others left: money undecided, refunds due, money held too long.

Messages only wake it. It changes no access itself: the payer's actor does.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import structlog

from actors.notifier.actor import NOTIFIER
from actors.payments.decisions import (
    LeftToOwners,
    Postponed,
    Returned,
    credit_again,
    decide_refund,
    decide_rest,
)
from actors.payments.ports import GiveBackByHand, GiveBackLater, GiveBackOutcome, PaymentGateway
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.messages import Request, Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.runtime.rounds import Rounds
from actors.user.actor import USER
from actors.user.messages import NoteRefund, RefundPayment
from storage.errors import StorageUnavailable
from storage.phases import PaymentPhases
from storage.rows import PaymentRow, RefundOrder

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
PAYMENTS = "payments"
SCAN_INTERVAL_S = 2.0
#: Orders whose time to be paid is over are closed this often, seconds.
CLOSE_INTERVAL_S = 60.0
#: Money is left to whoever is crediting it for so long, seconds.
UNCREDITED_S = 2.0
#: Held money that nobody decides about goes back (design/state-machine.md), seconds.
HELD_S = 24 * 3600.0
#: A provider has so long to give back, and a refund is nobody else's for a little more, seconds.
GIVE_BACK_S = 20.0
BUSY_S = 30.0


class SweepActor(AsyncioActor):
    """Looks for money that waits."""

    mailbox_bound = 100

    def __init__(
        self,
        gateways: Mapping[str, PaymentGateway],
        phases: PaymentPhases,
        directory: Directory,
        owners: tuple[int, ...],
        source: random.Random,
    ) -> None:
        super().__init__()
        self.gateways = gateways
        self.phases = phases
        self.directory = directory
        self.owners = owners
        self.source = source
        self.credits = Rounds(self, "credits", self._uncredited, _of_payment, self._credit)
        self.refunds = Rounds(self, "refunds", phases.refunds_due, _of_order, self._give_back)
        self.held = Rounds(self, "held", self._held, _of_payment, self._return_held)

    async def prepare(self) -> None:
        """Look for work at once, then at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._close(), "close")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        errands = (self.credits, self.refunds, self.held)
        return {f"{errand.name}_left_alone": len(errand.resting) for errand in errands}

    async def on_tick(self, message: Tick) -> None:
        """Each errand goes its own way: a provider that is away holds up no credit."""
        del message
        for errand in (self.credits, self.refunds, self.held):
            errand.begin()

    async def _scan(self) -> None:
        resumed = False
        while True:
            try:
                if not resumed:
                    await self.phases.resume()
                    resumed = True
            except StorageUnavailable as outage:
                log.warning("sweep_waits", reason=str(outage))
            self.wake_self()
            await self.clock.sleep(SCAN_INTERVAL_S)

    async def _close(self) -> None:
        while True:
            try:
                closed = await self.phases.close_expired()
            except StorageUnavailable as outage:
                log.warning("sweep_waits", reason=str(outage))
            else:
                if closed:
                    log.info("orders_closed", orders=closed)
            await self.clock.sleep(CLOSE_INTERVAL_S)

    # Money that was recorded and not decided about

    async def _uncredited(self, limit: int) -> list[PaymentRow]:
        return await self.phases.uncredited(UNCREDITED_S, limit)

    async def _credit(self, payment: PaymentRow, failures: int) -> float:
        log.warning("payment_credited_again", number=payment.number, user_id=payment.user_id)
        return await self._asked(payment, credit_again(payment), failures)

    # Money that goes back

    async def _give_back(self, order: RefundOrder, failures: int) -> float:
        if not await self.phases.begin_refund(order, BUSY_S):
            return 0.0
        outcome = await self._call(order)
        match decide_refund(order, outcome, self.source.random(), self.owners):
            case Returned():
                return await self._note(order.payment, failures)
            case Postponed(after_s=after_s, alerts=alerts):
                level = log.error if alerts else log.warning
                level("refund_postponed", number=order.payment.number, after_s=after_s)
                await self.phases.postpone_refund(order, after_s, alerts)
            case LeftToOwners(alerts=alerts):
                log.error("refund_by_hand", number=order.payment.number)
                await self.phases.refund_by_hand(order, alerts)
        self.directory.find(NOTIFIER).wake()
        return 0.0

    async def _call(self, order: RefundOrder) -> GiveBackOutcome:
        gateway = self.gateways.get(order.payment.provider)
        if gateway is None:
            return GiveBackByHand(reason="this way to pay is switched off")
        try:
            async with asyncio.timeout(GIVE_BACK_S):
                return await gateway.give_back(order)
        except TimeoutError:
            return GiveBackLater(after_s=None, reason="no answer")
        except Exception as bug:  # one provider's must not keep others' money here
            log.exception("give_back_failed", number=order.payment.number)
            return GiveBackLater(after_s=None, reason=type(bug).__name__)

    async def _note(self, payment: PaymentRow, failures: int) -> float:
        """A note that is lost costs one more call: money goes back once, however often asked."""
        log.info("refund_given_back", number=payment.number)
        note = NoteRefund(
            operation_id=f"{payment.provider}:{payment.provider_payment_id}:refunded",
            provider=payment.provider,
            provider_payment_id=payment.provider_payment_id,
        )
        return await self._asked(payment, note, failures)

    # Money that waits for an owner

    async def _held(self, limit: int) -> list[PaymentRow]:
        return await self.phases.held_too_long(HELD_S, limit)

    async def _return_held(self, payment: PaymentRow, failures: int) -> float:
        log.warning("held_payment_goes_back", number=payment.number, user_id=payment.user_id)
        refund = RefundPayment(
            operation_id=f"held:{payment.provider}:{payment.provider_payment_id}",
            provider=payment.provider,
            provider_payment_id=payment.provider_payment_id,
            who="tollgate",
            reason="not decided within a day",
        )
        return await self._asked(payment, refund, failures)

    async def _asked(self, payment: PaymentRow, message: Request[Any], failures: int) -> float:
        """Ask the payer's actor; how long to leave the payment alone afterwards, seconds."""
        try:
            await self.directory.find(USER, str(payment.user_id)).ask(message)
        except Unavailable as refusal:
            log.warning("user_busy", number=payment.number, reason=refusal.reason)
            return decide_rest(failures, failed=False)
        except ActorFailed:
            log.error("user_failed", number=payment.number, message=type(message).__name__)  # noqa: TRY400 - the supervisor has the traceback
            return decide_rest(failures, failed=True)
        return 0.0


def _of_payment(payment: PaymentRow) -> tuple[str, str]:
    return payment.provider, payment.provider_payment_id


def _of_order(order: RefundOrder) -> tuple[str, str]:
    return _of_payment(order.payment)
