"""Message limits as pure arithmetic: a limit, the state of one bucket, and a moment.

The state is one number, the moment at which the bucket is full again (the "virtual scheduling"
form of the leaky bucket), so nothing has to be refilled by a timer.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How many messages pass.

    Attributes:
        per_s: Sustained messages per second.
        burst: Messages that may arrive at the same moment after a quiet time.
    """

    per_s: float
    burst: int


PER_CHAT = RateLimit(per_s=1, burst=5)
"""One message per second in a chat, from https://core.telegram.org/bots/faq; that page promises
that short bursts pass without giving their size, and 5 is our choice."""

OVERALL = RateLimit(per_s=30, burst=30)
"""About 30 messages per second for the whole bot, from the same page."""


_ROUNDING_S = 1e-6
"""Keeps the rounded sum of many 1/30 from refusing the message that just fits."""


def take(limit: RateLimit, full_at: float, now: float) -> float:
    """The state of the bucket after one more message at `now`; see `wait_s` for whether it fits."""
    return max(full_at, now) + 1 / limit.per_s


def wait_s(limit: RateLimit, full_at: float, now: float) -> int:
    """Whole seconds until one more message fits; 0 when it fits now."""
    spare = limit.burst / limit.per_s
    over = take(limit, full_at, now) - now - spare
    return 0 if over <= _ROUNDING_S else math.ceil(over)
