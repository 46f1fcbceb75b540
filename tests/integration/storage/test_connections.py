"""Connections: in UTC, never held across a call to the outside, and outages named as outages."""

import asyncio
from contextlib import suppress
from uuid import uuid4

import asyncpg
import pytest

from storage import database as storage_database
from storage.database import Connection, Database, refuse_in_transaction
from storage.errors import CallInTransaction, StorageUnavailable
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually

TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tollgate'
"""


async def test_sessions_run_in_utc_also_when_they_come_back(database: Database) -> None:
    for _ in range(3):
        async with database.read() as connection:
            assert await connection.fetchval("SHOW timezone") == "UTC"
            await connection.execute("SET timezone = 'Asia/Tokyo'")


async def test_json_is_values_and_not_text(database: Database) -> None:
    async with database.read() as connection:
        assert await connection.fetchval("SELECT '{\"a\": [1]}'::jsonb") == {"a": [1]}


# The guard.


async def test_outside_calls_are_refused_while_a_connection_is_held(database: Database) -> None:
    async with database.read():
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
    async with database.transaction() as connection:
        await connection.fetchval("SELECT 1")
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
    refuse_in_transaction()


async def test_outside_calls_are_allowed_after_an_error(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            raise ZeroDivisionError
    refuse_in_transaction()


async def test_a_connection_inside_another_ends_its_own_hold_alone(database: Database) -> None:
    async with database.read():
        async with database.read():
            pass
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
    refuse_in_transaction()


async def test_another_task_may_call_meanwhile(database: Database) -> None:
    asked, held = asyncio.Event(), asyncio.Event()

    async def elsewhere() -> None:
        await held.wait()
        refuse_in_transaction()
        asked.set()

    task = asyncio.create_task(elsewhere())
    async with database.transaction():
        held.set()
        await asked.wait()
    await task


async def test_work_started_inside_is_refused_inside_and_allowed_after(
    database: Database,
) -> None:
    """A helper task holds the connection as much as its starter does, and no longer."""
    over = asyncio.Event()

    async def helper() -> bool:
        with pytest.raises(CallInTransaction):
            refuse_in_transaction()
        await over.wait()
        refuse_in_transaction()
        return True

    async with database.transaction():
        task = asyncio.create_task(helper())
        for _ in range(3):
            await asyncio.sleep(0)  # noqa: TID251 - lets the helper run up to its wait
    over.set()
    assert await task


# Outages.


async def test_a_connection_cut_in_the_middle_is_an_outage(database: Database, rows: Rows) -> None:
    with pytest.raises(StorageUnavailable):  # noqa: PT012 - the block is the transaction
        async with database.transaction() as connection:
            assert await rows.fetchval(TERMINATE) >= 1
            await connection.fetchval("SELECT 1")


async def test_a_connection_cut_before_the_commit_is_an_outage(
    database: Database, rows: Rows
) -> None:
    with pytest.raises(StorageUnavailable):  # noqa: PT012 - the block is the transaction
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO users (tg_id, language) VALUES (1, 'en')")
            await rows.fetchval(TERMINATE)

    assert await rows.fetchval("SELECT count(*) FROM users") == 0


async def test_connections_cut_while_idle_are_replaced(database: Database, rows: Rows) -> None:
    await rows.fetchval(TERMINATE)

    for _ in range(2):  # the first use may meet the dead connection
        with suppress(StorageUnavailable):
            async with database.read() as connection:
                await connection.fetchval("SELECT 1")

    async with database.read() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_a_transaction_that_idles_too_long_is_ended_as_an_outage(
    database: Database,
) -> None:
    with pytest.raises(StorageUnavailable):  # noqa: PT012 - the block is the transaction
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL idle_in_transaction_session_timeout = 20")
            await eventually(lambda: _closed(connection))
            await connection.fetchval("SELECT 1")


async def _closed(connection: Connection) -> bool:
    return bool(connection.is_closed())


async def test_a_statement_without_end_is_an_outage(database: Database) -> None:
    with pytest.raises(StorageUnavailable):  # noqa: PT012 - the block is the transaction
        async with database.read() as connection:
            await connection.execute("SET statement_timeout = 20")
            await connection.execute("SELECT pg_sleep(60)")


async def test_a_database_that_takes_no_writes_is_an_outage(database: Database) -> None:
    with pytest.raises(StorageUnavailable):  # noqa: PT012 - the block is the transaction
        async with database.transaction() as connection:
            await connection.execute("SET TRANSACTION READ ONLY")
            await connection.execute("DELETE FROM inbox")


async def test_no_free_connection_is_an_outage(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_database, "ACQUIRE_TIMEOUT_S", 0.05)
    small = await Database.connect(database_url, connections=1)
    async with small.read():
        with pytest.raises(StorageUnavailable):
            async with small.read():
                pass
    async with small.read() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await small.close()


@pytest.mark.parametrize("url", ["postgresql://127.0.0.1:1/x", "postgresql:///x?host=/nowhere"])
async def test_no_server_is_an_outage(url: str) -> None:
    with pytest.raises(StorageUnavailable):
        await Database.connect(url)


@pytest.mark.parametrize("end", ["close", "terminate"])
async def test_a_closed_database_is_an_outage(database_url: str, end: str) -> None:
    """Whoever still works while the program stops is told to come back later."""
    opened = await Database.connect(database_url)
    if end == "close":
        await opened.close()
    else:
        opened.terminate()

    with pytest.raises(StorageUnavailable):
        async with opened.read() as connection:
            await connection.fetchval("SELECT 1")


async def test_last_words_of_a_server_that_were_read_too_late_are_an_outage() -> None:
    """Between the end of a session and that of its socket the driver is in no state of its own."""
    words = "cannot switch to state 15; another operation (2) is in progress"
    with pytest.raises(StorageUnavailable), storage_database.outages():
        raise asyncpg.InternalClientError(words)


async def test_a_mistake_in_sql_is_no_outage(database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with database.read() as connection:
            await connection.fetchval("SELECT 1 FROM nowhere")


async def test_a_misused_connection_is_no_outage(database: Database) -> None:
    async with database.read() as connection:
        pass
    with pytest.raises(asyncpg.InterfaceError), storage_database.outages():
        await connection.fetchval("SELECT 1")


async def test_a_failed_transaction_gives_its_connection_back(database_url: str) -> None:
    small = await Database.connect(database_url, connections=1)
    await small.take_over(uuid4())
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with small.transaction():
                raise ZeroDivisionError
    async with small.transaction() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await small.close()


async def test_a_cancelled_transaction_gives_its_connection_back(database_url: str) -> None:
    small = await Database.connect(database_url, connections=1)
    await small.take_over(uuid4())
    inside = asyncio.Event()

    async def stuck() -> None:
        async with small.transaction() as connection:
            inside.set()
            await connection.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(stuck())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with small.transaction() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await small.close()
