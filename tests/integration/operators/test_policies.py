"""Policies changed while the program runs: in the database first, and in force at once."""

import asyncio
import json
from typing import Any

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import Unavailable
from bot.ports import OperationRefused
from storage.operations import OperatorRecords
from storage.rows import SettingChangeRow, SettingConflict, SettingDraft
from supervisors.operators.policies import RELOAD_INTERVAL_S, PolicyBoard
from tests.integration.database_fixtures import Rows
from tests.integration.operators.stand import (
    DEFAULTS,
    TOKEN,
    WHO,
    Fickle,
    Stand,
    pass_time,
    standing,
)

KEY = "users.max_restarts"
OF_FILE = DEFAULTS.users.max_restarts


async def set_to(
    stand: Stand, value: Any, *, key: str = KEY, revert_after_s: float | None = None
) -> SettingChangeRow:
    """A change by an operator."""
    return await stand.operations.set_policy(
        key, str(value), WHO, "a storm", revert_after_s=revert_after_s
    )


async def set_elsewhere(records: OperatorRecords, old: Any, new: Any) -> SettingChangeRow:
    """A change that this process has not heard of."""
    changed = await records.set_setting(
        SettingDraft(
            key=KEY, expected_old=old, new=new, actor="tg:6", reason="", revert_after_s=None
        )
    )
    assert isinstance(changed, SettingChangeRow)
    return changed


async def overridden(stand: Stand) -> Any:
    """What the database says of the setting; None for the file's value."""
    return (await stand.records.overrides()).get(KEY)


def in_force(stand: Stand) -> int:
    """What the engine is told when it asks."""
    return stand.board.policy("users")().max_restarts


def told(stand: Stand) -> list[tuple[Any, Any, str]]:
    """The changes that happened as events: old, new, who."""
    return [
        (event.details["old"], event.details["new"], event.details["who"])
        for event in stand.of(EventKind.POLICY_CHANGED)
    ]


# Set


async def test_a_change_is_recorded_and_in_force_before_the_answer(
    stand: Stand, rows: Rows
) -> None:
    asked_by_engine = stand.board.policy("users")

    change = await set_to(stand, 9)

    assert asked_by_engine().max_restarts == 9
    assert (change.old, change.new, change.actor, change.reason) == (OF_FILE, 9, WHO, "a storm")
    recorded = await rows.fetch("SELECT key, old, new, actor, reason FROM settings_history")
    assert [tuple(row) for row in recorded] == [(KEY, None, "9", WHO, "a storm")]
    assert await stand.actions() == [(WHO, "policy_set", KEY, "a storm")]
    assert told(stand) == [(OF_FILE, 9, WHO)]


async def test_a_supervisor_works_by_the_change_at_its_next_decision(stand: Stand) -> None:
    assert stand.child("office").actor is not None
    view = next(one for one in stand.operations.tree().children if one.name == "office")
    assert view.strategy == "one_for_one"

    await set_to(stand, "rest_for_one", key="operators.strategy")

    view = next(one for one in stand.operations.tree().children if one.name == "office")
    assert view.strategy == "rest_for_one"


@pytest.mark.parametrize(
    ("key", "text", "after_s", "says"),
    [
        (KEY, "-1", None, "is out of bounds; it may be whole numbers 0 to 1000"),
        ("users.nothing", "1", None, "users has strategy, max_restarts"),
        ("nobody.max_restarts", "1", None, "no such policy; there are root"),
        (KEY, "9", 0.5, "a span from 1s to 30d"),
        (KEY, "9", 1e300, "a span from 1s to 30d"),
        (KEY, "9", float("inf"), "a span from 1s to 30d"),
        (KEY, "9", float("nan"), "a span from 1s to 30d"),
    ],
)
async def test_a_wrong_change_is_refused_and_leaves_no_trace(
    stand: Stand, key: str, text: str, after_s: float | None, says: str
) -> None:
    with pytest.raises(OperationRefused, match=says):
        await stand.operations.set_policy(key, text, WHO, "", revert_after_s=after_s)

    assert stand.board.current == DEFAULTS
    assert await stand.records.setting_history(10) == []
    assert (await stand.actions(), told(stand)) == ([], [])
    assert stand.child("policies").incarnation == 1


