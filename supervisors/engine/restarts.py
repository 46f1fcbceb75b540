"""Pure: whether a failed child is restarted, and after how long."""

from dataclasses import dataclass

from supervisors.engine.policy import Exceeded, RestartLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartHistory:
    """What is remembered of a child: restarts inside the window, and the run of quick crashes.

    `started` is when the last restart was due: waiting for one is no time without a crash.
    """

    restarts: tuple[float, ...] = ()
    streak: int = 0
    started: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAfter:
    """Start it again after `delay_s`. `exceeded` says that this is above the limits."""

    delay_s: float
    history: RestartHistory
    exceeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Above the limits: the supervisor itself fails."""


def decide_restart(
    history: RestartHistory, now: float, limits: RestartLimits, jitter: float
) -> RestartAfter | GiveUp:
    """What to do about a crash at `now`, given a random `jitter` in [0, 1)."""
    recent = tuple(at for at in history.restarts if now - at < limits.window_s)
    quiet = history.started is not None and now - history.started >= limits.reset_after_s
    streak = 0 if quiet else history.streak
    exceeded = len(recent) >= limits.max_restarts
    if not exceeded:
        delay_s = jitter * backoff_ceiling(limits, streak)
    elif limits.exceeded is Exceeded.KEEP_TRYING:
        delay_s = limits.backoff_cap_s
    elif limits.exceeded is Exceeded.PARK:
        return RestartAfter(delay_s=limits.park_s, history=RestartHistory(), exceeded=True)
    else:
        return GiveUp()
    # More restarts than make too many need not be remembered, however long the window.
    kept = (*recent, now)[-max(limits.max_restarts, 1) :]
    tried = RestartHistory(restarts=kept, streak=streak + 1, started=now + delay_s)
    return RestartAfter(delay_s=delay_s, history=tried, exceeded=exceeded)


def backoff_ceiling(limits: RestartLimits, streak: int) -> float:
    """The longest wait before a restart after so many quick crashes."""
    doublings = min(streak, 64)  # more than any cap needs; 2.0**1024 is an error
    return min(limits.backoff_cap_s, limits.backoff_base_s * 2.0**doublings)
