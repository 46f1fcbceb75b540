"""Pure: whether a node may be called, judged by how its last calls went.

While a breaker is open no change goes to its node, however many wait: one probe at a time finds out
whether the node is back, and then the calls at a time grow from one.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """What may go to the node: changes, nothing, or one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Hold(StrEnum):
    """What an operator ordered, whatever the calls say."""

    ISOLATED = "isolated"
    CLOSED = "held_closed"


class Verdict(StrEnum):
    """What the end of a call says of the node."""

    SUCCESS = "success"
    FAILURE = "failure"
    #: Its certificate: people mend that, calls do not.
    TLS = "tls"
    #: It is there, and asks for fewer calls at a time.
    THROTTLED = "throttled"
    #: Nothing: our own fault, or a call that was cancelled.
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When to open, for how long, and how to begin again; design values. Times in seconds.

    Common defaults judge after 100 calls (Resilience4j) or 20 (Hystrix); a node sees far fewer.
    """

    #: Judged are the last calls, so many, within so long, and not fewer than so many.
    window_calls: int = 20
    window_s: float = 60.0
    fewest_calls: int = 5
    #: The share of failures that opens, and the failures in a row, whatever their age.
    failure_share: float = 0.5
    failures_in_row: int = 5
    tls_in_row: int = 2
    #: A call is slow above so long; so large a share of at least so many opens.
    slow_s: float = 2.0
    slow_share: float = 0.8
    fewest_slow_calls: int = 10
    #: The first opening, its double the next one, up to the cap; each varied by this share.
    open_s: float = 5.0
    open_cap_s: float = 60.0
    open_jitter: float = 0.2
    #: Probes in a row that close, and the time between them.
    probes: int = 2
    probe_interval_s: float = 1.0
    #: A probe that nobody ended for so long, because its actor did, is taken for failed.
    probe_patience_s: float = 10.0
    #: So many successes double the calls at a time, from one up to this many.
    ramp_successes: int = 10
    concurrency: int = 8


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave for one call or one probe, given in a state that may be over when it ends."""

    given_at: float
    series: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """What to tell whoever watches."""

    before: BreakerState | Hold
    after: BreakerState | Hold
    reason: str


@dataclass(frozen=True, slots=True)
class _Call:
    ended_at: float
    failed: bool
    slow: bool


