"""Settings changed while the program runs: by one at a time, for a time, undone once."""

import asyncio
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from storage import settings_history
from storage.operations import OperatorRecords
from storage.rows import SettingChangeRow, SettingConflict, SettingDraft
from tests.integration.database_fixtures import Rows, connected
from tests.integration.node_fixtures import eventually
from tests.integration.storage.races import at_once

KEY = "users.max_restarts"
OPERATOR = "tg:5"
LATER_S = 900.0


async def change(
    records: OperatorRecords,
    old: Any,
    new: Any,
    *,
    key: str = KEY,
    actor: str = OPERATOR,
    revert_after_s: float | None = None,
) -> SettingChangeRow | SettingConflict:
    return await records.set_setting(
        SettingDraft(
            key=key,
            expected_old=old,
            new=new,
            actor=actor,
            reason="a storm",
            revert_after_s=revert_after_s,
        )
    )


async def changed(
    records: OperatorRecords, old: Any, new: Any, *, revert_after_s: float | None = None
) -> SettingChangeRow:
    """A change that nobody is in the way of."""
    row = await change(records, old, new, revert_after_s=revert_after_s)
    assert isinstance(row, SettingChangeRow)
    return row


async def undone(records: OperatorRecords, row: SettingChangeRow) -> SettingChangeRow:
    """An undo that nobody is in the way of."""
    undo = await records.undo_setting(row.id, OPERATOR, "a mistake")
    assert isinstance(undo, SettingChangeRow)
    return undo


async def pass_time(rows: Rows, seconds: float) -> None:
    """Make every change so many seconds older."""
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute(
            "UPDATE settings_history SET at = at - make_interval(secs => $1),"
            " revert_at = revert_at - make_interval(secs => $1)",
            seconds,
        )


async def actions(records: OperatorRecords) -> list[tuple[str, str, str]]:
    return [(a.actor, a.action, a.target) for a in await records.actions(100)]


# Setting.


async def test_nothing_is_changed_at_first(records: OperatorRecords) -> None:
    assert await records.overrides() == {}
    assert await records.setting_history(10) == []


async def test_a_change_is_in_force_and_on_record(records: OperatorRecords) -> None:
    row = await changed(records, None, 9)

    assert row == SettingChangeRow(
        id=row.id,
        key=KEY,
        old=None,
        new=9,
        actor=OPERATOR,
        reason="a storm",
        at=row.at,
        revert_at=None,
        undoes=None,
    )
    assert await records.overrides() == {KEY: 9}
    assert await records.setting_history(10) == [row]
    (act,) = await records.actions(10)
    assert (act.actor, act.action, act.target, act.reason) == (
        OPERATOR,
        "policy_set",
        KEY,
        "a storm",
    )
    assert act.details == {
        "change": row.id,
        "old": None,
        "new": 9,
        "undoes": None,
        "revert_at": None,
    }


@pytest.mark.parametrize("value", [0, False, 2.5, "one_for_all", "", [1, 2], {"a": None}])
async def test_a_value_of_any_kind_comes_back_as_it_was(
    records: OperatorRecords, value: Any
) -> None:
    await changed(records, None, value)

    (found,) = (await records.overrides()).values()
    assert (found, type(found)) == (value, type(value))
    await changed(records, value, None)


async def test_the_file_s_value_can_be_had_back(records: OperatorRecords) -> None:
    await changed(records, None, 9)

    row = await changed(records, 9, None)

    assert (row.old, row.new) == (9, None)
    assert await records.overrides() == {}


async def test_the_latest_change_of_each_key_is_in_force(records: OperatorRecords) -> None:
    await changed(records, None, 9)
    await change(records, None, 30.0, key="users.window_s")
    await changed(records, 9, 12)

    assert await records.overrides() == {KEY: 12, "users.window_s": 30.0}
    assert [row.new for row in await records.setting_history(10)] == [12, 30.0, 9]
    assert [row.new for row in await records.setting_history(10, KEY)] == [12, 9]
    assert [row.new for row in await records.setting_history(1)] == [12]


