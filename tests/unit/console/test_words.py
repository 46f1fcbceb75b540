"""How values become words."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from supervisors.console.words import clean, cut, moment, shown, span, table

AT = datetime(2026, 11, 23, 19, 42, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (0.9999, "1s"),
        (1.24, "1.2s"),
        (9, "9s"),
        (45.4, "45s"),
        (59.7, "1m"),
        (250, "4m 10s"),
        (3_600, "1h"),
        (11_100, "3h 5m"),
        (176_400, "2d 1h"),
        (40_000_000, "462d 23h"),
    ],
)
def test_a_span_has_one_unit_or_two(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_moment_is_in_utc() -> None:
    assert moment(AT.astimezone(timezone(timedelta(hours=3)))) == "2026-11-23 19:42:10 UTC"


def test_a_moment_of_the_same_day_needs_no_date() -> None:
    assert moment(AT, beside=AT - timedelta(hours=19)) == "19:42:10 UTC"
    assert moment(AT, beside=AT - timedelta(hours=20)) == "2026-11-23 19:42:10 UTC"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x9b2J", "2J"),
        ("one\ntwo\r\tthree\u2028four", "one two  three four"),
        ("\u202egnp.exe", "gnp.exe"),
        ("half \ud800 character", "half  character"),
        ("Привет, 世界 … ├─", "Привет, 世界 … ├─"),
    ],
)
def test_text_keeps_its_letters_and_loses_what_a_terminal_obeys(text: str, left: str) -> None:
    assert clean(text) == left


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (5, "5"),
        (0.5, "0.5"),
        (5.0, "5"),
        ("a\x1bb", "ab"),
        (True, "true"),
        (["\x1b"], '["\\u001b"]'),
    ],
)
def test_a_value_is_shown_plainly(value: Any, words: str) -> None:
    assert shown(value) == words


def test_the_last_column_gives_way() -> None:
    lines = table(("N", "WHAT"), [("1", "short"), ("22", "a long story")], width=12, right=("N",))

    assert lines == [" N  WHAT", " 1  short", "22  a long…"]


def test_a_table_that_cannot_fit_is_cut() -> None:
    assert table(("FIRST", "SECOND"), [("12345", "123456789")], width=9) == [
        "FIRST  S…",
        "12345  1…",
    ]


def test_a_line_that_fits_is_left_alone() -> None:
    assert cut("12345", 5) == "12345"
    assert cut("123456", 5) == "1234…"
