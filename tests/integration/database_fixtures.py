"""A real PostgreSQL for the whole run, and a fresh database for each test."""

import asyncio
import contextlib
import dataclasses
import queue
import threading
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
from storage.invariants.acts import broken_idle
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from tests.integration.node_fixtures import eventually, is_alive
from tests.standing.canaries import secrets_in
from tests.standing.idle import IDLE, IdleWatch, held_by_this_loop, told
from tests.standing.leftovers import shared

TEMPLATE = "tollgate_template"

#: What a fixture hands out to look into a database with, beside the code under test.
Rows: TypeAlias = "asyncpg.Connection[Any]"


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL and the process that is its postmaster."""

    url: str
    pid: int
    watch: IdleWatch | None = None

    def url_of(self, name: str) -> str:
        """Where one of its databases is."""
        parts = urlsplit(self.url)
        return parts._replace(path=f"/{name}").geturl()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The embedded PostgreSQL, in a folder that goes with it; no process is left behind."""
    with contextlib.ExitStack() as stack:
        with shared():
            folder = stack.enter_context(TemporaryDirectory(prefix="tollgate-tests-"))
            data = Path(folder) / "postgres"
            running = EmbeddedPostgres.start(data)
            stack.callback(running.stop)
            pid = int((data / "postmaster.pid").read_text().split()[0])
            server = Server(running.url, pid)
            asyncio.run(_make_template(server))
            watch = IdleWatch(server.url)
            stack.callback(watch.close)
        yield dataclasses.replace(server, watch=watch)
    asyncio.run(eventually(lambda: _ended(pid)))


class Stock:
    """Copies of the template, made ahead by a thread: a copy takes longer than most tests."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ready: queue.Queue[str | Exception] = queue.Queue(maxsize=2)
        self._closed = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._fill()), daemon=True)
        self._thread.start()
        self._up.wait(60)

    async def take(self) -> str:
        """The name of a copy that is nobody else's."""
        found = await asyncio.to_thread(self._ready.get, timeout=60)
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Make no more."""
        self._closed.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._ready.get(timeout=0.05)  # the thread may wait for a place

    async def _fill(self) -> None:
        try:
            async with connected(self._server.url) as admin:
                self._up.set()
                while not self._closed.is_set():
                    self._ready.put(await _create(admin, TEMPLATE))
        except Exception as error:  # noqa: BLE001 - told to the test that takes it
            self._ready.put(error)


@pytest.fixture(scope="session")
def stock(postgres: Server) -> Iterator[Stock]:
    """Databases to take."""
    with shared():
        made = Stock(postgres)
    yield made
    made.close()


@pytest.fixture
async def database_url(
    postgres: Server, stock: Stock, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """A migrated database of this test alone."""
    name = await stock.take()
    try:
        async with held_by_this_loop(), _no_transaction_waits(postgres, request.node):
            yield postgres.url_of(name)
    finally:
        await _drop(postgres, name)


@asynccontextmanager
async def _no_transaction_waits(server: Server, test: pytest.Item) -> AsyncIterator[None]:
    """But where a test says that it holds one, to see what others do meanwhile."""
    if server.watch is None:
        yield
        return
    server.watch.taken()
    yield
    waits = server.watch.taken()
    if test.get_closest_marker("holds_transactions") is not None:
        return
    if waits:
        longest = max(waits, key=lambda one: (one.lasted - one.stalled, one.lasted))
        test.user_properties.append((IDLE, told(longest, test.name)))
    assert broken_idle(waits) == [], "a transaction waits for something outside"


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
    async with connected(server.url) as admin:
        name = await _create(admin, template)
    try:
        yield server.url_of(name)
    finally:
        await _drop(server, name)


async def _create(admin: Rows, template: str) -> str:
    name = f"test_{uuid4().hex}"
    # As files, not through the log page by page: a fraction of the time.
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    return name


async def _drop(server: Server, name: str) -> None:
    async with connected(server.url_of(name)) as last:
        told = await secrets_in(last)
    async with connected(server.url) as admin:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert told == [], "the database tells a secret"


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
        await admin.execute("ALTER SYSTEM SET full_page_writes = off")
        await admin.execute("SELECT pg_reload_conf()")
        await admin.execute(f"CREATE DATABASE {TEMPLATE}")
    await apply_migrations(server.url_of(TEMPLATE))