async def test_a_reason_is_kept_without_secrets(stand: Stand, rows: Rows) -> None:
    change = await stand.operations.set_policy(KEY, "9", WHO, f"see {TOKEN}", revert_after_s=None)
    await stand.operations.undo_policy(change.id, WHO, f"see {TOKEN}")

    kept = await rows.fetch(
        "SELECT reason FROM settings_history UNION ALL SELECT reason FROM admin_actions"
    )
    assert [reason for (reason,) in kept] == ["see [redacted]"] * 4


# Two at a time


async def test_a_change_that_somebody_else_overtook_is_refused_with_the_value(
    stand: Stand,
) -> None:
    # It has read everything, and waits to do so again.
    await stand.until(lambda: stand.clock.timers)
    await set_elsewhere(stand.records, None, 12)

    with pytest.raises(OperationRefused, match=f"{KEY} was changed just now, to 12; look again"):
        await set_to(stand, 9)

    assert in_force(stand) == 12, "and is seen from now on"
    assert (await set_to(stand, 9)).old == 12


async def test_a_change_overtaken_by_an_undo_names_the_files_value(stand: Stand) -> None:
    change = await set_to(stand, 9)
    # It has read everything, and waits to do so again.
    await stand.until(lambda: stand.clock.timers)
    await stand.records.undo_setting(change.id, "tg:6", "")

    with pytest.raises(OperationRefused, match=f"was changed just now, to {OF_FILE}; look again"):
        await set_to(stand, 10)


async def test_changes_at_once_happen_one_after_the_other(stand: Stand) -> None:
    changes = await asyncio.gather(*(set_to(stand, value) for value in (7, 8, 9)))

    in_order = sorted(changes, key=lambda change: change.id)
    assert [(change.old, change.new) for change in in_order] == [(OF_FILE, 7), (7, 8), (8, 9)]
    assert in_force(stand) == 9


async def test_a_value_that_this_release_refuses_can_be_replaced(stand: Stand) -> None:
    await set_elsewhere(stand.records, None, 5_000)
    with pytest.raises(OperationRefused, match="to 5000; look again"):
        await set_to(stand, 9)
    assert in_force(stand) == OF_FILE

    await set_to(stand, 9)

    assert in_force(stand) == 9


# Undo


async def test_an_undo_gives_the_files_value_back(stand: Stand) -> None:
    change = await set_to(stand, 9)

    undone = await stand.operations.undo_policy(change.id, "tg:6", "a mistake")

    assert (undone.old, undone.new, undone.undoes) == (9, OF_FILE, change.id)
    assert in_force(stand) == OF_FILE
    assert told(stand) == [(OF_FILE, 9, WHO), (9, OF_FILE, "tg:6")]
    assert (await stand.actions())[-1] == ("tg:6", "policy_undo", KEY, "a mistake")
    shown = await stand.operations.policy_history(10)
    assert [(row.old, row.new) for row in shown] == [(9, OF_FILE), (OF_FILE, 9)]


@pytest.mark.parametrize("twice", [True, False])
async def test_what_cannot_be_undone_is_refused(stand: Stand, *, twice: bool) -> None:
    change_id = 1_000
    if twice:
        change_id = (await set_to(stand, 9)).id
        await stand.operations.undo_policy(change_id, WHO, "")

    with pytest.raises(OperationRefused, match=f"there is no change {change_id}, or it was taken"):
        await stand.operations.undo_policy(change_id, WHO, "")

    assert in_force(stand) == OF_FILE


@pytest.mark.parametrize("number", [0, -1, 2**63, 10**30])
async def test_a_number_that_no_change_has_is_refused(stand: Stand, number: int) -> None:
    with pytest.raises(OperationRefused, match=f"there is no change {number}"):
        await stand.operations.undo_policy(number, WHO, "")

    assert stand.child("policies").incarnation == 1


async def test_an_undo_under_another_change_is_refused_with_the_value(stand: Stand) -> None:
    first = await set_to(stand, 9)
    await set_to(stand, 10)

    with pytest.raises(OperationRefused, match=f"{KEY} was changed again since, to 10;"):
        await stand.operations.undo_policy(first.id, WHO, "")

    assert in_force(stand) == 10


# For a time


async def test_a_change_for_a_time_is_taken_back_by_itself(stand: Stand, rows: Rows) -> None:
    await set_to(stand, 9, revert_after_s=900)
    await stand.pass_seconds(2)
    assert in_force(stand) == 9
    await pass_time(rows, 901)

    await stand.pass_seconds(1)
    await stand.until(lambda: in_force(stand) == OF_FILE)

    assert told(stand) == [(OF_FILE, 9, WHO), (9, OF_FILE, "timer")]
    assert (await stand.actions())[-1] == ("timer", "policy_undo", KEY, "time is over")


