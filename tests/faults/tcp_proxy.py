"""A TCP proxy before PostgreSQL: it refuses, stalls, and cuts, also at the very moment of a commit.

What it does wrong it counts; a fault that never fired proves nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, quote, urlsplit

#: As asyncpg ends a transaction.
COMMIT = b"COMMIT;\0"
CHUNK_BYTES = 64 * 1024


class Mood(StrEnum):
    """How all connections fare."""

    WELL = "well"
    REFUSING = "refusing"
    """New ones end at once; those that are there stay."""
    STALLING = "stalling"
    """Bytes wait, both ways."""


@dataclass
class CommitCut:
    """Connections end where a COMMIT leaves for the server.

    Attributes:
        delivered: whether the server hears it; the client does not learn either way.
        every: of so many commits one, from the first on.
        times: how often at most.
    """

    delivered: bool
    every: int = 1
    times: int = 1
    seen: int = 0
    hits: int = 0

    def take(self) -> bool:
        """Whether this commit is cut, which then counts."""
        self.seen += 1
        if self.hits >= self.times or (self.seen - 1) % self.every:
            return False
        self.hits += 1
        return True


class TcpProxy:
    """One before one server. `url` is what the back-end is to be told."""

    def __init__(self, database_url: str) -> None:
        """Stand before the server of a database."""
        self._target = database_url
        self.url = ""
        self.hits = 0
        self._mood = Mood.WELL
        self._calm = asyncio.Event()
        self._calm.set()
        self._commits: CommitCut | None = None
        self._bytes_left: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def well(self) -> bool:
        """Whether connections fare well."""
        return self._mood is Mood.WELL

    # What goes wrong

    def refuse(self) -> None:
        """From now on nobody gets in, and whoever was in is out."""
        self._mood = Mood.REFUSING
        self.cut()

    def stall(self) -> None:
        """From now on nothing is said or heard."""
        self._mood = Mood.STALLING
        self._calm.clear()

    def mend(self) -> None:
        """All is well again."""
        self._mood = Mood.WELL
        self._calm.set()
        self._commits = self._bytes_left = None

    def cut(self) -> None:
        """End every connection now."""
        for writer in self._open:
            writer.transport.abort()
        self.hits += bool(self._open)

    def cut_after(self, sent_bytes: int) -> None:
        """End every connection when so many more bytes have left for the server, over all."""
        self._bytes_left = sent_bytes

    def cut_commits(self, *, delivered: bool, every: int = 1, times: int = 1) -> CommitCut:
        """See `CommitCut`; its `hits` tell how often it fired."""
        self._commits = CommitCut(delivered=delivered, every=every, times=times)
        return self._commits

    # The proxy

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["TcpProxy"]:
        """Listen on a free port of loopback while the context lasts."""
        server = await asyncio.start_server(self._enter, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        parts = urlsplit(self._target)
        user = quote(parts.username or "postgres")
        self.url = parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="").geturl()
        try:
            yield self
        finally:
            server.close()
            self.mend()
            for writer in self._open:
                writer.transport.abort()
            await asyncio.gather(*self._tasks)

    async def _enter(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if self._mood is Mood.REFUSING:
                self.hits += 1
                writer.transport.abort()
                return
            await self._serve(reader, writer)
        finally:
            self._tasks.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, ours = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, ours}
        try:
            await asyncio.gather(
                self._pass(reader, ours, writer, checked=True), self._pass(theirs, writer, ours)
            )
        finally:
            self._open -= {writer, ours}

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._target)
        folder = parse_qs(parts.query).get("host", [""])[0]
        port = parts.port or 5432
        if folder.startswith("/"):
            return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
        return await asyncio.open_connection(parts.hostname or "127.0.0.1", port)

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        *,
        checked: bool = False,
    ) -> None:
        """Hand on one direction until it ends; then the other one ends too."""
        tail = b""
        with suppress(OSError):
            while chunk := await source.read(CHUNK_BYTES):
                if not self._calm.is_set():
                    self.hits += 1
                    await self._calm.wait()
                if checked:
                    chunk, ends = self._judged(tail, chunk)
                    sink.write(chunk)
                    if ends:
                        await _sent(sink)
                        break
                    tail = (tail + chunk)[1 - len(COMMIT) :]
                else:
                    sink.write(chunk)
                await sink.drain()
        # What was written goes out; what the other side still says is heard by nobody.
        back.transport.abort()
        sink.close()

    def _judged(self, tail: bytes, chunk: bytes) -> tuple[bytes, bool]:
        """What of a chunk goes on to the server, and whether the connection ends behind it."""
        if self._bytes_left is not None:
            self._bytes_left -= len(chunk)
            if self._bytes_left <= 0:
                keep = len(chunk) + self._bytes_left
                self._bytes_left = None
                self.hits += 1
                return chunk[:keep], True
        commit = (tail + chunk).find(COMMIT)
        if self._commits is None or commit < 0 or not self._commits.take():
            return chunk, False
        self.hits += 1
        if self._commits.delivered:
            return chunk, True
        return chunk[: max(0, commit - len(tail) - 5)], True  # without its type and length


async def _sent(sink: asyncio.StreamWriter) -> None:
    """Until the kernel has all of it."""
    sink.transport.set_write_buffer_limits(0)
    await sink.drain()
