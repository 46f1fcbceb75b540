"""The proxy before PostgreSQL fails as it says, and counts it; all else passes."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from storage.database import Database
from storage.errors import StorageUnavailable
from tests.faults.tcp_proxy import TcpProxy
from tests.integration.database_fixtures import Rows, connected
from tests.integration.node_fixtures import eventually

WRITE = "INSERT INTO users (tg_id, language) VALUES ($1, 'en')"
LONG = "INSERT INTO users (tg_id, language) SELECT 5, $1"


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[TcpProxy]:
    async with TcpProxy(database_url).serve() as made:
        yield made


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture
async def through(proxy: TcpProxy) -> AsyncIterator[Database]:
    """The database as it is seen through the proxy."""
    opened = await Database.connect(proxy.url)
    await opened.take_over(uuid4())
    yield opened
    opened.terminate()


async def write(through: Database, user_id: int) -> None:
    async with through.transaction() as connection:
        await connection.execute(WRITE, user_id)


async def written(rows: Rows) -> list[int]:
    return [user for (user,) in await rows.fetch("SELECT tg_id FROM users ORDER BY 1")]


async def test_what_is_well_passes(proxy: TcpProxy, through: Database, rows: Rows) -> None:
    await write(through, 1)

    assert await written(rows) == [1]
    assert proxy.hits == 0


@pytest.mark.parametrize("delivered", [True, False])
async def test_a_commit_is_cut_and_nobody_learns_what_became_of_it(
    proxy: TcpProxy, through: Database, rows: Rows, delivered: bool
) -> None:
    cut = proxy.cut_commits(delivered=delivered, every=2, times=2)

    for user_id in (1, 3):
        with pytest.raises(StorageUnavailable):
            await write(through, user_id)
        await write(through, user_id + 1)
    await write(through, 5)

    async def as_expected() -> bool:
        return await written(rows) == ([1, 2, 3, 4, 5] if delivered else [2, 4, 5])

    await eventually(as_expected)
    assert cut.hits == proxy.hits == 2


async def test_connections_end_in_the_midst_of_a_message(
    proxy: TcpProxy, through: Database, rows: Rows
) -> None:
    proxy.cut_after(200)

    with pytest.raises(StorageUnavailable):
        async with through.transaction() as connection:
            await connection.execute(LONG, "e" * 1_000)

    assert await written(rows) == []
    assert proxy.hits == 1


async def test_nobody_gets_in_until_it_is_mended(
    proxy: TcpProxy, through: Database, rows: Rows
) -> None:
    proxy.refuse()
    with pytest.raises(StorageUnavailable):
        await write(through, 1)

    proxy.mend()
    await write(through, 2)

    assert await written(rows) == [2]
    assert proxy.hits


async def test_what_stalls_goes_on_when_it_is_mended(
    proxy: TcpProxy, through: Database, rows: Rows
) -> None:
    proxy.stall()
    writing = asyncio.create_task(write(through, 1))
    done, _ = await asyncio.wait({writing}, timeout=0.3)
    assert not done

    proxy.mend()
    await writing

    assert await written(rows) == [1]
    assert proxy.hits