@pytest.mark.parametrize(("expected", "new"), [(None, 12), (8, 12), (True, 12)])
async def test_a_change_of_another_value_than_the_operator_saw_is_refused(
    records: OperatorRecords, expected: Any, new: Any
) -> None:
    await changed(records, None, 1)

    assert await change(records, expected, new) == SettingConflict(key=KEY, current=1)

    assert await records.overrides() == {KEY: 1}
    assert len(await records.setting_history(10)) == 1
    assert len(await records.actions(10)) == 1


async def test_a_value_that_nobody_set_is_expected_in_vain(records: OperatorRecords) -> None:
    assert await change(records, 9, 12) == SettingConflict(key=KEY, current=None)


async def test_of_operators_at_once_one_wins_and_the_others_are_told_the_value(
    records: OperatorRecords, rows: Rows
) -> None:
    before = await changed(records, None, 1)

    outcomes = await at_once(
        rows,
        "settings_history",
        *(change(records, before.new, value, actor=f"tg:{value}") for value in range(10, 16)),
    )

    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, SettingChangeRow)]
    losers = [outcome for outcome in outcomes if isinstance(outcome, SettingConflict)]
    assert losers == [SettingConflict(key=KEY, current=winner.new)] * 5
    assert await records.overrides() == {KEY: winner.new}
    assert len(await records.setting_history(10)) == 2


async def test_the_first_change_of_a_key_is_won_by_one_too(
    records: OperatorRecords, rows: Rows
) -> None:
    """There is no row yet that the second could wait for."""
    outcomes = await at_once(
        rows, "settings_history", *(change(records, None, value) for value in range(10, 16))
    )

    assert sum(isinstance(outcome, SettingChangeRow) for outcome in outcomes) == 1
    assert len(await records.setting_history(10)) == 1


async def test_who_listens_hears_of_every_change(
    records: OperatorRecords, database_url: str
) -> None:
    heard: list[str] = []
    async with connected(database_url) as listener:
        await listener.add_listener("tollgate_settings", lambda *args: heard.append(args[-1]))

        row = await changed(records, None, 9, revert_after_s=LATER_S)
        await change(records, None, 10)
        await undone(records, row)
        await changed(records, None, 9, revert_after_s=0)
        await records.revert_due()

        await eventually(lambda: _is(heard, [KEY] * 4))


async def _is(found: list[str], expected: list[str]) -> bool:
    return found == expected


async def test_readers_do_not_wait_for_who_changes_a_setting(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9)
    async with rows.transaction():
        await rows.execute(settings_history.QUEUE_UP)

        assert await records.overrides() == {KEY: 9}


# The past.


async def test_the_history_rebuilds_the_value_of_every_past_moment(
    records: OperatorRecords, rows: Rows
) -> None:
    moments = [await rows.fetchval("SELECT clock_timestamp()")]
    first = await changed(records, None, 9)
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))
    second = await changed(records, 9, 12)
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))
    await undone(records, second)
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))
    await changed(records, 9, None)
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))
    await changed(records, None, 15, revert_after_s=0)
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))
    await records.revert_due()
    moments.append(await rows.fetchval("SELECT clock_timestamp()"))

    values = [await records.value_at(KEY, moment) for moment in moments]

    assert values == [None, 9, 12, 9, None, 15, None]
    assert await records.value_at(KEY, first.at) == 9
    assert await records.value_at("another", moments[-1]) is None


async def test_changes_made_at_once_have_one_order_of_ids_and_moments(
    records: OperatorRecords,
) -> None:
    """Who waited for another began before it ended, and yet comes after it."""
    await asyncio.gather(*(change(records, None, n, key=f"key-{n}") for n in range(8)))

    found = await records.setting_history(10)
    assert [row.at for row in found] == sorted((row.at for row in found), reverse=True)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE settings_history SET new = '1'",
        "DELETE FROM settings_history",
        "TRUNCATE settings_history",
    ],
)
async def test_the_past_is_not_changed(
    records: OperatorRecords, rows: Rows, statement: str
) -> None:
    await changed(records, None, 9)

    with pytest.raises(asyncpg.RaiseError, match="settings_history is append-only"):
        await rows.execute(statement)

    assert await records.overrides() == {KEY: 9}


