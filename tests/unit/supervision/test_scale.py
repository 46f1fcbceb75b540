"""A hundred thousand users come, are idle, leave and come back: nothing is lost, nothing stays."""

import gc
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pykka
import pytest
import structlog

from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from supervisors.engine.dynamic import DynamicSupervisor, Partitions
from supervisors.engine.patrol import look_after
from supervisors.engine.policy import Exceeded, Policy, Scope, SupervisorSpec
from tests.clock import turn
from tests.puppets import Stage

KEYS = 100_000
PARTITIONS = 16
IDLE_S = 300.0
POLICY = Policy(
    max_restarts=6, window_s=60, backoff_base_s=0.1, backoff_cap_s=5, idle_after_s=IDLE_S
)
SPEC = SupervisorSpec(policy=lambda: POLICY, exceeded=Exceeded.PARK, scope=Scope.EACH)


@dataclass(frozen=True, slots=True)
class Visit:
    """One of several messages for a key."""

    number: int


class Town:
    """All partitions, and what each key has been told, over all its lives."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        self.handled = 0
        self.born = 0
        self.partitions = Partitions("user", PARTITIONS, stage.surroundings)
        self.supervisors = [
            DynamicSupervisor(
                cells,
                self.start,
                mailbox_bound=32,
                spec=SPEC,
                surroundings=stage.surroundings,
                source=random.Random(0),  # noqa: S311 - spreads retries
            )
            for cells in self.partitions.cells
        ]

    def start(self, key: str) -> AsyncioActor:
        """Make an incarnation."""
        self.born += 1
        return Citizen(self, key)

    async def open(self) -> None:
        """Begin to take messages."""
        for number, supervisor in enumerate(self.supervisors):
            self.stage.play(supervisor, f"users-{number}")
            await supervisor.started

    def addresses(self) -> list[Address]:
        """Where every key is reached."""
        return [self.partitions.address(f"{key}") for key in range(KEYS)]

    def look_after(self, part: slice = slice(None)) -> None:
        """The patrol comes by some of the partitions."""
        for supervisor in self.supervisors[part]:
            look_after(supervisor, self.stage.clock.now())

    @property
    def living(self) -> int:
        """How many children there are."""
        return sum(len(supervisor.children) for supervisor in self.supervisors)


class Citizen(AsyncioActor):
    """Writes down what it is told, in a book that outlives it."""

    def __init__(self, town: Town, key: str) -> None:
        super().__init__()
        self.town = town
        self.key = key

    async def on_visit(self, message: Visit) -> None:
        """Write it down."""
        self.town.heard[self.key].append(message.number)
        self.town.handled += 1


@pytest.fixture(autouse=True)
def _no_detours() -> Iterator[None]:
    """No full collection walks 100,000 living actors, and no log of their births is kept."""
    gc.disable()
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(40),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    yield
    structlog.configure(**before)
    gc.enable()


async def enough(holds: Callable[[], object]) -> None:
    """Turns until something holds; `patience` ends it if that never comes."""
    while not holds():
        await turn()


async def test_a_hundred_thousand_actors_come_and_go_and_no_message_is_lost(
    stage: Stage,
) -> None:
    town = Town(stage)
    await town.open()
    addresses = town.addresses()

    # Everybody comes.
    for address in addresses:
        address.tell(Visit(0))
    await enough(lambda: town.handled == KEYS)
    await turn()
    assert (town.living, town.born) == (KEYS, KEYS)

    # Everybody is idle. Some hear something more at the very moment of leaving, before the patrol
    # or just after it, and some so many turns of the loop later.
    stage.clock.advance(IDLE_S)
    told = KEYS
    for address in addresses[0::10]:
        address.tell(Visit(1))
        told += 1
    town.look_after()
    for turns in range(1, 10):
        for address in addresses[turns::10]:
            address.tell(Visit(1))
            told += 1
        await turn()
    await enough(lambda: town.handled == told)
    came_back = town.born - KEYS
    assert came_back > KEYS // 10  # a good part met an actor that was leaving, or had left

    # Everybody leaves, and the keys at the end of the list come back to an empty house.
    await turn()
    stage.clock.advance(IDLE_S)
    town.look_after()
    await enough(lambda: town.living == 0)
    for address in addresses[-1_000:]:
        address.tell(Visit(2))
    await enough(lambda: town.handled == told + 1_000)
    await turn()
    stage.clock.advance(IDLE_S)
    town.look_after()
    await enough(lambda: town.living == 0)

    assert len(town.heard) == KEYS
    wrong = {
        key: visits
        for key, visits in town.heard.items()
        if visits != ([0, 1, 2] if int(key) >= KEYS - 1_000 else [0, 1])
    }
    assert wrong == {}
    assert [one for one in pykka.ActorRegistry.get_all() if one.actor_class is Citizen] == []
    assert stage.endings == []
