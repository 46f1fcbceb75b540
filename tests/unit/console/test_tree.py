"""What an operator reads off the drawn tree, and that it fits the terminal."""

from typing import Any

import pytest

from actors.runtime.inspection import ActorState, ActorView
from supervisors.console.tree import COME_AND_GO, draw_tree
from supervisors.console.words import Colour
from supervisors.engine.dynamic import DynamicSupervisor
from tests.unit.console.conftest import actor


def partition(name: str, *children: ActorView, more: int = 0) -> ActorView:
    """A supervisor of users."""
    return actor(name, *children, kind=COME_AND_GO, max_restarts=6, more=more)


PARKED = actor(
    "user/711000042",
    state=ActorState.PARKED,
    restarts=6,
    max_restarts=6,
    incarnation=7,
    inbox=2,
    oldest_s=41.0,
    back_in_s=252.0,
    last_error="ZeroDivisionError in decisions.py:112 during CreditPayment",
    last_error_s=48.0,
)
TREE = actor(
    "root",
    actor("operators", actor("journal"), actor("control")),
    actor("notifier/telegram", inbox=4, oldest_s=0.31, in_hand="SendDue", in_hand_s=0.31),
    actor(
        "users",
        partition("users/00", actor("user/1"), more=1_233),
        partition("users/01", PARKED, actor("user/9"), more=1_234),
    ),
    max_restarts=3,
)


def drawn(top: ActorView, **options: Any) -> list[str]:
    """The tree on a terminal of usual width."""
    return draw_tree(top, **{"width": 100, "colour": False, **options})


def test_the_tree_is_drawn_in_aligned_columns() -> None:
    assert drawn(TREE) == [
        "ACTOR                    STATE    RESTARTS  INBOX  OLDEST  NOW",
        "root                     running       0/3",
        "├─ operators             running       0/5",
        "│  ├─ journal            running       0/5",
        "│  └─ control            running       0/5",
        "├─ notifier/telegram     running       0/5      4   310ms  SendDue 310ms",
        "└─ users                 running       0/5",
        "   ├─ users/00           running       0/6                 1,234 actors, all well",
        "   └─ users/01           running       0/6",
        "      ├─ user/711000042  parked        6/6      2     41s",
        "      │     starts again in 4m 12s",
        "      │     48s ago: ZeroDivisionError in decisions.py:112 during CreditPayment",
        "      └─ … and 1,235 more, all well",
        "2,478 actors: 1 parked",
    ]


def test_the_tree_of_actors_that_come_and_go_is_the_dynamic_supervisors() -> None:
    assert DynamicSupervisor.__name__ == COME_AND_GO


def test_all_draws_also_those_who_are_well() -> None:
    lines = drawn(TREE, everyone=True)

    assert any("user/9 " in line for line in lines)
    assert any("… and 1,234 more, all well" in line for line in lines)


def test_what_is_not_told_of_is_not_called_well() -> None:
    """Those in trouble are told of first: where all that are told of are, more may be."""
    lines = drawn(actor("root", partition("users/00", PARKED, more=7)))

    assert any(line.endswith("└─ … and 7 more") for line in lines)


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(len(line) for line in drawn(TREE, width=width)) <= width


def test_a_narrow_terminal_shows_the_message_in_hand_below_the_line() -> None:
    lines = drawn(TREE, width=60)

    assert "│     SendDue 310ms" in lines
    assert "NOW" not in lines[0]


@pytest.mark.parametrize(
    ("values", "colour"),
    [
        ({}, None),
        ({"state": ActorState.PARKED}, Colour.RED),
        ({"state": ActorState.STOPPED}, Colour.RED),
        ({"state": ActorState.RESTARTING}, Colour.YELLOW),
        ({"state": ActorState.SUSPENDED}, Colour.YELLOW),
        ({"inbox": 1, "oldest_s": 1.5}, Colour.YELLOW),
        ({"inbox": 1, "oldest_s": 0.01}, None),
        ({"in_hand": "Buy", "in_hand_s": 30.0}, Colour.YELLOW),
        ({"in_hand": "Buy", "in_hand_s": 0.3}, None),
    ],
    ids=str,
)
def test_an_actor_in_trouble_stands_out(values: dict[str, Any], colour: Colour | None) -> None:
    lines = drawn(actor("root", actor("it", **values)), colour=True)

    line = next(line for line in lines if "it" in line)
    assert line.startswith(colour.value if colour else "└─")


def test_without_colours_nothing_is_left_of_them() -> None:
    assert "\x1b" not in "".join(drawn(TREE))


def test_a_message_that_takes_too_long_is_counted_as_stuck() -> None:
    lines = drawn(actor("root", actor("it", in_hand="Buy", in_hand_s=30.0)))

    assert lines[-1] == "2 actors: 1 stuck"


def test_words_of_the_back_end_cannot_command_the_terminal() -> None:
    wicked = actor("ro\x1b[2Jot", last_error="E\x9b31m\nrror\u202e", last_error_s=1.0)

    text = "\n".join(drawn(wicked, colour=False))

    assert "ro[2Jot" in text
    assert "1s ago: E31m rror" in text
