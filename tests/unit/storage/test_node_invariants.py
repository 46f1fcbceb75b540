"""Rules about what nodes have, and about transactions that wait: each finds its breach."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from storage.invariants.acts import Idle, broken_idle
from storage.invariants.nodes import RULES, NodeCase, broken_on

NOW = datetime(2026, 11, 30, tzinfo=UTC)
ANNA, BORIS, STRANGER = (UUID(int=number) for number in (1, 2, 3))


def row(uuid: UUID, **values: Any) -> Mapping[str, Any]:
    """A credential that its node has confirmed."""
    return {
        "uuid": uuid,
        "node_id": "node-1",
        "desired": "present",
        "gen": 2,
        "applied_gen": 2,
        "applied_at": NOW - timedelta(minutes=5),
        "quarantined_at": None,
        **values,
    }


#: Anna is let in, Boris was removed.
EQUAL = NodeCase(
    node={"id": "node-1", "state": "active"},
    listed=[(ANNA, 2)],
    rows={ANNA: row(ANNA), BORIS: row(BORIS, desired="absent")},
    listed_at=NOW,
    received=[(ANNA, 1), (ANNA, 2), (BORIS, 1), (BORIS, 2)],
    let_in={ANNA: True, BORIS: False, STRANGER: False},
    tunnels=[(BORIS, timedelta(seconds=59))],
)
FROZEN = {"id": "node-1", "state": "frozen"}
LOST = {"id": "node-1", "state": "lost"}
#: Wished for after the node was asked for its list.
LATER = NOW + timedelta(seconds=1)


def of(**changes: Any) -> NodeCase:
    """The healthy case, with something changed."""
    return replace(EQUAL, **changes)


def rows(**values: Any) -> Mapping[UUID, Mapping[str, Any]]:
    """Anna's row is otherwise."""
    return {**EQUAL.rows, ANNA: row(ANNA, **values)}


BREACHES = [
    ("I1", of(received=[(ANNA, 3)])),
    ("I1", of(received=[(STRANGER, 1)])),
    ("I1b", of(listed=[(ANNA, 2), (STRANGER, 1)])),
    ("I2", of(let_in={BORIS: True})),
    ("I2", of(let_in={STRANGER: True})),
    ("I2", of(let_in={ANNA: False})),
    ("I3", of(listed=[])),
    ("I3", of(listed=[(ANNA, 1)])),
    ("I3", of(listed=[(ANNA, 2), (ANNA, 2)])),
    ("I3", of(listed=[(ANNA, 2), (BORIS, 1)])),
    ("I3", of(rows=rows(node_id="node-2"))),
    ("I3", of(node=FROZEN, listed=[])),
    ("I14", of(tunnels=[(BORIS, timedelta(seconds=61))])),
]

SOUND = {
    "equal": EQUAL,
    "a removal that the node has not confirmed": of(
        listed=[(ANNA, 2), (BORIS, 1)],
        rows={ANNA: row(ANNA), BORIS: row(BORIS, desired="absent", applied_gen=1)},
        let_in={BORIS: True},
    ),
    "a wish that the node has not confirmed": of(
        listed=[], rows=rows(applied_gen=1), let_in={ANNA: False}
    ),
    "a wish that was set aside": of(listed=[], rows=rows(quarantined_at=NOW), let_in={}),
    "a wish that was confirmed after the list": of(listed=[], rows=rows(applied_at=LATER)),
    "a stranger who was adopted": of(
        listed=[(ANNA, 2), (STRANGER, 1)], adopted={STRANGER}, let_in={}
    ),
    "strangers of a frozen node": of(
        node=FROZEN, listed=[(ANNA, 2), (STRANGER, 1), (BORIS, 1)], let_in={}
    ),
    "a lost node": of(node=LOST, listed=[], let_in={}),
}


@pytest.mark.parametrize(("number", "case"), BREACHES)
def test_a_breach_is_found(number: str, case: NodeCase) -> None:
    assert {one.rule.split()[0] for one in broken_on(case)} == {number}


@pytest.mark.parametrize("case", SOUND.values(), ids=SOUND)
def test_what_is_as_it_should_be_breaks_nothing(case: NodeCase) -> None:
    assert broken_on(case) == []


def test_every_rule_has_a_breach() -> None:
    found = {one.rule for _, case in BREACHES for one in broken_on(case)}
    assert found == {str(rule) for rule in RULES}


def test_what_holds_eventually_is_not_asked_of_a_sick_world() -> None:
    assert broken_on(of(listed=[]), healed=False) == []


def test_a_finding_names_nobody_by_the_whole_key() -> None:
    (found,) = broken_on(of(listed=[(ANNA, 2), (UUID(int=2**127 + 5), 1)]))
    assert "80000000" in str(found)
    assert "80000000-" not in str(found)


@pytest.mark.parametrize(
    ("lasted_ms", "stalled_ms", "broken"), [(199, 0, 0), (201, 0, 1), (900, 750, 0), (900, 600, 1)]
)
def test_a_transaction_that_waits_is_found_unless_its_process_stood_still(
    lasted_ms: int, stalled_ms: int, broken: int
) -> None:
    lasted, stalled = (timedelta(milliseconds=ms) for ms in (lasted_ms, stalled_ms))

    found = broken_idle([Idle(lasted=lasted, query="SELECT 1", stalled=stalled)])

    assert [one.rule.split()[0] for one in found] == ["I11"] * broken
