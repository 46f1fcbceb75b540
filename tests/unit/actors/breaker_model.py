"""The breaker's rules once more, as slowly and plainly as they can be written.

It keeps everything that ever happened and judges from the start at each question.
"""

from dataclasses import dataclass, field
from itertools import takewhile

from actors.provisioner.breaker import BreakerLimits, BreakerState, Hold, Verdict

FAILED = {Verdict.FAILURE, Verdict.TLS}


@dataclass
class Model:
    """One breaker; `jitter` is the same number for each opening."""

    limits: BreakerLimits
    jitter: float
    state: BreakerState = BreakerState.CLOSED
    hold: Hold | None = None
    hold_until: float | None = None
    #: Since the state last changed: when it ended, how, and how long it took.
    calls: list[tuple[float, Verdict, float]] = field(default_factory=list)
    #: Since the breaker last closed by itself, over orders and their ends.
    growth: list[Verdict] = field(default_factory=list)
    openings: int = 0
    opens_until: float = 0.0
    probing_since: float | None = None
    passed: int = 0
    #: Grows with each change: a call says something only in the state in which it began.
    series: int = 0

    def tick(self, now: float) -> None:
        """An order that is over."""
        if self.hold and self.hold_until is not None and now >= self.hold_until:
            self.release(now)

    def release(self, now: float) -> None:
        """An operator takes an order back."""
        if self.hold is None:
            return
        self.series += 1
        isolated = self.hold is Hold.ISOLATED
        self.hold, self.calls, self.probing_since, self.opens_until = None, [], None, now
        self.state = BreakerState.OPEN if isolated else BreakerState.CLOSED

    def order(self, hold: Hold, until: float | None, now: float) -> None:
        """An operator's word."""
        self.tick(now)
        self.series += 1
        self.hold, self.hold_until, self.calls, self.probing_since = hold, until, [], None

    def lets_calls_through(self, now: float) -> bool:
        """Whether changes may go."""
        self.tick(now)
        return (self.hold or self.state) in {Hold.CLOSED, BreakerState.CLOSED}

    def call(self, now: float, verdict: Verdict, took: float) -> None:
        """A whole call, during which nothing changed."""
        self.calls.append((now, verdict, took))
        self.growth.append(verdict)
        if verdict is Verdict.SUCCESS and self.concurrency >= self.limits.concurrency:
            self.openings = 0
        if self.hold is None and verdict in FAILED | {Verdict.SUCCESS} and self.condemns(now):
            self.open(now)

    def condemns(self, now: float) -> bool:
        """Whether the calls of this state say that the node is ill."""
        counted = [call for call in self.calls if call[1] in FAILED | {Verdict.SUCCESS}]
        row = [v for _, v, _ in takewhile(lambda call: call[1] in FAILED, reversed(counted))]
        last = [c for c in counted[-self.limits.window_calls :] if now - c[0] <= 60]
        failures = [c for c in last if c[1] in FAILED]
        slow = [c for c in last if c[2] > self.limits.slow_s]
        return (
            row.count(Verdict.TLS) >= 2
            or len(row) >= 5
            or (len(last) >= 5 and len(failures) / len(last) >= 0.5)
            or (len(last) >= 10 and len(slow) / len(last) >= 0.8)
        )

    def open(self, now: float) -> None:
        """Nothing goes for a while."""
        self.series += 1
        length = min(60.0, 5.0 * 2.0 ** min(self.openings, 10))
        self.openings += 1
        self.opens_until = now + length * (0.8 + 0.4 * self.jitter)
        self.state, self.calls, self.probing_since = BreakerState.OPEN, [], None

    def lets_a_probe_through(self, now: float) -> bool:
        """Asked for only to be taken."""
        self.tick(now)
        if self.hold or self.state is BreakerState.CLOSED:
            return False
        if self.probing_since is not None:
            if now - self.probing_since >= 10:
                self.open(now)
            return False
        if now < self.opens_until:
            return False
        if self.state is BreakerState.OPEN:
            self.series += 1
            self.passed = 0
        self.state, self.probing_since = BreakerState.HALF_OPEN, now
        return True

    def probed(self, now: float, passed: bool | None) -> None:
        """A probe came to its end."""
        if self.probing_since is None:
            return
        self.probing_since = None
        if passed is False:
            self.open(now)
        elif passed:
            self.passed += 1
            self.opens_until = now + 1
            if self.passed == 2:
                self.series += 1
                self.state, self.calls, self.growth = BreakerState.CLOSED, [], []

    @property
    def concurrency(self) -> int:
        """Calls at a time."""
        allowed, successes = 1, 0
        for verdict in self.growth:
            if verdict is Verdict.THROTTLED:
                allowed, successes = max(1, allowed // 2), 0
            elif verdict is Verdict.SUCCESS:
                successes += 1
                if successes == 10:
                    allowed, successes = min(8, allowed * 2), 0
        return allowed
