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
from tests.failures.report import LEGEND, as_html, as_json, progress, ranges, table
from tests.failures.run import Row
from tests.failures.scenario import USUAL, scenarios, titles

ENVELOPE = Envelope(shortest_s=0.1, longest_s=150.0)
#: Evenly, but for what a busy machine adds.
NOISY = [1.0, 1.015, 1.004, 1.011, 1.0, 1.008]
SOMEBODY = frozenset({uuid4()})
#: The rows of the audit's own table (its section 7), in its order and words.
AUDITED = (
    "VPN API timeout",
    "VPN API 500",
    "Malformed JSON",
    "uuid without vless_link",
    "DB deadlock",
    "DB tx fail after add",
    "remove_vless_user network fail",
    "Xray restart timeout",
    "config.json corruption",
    "Cloudflare 526",
    "Railway redeploy mid-tx",
    "Duplicate webhook",
    "Payment replay",
    "Expiry + renewal race",
    "Reissue race",
    "Massive orphan cleanup",
    "Reconciliation + activation",
)
HEALTHY = Observed(sent=10, different=10, node="a", healed_s=1.0, bound_s=9.0, hits=1)


def test_the_audits_rows_come_first_in_its_order_and_ours_follow() -> None:
    assert tuple(titles().values())[: len(AUDITED)] == AUDITED
    assert list(titles()) == list(range(1, len(titles()) + 1))


def test_every_title_has_a_scenario() -> None:
    assert list(scenarios()) == list(titles())


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


@pytest.mark.parametrize(
    ("gaps", "seen"),
    [
        ([0.004, 0.002, 0.006, 0.003, 0.005], "hasty"),
        ([0.004, 0.0, 0.9, 2.2, 0.4], "jitter"),
        (NOISY, "even"),
    ],
)
def test_calls_of_nodes_without_a_wait_or_with_a_fixed_one_are_seen(
    gaps: list[float], seen: str
) -> None:
    assert back_off(gaps, USUAL) == seen


@pytest.mark.parametrize(("gaps", "off"), [([], False), ([1.0, 2.2], False), (NOISY, True)])
def test_where_back_off_is_not_the_point_repeats_must_wait_all_the_same(
    gaps: list[float], off: bool
) -> None:
    found = cells(replace(HEALTHY, gaps=gaps), USUAL)

    assert misses(found, Cells()) == ({"bo": ("–", "even")} if off else {})  # noqa: RUF001 - a dash


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([1], "1"), ([1, 2, 3], "1 to 3"), ([2, 1, 9, 10, 5], "1 to 2, 5, 9 to 10")],
)
def test_numbers_of_rows_are_told_as_people_do(numbers: list[int], said: str) -> None:
    assert ranges(numbers) == said


GOOD = Row(
    id=1,
    title="VPN API timeout",
    cells=Cells(cb="open", bo="jitter"),
    target=Cells(cb="open", bo="jitter"),
    sent=103,
    different=100,
    bound_s=9.0,
    healed_s=4.1,
    seed=8123,
    fault_hits=12,
    factor=10.0,
)
BAD = replace(
    GOOD, id=7, title="a & b", cells=Cells(bo="jitter"), why="CB expected open, saw closed"
)


def test_the_text_ends_with_the_count_and_how_to_replay_what_is_off() -> None:
    told = table([GOOD, BAD], 10.0).splitlines()

    assert told[1].split() == [
        *("1", *GOOD.title.split(), "No", "No", "No†", "1.03x", "Yes", "open", "jitter"),
        *("9", "s", "4.1", "s", "ok"),
    ]
    assert told[-2] == (
        "row 7: CB expected open, saw closed (replay: tollgate matrix --row 7 --seed 8123)"
    )
    assert told[-1] == "1 of 2 rows at target"


UNABLE = replace(GOOD, id=40, unable="it needs <privileges>")


def test_a_row_that_cannot_be_shown_is_not_counted_as_shown() -> None:
    told = table([GOOD, UNABLE], 10.0).splitlines()
    (row,) = as_json([UNABLE], 10.0)["rows"]
    page = as_html([GOOD, UNABLE], 10.0)

    assert not UNABLE.ok
    assert told[2].endswith("unable")
    assert told[-2] == "row 40 cannot be shown here: it needs <privileges>"
    assert told[-1] == "1 of 2 rows at target, 1 cannot be shown here"
    assert "unable: it needs" in progress(UNABLE, 1.0)
    assert (row["ok"], row["unable"]) == (False, UNABLE.unable)
    assert "1 of 2 rows at target, 1 cannot be shown here" in page
    assert "it needs &lt;privileges&gt;" in page
    assert "4.1 s unable" in page


def test_a_run_at_full_times_is_replayed_at_full_times() -> None:
    assert "--row 7 --seed 8123 --full-times)" in table([BAD], 1.0)
    assert "--row 7 --seed 8123 --full-times<" in as_html([BAD], 1.0)


def test_a_machine_gets_what_the_design_names() -> None:
    told = as_json([BAD], 10.0)

    assert told["time_factor"] == 10.0
    (row,) = told["rows"]
    assert row["cells"]["cb"] == "closed"
    assert row["target"]["cb"] == "open"
    assert not row["ok"]
    named = {"id", "title", "cells", "target", "bound_s", "healed_s", "seed", "fault_hits", "ok"}
    assert named <= set(row)


def test_the_page_marks_what_is_off_in_words_too_and_takes_titles_as_text() -> None:
    page = as_html([GOOD, BAD], 10.0)

    assert "1 of 2 rows at target" in page
    assert "a &amp; b" in page
    assert "a & b" not in page
    assert "✗ closed <small>expected open</small>" in page
    assert "tollgate matrix --row 7 --seed 8123" in page
    assert all(f"<dt>{name}</dt>" in page for name in LEGEND)
