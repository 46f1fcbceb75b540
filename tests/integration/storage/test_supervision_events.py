"""What became of actors: written once, read newest first, forgotten after a month."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from storage.database import Database
from storage.errors import Fenced
from storage.operations import OperatorRecords
from storage.rows import AlertDraft, EventDraft, EventRow
from tests.integration.database_fixtures import Rows

DAY_S = 86_400.0


def event(reason: str = "KeyError", *, actor: str = "user:7", age_s: float = 0) -> EventDraft:
    return EventDraft(
        id=uuid4(),
        age_s=age_s,
        kind="failed",
        supervisor="users-3",
        actor=actor,
        incarnation=2,
        reason=reason,
        details={"attempt": 1},
        correlation_id="telegram:1:10",
    )


def reasons(found: list[EventRow]) -> list[str]:
    return [row.reason for row in found]


async def test_an_event_is_read_as_it_was_written(records: OperatorRecords, rows: Rows) -> None:
    draft = event(age_s=60)

    await records.record([draft], [], [])

    (row,) = await records.events(10)
    now = await rows.fetchval("SELECT now()")
    assert timedelta(seconds=59) < now - row.at < timedelta(seconds=120)
    assert row == EventRow(
        id=draft.id,
        at=row.at,
        kind="failed",
        supervisor="users-3",
        actor="user:7",
        incarnation=2,
        reason="KeyError",
        details={"attempt": 1},
        correlation_id="telegram:1:10",
    )


async def test_an_event_that_is_recorded_again_changes_nothing(records: OperatorRecords) -> None:
    draft = event()
    await records.record([draft], [], [])
    (first,) = await records.events(10)

    await records.record([replace(draft, age_s=60), draft, event("other")], [], [])

    assert len(await records.events(10)) == 2
    assert first in await records.events(10)


async def test_the_newest_is_first_and_events_of_one_moment_keep_their_order(
    records: OperatorRecords,
) -> None:
    await records.record([event("newest"), event("oldest", age_s=9)], [], [])
    await records.record([event("crashed", age_s=5), event("restarted", age_s=5)], [], [])

    assert reasons(await records.events(10)) == ["newest", "restarted", "crashed", "oldest"]
    assert reasons(await records.events(2)) == ["newest", "restarted"]


async def test_events_are_chosen_by_actor_age_and_kind(records: OperatorRecords) -> None:
    started = replace(event("started"), kind="started")
    await records.record([started, event("a"), event("b", actor="user:8", age_s=600)], [], [])

    assert reasons(await records.events(10, actor="user:8")) == ["b"]
    assert reasons(await records.events(10, within_s=300)) == ["a", "started"]
    assert reasons(await records.events(10, kinds=["started", "stopped"])) == ["started"]
    assert reasons(await records.events(10, kinds=["failed"], within_s=300, actor="user:7")) == [
        "a"
    ]
    assert await records.events(10, kinds=[]) == []


async def test_no_content_keeps_an_event_from_being_recorded(records: OperatorRecords) -> None:
    """One bad text must not lose the batch that it is in."""
    odd = replace(
        event("a\0b\ud83d"),
        details={"when": timedelta(1), "share": float("nan")},
        incarnation=None,
        correlation_id="\0",
    )

    await records.record([odd, event("other")], [], [])

    other, found = await records.events(10)
    assert (other.reason, found.incarnation) == ("other", None)
    assert found.reason == "a\ufffdb\ufffd"
    assert found.details == {"when": "1 day, 0:00:00", "share": "nan"}


async def test_what_belongs_together_is_recorded_together_or_not_at_all(
    records: OperatorRecords, rows: Rows
) -> None:
    await rows.execute("ALTER TABLE outbox ADD CONSTRAINT full_up CHECK (kind <> 'alert')")
    alert = AlertDraft(dedupe_key="a", owner=5, text_id="x", arguments={})

    with pytest.raises(Exception, match="full_up"):
        await records.record([event()], [], [alert])

    assert await records.events(10) == []


async def test_nothing_to_record_is_no_error(records: OperatorRecords) -> None:
    await records.record([], [], [])

    assert await records.events(10) == []


async def test_who_does_not_own_the_database_records_nothing(
    records: OperatorRecords, database: Database, rows: Rows
) -> None:
    await rows.execute("UPDATE shards SET epoch = epoch + 1")

    with pytest.raises(Fenced):
        await records.record([event()], [], [])

    assert await records.events(10) == []
    assert database.fenced.is_set()


async def test_events_are_forgotten_after_a_month_and_what_operators_did_is_not(
    records: OperatorRecords, rows: Rows
) -> None:
    await records.record(
        [event("old", age_s=30.1 * DAY_S), event("young", age_s=29 * DAY_S)], [], []
    )
    await records.note_action("tg:5", "restart", "users", "looks stuck", {})
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute("UPDATE admin_actions SET at = at - interval '99 days'")

    await records.prune()

    assert reasons(await records.events(10)) == ["young"]
    assert len(await records.actions(10)) == 1
