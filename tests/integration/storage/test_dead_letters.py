"""Messages that were given up: one waits for each journey, until an operator decides, once."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from bot.ports import RawUpdate
from storage import dead_letters
from storage.database import Database
from storage.inbox import PostgresInbox
from storage.operations import OperatorRecords
from storage.rows import (
    CannotRetry,
    DeadLetterRow,
    InboxRow,
    LetterDraft,
    LetterState,
    NotWaiting,
    UpdateReleased,
)
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import pass_time
from tests.integration.storage.races import at_once

OPERATOR = "tg:5"
JOURNEY = "telegram:1:10"
PAYLOAD = {"plan_id": "month"}


def letter(
    correlation_id: str = JOURNEY, *, payload: dict[str, Any] | None = None, error: str = "KeyError"
) -> LetterDraft:
    return LetterDraft(
        id=uuid4(),
        age_s=0,
        correlation_id=correlation_id,
        operation_id="op-1",
        actor="user:7",
        message_type="OpenPurchase",
        payload=payload,
        attempts=3,
        error=error,
        traceback="Traceback: ...",
    )


async def written(records: OperatorRecords, *drafts: LetterDraft) -> DeadLetterRow:
    """The latest letter, after these were recorded."""
    await records.record([], drafts, [])
    return (await records.dead_letters(1, state=None))[0]


async def set_aside(inbox: PostgresInbox, *, lane: int | None = None) -> InboxRow:
    """An update that was set aside, and its letter."""
    await inbox.accept([RawUpdate(source="telegram:1", source_id="10", payload="{}", lane=lane)])
    (row,) = await inbox.waiting(10, [], [])
    await inbox.begin(row)
    await inbox.quarantine(row, "KeyError", letter())
    return row


async def waiting(inbox: PostgresInbox) -> list[str]:
    return [row.source_id for row in await inbox.waiting(10, [], [])]


async def acts(records: OperatorRecords) -> list[tuple[str, str, str, str]]:
    return [(a.actor, a.action, a.target, a.reason) for a in await records.actions(10)]


async def test_a_letter_waits_as_it_was_written(records: OperatorRecords) -> None:
    draft = letter(payload=PAYLOAD)

    row = await written(records, draft)

    assert row == DeadLetterRow(
        id=row.id,
        letter_id=draft.id,
        correlation_id=JOURNEY,
        operation_id="op-1",
        actor="user:7",
        message_type="OpenPurchase",
        payload=PAYLOAD,
        attempts=3,
        error="KeyError",
        traceback="Traceback: ...",
        state=LetterState.WAITING,
        created_at=row.created_at,
        decided_at=None,
        decided_by=None,
    )
    assert await records.dead_letter(row.id) == row
    assert await records.dead_letter(row.id + 1) is None


async def test_a_letter_that_is_recorded_again_changes_nothing(records: OperatorRecords) -> None:
    draft, stray = letter(), letter(correlation_id="")
    await written(records, draft, stray)
    before = await records.dead_letters(10)

    await records.record([], [stray, draft], [])

    assert await records.dead_letters(10) == before


async def test_another_failure_of_a_journey_changes_the_letter_that_waits(
    records: OperatorRecords,
) -> None:
    first = await written(records, letter(payload=PAYLOAD))

    second = replace(
        letter(payload=PAYLOAD, error="ValueError"), attempts=6, traceback="Traceback: another"
    )
    row = await written(records, second)

    assert row == replace(first, attempts=6, error="ValueError", traceback="Traceback: another")
    assert await records.dead_letters(10, state=None) == [row]


async def test_a_letter_that_changes_is_about_one_message_only(records: OperatorRecords) -> None:
    """The message of one failure under the name of another would be sent to the wrong place."""
    await written(records, letter(payload=PAYLOAD))
    router = replace(letter(), actor="inbox", message_type="update", operation_id="op-2")

    row = await written(records, router)

    assert (row.actor, row.message_type, row.operation_id, row.payload) == (
        "inbox",
        "update",
        "op-2",
        None,
    )


async def test_a_letter_without_a_traceback_only_says_that_there_is_one(
    records: OperatorRecords,
) -> None:
    """The actor's own letter and the inbox's come in any order; the actor's says more."""
    hint = replace(letter(error="ActorFailed"), traceback="")
    first = await written(records, hint)
    told = await written(records, letter(payload=PAYLOAD))
    hinted = await written(records, replace(hint, id=uuid4()))

    assert (first.error, told.error, told.payload) == ("ActorFailed", "KeyError", PAYLOAD)
    assert hinted == told


