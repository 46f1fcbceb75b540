"""Two supervisors of puppets for the tests of this folder: a fixed list, and one by key."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from actors.runtime.messages import RestartByHand
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.dynamic import Cells, DynamicSupervisor
from supervisors.engine.policy import (
    AutoShutdown,
    Exceeded,
    Policy,
    Scope,
    Strategy,
    SupervisorSpec,
)
from supervisors.engine.supervisor import Supervisor
from tests.clock import until
from tests.puppets import Bug, Do, Puppet, Stage, Work, fail, nothing

SOURCE = random.Random(0)  # noqa: S311 - spreads retries
POLICY = Policy(max_restarts=2, window_s=600, backoff_base_s=1, backoff_cap_s=8, shutdown_s=5)
HOUSE_POLICY = Policy(max_restarts=2, window_s=600, backoff_base_s=1, backoff_cap_s=5, park_s=300)


def failing_once() -> Work[None]:
    """Work that is a mistake the first time and none the second."""
    tries: list[int] = []

    async def work(actor: Puppet) -> None:
        tries.append(1)
        if len(tries) == 1:
            await fail(actor)

    return work


@dataclass
class Office:
    """A supervisor of puppets by name, and a diary of what began and ended, in order."""

    stage: Stage
    diary: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    actors: dict[str, list[Puppet]] = field(default_factory=dict)
    hosted: list[Hosted] = field(default_factory=list)
    policy: Policy = POLICY
    exceeded: Exceeded = Exceeded.ESCALATE
    scope: Scope = Scope.TOGETHER
    auto_shutdown: AutoShutdown = AutoShutdown.NEVER
    lives: list[Supervisor] = field(default_factory=list)
    address: Address | None = None

    def in_step(self) -> Policy:
        """A policy under which a failed child takes along those after it."""
        return replace(POLICY, strategy=Strategy.REST_FOR_ONE)

    def patient(self) -> Policy:
        """A policy that nobody exceeds."""
        return replace(POLICY, max_restarts=100)

    def planned(self) -> bool:
        """Whether a restart is going to happen."""
        return any(child.restart_timer for child in self.lives[-1].children.values())

    def hire(
        self,
        name: str,
        *,
        prepare: Work[Any] = nothing,
        finish: Work[Any] = nothing,
        abandon: Work[Any] | None = None,
        starts: Callable[[], None] = lambda: None,
        **spec: Any,
    ) -> Address:
        """Add a child to the list."""
        seen = self.notes.setdefault(name, [])
        actors = self.actors.setdefault(name, [])

        async def begin(actor: Puppet) -> None:
            self.diary.append(f"+{name}")
            await prepare(actor)

        async def end(actor: Puppet) -> None:
            await finish(actor)
            self.diary.append(f"-{name}")

        def start() -> AsyncioActor:
            starts()
            actors.append(Puppet(seen, prepare=begin, finish=end, abandon=abandon))
            return actors[-1]

        self.hosted.append(Hosted.of(ChildSpec(name=name, start=start, **spec), bound=10))
        return self.hosted[-1].address(self.stage.clock)

    def supervisor(self) -> Supervisor:
        """Make a supervisor of all that were hired."""
        spec = SupervisorSpec(
            policy=lambda: self.policy,
            exceeded=self.exceeded,
            scope=self.scope,
            auto_shutdown=self.auto_shutdown,
        )
        self.lives.append(Supervisor(self.hosted, spec, self.stage.surroundings, SOURCE))
        return self.lives[-1]

    async def open(self) -> Supervisor:
        """Start it."""
        supervisor = self.supervisor()
        self.address = self.stage.play(supervisor, "office")
        await supervisor.started
        return supervisor

    async def by_hand(self, name: str, *, at_once: bool = False) -> bool:
        """Let an operator restart a child."""
        assert self.address is not None
        return await self.address.ask(RestartByHand(child=name, at_once=at_once))

    async def crash(self, name: str) -> None:
        """Let a child crash, and wait until its supervisor has dealt with it."""
        self.actors[name][-1].kill(Bug())
        await self.actors[name][-1].wait_ended()
        await until(lambda: self.planned() or self.lives[-1].actor_stopped.is_set())

    async def crash_and_return(self, name: str) -> None:
        """Let a child crash and come back."""
        incarnations = len(self.actors[name])
        await self.crash(name)
        self.stage.clock.advance(POLICY.backoff_cap_s)
        await until(lambda: len(self.actors[name]) > incarnations)
        await self.actors[name][-1].started


@dataclass
class House:
    """Puppets by key; `broken` keys cannot even be constructed."""

    stage: Stage
    notes: dict[str, list[str]] = field(default_factory=dict)
    born: dict[str, list[Puppet]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    prepares: dict[str, Work[Any]] = field(default_factory=dict)
    policy: Policy = HOUSE_POLICY
    address: Address | None = None

    def __post_init__(self) -> None:
        self.cells = Cells("user", self.stage.surroundings)

    def start(self, key: str) -> AsyncioActor:
        """Make an incarnation."""
        if key in self.broken:
            raise Bug
        puppet = Puppet(self.notes.setdefault(key, []), prepare=self.prepares.get(key))
        self.born.setdefault(key, []).append(puppet)
        return self.born[key][-1]

    def supervisor(self) -> DynamicSupervisor:
        """Make a supervisor for the cells."""
        spec = SupervisorSpec(policy=lambda: self.policy, exceeded=Exceeded.PARK, scope=Scope.EACH)
        surroundings = self.stage.surroundings
        return DynamicSupervisor(self.cells, self.start, 3, spec, surroundings, SOURCE)

    async def open(self) -> DynamicSupervisor:
        """Start a supervisor for the cells."""
        supervisor = self.supervisor()
        self.address = self.stage.play(supervisor, "users")
        await supervisor.started
        return supervisor

    async def by_hand(self, key: str, *, at_once: bool = False) -> bool:
        """Let an operator restart a child."""
        assert self.address is not None
        return await self.address.ask(RestartByHand(child=key, at_once=at_once))

    async def crash(self, key: str) -> None:
        """Let somebody crash, and wait until the restart is planned."""
        if key not in self.born:
            await self.cells.address(key).ask(Do(nothing))
        self.born[key][-1].kill(Bug())
        await until(lambda: self.cells.children[key].restart_timer)

    async def crash_and_return(self, key: str) -> None:
        """Let somebody crash and come back."""
        await self.crash(key)
        lives = len(self.born[key])
        self.stage.clock.advance(HOUSE_POLICY.backoff_cap_s)
        await until(lambda: len(self.born[key]) > lives)
        await self.born[key][-1].started
