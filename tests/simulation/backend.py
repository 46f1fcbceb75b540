"""Lives of the back-end: the program's own wiring in a simulated world, killed and started again.

A killed process runs nothing any more, not even its last words; its transaction is taken back, and
what it has sent goes on travelling.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from actors.runtime.actor import AsyncioActor
from actors.runtime.clock import HostTime
from actors.runtime.events import Event, EventKind
from actors.runtime.messages import Tick
from actors.runtime.replies import Hung, Unavailable
from bot.texts import Texts
from config.settings import Settings
from storage.database import Database
from storage.errors import StorageUnavailable
from supervisors.engine.patrol import supervisors
from supervisors.operators.journal import Journal
from supervisors.run import _until_the_end
from supervisors.wiring import Backend, wire
from supervisors.world import World
from tests.simulation.door import Outside, SimDoor
from tests.simulation.loop import Process, SimClock, SimLoop, process
from tests.simulation.money import TERMS, Till
from tests.simulation.nodes import NodeLine, Site
from tests.simulation.telegram import SimBot
from tests.simulation.twin.connection import Moment
from tests.simulation.twin.database import TwinDatabase
from tests.simulation.twin.registry import TWINS, Twin
from tests.simulation.twin.tables import Tables
from tests.simulation.world import Simulated

#: What an actor may end by: our kills, outages, and a leap of time within its work.
ENDS = (asyncio.CancelledError, StorageUnavailable, Unavailable, Hung)
NODES = ("node-1", "node-2")
OWNER = 1
MASTER = "a master secret of simulations, long enough"


@cache
def settings() -> Settings:
    """Of every simulated back-end."""
    return Settings.model_validate(
        {
            "data_dir": Path("/nonexistent"),
            "telegram": {"token": "123456:simulated", "admins": [OWNER]},
            "security": {"keys": [MASTER]},
            "nodes": [
                {
                    "id": node_id,
                    "title": node_id,
                    "url": f"https://{node_id}.example.com",
                    "api_keys": ["k" * 32],
                }
                for node_id in NODES
            ],
        }
    )


class Idle(AsyncioActor):
    """Stands where the simulation needs nobody."""

    async def on_tick(self, message: Tick) -> None:
        """Somebody thinks that there is something to do."""


class Turn:
    """Whose transaction runs. A process that dies has its own taken back, and the next begins."""

    def __init__(self, loop: SimLoop, tables: Tables) -> None:
        self._loop = loop
        self._tables = tables
        self._taken = False
        self._holder: Process | None = None
        self._waiting: deque[tuple[asyncio.Future[None], Process | None]] = deque()

    async def acquire(self) -> bool:
        """Wait for one's turn."""
        me = process.get()
        while self._taken:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append((turn, me))
            await turn
        self._taken, self._holder = True, me
        return True

    def release(self) -> None:
        """Let the next one go on."""
        self._taken, self._holder = False, None
        while self._waiting:
            turn, waiter = self._waiting.popleft()
            if not turn.done() and not (waiter and waiter.dead):
                turn.set_result(None)
                return

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def bury(self, dead: Process) -> None:
        """A process has died: its transaction never was."""
        if self._taken and self._holder is dead:
            self._tables.undo()
            self.release()


class Storage:
    """The database server, over all lives: its tables, its weather, its commits."""

    def __init__(self, world: Simulated, tables: Tables) -> None:
        self.world = world
        self.tables = tables
        self.turn = Turn(world.loop, tables)
        tables.turn = cast("Any", self.turn)
        self.away = False
        #: Probabilities of one transaction.
        self.lost = 0.0
        self.unknown = 0.0
        #: Called after each commit with what it changed: tables and primary keys.
        self.committed: Callable[[set[tuple[str, Any]]], None] = lambda _: None
        self.twins: Mapping[str, Twin] = TWINS
        self._touched: set[tuple[str, Any]] = set()

    def database(self) -> TwinDatabase:
        """A process's connections."""
        return TwinDatabase(self.tables, self.world.database_now, self._pause, self.twins)

    async def _pause(self, moment: Moment) -> None:
        world = self.world
        match moment:
            case Moment.BEGIN | Moment.READ:
                if world.chance.random() < 0.15:
                    await asyncio.sleep(world.chance.random() * 0.004)  # noqa: TID251
                if self.away:
                    world.count("database away")
                    raise StorageUnavailable("connection refused")
            case Moment.BEFORE_COMMIT:
                if self.away or world.happens(self.lost):
                    world.count("commit lost")
                    raise StorageUnavailable("connection reset")
                self._touched = {(table.schema.name, key) for table, key, _ in self.tables.log}
            case Moment.AFTER_COMMIT:
                touched, self._touched = self._touched, set()
                self.committed(touched)
                if world.happens(self.unknown):
                    world.count("commit unknown")
                    names = sorted({name for name, _ in touched})
                    world.tell("database", f"committed {', '.join(names)}, and nobody hears it")
                    raise StorageUnavailable("connection reset")
                if world.chance.random() < 0.15:
                    await asyncio.sleep(world.chance.random() * 0.004)  # noqa: TID251