async def test_a_message_that_this_release_cannot_read_waits_on(records: OperatorRecords) -> None:
    row = await written(records, letter(payload=PAYLOAD))

    answer = await records.retry_dead_letter(row.id, OPERATOR, sendable=False)

    assert answer == CannotRetry(letter=row)
    assert await records.dead_letter(row.id) == row


async def test_letters_without_a_journey_are_all_kept(records: OperatorRecords) -> None:
    await written(records, letter(correlation_id=""), letter(correlation_id=""))

    assert len(await records.dead_letters(10)) == 2


async def test_a_failure_after_a_retry_is_another_letter(records: OperatorRecords) -> None:
    first = await written(records, letter(payload=PAYLOAD))
    await records.retry_dead_letter(first.id, OPERATOR)

    again = await written(records, letter(payload=PAYLOAD))

    assert again.id != first.id
    assert [row.id for row in await records.dead_letters(10)] == [again.id]
    assert [row.id for row in await records.dead_letters(10, state="retried")] == [first.id]
    assert len(await records.dead_letters(10, state=None)) == 2


async def test_letters_recorded_at_once_are_one_for_each_journey(
    records: OperatorRecords, rows: Rows
) -> None:
    drafts = [letter() for _ in range(6)]

    await at_once(
        rows, "dead_letters", *(records.record([], [draft, drafts[0]], []) for draft in drafts)
    )

    assert len(await records.dead_letters(10)) == 1


async def test_a_letter_is_recorded_again_before_the_first_time_is_over(
    records: OperatorRecords, database: Database, rows: Rows
) -> None:
    """An outage may hide a record that the server is still busy with."""
    draft = letter(correlation_id="")
    async with database.transaction() as connection:
        await dead_letters.add(connection, [draft])
        again = asyncio.create_task(records.record([], [draft], []))

        async def waits() -> bool:
            return bool(await rows.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await eventually(waits)
    await again

    assert len(await records.dead_letters(10)) == 1


async def test_a_message_that_cannot_be_kept_as_it_was_is_kept_without_itself(
    records: OperatorRecords,
) -> None:
    """Sent again, it would be another message."""
    row = await written(records, letter(payload={"name": "a\0b"}))

    assert row.payload is None


async def test_a_message_is_handed_out_to_be_sent_again_once(records: OperatorRecords) -> None:
    row = await written(records, letter(payload=PAYLOAD))

    retried = await records.retry_dead_letter(row.id, OPERATOR)

    assert isinstance(retried, DeadLetterRow)
    assert (retried.state, retried.decided_by) == (LetterState.RETRIED, OPERATOR)
    assert retried.decided_at is not None
    assert retried.payload == PAYLOAD
    assert await records.retry_dead_letter(row.id, OPERATOR) == NotWaiting(
        state=LetterState.RETRIED
    )
    assert await acts(records) == [(OPERATOR, "dead_letter_retry", str(row.id), "")]


async def test_of_two_operators_one_decides(records: OperatorRecords, rows: Rows) -> None:
    row = await written(records, letter(payload=PAYLOAD))

    outcomes = await at_once(
        rows,
        "dead_letters",
        records.retry_dead_letter(row.id, "tg:5"),
        records.drop_dead_letter(row.id, "tg:6", "junk"),
    )

    assert sum(isinstance(outcome, DeadLetterRow) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, NotWaiting) for outcome in outcomes) == 1
    assert len(await records.actions(10)) == 1


