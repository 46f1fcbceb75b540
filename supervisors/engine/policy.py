"""Restart limits as values: how often, how fast, and what happens above that."""

from dataclasses import dataclass
from enum import StrEnum


class Exceeded(StrEnum):
    """What a supervisor does when a child fails more often than its limits allow."""

    ESCALATE = "escalate"  # stop the other children and fail
    KEEP_TRYING = "keep_trying"  # restart at the longest back-off
    PARK = "park"  # leave it alone for a while, then start afresh


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartLimits:
    """How a child is restarted. Times in seconds.

    More than `max_restarts` within `window_s` exceeds the limits. The back-off is full jitter over
    `backoff_base_s * 2**n`, capped, where n counts restarts since the child last lived for
    `reset_after_s`.
    """

    max_restarts: int
    window_s: float
    backoff_base_s: float
    backoff_cap_s: float
    exceeded: Exceeded
    shutdown_s: float = 5.0
    reset_after_s: float = 60.0
    park_s: float = 300.0
