"""Connections to PostgreSQL: every effect proves that this process owns the database.

No call to the outside happens while a connection is held.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from config import crashing
from storage import phase
from storage.errors import CallInTransaction, Fenced, RolledBack, StorageUnavailable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

#: The one shard of a single back-end process.
SHARD = 0
#: How long a call waits for a free connection before it is told to come back, seconds.
ACQUIRE_TIMEOUT_S = 2.0
#: Limits that PostgreSQL itself enforces; times in milliseconds.
SESSION = {
    "timezone": "UTC",
    "application_name": "tollgate",
    "statement_timeout": "5000",
    "idle_in_transaction_session_timeout": "5000",
}

#: A place in the queue for the row below. The row alone has no queue for who would change it:
#: effects that overlap without a gap could keep a take-over waiting for ever.
QUEUE_UP = "LOCK TABLE shards IN EXCLUSIVE MODE"
TAKE_OVER = """
UPDATE shards SET epoch = epoch + 1, owner = $2, backend_pid = pg_backend_pid(),
    backend_start = (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
    seen_at = now()
WHERE id = $1 RETURNING epoch
"""
SEEN = "UPDATE shards SET seen_at = now() WHERE id = $1 AND epoch = $2 RETURNING 1"
#: FOR SHARE makes a take-over wait for running effects and then shuts out the old owner.
PROVE_OWNER = "SELECT 1 FROM shards WHERE id = $1 AND epoch = $2 FOR SHARE"

#: Outages, as asyncpg names them: the server is away, refuses, or cannot read or write just now.
OUTAGES: tuple[type[BaseException], ...] = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,  # the server's last words came while nobody asked it anything
    asyncpg.PostgresSystemError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    OSError,
    TimeoutError,
)
#: Those of them after which nothing at all has happened.
UNDONE = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


@dataclass(slots=True)
class _Hold:
    """A connection in somebody's hands. Tasks born meanwhile share it, and see it end."""

    over: bool = False


_hold: ContextVar[_Hold | None] = ContextVar("hold_of_a_connection", default=None)


def refuse_in_transaction() -> None:
    """Call this before every call to the outside.

    Raises:
        CallInTransaction: the caller holds a database connection.
    """
    hold = _hold.get()
    if hold is not None and not hold.over:
        raise CallInTransaction("an outside call while a database connection is held")


class Database:
    """A pool of connections, and the epoch under which this process owns the database."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool
        self._epoch: int | None = None
        #: Set when another process has taken the database over.
        self.fenced = asyncio.Event()

    @classmethod
    async def connect(cls, url: str, connections: int = 10) -> "Database":
        """Open a pool.

        Raises:
            StorageUnavailable: the server does not answer.
        """
        with outages():
            pool = await asyncpg.create_pool(
                url,
                min_size=1,
                max_size=connections,
                server_settings=SESSION,
                init=prepare,
                timeout=10,
            )
        return cls(pool)

    async def take_over(self, owner: UUID) -> int:
        """Own the database from now on; a process that owned it before is shut out."""
        with outages():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(QUEUE_UP)
                self._epoch = await connection.fetchval(TAKE_OVER, SHARD, owner)
        assert self._epoch is not None  # noqa: S101 - the migration made the row
        return self._epoch

    async def show_alive(self) -> None:
        """Note that the owner lives; an idle one that was shut out learns it here."""
        with outages():
            if await self._pool.fetchval(SEEN, SHARD, self._epoch) is None:
                self.fenced.set()

    async def close(self) -> None:
        """Close all connections."""
        await self._pool.close()

    def terminate(self) -> None:
        """Drop all connections without a good-bye."""
        self._pool.terminate()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """A connection to read with.

        Raises:
            StorageUnavailable: an outage.
        """
        with outages():
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection:
                with held():
                    yield connection

    @asynccontextmanager
    async def setup(self) -> AsyncIterator[Connection]:
        """A transaction of a start, before the database is owned."""
        async with self.read() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A transaction of the owner; it commits at the end of the block.

        Raises:
            RolledBack: another one was in the way; phases are repeated then (`storage.phase`).
            StorageUnavailable: an outage. The commit may or may not have happened: repeat it.
            Fenced: another process owns the database.
        """
        async with self.read() as connection, connection.transaction():
            if await connection.fetchval(PROVE_OWNER, SHARD, self._epoch) is None:
                self.fenced.set()
                raise Fenced
            yield connection
            crashing.before(phase.name.get())
        crashing.after(phase.name.get())


@contextmanager
def held() -> Iterator[None]:
    """Mark that a connection is held; `refuse_in_transaction` looks at this."""
    hold = _Hold()
    token = _hold.set(hold)
    try:
        yield
    finally:
        hold.over = True
        _hold.reset(token)


@contextmanager
def outages() -> Iterator[None]:
    """Turn the driver's words for an outage into ours."""
    try:
        yield
    except UNDONE as error:
        raise RolledBack(f"{type(error).__name__}: {error}") from error
    except OUTAGES as error:
        raise StorageUnavailable(f"{type(error).__name__}: {error}") from error
    except asyncpg.InterfaceError as error:
        if "clos" not in str(error):  # "is closed", "is closing": the rest are bugs of ours
            raise
        raise StorageUnavailable(str(error)) from error


async def prepare(connection: Any) -> None:
    """Have a connection speak JSON as Python does."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )
