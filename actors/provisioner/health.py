"""What is known of a node's health; it outlives the actor, and ends with the process."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.provisioner.breaker import Breaker, BreakerChange, BreakerLimits, BreakerState, Hold
from actors.provisioner.budget import RetryBudget


@dataclass(slots=True, kw_only=True)
class NodeHealth:
    """One node's. Times are a monotonic clock's, in seconds."""

    breaker: Breaker
    budget: RetryBudget = field(default_factory=RetryBudget)
    #: Until when the node is not called because it took none of our keys.
    auth_hold_until: float | None = None
    #: Whether this process has seen whose writing it has.
    looked: bool = False
    #: Since when it has not taken changes; None: it does.
    away_since: float | None = None
    #: Whether owners were told that it is away.
    away_told: bool = False

    @classmethod
    def new(
        cls,
        limits: Callable[[], BreakerLimits],
        jitter: Callable[[], float],
        tell: Callable[[BreakerChange], None] = lambda _: None,
    ) -> "NodeHealth":
        """Of a node that nothing is known about."""
        return cls(breaker=Breaker(limits, jitter, tell))

    def state(self, now: float) -> BreakerState | Hold:
        """The breaker's, an operator's word included."""
        return self.breaker.state(now)

    def takes_changes(self, now: float) -> bool:
        """Whether changes may be sent."""
        return self.auth_hold_until is None and self.state(now) in {
            BreakerState.CLOSED,
            Hold.CLOSED,
        }

    def describe(self, now: float) -> Mapping[str, Any]:
        """For operators."""
        return {
            "breaker": self.state(now).value,
            "next_probe_s": round(self.breaker.probe_in(now), 1),
            "at_a_time": self.breaker.concurrency,
            "retry_budget": round(self.budget.kept, 1),
            "key_refused": self.auth_hold_until is not None,
            "away_s": None if self.away_since is None else round(now - self.away_since),
        }