# Undoing.


async def test_an_undo_gives_the_old_value_back(records: OperatorRecords) -> None:
    await changed(records, None, 9)
    row = await changed(records, 9, 12)

    undo = await undone(records, row)

    assert (undo.old, undo.new, undo.undoes, undo.revert_at) == (12, 9, row.id, None)
    assert (undo.actor, undo.reason) == (OPERATOR, "a mistake")
    assert await records.overrides() == {KEY: 9}
    assert (await actions(records))[0] == (OPERATOR, "policy_undo", KEY)


async def test_an_undo_of_the_first_change_is_the_file_s_value(records: OperatorRecords) -> None:
    await undone(records, await changed(records, None, 9))

    assert await records.overrides() == {}


async def test_a_change_is_undone_once(records: OperatorRecords, rows: Rows) -> None:
    row = await changed(records, None, 9)

    outcomes = await at_once(
        rows,
        "settings_history",
        *(records.undo_setting(row.id, OPERATOR, "a mistake") for _ in range(4)),
    )

    assert sum(outcome is None for outcome in outcomes) == 3
    assert await records.undo_setting(row.id, OPERATOR, "a mistake") is None
    assert len(await records.setting_history(10)) == 2
    assert len(await records.actions(10)) == 2


async def test_there_is_nothing_to_undo_in_an_unknown_change(records: OperatorRecords) -> None:
    assert await records.undo_setting(1, OPERATOR, "a mistake") is None


async def test_what_somebody_changed_since_is_not_undone(records: OperatorRecords) -> None:
    row = await changed(records, None, 9)
    await changed(records, 9, 12)

    outcome = await records.undo_setting(row.id, OPERATOR, "a mistake")

    assert outcome == SettingConflict(key=KEY, current=12)
    assert await records.overrides() == {KEY: 12}


async def test_a_change_of_another_setting_is_in_nobody_s_way(records: OperatorRecords) -> None:
    row = await changed(records, None, 9)
    await change(records, None, 30.0, key="users.window_s")

    await undone(records, row)

    assert await records.overrides() == {"users.window_s": 30.0}


async def test_changes_are_undone_one_after_the_other(records: OperatorRecords) -> None:
    """When the later one is undone, the earlier one stands again."""
    first = await changed(records, None, 9)
    second = await changed(records, 9, 12)

    await undone(records, second)
    undo = await undone(records, first)

    assert (undo.old, undo.new) == (9, None)
    assert await records.overrides() == {}


async def test_an_undo_can_be_undone(records: OperatorRecords) -> None:
    undo = await undone(records, await changed(records, None, 9))

    again = await undone(records, undo)

    assert (again.old, again.new, again.undoes) == (None, 9, undo.id)
    assert await records.overrides() == {KEY: 9}


# For a time.


async def test_a_change_for_a_time_says_when_it_ends(records: OperatorRecords) -> None:
    row = await changed(records, None, 9, revert_after_s=LATER_S)

    assert row.revert_at is not None
    # The moment of the row is taken a little after that of its end.
    assert abs(row.revert_at - row.at - timedelta(seconds=LATER_S)) < timedelta(seconds=5)
    assert await records.revert_due() == []
    assert await records.overrides() == {KEY: 9}


async def test_what_was_set_for_a_time_ends(records: OperatorRecords) -> None:
    await changed(records, None, 7)
    row = await changed(records, 7, 9, revert_after_s=0)

    (revert,) = await records.revert_due()

    assert (revert.old, revert.new, revert.undoes) == (9, 7, row.id)
    assert (revert.actor, revert.reason) == ("timer", "time is over")
    assert await records.overrides() == {KEY: 7}
    assert (await actions(records))[0] == ("timer", "policy_undo", KEY)
    assert await records.revert_due() == [], "it ends once"


