"""Restart policies as values: how often, how fast, together with whom, and what happens above."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class Strategy(StrEnum):
    """Which siblings are restarted with a failed child."""

    ONE_FOR_ONE = "one_for_one"  # none
    ONE_FOR_ALL = "one_for_all"  # all
    REST_FOR_ONE = "rest_for_one"  # those that started after it


class Exceeded(StrEnum):
    """What a supervisor does when its children fail more often than its policy allows."""

    ESCALATE = "escalate"  # stop the other children and fail
    KEEP_TRYING = "keep_trying"  # restart at the longest back-off
    PARK = "park"  # leave the child alone for a while, then start afresh


class Scope(StrEnum):
    """Whose restarts are counted."""

    TOGETHER = "together"  # those of all children, as in OTP
    EACH = "each"  # every child's for itself


class AutoShutdown(StrEnum):
    """Whether a supervisor ends with its significant children."""

    NEVER = "never"
    ANY_SIGNIFICANT = "any_significant"
    ALL_SIGNIFICANT = "all_significant"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an operator tunes. Times in seconds.

    More than `max_restarts` within `window_s` exceeds the policy. The back-off is full jitter over
    `backoff_base_s * 2**n`, capped, where n counts restarts since `reset_after_s` went by without
    one. A child that is parked starts afresh after `park_s`. Children started by a message leave
    after `idle_after_s` with nothing to do; crashes of `storm_children` different ones within the
    window slow down all restarts of their supervisor.
    """

    strategy: Strategy = Strategy.ONE_FOR_ONE
    max_restarts: int
    window_s: float
    backoff_base_s: float
    backoff_cap_s: float
    shutdown_s: float = 5.0
    reset_after_s: float = 60.0
    park_s: float = 300.0
    idle_after_s: float = 300.0
    storm_children: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSpec:
    """What a supervisor is told once. `policy` is asked at each decision: it may have changed."""

    policy: Callable[[], Policy]
    exceeded: Exceeded = Exceeded.ESCALATE
    scope: Scope = Scope.TOGETHER
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
