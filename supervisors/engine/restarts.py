"""Pure: whether a failed child is restarted, and after how long."""

from dataclasses import dataclass, replace

from supervisors.engine.policy import Exceeded, Policy

#: No policy allows more restarts than this, so no more need be remembered.
MOST_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartHistory:
    """What is remembered of restarts: those inside the window, and the run of quick crashes.

    `started` is when the last restart was due: waiting for one is no time without a crash.
    """

    restarts: tuple[float, ...] = ()
    streak: int = 0
    started: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartAfter:
    """Start it again after `delay_s`. `exceeded` says that this is above the policy."""

    delay_s: float
    history: RestartHistory
    exceeded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkFor:
    """Leave it alone for `delay_s`, then start it with nothing remembered."""

    delay_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Above the policy: the supervisor itself fails."""


Decision = RestartAfter | ParkFor | GiveUp


def decide_restart(
    history: RestartHistory,
    now: float,
    policy: Policy,
    exceeded: Exceeded,
    jitter: float,
    *,
    weather: bool = False,
) -> Decision:
    """What to do about an end at `now`, given a random `jitter` in [0, 1).

    An end by `weather` waits for its restart like any other, and is not counted.
    """
    recent = restarts_within(history, now, policy)
    quiet = history.started is not None and now - history.started >= policy.reset_after_s
    streak = 0 if quiet else history.streak
    too_many = not weather and len(recent) >= policy.max_restarts
    if too_many and exceeded is Exceeded.ESCALATE:
        return GiveUp()
    if too_many and exceeded is Exceeded.PARK:
        return ParkFor(delay_s=policy.park_s)
    delay_s = policy.backoff_cap_s if too_many else jitter * backoff_ceiling(policy, streak)
    counted = recent if weather else (*recent, now)[-MOST_REMEMBERED:]
    tried = RestartHistory(restarts=counted, streak=streak + 1, started=now + delay_s)
    return RestartAfter(delay_s=delay_s, history=tried, exceeded=too_many)


def later(decision: RestartAfter, delay_s: float) -> RestartAfter:
    """The same restart after another delay."""
    by_s = delay_s - decision.delay_s
    started = (decision.history.started or 0.0) + by_s
    return replace(decision, delay_s=delay_s, history=replace(decision.history, started=started))


def restarts_within(history: RestartHistory, now: float, policy: Policy) -> tuple[float, ...]:
    """The restarts that count at `now`. A restart exactly `window_s` ago does, as in OTP."""
    return tuple(at for at in history.restarts if now - at <= policy.window_s)


def backoff_ceiling(policy: Policy, streak: int) -> float:
    """The longest wait before a restart after so many quick crashes."""
    doublings = min(streak, 64)  # more than any cap needs; 2.0**1024 is an error
    return min(policy.backoff_cap_s, policy.backoff_base_s * 2.0**doublings)
