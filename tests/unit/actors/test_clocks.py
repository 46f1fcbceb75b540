"""Nobody's time ends by a clock that may have jumped."""

from dataclasses import replace

import pytest

from actors.expiry.clocks import ClockReading, Sweep, why_hold

NOW = ClockReading(database_s=1_000_000.0, host_s=1_000_000.0, monotonic_s=500.0)
NOTHING = Sweep(due=0, active=100, pause_s=5.0)
HOUR_S = 3_600.0


def later(seconds: float, *, database: float = 0.0, host: float = 0.0) -> ClockReading:
    """So much time passed, and clocks jumped by so much."""
    return replace(
        NOW,
        database_s=NOW.database_s + seconds + database,
        host_s=NOW.host_s + seconds + host,
        monotonic_s=NOW.monotonic_s + seconds,
    )


def test_clocks_that_agree_hold_nothing() -> None:
    assert why_hold(NOW, None, NOTHING) == ""
    assert why_hold(later(5.0), NOW, NOTHING) == ""
    assert why_hold(later(30 * 86_400.0), NOW, NOTHING) == "", "a long outage alone is no jump"


@pytest.mark.parametrize("jump_s", [-HOUR_S, -61.0, 61.0, HOUR_S])
def test_a_database_that_is_apart_from_the_host_holds(jump_s: float) -> None:
    assert "from the others" in why_hold(later(5.0, database=jump_s), NOW, NOTHING)


def test_a_small_difference_is_none() -> None:
    assert why_hold(later(5.0, database=59.0), NOW, NOTHING) == ""


def test_a_jump_of_host_and_database_together_holds() -> None:
    """They may share one machine's clock."""
    jumped = later(5.0, database=HOUR_S, host=HOUR_S)

    assert "ahead of the time that has passed" in why_hold(jumped, NOW, NOTHING)


def test_a_clock_that_was_set_back_shuts_nobody_out() -> None:
    assert why_hold(later(5.0, database=-HOUR_S, host=-HOUR_S), NOW, NOTHING) == ""


def test_clocks_elsewhere_decide() -> None:
    jumped = later(5.0, database=HOUR_S, host=HOUR_S)
    agreeing = replace(jumped, others=(jumped.database_s + 1, jumped.database_s - 1))
    standing = replace(jumped, others=(NOW.database_s, NOW.database_s + 1))
    one = replace(jumped, others=(NOW.database_s,))

    assert why_hold(agreeing, NOW, NOTHING) == "", "the host was wrong before"
    assert why_hold(standing, NOW, NOTHING)
    assert why_hold(one, NOW, NOTHING)


@pytest.mark.parametrize(
    ("due", "active", "pause_s", "held"),
    [
        (51, 100, 2 * HOUR_S, True),
        (50, 100, 2 * HOUR_S, False),
        (501, 10_000, 2 * HOUR_S, True),
        (500, 10_000, 2 * HOUR_S, False),
        (10_000, 10_000, HOUR_S, False),
        (10_000, 10_000, None, False),
    ],
)
def test_after_a_start_an_unlikely_sweep_waits_for_a_word(
    due: int, active: int, pause_s: float | None, *, held: bool
) -> None:
    sweep = Sweep(due=due, active=active, pause_s=pause_s)

    assert bool(why_hold(NOW, None, sweep)) is held
    seconded = replace(NOW, others=(NOW.database_s,))
    assert why_hold(seconded, None, sweep) == "", "another clock says that it is that late"
