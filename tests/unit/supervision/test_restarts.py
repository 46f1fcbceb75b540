"""Whether and when a failed child is started again: a pure decision, so a table."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisors.engine.policy import Exceeded, Policy
from supervisors.engine.restarts import (
    MOST_REMEMBERED,
    GiveUp,
    ParkFor,
    RestartAfter,
    RestartHistory,
    backoff_ceiling,
    decide_restart,
    restarts_within,
)

NOW = 1_000.0
POLICY = Policy(
    max_restarts=3,
    window_s=60,
    backoff_base_s=0.5,
    backoff_cap_s=30,
    reset_after_s=40,
    park_s=300,
)
OURS = Exceeded.ESCALATE
#: Jitter close to 1, so that a delay shows its ceiling.
MOST = 1.0 - 2**-53


@dataclass(frozen=True, slots=True)
class Row:
    """Given restarts so many seconds ago, a streak, and a child that has lived for so long."""

    id: str
    ago: tuple[float, ...] = ()
    streak: int = 0
    lived: float | None = None
    exceeded: Exceeded = Exceeded.ESCALATE
    weather: bool = False
    delay_s: float | None = None  # None: gives up
    above: bool = False
    streak_after: int = 1


ROWS = [
    Row("the first crash waits up to the base", delay_s=0.5),
    Row("a second one doubles", ago=(5,), streak=1, lived=5, delay_s=1, streak_after=2),
    Row("a third one doubles again", ago=(9, 5), streak=2, lived=5, delay_s=2, streak_after=3),
    Row("one more within the window is too many", ago=(59, 9, 5), streak=3, lived=5),
    Row("a restart at the edge of the window counts, as in OTP", ago=(60, 9, 5), lived=5),
    Row("one just past the edge does not", ago=(60.001, 9, 5), lived=5, delay_s=0.5),
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
        exceeded=Exceeded.KEEP_TRYING,
        delay_s=30,
        above=True,
        streak_after=4,
    ),
    Row(
        "weather is restarted however often the child crashed",
        ago=(30, 20, 10),
        streak=3,
        lived=1,
        weather=True,
        delay_s=4,
        streak_after=4,
    ),
    Row(
        "weather parks nobody",
        ago=(30, 20, 10),
        lived=1,
        exceeded=Exceeded.PARK,
        weather=True,
        delay_s=0.5,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_restart(row: Row) -> None:
    history = RestartHistory(
        restarts=tuple(NOW - ago for ago in row.ago),
        streak=row.streak,
        started=None if row.lived is None else NOW - row.lived,
    )

    decision = decide_restart(history, NOW, POLICY, row.exceeded, MOST, weather=row.weather)

    if row.delay_s is None:
        assert decision == GiveUp()
        return
    assert isinstance(decision, RestartAfter)
    assert decision.delay_s == pytest.approx(row.delay_s)
    assert decision.exceeded is row.above
    assert decision.history.streak == row.streak_after


def test_jitter_spreads_the_delay_from_nothing_to_the_ceiling() -> None:
    delays = [decide_restart(RestartHistory(), NOW, POLICY, OURS, it) for it in (0, 0.5, MOST)]

    assert [d.delay_s for d in delays if isinstance(d, RestartAfter)] == [0, 0.25, 0.5 * MOST]


def test_waiting_for_a_restart_is_no_time_without_a_crash() -> None:
    """With a cap above the reset time the back-off would otherwise never reach its cap."""
    policy = replace(POLICY, backoff_cap_s=300, max_restarts=1_000)
    history, now = RestartHistory(), NOW
    delays = []
    for _ in range(12):
        decision = decide_restart(history, now, policy, OURS, MOST)
        assert isinstance(decision, RestartAfter)
        delays.append(decision.delay_s)
        history, now = decision.history, now + decision.delay_s + 1  # lives for a second

    assert delays == pytest.approx([0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300])


def test_no_restarts_allowed_means_none() -> None:
    none = replace(POLICY, max_restarts=0)

    assert decide_restart(RestartHistory(), NOW, none, OURS, 0) == GiveUp()


def test_one_that_fails_too_often_is_parked_for_a_fixed_time() -> None:
    none = replace(POLICY, max_restarts=0)

    decision = decide_restart(RestartHistory(), NOW, none, Exceeded.PARK, 0)

    assert decision == ParkFor(delay_s=POLICY.park_s)


def test_weather_is_not_counted() -> None:
    before = RestartHistory(restarts=(NOW - 5,))

    decision = decide_restart(before, NOW, POLICY, OURS, 0, weather=True)

    assert isinstance(decision, RestartAfter)
    assert decision.history.restarts == before.restarts


def test_memory_is_bounded_even_if_a_policy_is_not() -> None:
    policy = replace(POLICY, max_restarts=10 * MOST_REMEMBERED)
    long_ago = RestartHistory(restarts=(NOW,) * MOST_REMEMBERED)

    decision = decide_restart(long_ago, NOW + 1, policy, OURS, 0)

    assert isinstance(decision, RestartAfter)
    assert len(decision.history.restarts) == MOST_REMEMBERED
    assert decision.history.restarts[-1] == NOW + 1


def test_a_shorter_window_forgets_at_once() -> None:
    """The policy is that of the moment: what it does not count is gone for a longer one too."""
    history = RestartHistory(restarts=(NOW - 50, NOW - 5))

    assert restarts_within(history, NOW, POLICY) == (NOW - 50, NOW - 5)
    assert restarts_within(history, NOW, replace(POLICY, window_s=10)) == (NOW - 5,)


@pytest.mark.parametrize("streak", [0, 10, 64, 1_023, 1_024, 10**9])
def test_any_streak_has_a_ceiling(streak: int) -> None:
    assert 0 < backoff_ceiling(POLICY, streak) <= POLICY.backoff_cap_s


policies = st.builds(
    Policy,
    max_restarts=st.integers(0, 20),
    window_s=st.floats(0.1, 1_000),
    backoff_base_s=st.floats(0.01, 60),
    backoff_cap_s=st.floats(0.01, 3_600),
    reset_after_s=st.floats(0.1, 1_000),
    park_s=st.floats(1, 1_000),
)
lives = st.lists(st.tuples(st.floats(0, 200), st.floats(0, MOST), st.booleans()), max_size=60)


@given(policy=policies, exceeded=st.sampled_from(Exceeded), lives=lives)
def test_of_any_run_of_crashes(
    policy: Policy, exceeded: Exceeded, lives: list[tuple[float, float, bool]]
) -> None:
    """Delays stay in bounds, memory too, and no window holds more restarts than allowed."""
    history, now = RestartHistory(), NOW
    within: list[float] = []
    for lived, jitter, weather in lives:
        now += lived
        decision = decide_restart(history, now, policy, exceeded, jitter, weather=weather)
        within = [at for at in within if now - at <= policy.window_s]
        full = len(within) >= policy.max_restarts
        if isinstance(decision, GiveUp):
            assert full
            assert not weather
            assert exceeded is Exceeded.ESCALATE
            return
        if isinstance(decision, ParkFor):
            assert full
            assert not weather
            assert exceeded is Exceeded.PARK
            history, within = RestartHistory(), []
        else:
            within = within if weather else [*within, now]
            assert 0 <= decision.delay_s <= policy.backoff_cap_s
            assert decision.exceeded is (full and not weather)
            assert exceeded is Exceeded.KEEP_TRYING or weather or not full
            assert decision.history.restarts == tuple(within)
            history = decision.history
        now += decision.delay_s


@given(policy=policies, streak=st.integers(0, 2_000), jitter=st.floats(0, MOST))
def test_a_longer_streak_never_waits_less(policy: Policy, streak: int, jitter: float) -> None:
    policy = replace(policy, max_restarts=1)
    shorter = decide_restart(RestartHistory(streak=streak), NOW, policy, OURS, jitter)
    longer = decide_restart(RestartHistory(streak=streak + 1), NOW, policy, OURS, jitter)

    assert isinstance(shorter, RestartAfter)
    assert isinstance(longer, RestartAfter)
    assert shorter.delay_s <= longer.delay_s
