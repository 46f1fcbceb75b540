"""Telegram's limits as arithmetic: when one more message fits."""

import pytest

from actors.notifier.pace import MANY_CHATS, TELEGRAM, Pace

ME, YOU, THIRD = 1, 2, 3


def sent(pace: Pace, chat: int, now: float) -> float:
    """Send as soon as it is allowed; when that is."""
    at = now + pace.chat_wait_s(chat, now)
    return at + pace.take(chat, at)


def test_a_chat_has_a_short_burst_and_then_a_message_a_second() -> None:
    pace, now, moments = Pace(), 1_000.0, []
    for _ in range(8):
        now = sent(pace, ME, now)
        moments.append(round(now - 1_000.0, 2))

    assert moments[:3] == [0.0, 0.04, 0.08]
    assert moments[3:] == [1.0, 2.0, 3.0, 4.0, 5.0]


def test_a_quiet_chat_has_its_burst_again_and_no_more() -> None:
    pace = Pace()
    for _ in range(3):
        pace.take(ME, 1_000.0)
    later = 1_000.0 + 3_600.0
    for _ in range(3):
        assert pace.chat_wait_s(ME, later) == 0.0
        pace.take(ME, later)

    assert pace.chat_wait_s(ME, later) > 0.9


def test_all_chats_together_have_twenty_five_a_second() -> None:
    pace = Pace()

    turns = [pace.take(chat, 1_000.0) for chat in range(1_000)]

    assert turns[0] == 0.0
    assert turns[25] == pytest.approx(1.0)
    assert turns[-1] <= 40.0


def test_a_place_that_was_not_used_is_free_again() -> None:
    pace = Pace()
    for _ in range(5):
        pace.take(ME, 1_000.0)
        pace.give_back(ME)

    assert pace.chat_wait_s(ME, 1_000.0) == 0.0
    pace.give_back(YOU)  # which never took one
    assert pace.chat_wait_s(YOU, 1_000.0) == 0.0


def test_one_chat_that_waits_is_no_trouble_for_another() -> None:
    pace = Pace()
    for _ in range(5):
        pace.take(ME, 1_000.0)

    assert pace.chat_wait_s(ME, 1_000.0) > 0
    assert pace.chat_wait_s(YOU, 1_000.0) == 0.0


def test_a_flood_answer_holds_that_chat_as_long_as_telegram_says() -> None:
    pace = Pace()
    pace.flooded(ME, 30.0, 1_000.0)

    assert pace.chat_wait_s(ME, 1_000.0) == 30.0
    assert pace.chat_wait_s(YOU, 1_000.0) == 0.0
    assert not pace.paused(1_000.0)
    assert pace.chat_wait_s(ME, 1_030.0) == 0.0


def test_the_same_chat_twice_is_not_the_whole_bot() -> None:
    pace = Pace()
    pace.flooded(ME, 30.0, 1_000.0)
    pace.flooded(ME, 30.0, 1_001.0)

    assert not pace.paused(1_001.0)


def test_two_chats_at_a_time_are_the_whole_bot_until_the_later_end() -> None:
    pace = Pace()
    pace.flooded(ME, 30.0, 1_000.0)
    pace.flooded(YOU, 5.0, 1_001.0)

    assert pace.paused(1_029.9)
    assert not pace.paused(1_030.0)


def test_a_flood_that_is_over_says_nothing_about_the_next() -> None:
    pace = Pace()
    pace.flooded(ME, 30.0, 1_000.0)
    pace.flooded(YOU, 30.0, 1_031.0)

    assert not pace.paused(1_031.0)


def test_quiet_chats_are_forgotten() -> None:
    pace, now = Pace(), 1_000.0
    for chat in range(20_000):
        now += pace.take(chat, now) + TELEGRAM.interval_s
        if chat % 100 == 0:
            pace.flooded(chat, 2.0, now)

    assert pace.chats <= MANY_CHATS + 2