async def test_owners_are_told_of_a_change_that_was_taken_back(stand: Stand, rows: Rows) -> None:
    await set_to(stand, 9, revert_after_s=900)
    await pass_time(rows, 901)

    await stand.pass_seconds(1)
    await stand.until(lambda: in_force(stand) == OF_FILE)
    await stand.journal.flush(stand.records)

    payload = json.loads(await rows.fetchval("SELECT payload FROM outbox"))
    assert (payload["owner"], payload["text_id"]) == (11, "alert-policy-reverted")
    assert payload["arguments"] == {
        "key": KEY,
        "actor": KEY,
        "old": 9,
        "new": OF_FILE,
        "reason": "time is over",
    }


async def test_a_newer_change_is_left_alone_by_the_timer(stand: Stand, rows: Rows) -> None:
    await set_to(stand, 9, revert_after_s=900)
    await set_to(stand, 10)
    await pass_time(rows, 901)

    await stand.pass_seconds(3)

    assert in_force(stand) == 10
    assert await overridden(stand) == 10


async def test_a_change_is_taken_back_although_the_process_died_meanwhile(
    fickle: Fickle, rows: Rows
) -> None:
    async with standing(fickle) as before:
        await set_to(before, 9, revert_after_s=900)
    await pass_time(rows, 901)

    # As in `wiring`.
    records = OperatorRecords(fickle)
    await records.revert_due()
    board = PolicyBoard(DEFAULTS, await records.overrides())

    assert board.current == DEFAULTS


async def test_what_is_left_of_the_time_counts_on_in_the_next_life(
    fickle: Fickle, rows: Rows
) -> None:
    async with standing(fickle) as before:
        await set_to(before, 9, revert_after_s=900)
    records = OperatorRecords(fickle)
    board = PolicyBoard(DEFAULTS, await records.overrides())
    async with standing(fickle, board=board) as after:
        assert in_force(after) == 9
        await pass_time(rows, 901)

        await after.pass_seconds(2)

        await after.until(lambda: in_force(after) == OF_FILE)


# Outages


async def test_during_an_outage_nothing_is_changed_and_the_asker_hears_it(stand: Stand) -> None:
    stand.database.away = True

    with pytest.raises(Unavailable):
        await set_to(stand, 9)

    stand.database.away = False
    assert in_force(stand) == OF_FILE
    assert (await overridden(stand), await stand.actions(), told(stand)) == (None, [], [])
    assert stand.child("policies").incarnation == 1, "weather ends no actor"


async def test_a_commit_whose_answer_was_lost_is_in_force_a_moment_later(stand: Stand) -> None:
    await stand.pass_seconds(1)
    stand.database.silent = 1

    with pytest.raises(Unavailable):
        await set_to(stand, 9)
    await stand.pass_seconds(1)

    await stand.until(lambda: in_force(stand) == 9)
    assert await overridden(stand) == 9


async def test_a_change_is_in_force_although_nothing_can_be_read_after_it(stand: Stand) -> None:
    records = stand.records

    class Last(OperatorRecords):
        """After the change the database goes away."""

        async def set_setting(self, draft: SettingDraft) -> SettingChangeRow | SettingConflict:
            changed = await super().set_setting(draft)
            stand.database.away = True
            return changed

    actor: Any = stand.child("policies").actor
    actor.records = Last(stand.database)

    await set_to(stand, 9)

    assert in_force(stand) == 9
    assert told(stand) == [(OF_FILE, 9, WHO)]
    stand.database.away = False
    assert (await records.overrides())[KEY] == 9


async def test_after_an_outage_all_is_read_anew(stand: Stand) -> None:
    await stand.pass_seconds(1)
    stand.database.away = True
    await stand.pass_seconds(3)
    stand.database.away = False
    await set_elsewhere(stand.records, None, 12)

    await stand.pass_seconds(1)

    await stand.until(lambda: in_force(stand) == 12)


async def test_a_change_by_another_connection_is_seen_at_the_next_reload(stand: Stand) -> None:
    await stand.pass_seconds(1)
    await set_elsewhere(stand.records, None, 12)

    await stand.pass_seconds(int(RELOAD_INTERVAL_S) + 1)

    await stand.until(lambda: in_force(stand) == 12)
