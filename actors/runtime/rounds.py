"""Rounds of work beside an actor's messages: so many at a time, and what fails is left alone.

What is due is read from the database, so a round that is lost costs time and no work.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from actors.runtime.actor import AsyncioActor

log = structlog.get_logger(__name__)

Item = TypeVar("Item")

#: Items worked on at a time, and read at a time.
AT_ONCE = 8
BATCH = 200


@dataclass(slots=True)
class _Rest:
    """An item that is left alone: after how many failures, and until when."""

    failures: int
    until: float


class Rounds(Generic[Item]):
    """One errand of an actor. There is one round of it at a time, until nothing is left to do."""

    def __init__(
        self,
        actor: AsyncioActor,
        name: str,
        due: Callable[[int], Awaitable[list[Item]]],
        key: Callable[[Item], Hashable],
        work: Callable[[Item, int], Awaitable[float]],
    ) -> None:
        """Describe the errand.

        Args:
            actor: whose it is; a round ends with it.
            name: of the errand, for the log.
            due: reads what is due, at most so many.
            key: what is one item in every reading.
            work: does one item, told how often that failed in a row. Its answer is for how many
                seconds the item is left alone if it is still due; nought where it is done.
        """
        self.actor = actor
        self.name = name
        self.resting: dict[Hashable, _Rest] = {}
        self._due = due
        self._key = key
        self._work = work
        self._running = False

    def begin(self) -> None:
        """Begin a round, unless there is one."""
        if not self._running:
            self._running = True
            self.actor.spawn(self._round(), self.name, drains=True)

    async def _round(self) -> None:
        seen: set[Hashable] = set()
        try:
            async for items in self._readings(seen):
                await at_once(items, self._one)
        finally:
            self._running = False

    async def _readings(self, seen: set[Hashable]) -> AsyncIterator[list[Item]]:
        """What is due and was not worked on in this round; ends with the first empty reading."""
        while not self.actor.draining:
            try:
                # Those that rest may be the oldest: they must not hide the others.
                due = await self._due(BATCH + len(self.resting))
            except self.actor.weather as outage:
                log.warning("round_waits", errand=self.name, reason=str(outage))
                return
            fresh = [item for item in due if self._key(item) not in seen | self._left_alone()]
            self._forget(due)
            if not fresh:
                return
            seen.update(map(self._key, fresh))
            yield fresh

    async def _one(self, item: Item) -> None:
        if self.actor.draining:
            return
        key = self._key(item)
        rest = self.resting.get(key)
        failures = rest.failures if rest else 0
        try:
            rest_s = await self._work(item, failures)
        except self.actor.weather as outage:  # the database's: to the next round
            log.warning("round_waits", errand=self.name, reason=str(outage))
            return
        if rest_s > 0:
            self.resting[key] = _Rest(failures + 1, self.actor.clock.now() + rest_s)
        else:
            self.resting.pop(key, None)

    def _left_alone(self) -> set[Hashable]:
        now = self.actor.clock.now()
        return {key for key, rest in self.resting.items() if rest.until > now}

    def _forget(self, due: Iterable[Item]) -> None:
        """Failures of items that are due no more count no more."""
        still = set(map(self._key, due)) | self._left_alone()
        self.resting = {key: rest for key, rest in self.resting.items() if key in still}


async def at_once(items: Iterable[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    """Do this for each item, at most eight at a time."""
    waiting = iter(items)
    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(_until_empty(waiting, work))


async def _until_empty(waiting: Iterator[Item], work: Callable[[Item], Awaitable[None]]) -> None:
    for item in waiting:
        await work(item)
