"""Whether and when a failed child is started again: a pure decision, so a table."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.engine.policy import Exceeded, RestartLimits
from supervisors.engine.restarts import (
    GiveUp,
    RestartAfter,
    RestartHistory,
    backoff_ceiling,
    decide_restart,
)

NOW = 1_000.0
LIMITS = RestartLimits(
    max_restarts=3,
    window_s=60,
    backoff_base_s=0.5,
    backoff_cap_s=30,
    exceeded=Exceeded.ESCALATE,
    reset_after_s=40,
    park_s=300,
)
#: Jitter close to 1, so that a delay shows its ceiling.
MOST = 1.0 - 2**-53


@dataclass(frozen=True, slots=True)
class Row:
    """Given restarts so many seconds ago, a streak, and a child that has lived for so long."""

    id: str
    ago: tuple[float, ...] = ()
    streak: int = 0
    lived: float | None = None
    exceeded_is: Exceeded = Exceeded.ESCALATE
    delay_s: float | None = None  # None: gives up
    above: bool = False
    streak_after: int = 1


ROWS = [
    Row("the first crash waits up to the base", delay_s=0.5),
    Row("a second one doubles", ago=(5,), streak=1, lived=5, delay_s=1, streak_after=2),
    Row("a third one doubles again", ago=(9, 5), streak=2, lived=5, delay_s=2, streak_after=3),
    Row("one more within the window is too many", ago=(59, 9, 5), streak=3, lived=5),
    Row("a crash at the edge of the window has left it", ago=(60, 9, 5), lived=5, delay_s=0.5),
    Row("the window slides", ago=(300, 200, 100), streak=5, lived=5, delay_s=16, streak_after=6),
    Row("the cap holds", ago=(300,), streak=6, lived=5, delay_s=30, streak_after=7),
    Row("the cap holds for ever", ago=(300,), streak=5_000, lived=5, delay_s=30, streak_after=5001),
    Row("a life long enough resets", ago=(50, 45), streak=5, lived=40, delay_s=0.5),
    Row(
        "a life a little shorter does not",
        ago=(50, 45),
        streak=5,
        lived=39.999,
        delay_s=16,
        streak_after=6,
    ),
    Row("a reset spares no intensity", ago=(58, 57, 56), streak=5, lived=40),
    Row(
        "one that keeps trying does so at the cap",
        ago=(30, 20, 10),
        streak=3,
        lived=1,
        exceeded_is=Exceeded.KEEP_TRYING,
        delay_s=30,
        above=True,
        streak_after=4,
    ),
    Row(
        "a parked one starts afresh after its time",
        ago=(30, 20, 10),
        streak=3,
        lived=1,
        exceeded_is=Exceeded.PARK,
        delay_s=300,
        above=True,
        streak_after=0,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_restart(row: Row) -> None:
    history = RestartHistory(
        restarts=tuple(NOW - ago for ago in row.ago),
        streak=row.streak,
        started=None if row.lived is None else NOW - row.lived,
    )

    decision = decide_restart(history, NOW, replace(LIMITS, exceeded=row.exceeded_is), MOST)

    if row.delay_s is None:
        assert decision == GiveUp()
        return
    assert isinstance(decision, RestartAfter)
    assert decision.delay_s == pytest.approx(row.delay_s)
    assert decision.exceeded is row.above
    assert decision.history.streak == row.streak_after


def test_jitter_spreads_the_delay_from_nothing_to_the_ceiling() -> None:
    delays = [decide_restart(RestartHistory(), NOW, LIMITS, jitter) for jitter in (0, 0.5, MOST)]

    assert [d.delay_s for d in delays if isinstance(d, RestartAfter)] == [0, 0.25, 0.5 * MOST]


def test_waiting_for_a_restart_is_no_time_without_a_crash() -> None:
    """With a cap above the reset time the back-off would otherwise never reach its cap."""
    limits = replace(LIMITS, backoff_cap_s=300, max_restarts=1_000)
    history, now = RestartHistory(), NOW
    delays = []
    for _ in range(12):
        decision = decide_restart(history, now, limits, MOST)
        assert isinstance(decision, RestartAfter)
        delays.append(decision.delay_s)
        history, now = decision.history, now + decision.delay_s + 1  # lives for a second

    assert delays == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


def test_no_restarts_allowed_means_none() -> None:
    assert decide_restart(RestartHistory(), NOW, replace(LIMITS, max_restarts=0), 0) == GiveUp()


def test_a_parked_child_has_all_its_restarts_again() -> None:
    limits = replace(LIMITS, exceeded=Exceeded.PARK, max_restarts=0)

    decision = decide_restart(RestartHistory(restarts=(NOW,), streak=9), NOW, limits, 0.5)

    assert decision == RestartAfter(delay_s=300, history=RestartHistory(), exceeded=True)


@pytest.mark.parametrize("streak", [0, 10, 64, 1_023, 1_024, 10**9])
def test_any_streak_has_a_ceiling(streak: int) -> None:
    assert 0 < backoff_ceiling(LIMITS, streak) <= LIMITS.backoff_cap_s


limits_of_any_kind = st.builds(
    RestartLimits,
    max_restarts=st.integers(0, 20),
    window_s=st.floats(0.1, 1_000),
    backoff_base_s=st.floats(0.01, 60),
    backoff_cap_s=st.floats(0.01, 3_600),
    exceeded=st.sampled_from(Exceeded),
    reset_after_s=st.floats(0.1, 1_000),
    park_s=st.floats(1, 1_000),
)
lives = st.lists(st.tuples(st.floats(0, 200), st.floats(0, MOST)), max_size=60)


@given(limits=limits_of_any_kind, lives=lives)
def test_of_any_run_of_crashes(limits: RestartLimits, lives: list[tuple[float, float]]) -> None:
    """Delays stay in bounds, memory too, and no window holds more restarts than allowed."""
    history, now = RestartHistory(), NOW
    within: list[float] = []
    for lived, jitter in lives:
        now += lived
        decision = decide_restart(history, now, limits, jitter)
        if isinstance(decision, GiveUp):
            assert limits.exceeded is Exceeded.ESCALATE
            break
        if decision.exceeded:
            assert decision.delay_s in {limits.backoff_cap_s, limits.park_s}
            within = []
        else:
            assert 0 <= decision.delay_s <= limits.backoff_cap_s
            within = [at for at in within if now - at < limits.window_s] + [now]
            assert len(within) <= limits.max_restarts
        history = decision.history
        assert len(history.restarts) <= max(limits.max_restarts, 1)
        now += decision.delay_s


@given(
    limits=limits_of_any_kind,
    streak=st.integers(0, 2_000),
    jitter=st.floats(0, MOST),
)
def test_a_longer_streak_never_waits_less(
    limits: RestartLimits, streak: int, jitter: float
) -> None:
    limits = replace(limits, max_restarts=1)
    shorter = decide_restart(RestartHistory(streak=streak), NOW, limits, jitter)
    longer = decide_restart(RestartHistory(streak=streak + 1), NOW, limits, jitter)

    assert isinstance(shorter, RestartAfter)
    assert isinstance(longer, RestartAfter)
    assert shorter.delay_s <= longer.delay_s
