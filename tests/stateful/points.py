"""Where a life of the back-end can be stopped: both sides of every transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import TYPE_CHECKING

from storage.database import Connection, Database

if TYPE_CHECKING:
    import asyncpg


class Side(StrEnum):
    """Where one stands beside a transaction."""

    LOOK = "look"
    """Before it begins, or before a reading."""
    BEFORE = "before"
    """All is written, nothing is committed."""
    AFTER = "after"
    """Committed, and nobody has heard of it."""


class Points:
    """Counts the points that are passed, and stops the life at the one that is armed.

    Attributes:
        passed: every point, in order.
        waiting: how many tasks stand at a point.
        stopped: set once the armed point is reached.
        visit: awaited at each point, by whoever stands there.
    """

    def __init__(self) -> None:
        self.passed: list[Side] = []
        self.waiting = 0
        self.stopped = asyncio.Event()
        self.visit: Callable[[Side], Awaitable[None]] | None = None
        self._armed: tuple[Side, int] | None = None
        self._haunts = False
        self._go_on = asyncio.Event()

    def arm(self, side: Side, number: int, *, haunts: bool = False) -> None:
        """Stop at the so-manieth of these points from now; who `haunts` goes on later."""
        self._armed, self._haunts = (side, number), haunts

    def disarm(self) -> None:
        """Stop nowhere."""
        self._armed = None

    def haunt(self) -> None:
        """Whoever was stopped goes on as if nothing had happened."""
        self._armed = None
        self._go_on.set()

    async def reached(self, side: Side) -> None:
        """Pass a point, or stand there."""
        self.passed.append(side)
        if self.stopped.is_set():
            # A take-over waits for effects that run: what is to haunt it must not hold a row.
            if not (self._haunts and side is Side.BEFORE):
                await self._stand()
            return
        if self._armed is not None and self._armed[0] is side:
            self._armed = (side, self._armed[1] - 1)
            if self._armed[1] == 0:
                self.stopped.set()
                await self._stand()
                return
        if self.visit is not None:
            await self.visit(side)

    async def _stand(self) -> None:
        self.waiting += 1
        try:
            await self._go_on.wait()
        finally:
            self.waiting -= 1


class PointedDatabase(Database):
    """A database at whose transactions a life can be stopped."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", points: Points) -> None:
        super().__init__(pool)
        self.points = points

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """See `Database`."""
        await self.points.reached(Side.LOOK)
        async with super().read() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """See `Database`."""
        async with super().transaction() as connection:
            yield connection
            await self.points.reached(Side.BEFORE)
        await self.points.reached(Side.AFTER)