class Breaker:
    """One node's. `now` is a monotonic clock's, in seconds; never asks a clock itself."""

    def __init__(
        self,
        limits: Callable[[], BreakerLimits],
        jitter: Callable[[], float],
        tell: Callable[[BreakerChange], None] = lambda _: None,
    ) -> None:
        """Begin closed, one call at a time.

        Args:
            limits: asked for at each decision, so that they can be tuned meanwhile.
            jitter: random numbers in [0, 1).
            tell: hears each change of state.
        """
        self._limits = limits
        self._jitter = jitter
        self._tell = tell
        self._state = BreakerState.CLOSED
        self._hold: Hold | None = None
        self._hold_until: float | None = None
        self._series = 0
        self._calls: deque[_Call] = deque()
        self._failures_in_row = 0
        self._tls_in_row = 0
        self._concurrency = 1
        self._successes = 0
        self._openings = 0
        self._probe_at = 0.0
        self._probe: Permit | None = None
        self._probes_passed = 0

    def state(self, now: float) -> BreakerState | Hold:
        """The operator's order while there is one, else what the calls made of it."""
        self._end_hold_in_time(now)
        return self._shown()

    @property
    def concurrency(self) -> int:
        """How many calls may be in flight at a time while changes may go."""
        return min(self._concurrency, self._limits().concurrency)

    def probe_in(self, now: float) -> float:
        """Seconds until the next probe may go; 0 when it may, and where none is needed."""
        if self.state(now) not in {BreakerState.OPEN, BreakerState.HALF_OPEN}:
            return 0.0
        due = self._probe_at
        if self._probe is not None:
            due = self._probe.given_at + self._limits().probe_patience_s
        return max(0.0, due - now)

    def call(self, now: float) -> Permit | None:
        """Leave to send a change; end it with `ended`. None: keep it."""
        if self.state(now) not in {BreakerState.CLOSED, Hold.CLOSED}:
            return None
        return Permit(now, self._series)

    def ended(self, permit: Permit, verdict: Verdict, now: float, *, of_many: bool = False) -> None:
        """A call came to its end. One that began before the last change of state says nothing.

        A call about many users takes its time, which is not the node's slowness.
        """
        self._end_hold_in_time(now)
        if permit.series != self._series or verdict is Verdict.NEUTRAL:
            return
        if verdict is Verdict.THROTTLED:
            self._concurrency = max(1, self.concurrency // 2)
            self._successes = 0
            return
        failed = verdict is not Verdict.SUCCESS
        slow = not of_many and now - permit.given_at > self._limits().slow_s
        self._calls.append(_Call(now, failed, slow))
        self._failures_in_row = self._failures_in_row + 1 if failed else 0
        self._tls_in_row = self._tls_in_row + (verdict is Verdict.TLS) if failed else 0
        if not failed:
            self._grow()
        if self._hold is None and (reason := self._why_open(now)):
            self._open(now, reason)

    def probe(self, now: float) -> Permit | None:
        """Leave to ask the node for its health, for one at a time; end it with `probed`."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN and self._probe is not None:
            if self.probe_in(now) > 0:
                return None
            self._open(now, "a probe was never ended")
            return None
        if state not in {BreakerState.OPEN, BreakerState.HALF_OPEN} or now < self._probe_at:
            return None
        if state is BreakerState.OPEN:
            self._probes_passed = 0
            self._become(BreakerState.HALF_OPEN, "the time is up")
        self._probe = Permit(now, self._series)
        return self._probe

    def probed(self, permit: Permit, *, passed: bool | None, now: float) -> None:
        """A probe came to its end; None: it was cancelled, which says nothing."""
        if permit is not self._probe:
            return
        self._probe = None
        if passed is None:
            return
        if not passed:
            self._open(now, "the probe failed")
            return
        self._probes_passed += 1
        self._probe_at = now + self._limits().probe_interval_s
        if self._probes_passed >= self._limits().probes:
            self._close(f"{self._probes_passed} probes passed")

    def order(self, hold: Hold, until: float | None, now: float) -> None:
        """An operator's word: in force until that moment, or until `release`."""
        self._end_hold_in_time(now)
        before = self._shown()
        self._hold, self._hold_until = hold, until
        self._forget()
        self._told(before, "an operator's word")

    def release(self, now: float) -> None:
        """Take an operator's word back; what was isolated is probed before it is used."""
        self._end_hold_in_time(now)
        if self._hold is not None:
            self._end_hold(now, "an operator's word")

    def _end_hold_in_time(self, now: float) -> None:
        if self._hold is not None and self._hold_until is not None and now >= self._hold_until:
            self._end_hold(now, "the order's time is up")

    def _end_hold(self, now: float, reason: str) -> None:
        before = self._shown()
        isolated = self._hold is Hold.ISOLATED
        self._hold = self._hold_until = None
        self._forget()
        self._probe_at = now
        self._state = BreakerState.OPEN if isolated else BreakerState.CLOSED
        self._told(before, reason)

    def _why_open(self, now: float) -> str:
        limits = self._limits()
        while self._calls and (
            len(self._calls) > limits.window_calls
            or now - self._calls[0].ended_at > limits.window_s
        ):
            self._calls.popleft()
        count = len(self._calls)
        failed = sum(call.failed for call in self._calls)
        slow = sum(call.slow for call in self._calls)
        if self._tls_in_row >= limits.tls_in_row:
            return "its certificate is refused"
        if self._failures_in_row >= limits.failures_in_row:
            return f"{self._failures_in_row} failures in a row"
        if count >= limits.fewest_calls and failed >= limits.failure_share * count:
            return f"{failed} of {count} calls failed"
        if count >= limits.fewest_slow_calls and slow >= limits.slow_share * count:
            return f"{slow} of {count} calls were slow"
        return ""

    def _grow(self) -> None:
        limits = self._limits()
        self._successes += 1
        if self._successes >= limits.ramp_successes:
            self._successes = 0
            self._concurrency = min(self._concurrency * 2, limits.concurrency)
        if self._concurrency >= limits.concurrency:
            self._openings = 0  # it has healed; the next opening is a first one

    def _open(self, now: float, reason: str) -> None:
        limits = self._limits()
        length = limits.open_s
        for _ in range(self._openings):
            length = min(length * 2, limits.open_cap_s)
            if length >= limits.open_cap_s:
                break
        self._openings += 1
        self._probe_at = now + length * (1 + limits.open_jitter * (2 * self._jitter() - 1))
        self._become(BreakerState.OPEN, reason)

    def _close(self, reason: str) -> None:
        self._concurrency, self._successes = 1, 0
        self._become(BreakerState.CLOSED, reason)

    def _become(self, state: BreakerState, reason: str) -> None:
        before = self._shown()
        self._state = state
        self._forget()
        self._told(before, reason)

    def _forget(self) -> None:
        """Calls and probes of before say nothing of what is now."""
        self._series += 1
        self._calls.clear()
        self._failures_in_row = self._tls_in_row = 0
        self._probe = None

    def _shown(self) -> BreakerState | Hold:
        return self._state if self._hold is None else self._hold

    def _told(self, before: BreakerState | Hold, reason: str) -> None:
        if self._shown() is not before:
            self._tell(BreakerChange(before=before, after=self._shown(), reason=reason))
