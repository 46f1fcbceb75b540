"""The journal over a real database: in order, once each, and dated when it happened."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from actors.runtime.events import DeadLetter, Event, EventKind
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from supervisors.engine.child import Child
from supervisors.operators.journal import Journal, JournalActor
from tests.clock import ManualClock
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.operators.stand import TOKEN, Fickle, Stand
from tests.puppets import Bug, Do, Note, Stage, failing

HOURS_S = 5 * 3_600.0


def event(reason: str, at: float = 1_000) -> Event:
    return Event(
        kind=EventKind.CRASHED, at=at, supervisor="users/00", actor="user/7", reason=reason
    )


def letter(journey: str, at: float = 1_000) -> DeadLetter:
    return DeadLetter(
        at=at,
        actor="user/7",
        message=Note("x"),
        attempts=3,
        error=Bug("why"),
        correlation_id=journey,
        operation_id="op",
    )


@pytest.fixture
def stage() -> Stage:
    """A place for the journal's actor."""
    return Stage()


@pytest.fixture
def journal(stage: Stage) -> Journal:
    """Empty; its clock is the stage's."""
    return Journal(stage.clock, [11])


async def kept(rows: Rows, table: str, column: str) -> list[Any]:
    """What the database has, in the order in which it was written."""
    order = {"supervision_events": "seq", "dead_letters": "id", "outbox": "id"}[table]
    return [one for (one,) in await rows.fetch(f"SELECT {column} FROM {table} ORDER BY {order}")]  # noqa: S608


async def test_an_outage_is_survived_in_order(
    journal: Journal, fickle: Fickle, records: OperatorRecords, rows: Rows
) -> None:
    fickle.away = True
    for number in range(5):
        journal.event(event(str(number)))
        journal.dead_letter(letter(f"journey {number}"))
        with pytest.raises(StorageUnavailable):
            await journal.flush(records)

    fickle.away = False
    await journal.flush(records)

    assert await kept(rows, "supervision_events", "reason") == ["0", "1", "2", "3", "4"]
    assert await kept(rows, "dead_letters", "correlation_id") == [
        f"journey {number}" for number in range(5)
    ]


async def test_what_was_committed_without_an_answer_is_not_written_twice(
    journal: Journal, fickle: Fickle, records: OperatorRecords, rows: Rows
) -> None:
    journal.event(Event(kind=EventKind.GAVE_UP, at=1_000, supervisor="root", actor="door"))
    journal.dead_letter(letter(""))
    journal.dead_letter(letter("journey"))
    fickle.silent = 2
    for _ in range(2):
        with pytest.raises(StorageUnavailable):
            await journal.flush(records)
    journal.event(event("later"))

    await journal.flush(records)

    assert await kept(rows, "supervision_events", "reason") == ["", "later"]
    assert await kept(rows, "dead_letters", "correlation_id") == ["", "journey"]
    assert await kept(rows, "outbox", "payload->>'text_id'") == ["alert-gave-up"]


async def test_it_is_dated_when_it_happened_and_not_when_it_was_written(
    journal: Journal, stage: Stage, records: OperatorRecords, rows: Rows
) -> None:
    journal.event(event("old", at=stage.clock.now()))
    journal.dead_letter(letter("old", at=stage.clock.now()))
    stage.clock.advance(HOURS_S)
    journal.event(event("new", at=stage.clock.now()))

    await journal.flush(records)

    now = await rows.fetchval("SELECT now()")
    old, new = await kept(rows, "supervision_events", "at")
    assert new - old == timedelta(seconds=HOURS_S)
    assert now - new < timedelta(seconds=60)
    assert await kept(rows, "dead_letters", "created_at") == [old]


