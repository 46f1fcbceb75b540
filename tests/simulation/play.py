"""One run: a seed makes a world, its people and its faults; then it has to heal."""

import asyncio
import contextlib
import gc
import logging
import os
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog

from actors.reconciler import decisions
from tests.simulation.backend import Company
from tests.simulation.checks import Watch, unfinished
from tests.simulation.faults import BREEZE, STORM, Trouble
from tests.simulation.loop import SimLoop
from tests.simulation.people import Town
from tests.simulation.plants import PLANTS
from tests.simulation.twin.database import empty
from tests.simulation.world import CALM, Line, Simulated

#: Within so many seconds after the last fault all must be well: orphans have to be seen in two
#: comparisons a minute apart, and a breaker may be open for 72 s before it asks again.
HEAL_S = 300.0
#: How many things happen in a story: mostly few, as more seeds find more than longer stories do.
ACTS = (3, 3, 4, 4, 5, 6, 8, 12)
#: How long a moment of nothing but waiting is looked over at once, seconds.
HURRY_S = 8.0
#: How long the owner waits before he looks at what does not heal by itself, seconds.
THINKS_S = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    error: BaseException | None
    story: list[Line]
    counts: Counter[str]
    steps: int
    virtual_s: float
    healed_s: float
    cpu_s: float
    notes: list[str] = field(default_factory=list)

    @property
    def trace(self) -> int:
        """A number of all that happened: the same seed has the same."""
        lines = tuple((line.at_s, line.who, line.text) for line in self.story)
        return hash((self.steps, self.virtual_s, str(lines)))


