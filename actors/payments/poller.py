"""PollerActor: one per provider that can be asked; finds what its pushes lost.

Where the next reading begins is moved only when all before it is recorded, or is a dead letter.
"""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from actors.payments.decisions import (
    ROUNDS_UNTIL_LEFT,
    Missing,
    decide_cursor,
    decide_end,
    decide_missing,
    decide_poll_wait,
)
from actors.payments.messages import credit_of
from actors.payments.ports import (
    Charge,
    ChargePage,
    PaymentGateway,
    ProviderUnavailable,
    ReturnedCharge,
)
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.messages import Request, Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.runtime.rounds import at_once
from actors.user.actor import USER
from actors.user.messages import NoSuchPayment, NoteRefund, PaymentAlreadyRecorded
from storage.phases import PaymentPhases

log = structlog.get_logger(__name__)

#: The kind of these actors' addresses.
POLLER = "poller"
#: A provider has so long for one page, seconds.
PAGE_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PollerPace:
    """How often a provider is asked; seconds.

    A charge whose push was lost is credited within a minute (design/failures.md, row 26): it waits
    for the interval and the grace at most. `whole_s`: how often a list with the newest first is
    read to its end, since a charge whose push was lost may lie below many that are known.
    `grace_s`: how long a charge that is not known yet is left to its push, which may be on its way.
    """

    interval_s: float = 45.0
    whole_s: float = 3_600.0
    cap_s: float = 600.0
    grace_s: float = 5.0


class PollerActor(AsyncioActor):
    """Reads one provider's list of charges."""

    mailbox_bound = 100

    def __init__(
        self,
        gateway: PaymentGateway,
        phases: PaymentPhases,
        directory: Directory,
        source: random.Random,
        pace: PollerPace | None = None,
    ) -> None:
        super().__init__()
        self.gateway = gateway
        self.provider = gateway.terms.provider
        self.phases = phases
        self.directory = directory
        self.source = source
        self.pace = pace or PollerPace()
        #: How often a user's actor failed on a charge, since this incarnation began.
        self.stuck: dict[str, int] = {}
        self._polling = False
        self._failures = 0
        self._repairs = 0
        self._rest_until = 0.0
        self._whole_due = 0.0
        self._succeeded_at: float | None = None

    async def prepare(self) -> None:
        """Ask at once, then at every interval."""
        self.spawn(self._scan(), "scan")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        succeeded, now = self._succeeded_at, self.clock.now()
        return {
            "provider": self.provider,
            "last_success_s_ago": None if succeeded is None else round(now - succeeded, 1),
            "failures_in_a_row": self._failures,
            "asked_again_in_s": max(0.0, round(self._rest_until - now, 1)),
            "repairs": self._repairs,
            "stuck": len(self.stuck),
        }

    async def on_tick(self, message: Tick) -> None:
        """Read the list, unless that is being done or the provider is left alone."""
        del message
        if not self._polling and self.clock.now() >= self._rest_until:
            self._polling = True
            self.spawn(self._poll(), "poll", drains=True)

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(self.pace.interval_s)

    async def _poll(self) -> None:
        try:
            await self._read_list()
        except ProviderUnavailable as away:
            jitter, pace = self.source.random(), self.pace
            wait = decide_poll_wait(self._failures, jitter, pace.interval_s, pace.cap_s)
            self._failures += 1
            self._rest_until = self.clock.now() + wait
            log.warning("poll_failed", provider=self.provider, reason=str(away), again_in_s=wait)
        except self.weather as outage:
            log.warning("poller_waits", provider=self.provider, reason=str(outage))
        else:
            self._failures = 0
            self._succeeded_at = self.clock.now()
        finally:
            self._polling = False

    async def _read_list(self) -> None:
        kept = cursor = (await self.phases.poller(self.provider)).cursor
        started = self.clock.now()
        # One that goes on where another stopped too: what that had seen says nothing of the rest.
        whole = cursor is not None or started >= self._whole_due
        held, ends = False, False
        while not ends and not self.draining:
            page = await self._page(cursor)
            missing = await self._missing(page)
            repairs, all_done = await self._repair(missing)
            held = held or not all_done
            ends = decide_end(page, missing=bool(missing), whole=whole)
            if not held:
                kept = decide_cursor(page, ends=ends)
            await self.phases.poll_succeeded(self.provider, kept, repairs)
            self._repairs += repairs
            cursor = page.cursor
        if ends and whole:
            self._whole_due = started + self.pace.whole_s

    async def _page(self, cursor: str | None) -> ChargePage:
        try:
            async with asyncio.timeout(PAGE_S):
                return await self.gateway.charges(cursor)
        except TimeoutError:
            raise ProviderUnavailable("no answer") from None

    async def _missing(self, page: ChargePage) -> Missing:
        """What is missing now and after a while: a push on its way is no lost one."""
        missing = await self._unknown(page)
        if missing.charges:
            await self.clock.sleep(self.pace.grace_s)
            return await self._unknown(page)
        return missing

    async def _unknown(self, page: ChargePage) -> Missing:
        charged = [found.provider_payment_id for found in page.found if isinstance(found, Charge)]
        back = [
            found.provider_payment_id for found in page.found if isinstance(found, ReturnedCharge)
        ]
        left = {charge for charge, rounds in self.stuck.items() if rounds >= ROUNDS_UNTIL_LEFT}
        known = await self.phases.known(self.provider, charged) if charged else set()
        returned = await self.phases.returned(self.provider, back) if back else set()
        return decide_missing(page, known | left, returned | left)

    async def _repair(self, missing: Missing) -> tuple[int, bool]:
        """Make good what is missing: how much was, and whether that is all."""
        repairs, done = 0, True

        async def one(found: Charge | ReturnedCharge) -> None:
            nonlocal repairs, done
            repaired = await self._made_good(found)
            repairs += repaired is True
            done = done and repaired is not None

        await at_once(missing.charges, one)
        await at_once(missing.returns, one)  # after the charges that they give back
        return repairs, done

    async def _made_good(self, found: Charge | ReturnedCharge) -> bool | None:
        """Whether this was news to the user's actor; None where it could not be told."""
        number = found.provider_payment_id
        message: Request[Any]
        if isinstance(found, Charge):
            message = credit_of(self.provider, found)
        else:
            message = NoteRefund(
                operation_id=f"{self.provider}:{number}:refunded",
                provider=self.provider,
                provider_payment_id=number,
            )
        try:
            outcome = await self.directory.find(USER, str(found.user_id)).ask(message)
        except Unavailable:
            return None
        except ActorFailed:
            return self._failed_on(number)
        if isinstance(outcome, NoSuchPayment):  # not decided about yet, or never ours
            return self._failed_on(number)
        self.stuck.pop(number, None)
        if isinstance(outcome, PaymentAlreadyRecorded):
            return False
        event = "payment_found_by_poll" if isinstance(found, Charge) else "refund_found_by_poll"
        log.error(
            event, provider=self.provider, user_id=found.user_id, outcome=type(outcome).__name__
        )
        return True

    def _failed_on(self, number: str) -> bool | None:
        """A charge that its user's actor fails on holds the list up for a few rounds, not more.

        What is left behind: the row `received`, which the sweep goes on with, or, if it was never
        written, the dead letter, of which the owners were told and which can be tried again.
        """
        self.stuck[number] = self.stuck.get(number, 0) + 1
        if self.stuck[number] < ROUNDS_UNTIL_LEFT:
            return None
        log.error("charge_left_to_dead_letter", provider=self.provider)
        return False
