"""A connection to the twin: the part of asyncpg's that `storage/` uses.

One transaction runs at a time; a statement outside of one waits for it to end, as if it had come
after it. Statements take no time: nothing else runs between two of a transaction.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from types import TracebackType
from typing import Any
from uuid import UUID

import asyncpg

from tests.simulation.twin.registry import Record, Twin, twin_of
from tests.simulation.twin.tables import Tables, refuse


class Moment(Enum):
    """Where a simulation may hold a caller up, or fail it."""

    #: Before a transaction, which has changed nothing and holds up nobody.
    BEGIN = auto()
    #: All is done and nothing is kept: an error here takes everything back.
    BEFORE_COMMIT = auto()
    #: All is kept: after an error here the caller does not know it.
    AFTER_COMMIT = auto()
    #: Before a statement outside of a transaction.
    READ = auto()


Pause = Callable[[Moment], Awaitable[None]]


@dataclass(slots=True)
class Line:
    """What a process's connections have in common, and whether it is cut."""

    tables: Tables
    now: Callable[[], datetime]
    pause: Pause
    twins: Mapping[str, Twin]
    cut: bool = False


class TwinConnection:
    """A session; transactions inside of transactions are savepoints."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._tables = line.tables
        self._pause = line.pause
        self._within = False
        self._broken = False

    @property
    def within(self) -> bool:
        """Whether a transaction is open."""
        return self._within

    def transaction(self) -> "TwinTransaction":
        """What is done within is kept whole, or not at all."""
        return TwinTransaction(self)

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run a statement; its command tag."""
        done = self._run(query, arguments) if self._within else await self._alone(query, arguments)
        return f"{_verb(query)} {done if isinstance(done, int) else len(done)}"

    async def executemany(self, query: str, many: Iterable[tuple[Any, ...]]) -> None:
        """Run a statement again and again, as one."""
        if not self._within:
            async with self.transaction():
                await self.executemany(query, many)
            return
        for arguments in many:
            self._run(query, arguments)

    async def fetch(self, query: str, *arguments: Any) -> list[Record]:
        """Run a statement; all rows of its answer."""
        done = self._run(query, arguments) if self._within else await self._alone(query, arguments)
        return [] if isinstance(done, int) else done

    async def fetchrow(self, query: str, *arguments: Any) -> Record | None:
        """Run a statement; the first row of its answer."""
        done = self._run(query, arguments) if self._within else await self._alone(query, arguments)
        return None if isinstance(done, int) or not done else done[0]

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Run a statement; the first value of its answer."""
        done = self._run(query, arguments) if self._within else await self._alone(query, arguments)
        return None if isinstance(done, int) or not done else next(iter(done[0].values()))

    async def begin(self) -> int:
        """Begin a transaction, or a savepoint: what to go back to."""
        if self._within:
            return len(self._tables.log)
        await self._pause(Moment.BEGIN)
        await self._tables.turn.acquire()
        self._tables.begin(self._line.now)
        self._within = True
        return 0

    async def end(self, mark: int, *, inner: bool, failed: bool) -> None:
        """Keep what was done since `begin`, or take it back."""
        if inner:
            if failed:
                self._tables.undo(mark)
                self._broken = False
            return
        try:
            if not failed and not self._broken:
                await self._pause(Moment.BEFORE_COMMIT)
                self._refuse_if_cut()
                self._tables.keep()
        finally:
            self._tables.undo()
            self._within = self._broken = False
            self._tables.turn.release()
        if not failed:
            await self._pause(Moment.AFTER_COMMIT)

    def _run(self, query: str, arguments: Iterable[Any]) -> list[Record] | int:
        """Run a statement of the transaction; after one that failed no other runs."""
        self._refuse_if_cut()
        if self._broken:
            raise asyncpg.InFailedSQLTransactionError(
                "current transaction is aborted, commands ignored until its end"
            )
        try:
            return self._answer(query, arguments)
        except asyncpg.PostgresError:
            self._broken = True
            raise

    async def _alone(self, query: str, arguments: Iterable[Any]) -> list[Record] | int:
        """Run a statement outside of a transaction."""
        await self._pause(Moment.READ)
        async with self._tables.turn:
            self._refuse_if_cut()
            self._tables.begin(self._line.now)
            try:
                return self._answer(query, arguments)
            except BaseException:
                self._tables.undo()
                raise
            finally:
                self._tables.keep()

    def _answer(self, query: str, arguments: Iterable[Any]) -> list[Record] | int:
        twin = self._line.twins.get(query) or twin_of(query, self._line.twins)
        return twin(
            self._tables,
            *[
                argument if type(argument) in AS_THEY_ARE else _plain(argument)
                for argument in arguments
            ],
        )

    def _refuse_if_cut(self) -> None:
        if self._line.cut:
            raise asyncpg.ConnectionDoesNotExistError("connection was closed")


class TwinTransaction:
    """A block that is kept whole, or not at all."""

    def __init__(self, connection: TwinConnection) -> None:
        self._connection = connection
        self._mark = 0
        self._inner = False

    async def __aenter__(self) -> None:
        self._inner = self._connection.within
        self._mark = await self._connection.begin()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._connection.end(self._mark, inner=self._inner, failed=kind is not None)


#: Types of arguments that need no second look.
AS_THEY_ARE = frozenset({type(None), bool, int, float, bytes, datetime, timedelta, UUID, dict})


def _plain(argument: Any) -> Any:
    """An argument as it crosses the wire."""
    if isinstance(argument, str):
        if "\0" in argument:
            refuse(asyncpg.CharacterNotInRepertoireError, "invalid byte sequence: 0x00")
        return argument.value if isinstance(argument, Enum) else argument
    if type(argument) is list:
        return [_plain(item) for item in argument]
    return argument


def _verb(query: str) -> str:
    verb = query.split(maxsplit=1)[0]
    return "INSERT 0" if verb == "INSERT" else verb
