"""What the twin promises a simulation: whole transactions, moments to fail at, one owner."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from storage import outbox, users
from storage.database import Connection, refuse_in_transaction
from storage.errors import CallInTransaction, Fenced, StorageUnavailable
from tests.simulation.twin.database import Moment, TwinDatabase, empty, go_on, twins
from tests.simulation.twin.tables import Tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def tables() -> Tables:
    """An empty database."""
    return empty(random.Random(1))  # noqa: S311 - ids of a test


async def owner(
    tables: Tables,
    pause: Callable[[Moment], Awaitable[None]] = go_on,
    now: Callable[[], datetime] = lambda: NOW,
) -> TwinDatabase:
    """A process that owns it."""
    database = TwinDatabase(tables, now, pause)
    await database.take_over(uuid4())
    return database


class Failing:
    """Fails at one moment, from when it is armed."""

    def __init__(self, moment: Moment) -> None:
        self.moment = moment
        self.armed = False

    async def pause(self, moment: Moment) -> None:
        """An outage."""
        if self.armed and moment is self.moment:
            raise StorageUnavailable("cut")


async def meet(database: TwinDatabase, user_id: int = 7) -> None:
    """A transaction with an effect."""
    async with database.transaction() as connection:
        await users.introduce(connection, user_id, "en")


async def test_what_a_transaction_did_is_taken_back_whole(tables: Tables) -> None:
    database = await owner(tables)
    await meet(database, 6)
    before = {table.schema.name: tables.rows(table.schema.name) for table in tables.of.values()}

    async def fail() -> None:
        async with database.transaction() as connection:
            await users.set_reachable(connection, 6, reachable=False)
            await users.introduce(connection, 7, "en")
            await users.choose_language(connection, 7, "ru")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert before == {name: tables.rows(name) for name in before}
    await meet(database, 7)
    assert [row["tg_id"] for row in tables.rows("users")] == [6, 7]


@pytest.mark.parametrize("moment", [Moment.BEGIN, Moment.BEFORE_COMMIT])
async def test_an_outage_before_the_end_leaves_nothing(tables: Tables, moment: Moment) -> None:
    failing = Failing(moment)
    database = await owner(tables, failing.pause)
    failing.armed = True

    with pytest.raises(StorageUnavailable):
        await meet(database)

    assert tables.rows("users") == []


async def test_an_outage_after_the_commit_leaves_its_caller_in_the_dark(tables: Tables) -> None:
    failing = Failing(Moment.AFTER_COMMIT)
    database = await owner(tables, failing.pause)
    failing.armed = True

    with pytest.raises(StorageUnavailable):
        await meet(database)

    assert [row["tg_id"] for row in tables.rows("users")] == [7]


async def test_an_outage_fails_reads(tables: Tables) -> None:
    failing = Failing(Moment.READ)
    database = await owner(tables, failing.pause)
    failing.armed = True

    with pytest.raises(StorageUnavailable):
        async with database.read() as connection:
            await users.read(connection, 7)


async def test_others_wait_for_a_transaction_that_is_held_up(tables: Tables) -> None:
    """They never see what is not committed."""
    held_up, go = asyncio.Event(), asyncio.Event()

    async def pause(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT and not held_up.is_set() and tables.rows("users"):
            held_up.set()
            await go.wait()
            raise StorageUnavailable("cut")

    database = await owner(tables, pause)
    first = asyncio.create_task(meet(database))
    await held_up.wait()

    async def look() -> object:
        async with database.read() as connection:
            return await users.read(connection, 7)

    looking = asyncio.create_task(look())
    await asyncio.sleep(0)  # noqa: TID251 - it has begun
    assert not looking.done()
    go.set()

    assert await looking is None
    with pytest.raises(StorageUnavailable):
        await first


async def test_who_is_cancelled_before_the_commit_leaves_nothing(tables: Tables) -> None:
    held_up = asyncio.Event()

    async def pause(moment: Moment) -> None:
        if moment is Moment.BEFORE_COMMIT and tables.rows("users"):
            held_up.set()
            await asyncio.Event().wait()

    database = await owner(tables, pause)
    meeting = asyncio.create_task(meet(database))
    await held_up.wait()
    meeting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await meeting
    assert tables.rows("users") == []
    async with database.read() as connection:
        assert await users.read(connection, 7) is None


async def test_a_successor_shuts_the_owner_out(tables: Tables) -> None:
    first = await owner(tables)
    second = await owner(tables)

    with pytest.raises(Fenced):
        await meet(first)
    await meet(second)

    assert first.fenced.is_set()
    assert not second.fenced.is_set()
    await first.show_alive()
    assert [row["tg_id"] for row in tables.rows("users")] == [7]


async def test_who_is_cut_off_writes_nothing_more(tables: Tables) -> None:
    database = await owner(tables)

    async def die() -> None:
        async with database.transaction() as connection:
            await users.introduce(connection, 7, "en")
            database.terminate()

    with pytest.raises(StorageUnavailable):
        await die()

    assert tables.rows("users") == []
    with pytest.raises(StorageUnavailable):
        await meet(database)


async def test_outside_calls_are_refused_while_a_connection_is_held(tables: Tables) -> None:
    database = await owner(tables)
    async with database.read():
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
    async with database.transaction():
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
    refuse_in_transaction()


async def test_after_an_error_only_the_end_is_taken(tables: Tables) -> None:
    database = await owner(tables)
    async with database.transaction() as connection:
        await users.introduce(connection, 8, "en")
        with pytest.raises(asyncpg.CheckViolationError):
            await users.introduce(connection, 7, "English")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await users.introduce(connection, 7, "en")

    assert tables.rows("users") == [], "as PostgreSQL, which takes the commit for a rollback"


async def meet_two(connection: Connection) -> None:
    """Within a transaction; the second has no language."""
    async with connection.transaction():
        await users.introduce(connection, 8, "en")
        await users.introduce(connection, 9, "English")


async def test_a_savepoint_is_taken_back_alone(tables: Tables) -> None:
    database = await owner(tables)
    async with database.transaction() as connection:
        await users.introduce(connection, 7, "en")
        with pytest.raises(asyncpg.CheckViolationError):
            await meet_two(connection)
        await users.introduce(connection, 10, "en")

    assert [row["tg_id"] for row in tables.rows("users")] == [7, 10]


async def test_time_stands_within_a_transaction_but_for_the_clock(tables: Tables) -> None:
    moments = iter(NOW + timedelta(seconds=second) for second in range(9))
    last = [NOW]

    def now() -> datetime:
        last[0] = next(moments)
        return last[0]

    database = await owner(tables, now=now)
    async with database.transaction() as connection:
        await users.introduce(connection, 7, "en")
        begun = last[0]
        await users.introduce(connection, 8, "en")
        await connection.execute(outbox.ALERT, "a", {"notice": "alert"})

    assert {row["created_at"] for row in tables.rows("users")} == {begun}
    (told,) = tables.rows("outbox")
    assert told["created_at"] > begun
    assert told["next_at"] == begun


async def test_protections_can_be_taken_away_one_by_one(tables: Tables) -> None:
    await meet(await owner(tables))
    tables.drop("users_language_check")

    async with (await owner(tables)).transaction() as connection:
        await users.choose_language(connection, 7, "English")

    assert tables.rows("users")[0]["language"] == "English"
    with pytest.raises(LookupError):
        tables.drop("users_language_check")
    with pytest.raises(LookupError):
        tables.drop("users_pkey")


async def test_a_statement_can_be_exchanged(tables: Tables) -> None:
    def forget(tables: Tables, user_id: int, language: str) -> int:
        del tables, user_id, language
        return 0

    database = TwinDatabase(tables, lambda: NOW, twins=twins({users.CHOOSE_LANGUAGE: forget}))
    await database.take_over(UUID(int=1))
    await meet(database)
    async with database.transaction() as connection:
        await users.choose_language(connection, 7, "ru")

    assert tables.rows("users")[0]["language"] == "en"


async def test_rows_that_were_given_out_are_copies(tables: Tables) -> None:
    await meet(await owner(tables))
    tables.rows("users")[0]["language"] = "xx"

    assert tables.rows("users")[0]["language"] == "en"