async def test_it_ends_although_nobody_was_there_at_the_moment(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9, revert_after_s=LATER_S)
    await pass_time(rows, 10 * LATER_S)

    assert len(await records.revert_due()) == 1


async def test_all_that_is_over_ends_at_once(records: OperatorRecords) -> None:
    for key in ("a", "b", "c"):
        await change(records, None, 1, key=key, revert_after_s=0 if key != "b" else LATER_S)

    assert {row.key for row in await records.revert_due()} == {"a", "c"}
    assert await records.overrides() == {"b": 1}


async def test_two_timers_end_a_change_once(records: OperatorRecords, rows: Rows) -> None:
    await changed(records, None, 9, revert_after_s=0)

    ended = await at_once(rows, "settings_history", *(records.revert_due() for _ in range(2)))

    assert sorted(len(found) for found in ended) == [0, 1]


async def test_a_change_is_not_ended_while_an_operator_replaces_it(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9, revert_after_s=0)

    async def replace() -> list[SettingChangeRow]:
        row = await change(records, 9, 12)
        return [row] if isinstance(row, SettingChangeRow) else []

    replaced, ended = await at_once(rows, "settings_history", replace(), records.revert_due())

    assert len(replaced) + len(ended) == 1, "whoever comes second finds nothing to do"


async def test_what_was_undone_does_not_end_again(records: OperatorRecords) -> None:
    await undone(records, await changed(records, None, 9, revert_after_s=0))

    assert await records.revert_due() == []


async def test_a_later_change_is_not_ended_by_the_time_of_an_earlier_one(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9, revert_after_s=LATER_S)
    await changed(records, 9, 12)
    await pass_time(rows, LATER_S)

    assert await records.revert_due() == []
    assert await records.overrides() == {KEY: 12}


async def test_a_value_that_an_undo_gave_back_keeps_its_time(
    records: OperatorRecords, rows: Rows
) -> None:
    """Otherwise fifteen minutes would become for ever by somebody else's mistake."""
    brief = await changed(records, None, 9, revert_after_s=LATER_S)
    mistake = await changed(records, 9, 12)

    undo = await undone(records, mistake)
    assert (undo.new, undo.revert_at) == (9, brief.revert_at)
    assert await records.revert_due() == []

    await pass_time(rows, LATER_S)
    (revert,) = await records.revert_due()
    assert (revert.old, revert.new) == (9, None)
    assert await records.revert_due() == []


async def test_a_value_whose_time_went_by_under_another_ends_when_it_is_given_back(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9, revert_after_s=LATER_S)
    mistake = await changed(records, 9, 12)
    await pass_time(rows, LATER_S)

    await undone(records, mistake)

    assert [row.new for row in await records.revert_due()] == [None]
    assert await records.overrides() == {}


async def test_times_within_times_end_one_by_one(records: OperatorRecords, rows: Rows) -> None:
    await changed(records, None, 1)
    await changed(records, 1, 2, revert_after_s=3 * LATER_S)
    await changed(records, 2, 3, revert_after_s=2 * LATER_S)
    await changed(records, 3, 4, revert_after_s=LATER_S)

    values = []
    for _ in range(4):
        await pass_time(rows, LATER_S)
        values.append([row.new for row in await records.revert_due()])

    assert values == [[3], [2], [1], []]


async def test_times_within_times_that_all_went_by_end_together(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 2, revert_after_s=2 * LATER_S)
    await changed(records, 2, 3, revert_after_s=LATER_S)
    await pass_time(rows, 3 * LATER_S)

    assert [row.new for row in await records.revert_due()] == [2, None]
    assert await records.overrides() == {}


async def test_who_undoes_the_timer_has_the_value_for_good(
    records: OperatorRecords, rows: Rows
) -> None:
    await changed(records, None, 9, revert_after_s=0)
    (revert,) = await records.revert_due()

    undo = await undone(records, revert)

    assert (undo.new, undo.revert_at) == (9, None)
    await pass_time(rows, LATER_S)
    assert await records.revert_due() == []
    assert await records.overrides() == {KEY: 9}
