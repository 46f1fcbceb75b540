"""One process owns the database; who takes it over shuts the other out."""

import asyncio
from uuid import uuid4

import pytest

from storage.database import Database
from storage.errors import Fenced, StorageUnavailable
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually

WRITE = "INSERT INTO users (tg_id, language) VALUES ($1, 'en')"


@pytest.fixture
async def successor(database_url: str) -> Database:
    """Another process's view of the database; it owns nothing yet."""
    return await Database.connect(database_url)


async def written(rows: Rows) -> list[int]:
    return [user for (user,) in await rows.fetch("SELECT tg_id FROM users ORDER BY 1")]


async def test_each_take_over_has_its_own_epoch(
    database: Database, successor: Database, rows: Rows
) -> None:
    owner = uuid4()
    epoch = await successor.take_over(owner)

    assert epoch == 2, "the fixture's own was the first"
    found = await rows.fetchrow("SELECT epoch, owner, backend_pid FROM shards")
    assert (found["epoch"], found["owner"]) == (2, owner)
    assert found["backend_pid"] is not None
    await successor.close()
    del database


async def test_the_old_owner_writes_nothing_any_more(
    database: Database, successor: Database, rows: Rows
) -> None:
    await successor.take_over(uuid4())

    with pytest.raises(Fenced):
        async with database.transaction() as connection:
            await connection.execute(WRITE, 1)

    assert database.fenced.is_set()
    assert await written(rows) == []
    async with successor.transaction() as connection:
        await connection.execute(WRITE, 2)
    assert await written(rows) == [2]
    assert not successor.fenced.is_set()
    await successor.close()


async def test_the_old_owner_may_still_read(database: Database, successor: Database) -> None:
    await successor.take_over(uuid4())

    async with database.read() as connection:
        assert await connection.fetchval("SELECT 1") == 1
    await successor.close()


async def test_who_never_took_over_writes_nothing(successor: Database, rows: Rows) -> None:
    with pytest.raises(Fenced):
        async with successor.transaction() as connection:
            await connection.execute(WRITE, 1)

    assert await written(rows) == []
    await successor.close()


async def test_a_take_over_waits_for_an_effect_that_runs(
    database: Database, successor: Database, rows: Rows
) -> None:
    """What has begun as the owner ends as the owner: never half of it after the take-over."""
    async with database.transaction() as connection:
        await connection.execute(WRITE, 1)
        taking = asyncio.create_task(successor.take_over(uuid4()))

        async def waits() -> bool:
            return bool(
                await rows.fetchval(
                    "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                    " WHERE NOT granted AND a.datname = current_database()"
                )
            )

        await eventually(waits)
        assert not taking.done()
    assert await taking == 2
    assert await written(rows) == [1]
    await successor.close()


async def test_an_effect_that_starts_during_a_take_over_is_refused(
    database: Database, successor: Database, rows: Rows
) -> None:
    """It waits for the take-over's row, and then sees the new epoch."""
    taking = rows.transaction()
    await taking.start()
    await rows.execute("UPDATE shards SET epoch = epoch + 1")

    async def late() -> None:
        async with database.transaction() as connection:
            await connection.execute(WRITE, 1)

    effect = asyncio.create_task(late())

    async def waits() -> bool:
        return bool(await rows.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    await eventually(waits)
    await taking.commit()

    with pytest.raises(Fenced):
        await effect
    assert await written(rows) == []
    await successor.close()


async def test_a_busy_owner_cannot_keep_others_from_taking_over(
    database: Database, successor: Database
) -> None:
    """Effects that overlap without a gap hold the row without a gap, and the queue is fair."""
    done = asyncio.Event()
    effects = 0

    async def keep_busy() -> None:
        nonlocal effects
        while not done.is_set():
            async with database.transaction() as connection:
                await connection.fetchval("SELECT pg_sleep(0.05)")
            effects += 1

    busy = [asyncio.create_task(keep_busy()) for _ in range(8)]

    async def under_way() -> bool:
        return effects > 8

    await eventually(under_way)
    try:
        assert await successor.take_over(uuid4()) == 2
    finally:
        done.set()
        outcomes = await asyncio.gather(*busy, return_exceptions=True)
    assert any(isinstance(outcome, Fenced) for outcome in outcomes)
    await successor.close()


async def test_being_fenced_is_weather_to_whoever_works(
    database: Database, successor: Database
) -> None:
    """Actors wait as in an outage; the program hears of it by the event and ends."""
    await successor.take_over(uuid4())

    with pytest.raises(StorageUnavailable):
        async with database.transaction():
            pass
    await successor.close()
