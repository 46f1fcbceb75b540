"""The node's wishes on disk: a wish is durable before `write` returns, and never forgotten.

SQLite in one thread of its own, WAL with synchronous=FULL. What waits while one commit is
under way goes together into the next. One process at a time holds the file.
"""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID, uuid4

from xray_api.contract import Writer
from xray_api.node.changes import Wish

_SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE users (
    uuid BLOB PRIMARY KEY,     -- 16 bytes
    gen INTEGER NOT NULL CHECK (gen >= 1),
    present INTEGER NOT NULL   -- 0 is a tombstone
) STRICT, WITHOUT ROWID;

CREATE TABLE node (            -- one row
    epoch TEXT NOT NULL,
    writer_db_id TEXT,
    writer_seq INTEGER
) STRICT;
"""

_INSERT_NODE = "INSERT INTO node (epoch) VALUES (?)"
_SELECT_NODE = "SELECT epoch, writer_db_id, writer_seq FROM node"
_SELECT_USERS = "SELECT uuid, gen, present FROM users"

#: The condition repeats the fence: no caller can lower a generation.
_UPSERT_USER = """
INSERT INTO users (uuid, gen, present) VALUES (?, ?, ?)
ON CONFLICT (uuid) DO UPDATE SET gen = excluded.gen, present = excluded.present
WHERE excluded.gen > users.gen
   OR (? AND excluded.gen = users.gen AND users.present AND NOT excluded.present)
