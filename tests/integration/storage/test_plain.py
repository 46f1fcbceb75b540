"""Whatever a failure says can be kept."""

from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from storage.plain import is_plain, legible, plain

LOST = "\N{REPLACEMENT CHARACTER}"

#: A value, and what is kept of it.
KEPT: list[tuple[Any, Any]] = [
    (None, None),
    (True, True),
    (7, 7),
    (1.5, 1.5),
    ("Привет 🙂", "Привет 🙂"),
    ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
]
CHANGED: list[tuple[Any, Any]] = [
    ("a\0b", f"a{LOST}b"),
    ("a\ud800b", f"a{LOST}b"),
    (float("nan"), "nan"),
    (float("inf"), "inf"),
    (Decimal("1.50"), "1.50"),
    ({1: "\0"}, {"1": LOST}),
    ({"\0": 1}, {LOST: 1}),
    ([b"x"], ["b'x'"]),
]


@pytest.mark.parametrize(("value", "kept"), [*KEPT, *CHANGED])
def test_everything_becomes_json(value: Any, kept: Any) -> None:
    assert plain(value) == kept


@pytest.mark.parametrize("value", [value for value, _ in KEPT])
def test_what_comes_back_as_it_was_is_plain(value: Any) -> None:
    assert is_plain(value)


@pytest.mark.parametrize("value", [value for value, _ in CHANGED])
def test_what_comes_back_changed_is_not_plain(value: Any) -> None:
    assert not is_plain(value)


def test_other_kinds_of_mapping_and_list_are_as_good() -> None:
    value = MappingProxyType({"a": (1, 2)})

    assert is_plain(value)
    assert plain(value) == {"a": [1, 2]}


def test_a_text_stays_as_long_as_it_was() -> None:
    assert legible("\0\udfff.") == f"{LOST}{LOST}."
