"""The node's wishes on disk: a wish is durable before `write` returns, and never forgotten.

SQLite in one thread of its own, WAL with synchronous=FULL. What waits while one commit is
under way goes together into the next. One process at a time holds the file.
"""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from uuid import UUID

import structlog

from xray_api.contract import Writer
from xray_api.node.changes import Wish
from xray_api.node.store_file import Contents, Damaged, NewerRelease, StoreFile, is_corrupt

#: Seconds between copies.
_COPY_EVERY_S = 60.0

_log = structlog.get_logger()

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
class _Write:
    changes: Sequence[Change]
    writer: Writer | None
    deadline: float
    done: asyncio.Future[list[Wish]]


class Store:
    """The wishes, all in memory for reading and on disk for keeping. Make it with `open`."""

    def __init__(self, thread: ThreadPoolExecutor, file: StoreFile, contents: Contents) -> None:
        self._thread = thread
        self._file = file
        self._epoch = contents.node.epoch
        self._writer = contents.node.writer
        self._wishes = contents.wishes
        self._damage = contents.damage
        self._queue: deque[_Write] = deque()
        self._committing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._refusal = ""

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open or create the store; a new one gets a new epoch.

        A damaged one is put aside, and its newest good copy serves, with a new epoch.

        Raises:
            StoreError: what a person must mend: the file is held by another process, or of a newer
                release, or cannot be made or written.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        try:
            file, contents = await _in_thread(thread, lambda: StoreFile.open(path))
        except (sqlite3.Error, OSError, NewerRelease) as error:
            thread.shutdown()
            reason = "another node service uses it" if _is_busy(error) else error
            raise StoreError(f"{path}: {reason}") from error
        if contents.damage:
            copy = contents.copy or "none"
            users = len(contents.wishes)
            _log.error("store_damaged", found=contents.damage, copy=copy, users=users)
        return cls(thread, file, contents)

    @property
    def damage(self) -> str:
        """What was found at open, or while running; empty for a store that was whole."""
        return self._damage

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
            async with self._turn:
                await self._attempt({}, self._writer)
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

    async def copy(self) -> None:
        """Keep a copy beside the store, if it changed since the last; a failure is only told.

        A file that is gone or damaged is made anew from memory.
        """
        async with self._turn:
            try:
                await self._healing(self._file.copy)
            except (sqlite3.Error, OSError, Damaged) as error:
                _log.warning("store_copy_failed", reason=str(error))

    async def keep_copies(self, every_s: float = _COPY_EVERY_S) -> None:
        """Keep a copy every so many seconds, until cancelled."""
        while True:
            await asyncio.wait({asyncio.get_running_loop().create_future()}, timeout=every_s)
            await self.copy()

    async def close(self) -> None:
        """Finish the writes that wait, and let the file go."""
        if self._committing is not None:
            await self._committing
        await _in_thread(self._thread, self._file.close)
        self._thread.shutdown()

    @property
    def _connection(self) -> sqlite3.Connection:
        return self._file.connection

    async def _commit_all(self) -> None:
        while self._queue:
            async with self._turn:
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
        fresh: dict[UUID, Wish] = {}
        standing = [[self._decide(change, fresh) for change in item.changes] for item in batch]
        if not await self._attempt(fresh, writer):
            for item in batch:
                _fail(item, StoreError(self._refusal))
            return
        self._writer = writer
        self._wishes.update(fresh)
        for item, wishes in zip(batch, standing, strict=True):
            if not item.done.done():
                item.done.set_result(wishes)

    def _decide(self, change: Change, fresh: dict[UUID, Wish]) -> Wish:
        """The wish that will stand; put into `fresh` if it is the changed one."""
        standing = fresh.get(change.uuid) or self._wishes.get(change.uuid)
        if standing is None or change.replaces(standing):
            standing = fresh[change.uuid] = change.wish
        return standing

    async def _attempt(self, fresh: Mapping[UUID, Wish], writer: Writer | None) -> bool:
        """Whether the disk took it; if not, `_refusal` says why."""
        known = self._wishes
        replaced = [(uuid, known[uuid]) for uuid in fresh if uuid in known]
        try:
            await self._healing(lambda: self._file.write(fresh, replaced, writer))
        except (sqlite3.Error, OSError, Damaged) as error:
            self._refusal = str(error)
            return False
        self._refusal = ""
        return True

    async def _healing(self, work: Callable[[], None]) -> None:
        """Do it; on a damaged file once more, on one that is made anew: memory has all of it."""
        try:
            await _in_thread(self._thread, work)
        except (sqlite3.Error, Damaged) as error:
            if not is_corrupt(error):
                raise
            self._damage = str(error)
            _log.error("store_damaged", found=self._damage, copy="memory", users=len(self._wishes))
            wishes = dict(self._wishes)
            await _in_thread(self._thread, lambda: self._file.remake(wishes))
            await _in_thread(self._thread, work)


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