"""

#: Changes nothing, and is written all the same.
_TOUCH_NODE = "UPDATE node SET epoch = epoch"

_UPDATE_WRITER = "UPDATE node SET writer_db_id = ?, writer_seq = ?"

Result = TypeVar("Result")


class StoreError(Exception):
    """The store cannot be opened, read or written."""


@dataclass(frozen=True, slots=True)
class Change:
    """A wish to be kept; the fence lets it in by a higher generation.

    With `same_gen` a tombstone also replaces the present wish of its own generation: a
    snapshot leaves a user out without a generation for it.
    """

    uuid: UUID
    wish: Wish
    same_gen: bool = False

    def replaces(self, standing: Wish | None) -> bool:
        """Whether the fence lets it in."""
        if standing is None or self.wish.gen > standing.gen:
            return True
        shuts_out = standing.present and not self.wish.present
        return self.same_gen and self.wish.gen == standing.gen and shuts_out


@dataclass(frozen=True, slots=True)
class _Contents:
    connection: sqlite3.Connection
    epoch: UUID
    writer: Writer | None
    wishes: dict[UUID, Wish]


@dataclass(frozen=True, slots=True)
class _Write:
    changes: Sequence[Change]
    writer: Writer | None
    deadline: float
    done: asyncio.Future[list[Wish]]


class Store:
    """The wishes, all in memory for reading and on disk for keeping. Make it with `open`."""

    def __init__(self, thread: ThreadPoolExecutor, contents: _Contents) -> None:
        self._thread = thread
        self._connection = contents.connection
        self._epoch = contents.epoch
        self._writer = contents.writer
        self._wishes = contents.wishes
        self._queue: deque[_Write] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._refusal = ""

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open or create the store; a new one gets a new epoch.

        Raises:
            StoreError: the file is damaged, held by another process, or cannot be made.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            return cls(thread, await _in_thread(thread, lambda: _open(path)))
        except (sqlite3.Error, OSError, ValueError) as error:
            thread.shutdown()
            reason = "another node service uses it" if _is_busy(error) else error
            raise StoreError(f"{path}: {reason}") from error

    @property
    def epoch(self) -> UUID:
        """Made with the store; it changes only when the store is lost."""
        return self._epoch

    @property
    def writer(self) -> Writer | None:
        """The highest mark of the last database that wrote."""
        return self._writer

    @property
    def wishes(self) -> Mapping[UUID, Wish]:
        """All wishes that are on disk, tombstones included; a live view."""
        return MappingProxyType(self._wishes)

    def present(self) -> list[UUID]:
        """The users who are to be let in."""
        return [uuid for uuid, wish in self._wishes.items() if wish.present]

    async def refusal(self) -> str:
        """Why the disk takes no writes; empty while it does. After a failure it is tried again."""
        if self._refusal:
            await self._attempt(lambda: _touch(self._connection))
        return self._refusal

    def is_news(self, writer: Writer | None) -> bool:
        """Whether a write with this mark would change `writer`."""
        return _later(self._writer, writer) != self._writer

    async def write(self, uuid: UUID, wish: Wish, writer: Writer | None, deadline: float) -> Wish:
        """Keep one wish; as `write_many`."""
        (standing,) = await self.write_many([Change(uuid, wish)], writer, deadline)
        return standing

    async def write_many(
        self, changes: Sequence[Change], writer: Writer | None, deadline: float
    ) -> list[Wish]:
        """Keep wishes and the mark of their writer, all or none; durable on return.

        A cancelled write may still happen.

        Returns:
            For each the wish that stands: another one, if that has a generation as high.

        Raises:
            TimeoutError: `deadline`, in the loop's time, passed first; nothing was written.
            StoreError: the disk refuses; nothing was written.
        """
        loop = asyncio.get_running_loop()
        item = _Write(changes, writer, deadline, loop.create_future())
        self._queue.append(item)
        if self._committing is None or self._committing.done():
            self._committing = loop.create_task(self._commit_all())
        return await item.done

    async def close(self) -> None:
        """Finish the writes that wait, and let the file go."""
        if self._committing is not None:
            await self._committing
        await _in_thread(self._thread, self._connection.close)
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        while self._queue:
            await self._commit(self._take())

    def _take(self) -> list[_Write]:
        now = asyncio.get_running_loop().time()
        batch: list[_Write] = []
        for item in self._queue:
            if item.done.done():  # its caller has gone
                continue
            if item.deadline <= now:
                _fail(item, TimeoutError("the caller's deadline passed"))
            else:
                batch.append(item)
        self._queue.clear()
        return batch

    async def _commit(self, batch: Sequence[_Write]) -> None:
        if not batch:
            return
        writer = self._writer
        for item in batch:
            writer = _later(writer, item.writer)
        rows = [_row(change) for item in batch for change in item.changes]
        if not await self._attempt(lambda: _write(self._connection, rows, writer)):
            for item in batch:
                _fail(item, StoreError(self._refusal))
            return
        self._writer = writer
        for item in batch:
            standing = [self._take_in(change) for change in item.changes]
            if not item.done.done():
                item.done.set_result(standing)

    def _take_in(self, change: Change) -> Wish:
        standing = self._wishes.get(change.uuid)
        if standing is None or change.replaces(standing):
            standing = self._wishes[change.uuid] = change.wish
        return standing

    async def _attempt(self, work: Callable[[], None]) -> bool:
        """Whether the disk took it; if not, `_refusal` says why."""
        try:
            await _in_thread(self._thread, work)
        except sqlite3.Error as error:
            self._refusal = str(error)
            return False
        self._refusal = ""
        return True


def _row(change: Change) -> tuple[bytes, int, bool, bool]:
    return change.uuid.bytes, change.wish.gen, change.wish.present, change.same_gen


def _fail(item: _Write, error: Exception) -> None:
    if not item.done.done():
        item.done.set_exception(error)


def _later(known: Writer | None, said: Writer | None) -> Writer | None:
    """Another database replaces the mark; the same one only raises it."""
    if said is None or (known and known.db_id == said.db_id and known.seq >= said.seq):
        return known
    return said


def _is_busy(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF == sqlite3.SQLITE_BUSY  # extended codes keep it in the lowest byte


async def _in_thread(thread: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
    return await asyncio.get_running_loop().run_in_executor(thread, work)


def _open(path: Path) -> _Contents:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite gives its other files the mode of this one; uuids are credentials.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        return _load(connection)
    except BaseException:
        connection.close()
        raise


def _load(connection: sqlite3.Connection) -> _Contents:
    # Exclusive: a second service on the same folder must not start.
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("BEGIN EXCLUSIVE")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(_INSERT_NODE, (str(uuid4()),))
        connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
    elif version != _SCHEMA_VERSION:
        raise ValueError(f"made by another release (schema {version})")
    connection.execute("COMMIT")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise ValueError(f"damaged: {verdict}")
    epoch, db_id, seq = connection.execute(_SELECT_NODE).fetchone()
    users = connection.execute(_SELECT_USERS)
    return _Contents(
        connection,
        UUID(epoch),
        Writer(db_id, seq) if db_id is not None else None,
        {UUID(bytes=uuid): Wish(gen, bool(present)) for uuid, gen, present in users},
    )


def _write(
    connection: sqlite3.Connection, rows: list[tuple[bytes, int, bool, bool]], writer: Writer | None
) -> None:
    with connection:  # commits, or rolls back
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(_UPSERT_USER, rows)
        if writer is not None:
            connection.execute(_UPDATE_WRITER, writer)


def _touch(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_TOUCH_NODE)