@pytest.mark.parametrize("text", ["zero \0", "half \ud800", "x" * 1_000_000, "\u202e back"])
async def test_whatever_an_error_says_its_letter_is_kept(
    journal: Journal, records: OperatorRecords, rows: Rows, text: str
) -> None:
    journal.event(event(text))
    journal.dead_letter(
        DeadLetter(
            at=1_000,
            actor="user/7",
            message=Note(text),
            attempts=3,
            error=Bug(text),
            correlation_id=text[:100],
            operation_id="op",
        )
    )

    await journal.flush(records)

    assert len(await kept(rows, "supervision_events", "reason")) == 1
    assert await kept(rows, "dead_letters", "error") == ["Bug"]


# The actor


class Picky(OperatorRecords):
    """Refuses one event as the database would refuse a bug."""

    async def record(self, events: Any, letters: Any, alerts: Any) -> None:
        """See `OperatorRecords`."""
        if any(one.reason == "unwritable" for one in events):
            raise ValueError("unwritable")
        await super().record(events, letters, alerts)


async def test_a_draft_that_cannot_be_written_holds_up_no_other(
    journal: Journal, fickle: Fickle, rows: Rows
) -> None:
    for reason in ("before", "unwritable", "after"):
        journal.event(event(reason))

    await journal.flush(Picky(fickle))

    assert await kept(rows, "supervision_events", "reason") == ["before", "after"]


async def written(rows: Rows, reasons: list[str]) -> None:
    """Until the database has these events and no other."""

    async def there() -> bool:
        return await kept(rows, "supervision_events", "reason") == reasons

    await eventually(there)


def at_work(stage: Stage, journal: Journal, records: OperatorRecords) -> JournalActor:
    """The journal's actor, awake at every event."""
    actor = JournalActor(journal, records)
    journal.wake = stage.play(actor, "journal").wake
    return actor


async def test_the_actor_writes_at_once(
    stage: Stage, journal: Journal, records: OperatorRecords, rows: Rows
) -> None:
    actor = at_work(stage, journal, records)

    journal.event(event("news"))

    await written(rows, ["news"])
    actor.stop()
    await actor.wait_ended()


async def test_the_actor_tries_again_after_an_outage_and_is_not_ended_by_it(
    stage: Stage, journal: Journal, fickle: Fickle, records: OperatorRecords, rows: Rows
) -> None:
    fickle.away = True
    actor = at_work(stage, journal, records)
    journal.event(event("news"))
    await eventually(_waits(stage.clock))
    fickle.away = False

    stage.clock.advance(1)

    await written(rows, ["news"])
    assert stage.endings == []
    actor.stop()
    await actor.wait_ended()


async def test_the_actors_last_words_are_written(
    stage: Stage, journal: Journal, records: OperatorRecords, rows: Rows
) -> None:
    actor = at_work(stage, journal, records)
    await eventually(_waits(stage.clock))
    journal.wake = lambda: None
    journal.event(event("the end"))

    actor.stop()
    await actor.wait_ended()

    assert await kept(rows, "supervision_events", "reason") == ["the end"]


async def test_what_a_live_actor_could_not_do_becomes_a_letter_without_secrets(
    stand: Stand, rows: Rows
) -> None:
    stand.user("7").tell(Do(failing(Bug(f"token {TOKEN}"))))
    child = stand.child("user/7")
    for life in (1, 2):
        await stand.until(_failed(child, life))
        stand.clock.advance(10)
    await stand.until(lambda: stand.letters)
    await stand.journal.flush(stand.records)

    (row,) = await rows.fetch("SELECT error, traceback, payload, actor FROM dead_letters LIMIT 1")
    assert (row["error"], row["payload"], row["actor"]) == ("Bug", None, "user/7")
    assert TOKEN not in row["traceback"]
    assert "[redacted]" in row["traceback"]


def _waits(clock: ManualClock) -> Any:
    async def waits() -> bool:
        return 1.0 in clock.delays

    return waits


def _failed(child: Child, life: int) -> Callable[[], bool]:
    return lambda: child.restart_timer is not None and child.incarnation == life
