"""Pure: how many calls may be repeats, so that an outage is not made worse by those who wait.

Successes earn repeats, and every repeat costs one. A little is always allowed: paid work may slow
down and never stands still.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """Design values: at most 1.1 requests a change, and ten more."""

    #: What one success earns.
    earned: float = 0.1
    #: The most that is kept, which is what a new one has.
    cap: float = 10.0
    #: Repeats a second that need not be earned.
    floor_per_s: float = 1.0


class RetryBudget:
    """One node's. `now` is a monotonic clock's, in seconds."""

    def __init__(self, limits: BudgetLimits | None = None) -> None:
        self._limits = limits or BudgetLimits()
        self._kept = self._limits.cap
        self._free_at = float("-inf")

    @property
    def kept(self) -> float:
        """What is left of what was earned."""
        return self._kept

    def earn(self) -> None:
        """A call succeeded."""
        self._kept = min(self._limits.cap, self._kept + self._limits.earned)

    def allows(self, now: float) -> bool:
        """Whether `spend` would be granted."""
        return self._kept >= 1 or now >= self._free_at

    def spend(self, now: float) -> bool:
        """Leave for one repeat; False: not yet."""
        if self._kept >= 1:
            self._kept -= 1
            return True
        if now < self._free_at:
            return False
        self._free_at = now + 1 / self._limits.floor_per_s
        return True