async def test_a_retry_releases_the_update_behind_the_letter(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    await set_aside(inbox, lane=7)
    (row,) = await records.dead_letters(10)
    assert await waiting(inbox) == []

    outcome = await records.retry_dead_letter(row.id, OPERATOR)

    assert isinstance(outcome, UpdateReleased)
    assert outcome.letter.state is LetterState.RETRIED
    (released,) = await inbox.waiting(10, [], [])
    assert (released.source_id, released.attempts, released.refusals) == ("10", 0, 0)


async def test_the_whole_update_is_retried_rather_than_one_message_of_it(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    await written(records, letter(payload=PAYLOAD))
    await set_aside(inbox)
    (row,) = await records.dead_letters(10)

    assert isinstance(await records.retry_dead_letter(row.id, OPERATOR), UpdateReleased)


async def test_an_update_that_fails_again_writes_another_letter(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    update = await set_aside(inbox)
    (first,) = await records.dead_letters(10)
    await records.retry_dead_letter(first.id, OPERATOR)

    await inbox.quarantine(update, "KeyError", letter())

    (again,) = await records.dead_letters(10)
    assert again.id != first.id
    assert await waiting(inbox) == []


async def test_other_updates_stay_set_aside(records: OperatorRecords, inbox: PostgresInbox) -> None:
    await set_aside(inbox)
    other = await written(records, letter("telegram:1:1", payload=PAYLOAD))

    assert isinstance(await records.retry_dead_letter(other.id, OPERATOR), DeadLetterRow)
    assert await waiting(inbox) == []


async def test_what_cannot_be_tried_again_waits_on(records: OperatorRecords) -> None:
    row = await written(records, letter())

    assert await records.retry_dead_letter(row.id, OPERATOR) == CannotRetry(letter=row)

    assert await records.dead_letter(row.id) == row
    assert await acts(records) == []


async def test_an_update_that_was_done_is_not_worked_on_again(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    update = await set_aside(inbox)
    await inbox.done(update, "handled")
    (row,) = await records.dead_letters(10)

    assert isinstance(await records.retry_dead_letter(row.id, OPERATOR), CannotRetry)
    assert await waiting(inbox) == []


async def test_nobody_decides_about_a_letter_that_is_not_there(records: OperatorRecords) -> None:
    assert await records.retry_dead_letter(1, OPERATOR) is None
    assert await records.drop_dead_letter(1, OPERATOR, "junk") is None
    assert await acts(records) == []


async def test_a_letter_is_set_aside_with_its_update_or_not_at_all(
    records: OperatorRecords, inbox: PostgresInbox, rows: Rows
) -> None:
    await rows.execute("ALTER TABLE inbox ADD CONSTRAINT nobody CHECK (quarantined_at IS NULL)")
    with pytest.raises(asyncpg.CheckViolationError):
        await set_aside(inbox)
    assert await records.dead_letters(10) == []

    await rows.execute("ALTER TABLE inbox DROP CONSTRAINT nobody")
    (row,) = await inbox.waiting(10, [], [])
    await inbox.quarantine(row, "KeyError", letter())
    assert await waiting(inbox) == []
    assert [row.correlation_id for row in await records.dead_letters(10)] == [JOURNEY]


async def test_a_dropped_letter_is_not_tried_again(records: OperatorRecords) -> None:
    row = await written(records, letter(payload=PAYLOAD))

    dropped = await records.drop_dead_letter(row.id, OPERATOR, "junk")

    assert isinstance(dropped, DeadLetterRow)
    assert (dropped.state, dropped.decided_by) == (LetterState.DROPPED, OPERATOR)
    gone = NotWaiting(state=LetterState.DROPPED)
    assert await records.retry_dead_letter(row.id, OPERATOR) == gone
    assert await records.drop_dead_letter(row.id, OPERATOR, "again") == gone
    assert await acts(records) == [(OPERATOR, "dead_letter_drop", str(row.id), "junk")]


async def test_a_new_start_does_not_revive_what_was_dropped(
    records: OperatorRecords, inbox: PostgresInbox, rows: Rows
) -> None:
    await set_aside(inbox)
    (row,) = await records.dead_letters(10)
    await records.drop_dead_letter(row.id, OPERATOR, "junk")

    await inbox.resume()

    assert await waiting(inbox) == []
    found = await rows.fetchrow("SELECT * FROM inbox")
    assert found["quarantined_at"] is not None
    assert (found["done_at"] is not None, found["reply"]) == (True, "dropped")


async def test_money_that_was_dropped_is_never_forgotten(
    records: OperatorRecords, inbox: PostgresInbox, rows: Rows
) -> None:
    await set_aside(inbox)
    await records.drop_dead_letter((await records.dead_letters(1))[0].id, OPERATOR, "junk")
    await inbox.accept([RawUpdate(source="telegram:1", source_id="11", payload="{}", lane=7)])
    (other,) = await inbox.waiting(10, [], [])
    await inbox.quarantine(other, "KeyError", letter("telegram:1:11"))
    await records.drop_dead_letter((await records.dead_letters(1))[0].id, OPERATOR, "junk")
    await pass_time(rows, 73 * 3_600)

    await inbox.prune()

    assert [number for (number,) in await rows.fetch("SELECT source_id FROM inbox")] == ["10"]


async def test_a_new_start_is_a_retry_of_the_letters_of_payments(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    """No letter waits for a decision about a payment that is worked on anyway."""
    await set_aside(inbox)
    stray = await written(records, letter("telegram:1:99"))

    await inbox.resume()

    assert await waiting(inbox) == ["10"]
    assert [row.id for row in await records.dead_letters(10)] == [stray.id]
    (retried,) = await records.dead_letters(10, state="retried")
    assert (retried.correlation_id, retried.decided_by) == (JOURNEY, "start")


async def test_a_new_start_leaves_other_updates_to_operators(
    records: OperatorRecords, inbox: PostgresInbox
) -> None:
    await set_aside(inbox, lane=7)

    await inbox.resume()

    assert await waiting(inbox) == []
    assert len(await records.dead_letters(10)) == 1
