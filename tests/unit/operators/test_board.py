"""The policies in force: the file's, changed by what the database says."""

from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any

import pytest

from config.settings import CONFIG_FOLDER
from config.supervision import load_supervision
from config.tuning import Tunables
from storage.rows import SettingChangeRow
from supervisors.engine.policy import Strategy
from supervisors.operators.policies import PolicyBoard

POLICIES = Tunables.of(load_supervision(CONFIG_FOLDER / "supervision.toml"))
Logs = list[MutableMapping[str, Any]]


def change(key: str, new: Any) -> SettingChangeRow:
    return SettingChangeRow(
        id=1,
        key=key,
        old=None,
        new=new,
        actor="tg:5",
        reason="",
        at=datetime(2026, 1, 1, tzinfo=UTC),
        revert_at=None,
        undoes=None,
    )


def test_without_overrides_the_file_holds() -> None:
    board = PolicyBoard(POLICIES)

    assert board.current == POLICIES
    assert board.policy("users")().max_restarts == POLICIES.users.max_restarts


def test_the_engine_sees_a_change_at_its_next_question() -> None:
    board = PolicyBoard(POLICIES)
    ask = board.policy("root")
    assert ask().strategy is Strategy.REST_FOR_ONE

    board.apply({"root.strategy": "one_for_all"})

    assert ask().strategy is Strategy.ONE_FOR_ALL


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pollers.max_restarts", 3),  # no such policy any more
        ("users.patience", 3),  # no such field yet
        ("users.max_restarts", 5_000),  # was allowed once
        ("users.max_restarts", None),
        ("", 1),
    ],
)
def test_what_another_release_wrote_is_left_out_and_the_rest_applies(
    key: str, value: Any, logs: Logs
) -> None:
    board = PolicyBoard(POLICIES, {key: value, "users.park_s": 5.0, "door.max_restarts": 1})

    assert board.current.users.max_restarts == POLICIES.users.max_restarts
    assert (board.current.users.park_s, board.current.door.max_restarts) == (5.0, 1)
    assert [(line["event"], line["log_level"], line["key"]) for line in logs] == [
        ("policy_override_refused", "error", key)
    ]


def test_an_override_that_is_refused_is_told_once(logs: Logs) -> None:
    board = PolicyBoard(POLICIES, {"users.patience": 3})

    for _ in range(5):
        board.apply({"users.patience": 3})

    assert len(logs) == 1


def test_an_override_that_is_refused_is_still_known_as_what_the_database_says() -> None:
    """Who sets the value anew replaces this one, and must name it."""
    board = PolicyBoard(POLICIES, {"users.max_restarts": 5_000})

    assert board.overrides == {"users.max_restarts": 5_000}


def test_one_committed_change_leaves_the_others_in_force() -> None:
    board = PolicyBoard(POLICIES, {"users.park_s": 5.0, "door.max_restarts": 1})

    board.apply_change(change("users.park_s", 7.0))

    assert (board.current.users.park_s, board.current.door.max_restarts) == (7.0, 1)


def test_a_change_to_nothing_is_the_files_value_again() -> None:
    board = PolicyBoard(POLICIES, {"users.park_s": 5.0})

    board.apply_change(change("users.park_s", None))

    assert board.current == POLICIES
    assert board.overrides == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [("users.park_s", 300.0), ("users.nothing", None), ("nothing.park_s", None), ("copy.x", None)],
)
def test_the_files_value_of_a_setting(key: str, value: Any) -> None:
    board = PolicyBoard(POLICIES, {"users.park_s": 5.0})

    assert board.of_file(key) == value
