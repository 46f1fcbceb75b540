"""Pure: whether PostgreSQL's clock may be trusted to end people's time.

One clock that jumps ahead would shut out everybody who paid. Nothing ends unless another clock says
that it is so late, or as much time has passed by a clock that cannot be set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

#: How far PostgreSQL's clock may be from the others, seconds.
TOLERANCE_S = 60.0
#: Without another clock: after a pause of this length, seconds, no more than so many, or such a
#: share of all, end by themselves.
LONG_PAUSE_S = 3_600.0
FEW, SMALL_SHARE = 50, 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """What clocks said at one moment: seconds since 1970, the monotonic one apart.

    `others` are of machines that share neither PostgreSQL's nor this one's clock.
    """

    database_s: float
    host_s: float
    monotonic_s: float
    others: Sequence[float] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What would be ended: so many of so many, and how long ago it was looked last, if known."""

    due: int
    active: int
    pause_s: float | None


def why_hold(now: ClockReading, before: ClockReading | None, sweep: Sweep) -> str:
    """Why nothing may end now, in words; empty if it may.

    Args:
        now: the clocks of this moment.
        before: those of the last moment at which they were trusted; None after a start.
        sweep: what would be ended.
    """
    apart = now.database_s - median([now.host_s, *now.others])
    if abs(apart) > TOLERANCE_S:
        return f"the database's clock is {apart:+.0f} s from the others"
    if now.others:
        return ""
    return _why_alone(sweep) if before is None else _why_jumped(now, before)


def _why_jumped(now: ClockReading, before: ClockReading) -> str:
    passed_s = now.monotonic_s - before.monotonic_s
    jumped = (now.database_s - before.database_s) - passed_s
    if jumped > TOLERANCE_S:
        return f"the database's clock went {jumped:.0f} s ahead of the time that has passed"
    return ""


def _why_alone(sweep: Sweep) -> str:
    likely = sweep.due <= max(FEW, sweep.active * SMALL_SHARE)
    if likely or sweep.pause_s is None or sweep.pause_s <= LONG_PAUSE_S:
        return ""
    hours = sweep.pause_s / 3_600
    return (
        f"{sweep.due} of {sweep.active} users would lose access at once after a pause of "
        f"{hours:.0f} h, and no other clock says that it is that late"
    )
