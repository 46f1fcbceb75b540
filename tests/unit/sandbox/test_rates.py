"""The pace of messages: a burst passes, then one message per interval."""

import pytest

from bot.sandbox.rates import OVERALL, PER_CHAT, RateLimit, take, wait_s


def passed(limit: RateLimit, moments: list[float]) -> list[bool]:
    full_at, outcomes = 0.0, []
    for now in moments:
        fits = wait_s(limit, full_at, now) == 0
        outcomes.append(fits)
        if fits:
            full_at = take(limit, full_at, now)
    return outcomes


def test_a_burst_passes_and_the_next_message_waits() -> None:
    assert passed(PER_CHAT, [100.0] * 6) == [True] * 5 + [False]


def test_one_message_per_second_passes_for_ever() -> None:
    assert all(passed(PER_CHAT, [float(second) for second in range(600)]))


def test_after_the_burst_each_second_buys_one_message() -> None:
    assert passed(PER_CHAT, [100.0] * 5 + [101.0, 101.0]) == [True] * 6 + [False]


def test_quiet_time_buys_no_more_than_the_burst() -> None:
    assert passed(PER_CHAT, [0.0] * 5 + [9000.0] * 6) == [True] * 10 + [False]


def test_thirty_messages_pass_in_one_second_overall() -> None:
    assert passed(OVERALL, [5.0] * 31) == [True] * 30 + [False]


@pytest.mark.parametrize(("ahead", "wait"), [(5.0, 1), (5.2, 2), (4.0, 0), (0.0, 0)])
def test_the_wait_is_in_whole_seconds_and_never_too_short(ahead: float, wait: int) -> None:
    now = 50.0

    told = wait_s(PER_CHAT, now + ahead, now)

    assert told == wait
    assert wait_s(PER_CHAT, now + ahead, now + told) == 0
