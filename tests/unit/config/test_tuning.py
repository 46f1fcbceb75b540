"""What operators may change while the program runs, and what they read when it cannot be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import CONFIG_FOLDER
from config.supervision import load_supervision
from config.tuning import (
    LONGEST_REVERT_S,
    Tunables,
    TuningError,
    checked_span,
    parse_span,
    parse_value,
    tunables,
    with_overrides,
)

POLICIES = Tunables.of(load_supervision(CONFIG_FOLDER / "supervision.toml"))
SHARED = {
    "max_restarts": "whole numbers 0 to 1000",
    "window_s": "above 0 to 86400",
    "backoff_base_s": "above 0 to 60",
    "backoff_cap_s": "above 0 to 3600",
    "reset_after_s": "above 0 to 3600",
    "shutdown_s": "above 0 to 120",
}
CHOICE = {"strategy": "one_for_one or one_for_all or rest_for_one"}
#: Written out, so that a bound which nobody meant to change is noticed.
BOUNDS = {
    "root": {**CHOICE, **SHARED},
    "operators": {**CHOICE, **SHARED},
    "notifier": {**CHOICE, **SHARED},
    "provisioners": {**CHOICE, **SHARED},
    "users": {
        "strategy": "one_for_one",
        **SHARED,
        "park_s": "above 0 to 3600",
        "storm_children": "whole numbers 2 to 100000",
        "idle_after_s": "1 to 86400",
    },
    "workers": {**CHOICE, **SHARED},
    "door": {**CHOICE, **SHARED},
    "provisioner": {
        "enabled": "on or off",
        "attempt_timeout_s": "above 0 to 30",
        "concurrency": "whole numbers 1 to 64",
        "scan_interval_s": "above 0 to 60",
        "retry_base_s": "above 0 to 10",
        "retry_cap_s": "1 to 600",
        "sales_pause_s": "1 to 86400",
    },
    "breaker": {
        "window_calls": "whole numbers 1 to 1000",
        "window_s": "above 0 to 3600",
        "fewest_calls": "whole numbers 1 to 1000",
        "failure_share": "above 0 to 1",
        "failures_in_row": "whole numbers 1 to 1000",
        "tls_in_row": "whole numbers 1 to 100",
        "slow_s": "above 0 to 30",
        "slow_share": "above 0 to 1",
        "fewest_slow_calls": "whole numbers 1 to 1000",
        "open_s": "above 0 to 600",
        "open_cap_s": "above 0 to 600",
        "open_jitter": "0 to below 1",
        "probes": "whole numbers 1 to 20",
        "probe_interval_s": "above 0 to 60",
        "ramp_successes": "whole numbers 1 to 1000",
    },
    "reconciler": {
        "enabled": "on or off",
        "removals": "on or off",
        "interval_s": "1 to 3600",
        "guard_users": "whole numbers 0 to 20",
        "guard_share": "0 to 0.01",
        "guard_most": "whole numbers 0 to 500",
    },
    "expiry": {
        "enabled": "on or off",
        "reminders": "on or off",
        "interval_s": "0.1 to 600",
        "bulk_from": "whole numbers 1 to 100000",
        "bulk_users": "whole numbers 1 to 5000",
    },
}
KEYS = [one.key for one in tunables(POLICIES, POLICIES)]


def refusal(key: str, text: str) -> str:
    """What an operator reads."""
    with pytest.raises(TuningError) as refused:
        parse_value(POLICIES, key, text)
    return str(refused.value)


# What there is


def test_every_setting_says_what_it_may_be() -> None:
    assert {one.key: one.bounds for one in tunables(POLICIES, POLICIES)} == {
        f"{section}.{field}": text
        for section, fields in BOUNDS.items()
        for field, text in fields.items()
    }


def test_a_changed_setting_shows_the_files_value_too() -> None:
    current = with_overrides(POLICIES, {"users.max_restarts": 9})

    changed = [one for one in tunables(POLICIES, current) if one.changed]

    assert [(one.key, one.value, one.default) for one in changed] == [("users.max_restarts", 9, 6)]


# From words to values


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("users.max_restarts", "7", 7),
        ("users.max_restarts", " 7 ", 7),
        ("users.max_restarts", "0", 0),
        ("users.max_restarts", "1000", 1000),
        ("users.max_restarts", "\N{EXTENDED ARABIC-INDIC DIGIT SEVEN}", 7),
        ("users.window_s", "5", 5.0),
        ("users.window_s", "0.5", 0.5),
        ("users.window_s", "1e3", 1000.0),
        ("users.window_s", "86400", 86_400.0),
        ("root.strategy", "one_for_all", "one_for_all"),
        ("root.strategy", "One_For_All", "one_for_all"),
        ("breaker.open_s", "30", 30.0),
        ("expiry.enabled", "Off", "off"),
    ],
)
def test_a_word_becomes_a_value(key: str, text: str, value: Any) -> None:
    parsed = parse_value(POLICIES, key, text)

    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("users.max_restarts", "-1"),
        ("reconciler.guard_users", "21"),
        ("reconciler.guard_share", "0.02"),
        ("reconciler.guard_most", "501"),
        ("expiry.enabled", "false"),
        ("users.max_restarts", "1001"),
        ("users.max_restarts", "9" * 5_000),
        ("users.max_restarts", "1.5"),
        ("users.max_restarts", "many"),
        ("users.max_restarts", "true"),
        ("users.max_restarts", "nan"),
        ("users.max_restarts", "²"),
        ("users.max_restarts", ""),
        ("users.window_s", "0"),
        ("users.window_s", "-5"),
        ("users.window_s", "86400.1"),
        ("users.window_s", "nan"),
        ("users.window_s", "inf"),
        ("users.window_s", "-inf"),
        ("users.window_s", "1e400"),
        ("users.window_s", "0x10"),
        ("users.window_s", ""),
        ("users.idle_after_s", "0.9"),
        ("users.storm_children", "1"),
        ("root.strategy", "two_for_one"),
        ("users.strategy", "one_for_all"),
    ],
)
def test_a_value_out_of_bounds_is_refused_with_the_bounds(key: str, text: str) -> None:
    section, _, field = key.partition(".")

    told = refusal(key, text)

    assert told.startswith(f"{key}: ")
    assert told.endswith(f" is out of bounds; it may be {BOUNDS[section][field]}")


@pytest.mark.parametrize("key", ["doors.max_restarts", "", ".", "copy.x", "model_fields.root"])
def test_an_unknown_policy_names_those_that_exist(key: str) -> None:
    told = refusal(key, "1")

    assert told == f"{key}: no such policy; there are {', '.join(BOUNDS)}"


@pytest.mark.parametrize("key", ["users.max", "users.", "users", "users.model_dump", "users.a.b"])
def test_an_unknown_field_names_those_that_exist(key: str) -> None:
    assert refusal(key, "1") == f"{key}: users has {', '.join(BOUNDS['users'])}"


@pytest.mark.parametrize(("key", "text"), [("users.max_restarts", "9" * 999), ("k\0\n" * 999, "1")])
def test_a_refusal_is_one_short_line(key: str, text: str) -> None:
    told = refusal(key, text)

    assert len(told) < 200
    assert told.isprintable()


@given(key=st.one_of(st.sampled_from(KEYS), st.text()), text=st.text())
def test_any_text_is_a_value_in_bounds_or_refused(key: str, text: str) -> None:
    try:
        value = parse_value(POLICIES, key, text)
    except TuningError:
        return

    section, _, field = key.partition(".")
    tables = POLICIES.model_dump()
    tables[section][field] = value
    again = Tunables.model_validate(tables, strict=True)
    assert getattr(getattr(again, section), field) == value


@given(
    key=st.sampled_from([key for key in KEYS if not key.endswith("strategy")]),
    number=st.one_of(st.integers(), st.floats()),
)
def test_any_number_is_a_value_in_bounds_or_refused(key: str, number: float) -> None:
    try:
        value = parse_value(POLICIES, key, str(number))
    except TuningError:
        return

    assert value == number


# Values from elsewhere


def test_overrides_replace_values_and_nothing_else() -> None:
    current = with_overrides(POLICIES, {"users.park_s": 5.0, "door.strategy": "one_for_all"})

    expected = POLICIES.model_dump()
    expected["users"]["park_s"] = 5.0
    expected["door"]["strategy"] = "one_for_all"
    assert current.model_dump() == expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("users.park_s", 0),
        ("users.park_s", None),
        ("users.park_s", {}),
        ("users.park_s", float("nan")),
        ("users.max_restarts", [1]),
    ],
)
def test_an_override_that_is_not_allowed_is_named(key: str, value: Any) -> None:
    with pytest.raises(TuningError, match=f"out of bounds: {key}"):
        with_overrides(POLICIES, {key: value})


# Spans


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90.0),
        ("60s", 60.0),
        ("15m", 900.0),
        ("2h", 7_200.0),
        ("1d", 86_400.0),
        ("1.5H", 5_400.0),
        (" 15 m ", 900.0),
        ("30d", LONGEST_REVERT_S),
        ("1", 1.0),
    ],
)
def test_a_span_is_read(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["0", "0.9s", "31d", "9" * 400, "2592001"])
def test_a_span_that_is_too_short_or_too_long_is_refused(text: str) -> None:
    with pytest.raises(TuningError, match="a span from 1s to 30d"):
        parse_span(text)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5m", "5w", "1e3", "nan", "5m5", "m", "1h30m", "1\0"]
)
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(TuningError, match="is no span of time; write 90, 60s, 15m, 2h or 1d"):
        parse_span(text)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e300, float("inf"), float("nan")])
def test_a_number_that_is_no_span_is_refused(seconds: float) -> None:
    with pytest.raises(TuningError, match="a span from 1s to 30d"):
        checked_span(seconds, f"{seconds:g} s")
