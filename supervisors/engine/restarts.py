"""Pure: whether a failed child is restarted, and after how long."""

from dataclasses import dataclass

from supervisors.engine.policy import Exceeded, RestartLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartHistory:
    """What is remembered of a child: restarts inside the window, and the run of quick crashes."""

    restarts: tuple[float, ...] = ()
    streak: int = 0
    last_crash: float | None = None


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
    quiet = history.last_crash is not None and now - history.last_crash >= limits.reset_after_s
    streak = 0 if quiet else history.streak
    crashed = RestartHistory(restarts=(*recent, now), streak=streak + 1, last_crash=now)
    if len(recent) < limits.max_restarts:
        ceiling = min(limits.backoff_cap_s, limits.backoff_base_s * 2.0**streak)
        return RestartAfter(delay_s=jitter * ceiling, history=crashed)
    match limits.exceeded:
        case Exceeded.ESCALATE:
            return GiveUp()
        case Exceeded.KEEP_TRYING:
            return RestartAfter(delay_s=limits.backoff_cap_s, history=crashed, exceeded=True)
        case Exceeded.PARK:
            return RestartAfter(delay_s=limits.park_s, history=RestartHistory(), exceeded=True)
