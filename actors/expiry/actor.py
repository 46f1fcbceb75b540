"""ExpiryActor: sees whose time is over by PostgreSQL's clock, and has their actors end it.

Few are ended by their own actors, many by guarded statements; either way a renewal of the same
moment comes before the end or after it. People are reminded before, and once after.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from actors.expiry.clocks import ClockReading, Sweep, why_hold
from actors.expiry.decisions import REMINDERS, ExpiryLimits, decide_rest
from actors.expiry.messages import ExpiryShown, ShowExpiry, TrustClocks
from actors.notifier.actor import NOTIFIER
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.clock import HOST, HostTime
from actors.runtime.events import EventKind
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.runtime.rounds import Rounds
from actors.user.actor import USER
from actors.user.messages import AccessExpired, ExpireAccess, NotExpired
from storage.errors import StorageUnavailable
from storage.phases import ExpiryPhases

log = structlog.get_logger(__name__)

#: The kind of this actor's address.
EXPIRY = "expiry"
#: How often it is looked who should be reminded, seconds.
REMIND_INTERVAL_S = 60.0


class ExpiryActor(AsyncioActor):
    """Ends access whose time is over."""

    mailbox_bound = 100

    def __init__(
        self,
        phases: ExpiryPhases,
        directory: Directory,
        other_clocks: Callable[[], Sequence[float]] = tuple,
        limits: Callable[[], ExpiryLimits] = ExpiryLimits,
        host: HostTime = HOST,
    ) -> None:
        """Take what it works with.

        Args:
            phases: what is read and written.
            directory: where users' actors are.
            other_clocks: which seconds since 1970 it is elsewhere.
            limits: asked for at each look, so that they can be tuned.
            host: this machine's clocks.
        """
        super().__init__()
        self.other_clocks = other_clocks
        self.limits = limits
        self.host = host
        self.held = ""
        #: Whether moments that a clock ahead put off stand still in rows.
        self._waits_are_wrong = False
        self._trusted: ClockReading | None = None
        self._looked_at: float | None = None
        self.phases = phases
        self.directory = directory
        self.ended = 0
        self.reminded = 0
        self._sweeping = False
        self.rounds = Rounds(self, "expire", phases.due, lambda user_id: user_id, self._expire)

    async def prepare(self) -> None:
        """Look at once, then at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._remind(), "remind")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {
            "ended": self.ended,
            "reminded": self.reminded,
            "left_alone": len(self.rounds.resting),
            "held": self.held,
        }

    async def on_tick(self, message: Tick) -> None:
        """Go through all whose time is over."""
        del message
        limits = self.limits()
        # Clocks are watched also while nothing ends: reminders go by them.
        if self._sweeping or await self._holds() or not limits.enabled:
            return
        if len(await self.phases.due(limits.bulk_from)) < limits.bulk_from:
            self.rounds.begin()
            return
        self._sweeping = True
        self.spawn(self._sweep(), "sweep", drains=True)

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(self.limits().interval_s)

    async def on_trust_clocks(self, message: TrustClocks) -> bool:
        """An operator says that it is that late."""
        if not self.held:
            return False
        log.warning("clocks_trusted", who=message.who, held=self.held)
        self._trusted = await self._reading()
        await self._go_on()
        self.wake_self()
        return True

    async def on_show_expiry(self, message: ShowExpiry) -> ExpiryShown:
        """For operators."""
        del message
        limits = self.limits()
        switches = {"expiry.enabled": limits.enabled, "expiry.reminders": limits.reminders}
        return ExpiryShown(
            ended=self.ended,
            reminded=self.reminded,
            held=self.held,
            off=tuple(name for name, on in switches.items() if not on),
        )

    async def _holds(self) -> bool:
        """Whether nothing may end, because a clock may have jumped."""
        sweep = Sweep(due=0, active=0, pause_s=None)
        if self._trusted is None:
            found = await self.phases.standing()
            sweep = Sweep(due=found.due, active=found.active, pause_s=found.pause_s)
        reading = await self._reading()
        why = why_hold(reading, self._trusted, sweep)
        if why:
            self._hold(why)
            return True
        await self._go_on()
        self._trusted = reading
        if self._looked_at is None or reading.monotonic_s - self._looked_at >= REMIND_INTERVAL_S:
            await self.phases.looked()
            self._looked_at = reading.monotonic_s
        return False

    async def _reading(self) -> ClockReading:
        return ClockReading(
            database_s=await self.phases.clock(),
            host_s=self.host.epoch(),
            monotonic_s=self.host.steady(),
            others=tuple(self.other_clocks()),
        )

    def _hold(self, why: str) -> None:
        if not self.held:
            log.error("expiry_held", why=why)
            self.tell_observer(EventKind.EXPIRY_HELD, reason=why, details={"why": why})
        self.held = why

    async def _go_on(self) -> None:
        if self.held:
            self.tell_observer(EventKind.EXPIRY_GOES_ON, reason=self.held)
            self.held, self._waits_are_wrong = "", True
        if not self._waits_are_wrong:
            return
        try:
            await self.phases.forget_waits()
            self._waits_are_wrong = False
        except StorageUnavailable as outage:  # access ends all the same
            log.warning("expiry_waits", reason=str(outage))

    async def _sweep(self) -> None:
        """End many, in steps between which everybody else gets to the database."""
        try:
            ended = asked = self.limits().bulk_users
            while ended == asked and self._goes_on() and not await self._holds():
                asked = self.limits().bulk_users
                ended = await self.phases.end_many(asked)
                self.ended += ended
                log.info("expired_many", users=ended)
                self.directory.find(NOTIFIER).wake()
        except StorageUnavailable as outage:
            log.warning("expiry_waits", reason=str(outage))
        finally:
            self._sweeping = False

    def _goes_on(self) -> bool:
        return self.limits().enabled and not self.draining

    async def _remind(self) -> None:
        while True:
            told_of = REMINDERS if self._trusted and not self.held else ()
            for reminder in told_of if self.limits().reminders else ():
                try:
                    told = await self.phases.remind(reminder)
                except StorageUnavailable as outage:
                    log.warning("expiry_waits", reason=str(outage))
                    break
                if told:
                    self.reminded += told
                    self.directory.find(NOTIFIER).wake()
            # Until the clocks were looked at, shortly after the start.
            await self.clock.sleep(REMIND_INTERVAL_S if self._trusted else self.limits().interval_s)

    async def _expire(self, user_id: int, failures: int) -> float:
        del failures
        outcome = await self._asked(user_id)
        self.ended += isinstance(outcome, AccessExpired)
        return decide_rest(outcome)

    async def _asked(self, user_id: int) -> AccessExpired | NotExpired | None:
        message = ExpireAccess(operation_id=f"expire:{user_id}")
        try:
            return await self.directory.find(USER, str(user_id)).ask(message)
        except (Unavailable, ActorFailed) as refusal:
            log.warning("expiry_postponed", user_id=user_id, reason=str(refusal))
            return None