class Life:
    """One process."""

    def __init__(self, company: "Company", number: int) -> None:
        self.process = Process(f"life {number}")
        self.backend: Backend | None = None
        self.status: int | None = None
        self._company = company
        self.task = company.world.loop.spawn(self.process, self._run())

    async def _run(self) -> None:
        company = self._company
        try:
            async with wire(settings(), company.outfit()) as backend:
                self.backend = backend
                company.listen(self, backend.journal)
                backend.root.begin_life("root")
                self.status = await _until_the_end(backend, asyncio.Event())
        except StorageUnavailable:
            self.status = 1
        company.ended(self)

    def actors(self) -> list[tuple[str, AsyncioActor]]:
        """All its actors by name, supervisors left out."""
        if self.backend is None:
            return []
        return [
            (name, child.actor)
            for supervisor in list(supervisors(self.backend.root))
            for name, child in list(supervisor.children.items())
            if child.actor is not None
            and child.actor is not supervisor
            and not hasattr(child.actor, "children")
        ]


class Company:
    """The back-end over all its lives, and what is around it."""

    def __init__(self, world: Simulated, tables: Tables) -> None:
        self.world = world
        self.storage = Storage(world, tables)
        self.outside = Outside(world)
        self.tills = {name: Till(world, terms) for name, terms in TERMS.items()}
        self.sites = {node_id: Site(world, node_id) for node_id in NODES}
        self.lives: list[Life] = []
        self.outside.idle = self._leaves
        self._numbers = 0
        self._healing = False

    @property
    def life(self) -> Life:
        """The process that owns the database, or will."""
        return self.lives[-1]

    def begin(self) -> None:
        """Start a process; another one that runs is shut out by it."""
        self._numbers += 1
        self.world.tell("back-end", f"life {self._numbers} begins")
        self.lives.append(Life(self, self._numbers))

    def kill(self) -> None:
        """As kill -9."""
        for life in self.lives:
            if not life.process.dead:
                life.process.dead = True
                buried = self.world.loop.kill(life.process)
                self.storage.turn.bury(life.process)
                self.world.tell(
                    "back-end", f"{life.process.name} is killed, {buried} tasks with it"
                )
        self.outside.web = None

    def listen(self, life: Life, journal: Journal) -> None:
        """No actor ends by a bug, and no message is a dead letter by one."""
        heard = journal.event

        def event(happened: Event) -> None:
            error = happened.error
            if happened.kind is EventKind.CRASHED and life is self.life:
                fine = error is None or isinstance(error, ENDS)
                self.world.count(f"actor ended by {type(error).__name__}")
                self.world.require(
                    fine, "no actor ends by a bug", f"{happened.actor}: {error!r} {happened.reason}"
                )
            heard(happened)

        journal.event = event  # type: ignore[assignment, method-assign]

    def _leaves(self, user_id: int) -> None:
        """A user's actor has been idle for long enough."""
        for name, actor in self.life.actors():
            if name == str(user_id):
                actor.leave()
                self.world.count("user's actor leaves")

    def ended(self, life: Life) -> None:
        """A process came to its end by itself; a service manager starts it again."""
        self.world.tell("back-end", f"{life.process.name} ends with status {life.status}")
        self.world.count(f"process ended with {life.status}")
        if life is self.life:
            self.world.later(2.0, lambda: self._again(life))

    def _again(self, life: Life) -> None:
        if life is self.life:
            life.process.dead = True
            self.world.loop.kill(life.process)
            self.storage.turn.bury(life.process)
            self.begin()

    def outfit(self) -> World:
        """The world, as a process is wired to it."""
        loop, world = self.world.loop, self.world
        return World(
            clock=lambda: SimClock(loop),
            host=HostTime(epoch=world.host_epoch, steady=loop.time),
            source=lambda: random.Random(world.chance.random()),  # noqa: S311 - the seed's
            database=self._opened,
            node=lambda entry: NodeLine(self.sites[entry.id]),
            bot=lambda _: cast("Any", SimBot(self.outside.telegram)),
            ways=lambda *_: cast("Any", self.tills),
            door=self._door,
            texts=lambda: cast("Texts", None),
            control=lambda *_: Idle(),
        )

    @asynccontextmanager
    async def _opened(self, _: Settings) -> AsyncIterator[Database]:
        yield self.storage.database()

    def _door(self, _: Any, **parts: Any) -> SimDoor:
        for unused in ("guard", "http"):
            parts.pop(unused, None)
        return SimDoor(self.outside, **parts)


__all__ = ["NODES", "OWNER", "Company", "Life", "settings"]
