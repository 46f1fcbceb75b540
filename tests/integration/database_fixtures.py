"""A real PostgreSQL for the whole run, and a fresh database for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from config.keys import MasterKeys
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from tests.integration.node_fixtures import eventually, is_alive

TEMPLATE = "tollgate_template"

#: What a fixture hands out to look into a database with, beside the code under test.
Rows: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL and the process that is its postmaster."""

    url: str
    pid: int

    def url_of(self, name: str) -> str:
        """Where one of its databases is."""
        parts = urlsplit(self.url)
        return parts._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The embedded PostgreSQL, in a folder that goes with it; no process is left behind."""
    with TemporaryDirectory(prefix="tollgate-tests-") as folder:
        data = Path(folder) / "postgres"
        running = EmbeddedPostgres.start(data)
        try:
            pid = int((data / "postmaster.pid").read_text().split()[0])
            server = Server(running.url, pid)
            asyncio.run(_make_template(server))
            yield server
        finally:
            running.stop()
        asyncio.run(eventually(lambda: _ended(pid)))


@pytest.fixture
async def database_url(postgres: Server) -> AsyncIterator[str]:
    """A migrated database of this test alone."""
    async with fresh_database(postgres, TEMPLATE) as url:
        yield url


@pytest.fixture
async def empty_url(postgres: Server) -> AsyncIterator[str]:
    """A database without any table."""
    async with fresh_database(postgres, "template0") as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The database as its owner's process sees it."""
    opened = await Database.connect(database_url)
    await opened.take_over(uuid4())
    yield opened
    await opened.close()


@pytest.fixture
async def rows(database_url: str) -> AsyncIterator[Rows]:
    """A connection of the test's own, to look and to prepare with; it owns nothing."""
    async with connected(database_url) as connection:
        yield connection


@pytest.fixture(scope="session")
def keys() -> MasterKeys:
    """Master secrets that tests may know."""
    return MasterKeys([SecretStr("a master secret for tests, long enough")])


@pytest.fixture(scope="session")
def cipher(keys: MasterKeys) -> LinkCipher:
    """Closes and opens links with the tests' secrets."""
    return LinkCipher(keys)


@asynccontextmanager
async def fresh_database(server: Server, template: str) -> AsyncIterator[str]:
    """A database that is there as long as the context."""
    name = f"test_{uuid4().hex}"
    async with connected(server.url) as admin:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    try:
        yield server.url_of(name)
    finally:
        async with connected(server.url) as admin:
            await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Rows]:
    """A plain connection."""
    connection = await asyncpg.connect(url, server_settings={"application_name": "test"})
    try:
        yield connection
    finally:
        await connection.close()


async def _ended(pid: int) -> bool:
    return not is_alive(pid)


async def _make_template(server: Server) -> None:
    async with connected(server.url) as admin:
        # Nothing here outlives the run: safety on disk only costs time.
        await admin.execute("ALTER SYSTEM SET fsync = off")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    await apply_migrations(server.url_of(TEMPLATE))
