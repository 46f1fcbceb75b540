"""Cells follow from what is observed, and a row that is off target says so."""

from dataclasses import replace
from uuid import uuid4

import pytest

from tests.failures.cells import (
    Cells,
    Doors,
    Envelope,
    Observed,
    back_off,
    cells,
    misses,
)
from tests.failures.scenario import titles

ENVELOPE = Envelope(shortest_s=0.1, longest_s=150.0)
SOMEBODY = frozenset({uuid4()})
HEALTHY = Observed(sent=10, different=10, node="a", healed_s=1.0, bound_s=9.0, hits=1)


def test_the_audits_rows_come_first_in_its_order_and_ours_follow() -> None:
    assert list(titles()) == list(range(1, 43))
    assert titles()[1] == "VPN API timeout"
    assert titles()[17] == "Reconciliation + activation"


def test_a_healthy_run_is_a_healthy_row() -> None:
    assert misses(cells(HEALTHY, ENVELOPE), Cells()) == {}


@pytest.mark.parametrize(
    ("changes", "column", "seen"),
    [
        ({"leaked": SOMEBODY}, "ul", "Yes"),
        ({"meanwhile": [Doors(without_right=SOMEBODY)]}, "ua", "No†"),
        ({"close": Doors(without_right=SOMEBODY)}, "ua", "Yes"),
        ({"close": Doors(shut_out=SOMEBODY)}, "dx", "Yes"),
        ({"sent": 22}, "ra", "Yes"),
        ({"healed_s": None}, "sh", "No"),
        ({"healed_s": 9.1}, "sh", "No"),
        ({"commands": ["nodes.unfreeze"]}, "sh", "No"),
        ({"breakers": {"a": ["open"]}}, "cb", "open"),
        ({"breakers": {"b": ["open"]}}, "cb", "open: b"),
    ],
)
def test_what_is_wrong_shows_in_its_cell_and_misses_the_target(
    changes: dict[str, object], column: str, seen: str
) -> None:
    found = cells(replace(HEALTHY, **changes), ENVELOPE)  # type: ignore[arg-type]

    assert getattr(found, column) == seen
    assert list(misses(found, Cells())) == [column]


def test_on_a_frozen_node_strangers_stay_and_the_row_says_so() -> None:
    doors = Doors(without_right=SOMEBODY)
    seen = replace(HEALTHY, leaked=SOMEBODY, close=doors, frozen=frozenset({"a"}))

    assert misses(cells(seen, ENVELOPE), Cells(ul="frozen", ua="frozen", sh="frozen")) == {}


def test_shut_out_within_the_bound_is_allowed_where_the_target_says_so() -> None:
    found = cells(replace(HEALTHY, meanwhile=[Doors(shut_out=SOMEBODY)]), ENVELOPE)

    assert found.dx == "No†"
    assert misses(found, Cells()) == {}
    assert misses(found, Cells(dx="No")) == {"dx": ("No", "No†")}


@pytest.mark.parametrize(
    ("gaps", "seen"),
    [
        ([], "none"),
        ([1.0, 2.2, 0.4], "jitter"),
        ([1.0, 1.0, 1.0], "even"),
        ([1.0, 0.01], "hasty"),
        ([1.0, 151.0], "late"),
    ],
)
def test_attempts_are_apart_as_the_policy_says_or_the_cell_tells(
    gaps: list[float], seen: str
) -> None:
    assert back_off(gaps, ENVELOPE) == seen
