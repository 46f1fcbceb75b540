"""A small tree with everything that operators work with, and a database that can go away."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.events import DeadLetter, Event, EventKind
from config.settings import CONFIG_FOLDER
from config.supervision import load_supervision
from config.tuning import Tunables
from storage.database import Connection, Database
from storage.errors import StorageUnavailable
from storage.operations import OperatorRecords
from supervisors.engine.child import Child, ChildSpec, Hosted
from supervisors.engine.dynamic import Cells, DynamicSupervisor, Partitions
from supervisors.engine.policy import Exceeded, Scope, SupervisorSpec
from supervisors.engine.snapshot import find
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.journal import Journal
from supervisors.operators.operations import LiveOperations
from supervisors.operators.policies import LOOK_INTERVAL_S, POLICIES, PolicyActor, PolicyBoard
from supervisors.root import CHARTERS
from tests.clock import ManualClock
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.puppets import Note, Puppet

DEFAULTS = Tunables.of(load_supervision(CONFIG_FOLDER / "supervision.toml"))
WHO = "tg:5"
#: A token's shape; none of ours.
TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"


class Fickle(Database):
    """A database that goes away, or does what it is told and says that it could not."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool)
        self.away = False
        #: How many commits go unanswered.
        self.silent = 0

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """See `Database`."""
        if self.away:
            raise StorageUnavailable("away")
        async with super().read() as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """See `Database`."""
        async with super().transaction() as connection:
            yield connection
        if self.silent:
            self.silent -= 1
            raise StorageUnavailable("the answer was lost")


class Patient(Puppet):
    """A user whose inbox takes a few."""

    mailbox_bound: ClassVar[int] = 3

    def describe(self) -> dict[str, Any]:
        """With what should not be shown."""
        return {"seen": len(self.seen), "last": TOKEN, "api_key": "short"}


@dataclass
class Stand:
    """The tree root -> (office -> (clerk, bell), policies), users -> users/00 -> user/<key>.

    Its clock stands still; it is the tree's `Observer` and remembers.
    """

    database: Fickle
    records: OperatorRecords
    clock: ManualClock = field(default_factory=ManualClock)
    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    seen: dict[str, list[str]] = field(default_factory=dict)
    directory: Directory = field(default_factory=Directory)
    board: PolicyBoard = field(default_factory=lambda: PolicyBoard(DEFAULTS))

    def __post_init__(self) -> None:
        self.journal = Journal(self.clock, [11])
        self.surroundings = Surroundings(
            clock=self.clock, weather=(StorageUnavailable,), observer=self
        )
        self.partitions = Partitions("user", 1, self.surroundings)
        self.directory.register_family("user", self.partitions.address)
        self.root = self._tree()
        self.operations = LiveOperations(
            root=lambda: self.root,
            charters=CHARTERS,
            board=self.board,
            records=self.records,
            directory=self.directory,
            observer=self,
            messages={("user", "Note"): Note},
        )

    def event(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)
        self.journal.event(event)

    def dead_letter(self, letter: DeadLetter) -> None:
        """See `Observer`."""
        self.letters.append(letter)
        self.journal.dead_letter(letter)

    def of(self, kind: EventKind) -> list[Event]:
        """What happened of one kind."""
        return [event for event in self.events if event.kind is kind]

    def child(self, name: str) -> Child:
        """A child as it stands."""
        found = find(self.root, name)
        assert found is not None, f"there is no {name}"
        return found[1]

    def user(self, key: str) -> Address:
        """A user, started by the first message."""
        return self.partitions.address(key)

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for something that happens by itself; no clock moves."""

        async def held() -> bool:
            return bool(holds())

        await eventually(held)

    async def pass_seconds(self, seconds: int) -> None:
        """Let the tree's clock go on, each second until the policies have been looked after."""
        for _ in range(seconds):
            await self.until(lambda: LOOK_INTERVAL_S in self.clock.delays)
            self.clock.advance(LOOK_INTERVAL_S)
        await self.until(lambda: LOOK_INTERVAL_S in self.clock.delays)
        mailbox = self.child(POLICIES).mailbox
        await self.until(lambda: mailbox.empty() and mailbox.in_hand is None)

    async def actions(self) -> list[tuple[str, str, str, str]]:
        """What operators did, oldest first."""
        found = await self.records.actions(100)
        return [(one.actor, one.action, one.target, one.reason) for one in reversed(found)]

    def policy_actor(self) -> AsyncioActor:
        """The actor that changes policies."""
        return PolicyActor(self.board, self.records, self)

    def _tree(self) -> Supervisor:
        clerk = self._hosted("clerk", lambda: self._puppet("clerk"))
        office = self._branch("office", [clerk, self._hosted("bell", AsyncioActor)], "operators")
        policies = self._hosted(POLICIES, self.policy_actor)
        self.directory.register(POLICIES, policies.address(self.clock))
        (cells,) = self.partitions.cells
        users = self._branch("users", [self._hosted("users/00", self._users(cells))], "root")
        spec = self._spec("root")
        return Supervisor([office, policies, users], spec, self.surroundings, self._source())

    def _users(self, cells: Cells) -> Callable[[], AsyncioActor]:
        return lambda: DynamicSupervisor(
            cells,
            lambda key: Patient(self.seen.setdefault(key, [])),
            Patient.mailbox_bound,
            self._spec("users", Exceeded.PARK, Scope.EACH),
            self.surroundings,
            self._source(),
        )

    def _puppet(self, name: str) -> Puppet:
        return Puppet(self.seen.setdefault(name, []))

    def _branch(self, name: str, children: list[Hosted], policy: str) -> Hosted:
        return self._hosted(
            name,
            lambda: Supervisor(children, self._spec(policy), self.surroundings, self._source()),
        )

    def _spec(
        self,
        name: str,
        exceeded: Exceeded = Exceeded.KEEP_TRYING,
        scope: Scope = Scope.EACH,
    ) -> SupervisorSpec:
        return SupervisorSpec(policy=self.board.policy(name), exceeded=exceeded, scope=scope)

    def _hosted(self, name: str, start: Callable[[], AsyncioActor]) -> Hosted:
        return Hosted.of(ChildSpec(name=name, start=start))

    def _source(self) -> random.Random:
        return random.Random(0)  # noqa: S311 - spreads retries


@asynccontextmanager
async def standing(database: Fickle, **changes: Any) -> AsyncIterator[Stand]:
    """A tree that stands as long as the context."""
    stand = Stand(database, OperatorRecords(database), **changes)
    stand.root.begin_life("root")
    await stand.root.started
    try:
        yield stand
    finally:
        stand.root.stop()
        await stand.root.wait_ended()


async def pass_time(rows: Rows, seconds: float) -> None:
    """Make every change of a setting so many seconds older."""
    async with rows.transaction():
        await rows.execute("SET LOCAL session_replication_role = replica")
        await rows.execute(
            "UPDATE settings_history SET at = at - make_interval(secs => $1),"
            " revert_at = revert_at - make_interval(secs => $1)",
            seconds,
        )