class Play:
    """One seed's world from beginning to end."""

    def __init__(self, seed: int) -> None:
        self.loop = SimLoop(random.Random(f"{seed} order"))  # noqa: S311 - chance is the point
        self.world = Simulated(seed, self.loop, random.Random(f"{seed} chance"))  # noqa: S311
        tables = empty(random.Random(f"{seed} tables"))  # noqa: S311
        self.company = Company(self.world, tables)
        self.town = Town(self.company)
        self.trouble = Trouble(self.company, self.town)
        self.watch = Watch(self.company, self.trouble)
        self.healed_s = 0.0

    async def perform(self) -> None:
        """The whole story."""
        chance = self.world.chance
        self.company.begin()
        self.world.air = chance.choice((CALM, BREEZE, BREEZE, STORM))
        self.town.arrive()
        await self._sleep(chance.random() * 3)
        turbulence = chance.choice((0.0, 0.15, 0.25, 0.4))
        for _ in range(chance.choice(ACTS)):
            if chance.random() < turbulence:
                self.trouble.strike()
            else:
                self.town.act()
            await self._gap()
        await self._heal()

    async def _gap(self) -> None:
        chance, roll = self.world.chance, self.world.chance.random()
        if roll < 0.5:
            await self._sleep(chance.random() ** 2)
        elif roll < 0.8:
            await self._leap(chance.random() * 15)
        elif roll < 0.92:
            await self._leap(20 + chance.random() * 900)
        elif roll < 0.96:
            await self._leap(3_600 + chance.random() * 2 * 86_400)
        else:
            await self._to_an_end_of_time()

    async def _to_an_end_of_time(self) -> None:
        """To about when somebody's time is over."""
        now = self.world.database_now()
        ends = sorted(
            row["expires_at"]
            for row in self.company.storage.tables.subscriptions.rows.values()
            if row["status"] == "active" and row["expires_at"] > now + timedelta(seconds=5)
        )
        if not ends:
            await self._sleep(1.0)
            return
        left = (self.world.chance.choice(ends) - now).total_seconds()
        self.world.count("to an end of time")
        await self._leap(max(0.0, left + self.world.chance.uniform(-4.0, 4.0)))
        if self.world.happens(0.5):
            self.town.pay()

    async def _heal(self) -> None:
        """No fault any more: within a while all is well, and stays so."""
        self.trouble.end()
        began = self.loop.time()
        while self.town.busy and self.loop.time() - began < HEAL_S:
            await self._leap(2.0)
        ended = self.loop.time()
        within_s = HEAL_S + self.world.times.furthest_s
        left, wait_s = ["not looked at"], 3.0
        while left and self.loop.time() - ended < within_s:
            await self._leap(wait_s)
            wait_s = min(within_s / 10, wait_s * 2)
            left = unfinished(self.company)
            if left and wait_s > THINKS_S:
                self._look_at_frozen()
        self.world.require(not left, f"all is well {within_s:.0f} s after the last fault", left)
        self.watch.judge_all()
        self.healed_s = self.loop.time() - ended

    def _look_at_frozen(self) -> None:
        """The owner says of a frozen node that who is there without a right may go."""
        for node_id, row in self.company.storage.tables.nodes.rows.items():
            if row["state"] == "frozen":
                site = self.company.sites[node_id]
                self.world.require(
                    site.was_tainted or bool(site.tainted),
                    "a node is only frozen for users without a right",
                    row["reason"],
                )
                self.world.count("node frozen")
                self.town.confirm(node_id, len(site.tainted))

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)  # noqa: TID251 - of the loop's own time

    async def _leap(self, seconds: float) -> None:
        """A while in which waits are looked over several at once."""
        pace = self.loop.pace
        pace.lag_s = max(HURRY_S if seconds > 1 else 0.0, seconds * 0.8)
        pace.until_s = self.loop.time() + seconds
        try:
            await self._sleep(seconds)
        finally:
            pace.lag_s = 0.0


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Whatever is made up by the system comes from the seed."""
    source = random.Random(f"{seed} system")  # noqa: S311
    real, buckets = os.urandom, decisions.FEW_BUCKETS
    os.urandom = source.randbytes
    decisions.FEW_BUCKETS = 16  # few people, and a comparison a minute for days
    gc.disable()
    try:
        yield
    finally:
        os.urandom, decisions.FEW_BUCKETS = real, buckets
        gc.enable()


def _drop(*_: Any) -> Any:
    raise structlog.DropEvent


#: Hears the log, while somebody wants to.
_listeners: list[Callable[[str], None]] = []


def _into_story(_: Any, level: str, entry: Any) -> Any:
    event = entry.pop("event")
    error = entry.pop("exc_info", None)
    about = " ".join(f"{name}={value}" for name, value in entry.items())
    for listener in _listeners:
        listener(f"{level} {event} {about} {error!r}" if error else f"{level} {event} {about}")
    raise structlog.DropEvent


def silent(*, logging_too: bool = False, for_good: bool = False) -> None:
    """No log: a story is told by the world. Or all of it, within the story.

    What is decided `for_good` is faster, and stays in every logger that is used meanwhile.
    """
    level = logging.DEBUG if logging_too else logging.CRITICAL
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, _into_story]
        if logging_too
        else [_drop],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=for_good,
    )


def play(seed: int, plant: str | None = None) -> Outcome:
    """Run one seed, with a bug planted if one is named."""
    began = time.process_time()
    error: BaseException | None = None
    with seeded(seed), ExitStack() as planted:
        show = Play(seed)
        loop = show.loop
        _listeners[:] = [lambda text: show.world.tell("log", text)]
        if plant is not None:
            PLANTS[plant](show.company, planted)
        try:
            loop.run_until_complete(loop.spawn(None, show.perform()))
        except (Exception, asyncio.CancelledError) as broken:  # noqa: BLE001 - any is a finding
            error = broken
        _listeners.clear()
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        loop._ready.clear()
        loop._scheduled.clear()
        loop._asyncgens.clear()  # type: ignore[attr-defined]
        loop.set_exception_handler(lambda *_: None)
        with contextlib.suppress(RuntimeError):
            loop.close()
    return Outcome(
        seed=seed,
        error=error,
        story=show.world.story,
        counts=show.world.counts,
        steps=loop.steps,
        virtual_s=loop.time(),
        healed_s=show.healed_s,
        cpu_s=time.process_time() - began,
    )


@contextmanager
def alone(*, logging_too: bool = False, for_good: bool = False) -> Iterator[None]:
    """For runs of many seeds: nothing is logged, and tasks that never end say no last words."""
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    silent(logging_too=logging_too, for_good=for_good)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # "was never awaited"
        try:
            yield
        finally:
            gc.collect()
            sys.unraisablehook = hook
            structlog.reset_defaults()


def forget() -> None:
    """Let go of what earlier runs left."""
    gc.collect()
