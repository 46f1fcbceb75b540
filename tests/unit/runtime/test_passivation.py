"""An actor with nothing to do leaves; no message notices, whenever it comes."""

import asyncio
import random

import pytest

from actors.runtime.actor import AsyncioActor
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.dynamic import Cells, DynamicSupervisor
from supervisors.engine.patrol import look_after
from supervisors.engine.policy import Exceeded, Policy, Scope, SupervisorSpec
from supervisors.engine.supervisor import Supervisor
from tests.clock import turn, until
from tests.puppets import Do, Gate, Note, Puppet, Stage, Work, fail

IDLE_S = 300.0
POLICY = Policy(max_restarts=6, window_s=60, backoff_base_s=1, backoff_cap_s=5, idle_after_s=IDLE_S)
SPEC = SupervisorSpec(policy=lambda: POLICY, exceeded=Exceeded.PARK, scope=Scope.EACH)


class Patient(Puppet):
    """May take as long as it likes."""

    hung_after_s = None


class Lodgings:
    """A dynamic supervisor whose puppets share a notebook, with a record of who lived when."""

    def __init__(self, stage: Stage, finish: Work[None] | None = None) -> None:
        self.stage = stage
        self.seen: list[str] = []
        self.born: list[Puppet] = []
        self.cells = Cells("user", stage.surroundings)
        self.finish = finish
        self.kind = Puppet
        self.supervisor = DynamicSupervisor(
            self.cells,
            self.start,
            mailbox_bound=32,
            spec=SPEC,
            surroundings=stage.surroundings,
            source=random.Random(0),  # noqa: S311 - spreads retries
        )
        self.address = self.cells.address("7")

    def start(self, _: str) -> AsyncioActor:
        """Make an incarnation, or make sure that two never live together."""
        assert all(actor.actor_stopped.is_set() for actor in self.born)
        self.born.append(self.kind(self.seen, finish=self.finish))
        return self.born[-1]

    async def open(self) -> "Lodgings":
        """Begin to take messages."""
        self.stage.play(self.supervisor, "users")
        await self.supervisor.started
        return self

    def look_after(self, idle_s: float = IDLE_S) -> None:
        """Let this time pass, then let the patrol come by."""
        self.stage.clock.advance(idle_s)
        look_after(self.supervisor, self.stage.clock.now())

    @property
    def gone(self) -> bool:
        """Whether nobody lives here, and the name is free."""
        return not self.supervisor.children


async def ready(actor: AsyncioActor) -> None:
    """Until an actor waits for a message."""
    await actor.started
    await turn()
    await turn()


async def test_an_idle_actor_leaves_after_its_time(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("one"))
    await ready(lodgings.born[0])

    lodgings.look_after(IDLE_S - 0.001)
    await ready(lodgings.born[0])
    assert not lodgings.gone
    lodgings.look_after(0.001)

    await until(lambda: lodgings.gone)
    assert lodgings.born[0].actor_stopped.is_set()
    assert stage.clock.timers == []


async def test_every_message_begins_the_idle_time_anew(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    for _ in range(3):
        await lodgings.address.ask(Note("one"))
        await ready(lodgings.born[0])
        lodgings.look_after(IDLE_S - 1)
        await ready(lodgings.born[0])

    assert len(lodgings.born) == 1
    assert not lodgings.gone


async def test_a_message_in_hand_is_not_idleness(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage).open()
    lodgings.kind = Patient
    asked = asyncio.ensure_future(lodgings.address.ask(Do(gate), timeout_s=10 * IDLE_S))
    await gate.reached.wait()

    lodgings.look_after()
    gate.open.set()
    await asked
    await ready(lodgings.born[0])

    assert not lodgings.gone


async def test_work_beside_the_messages_is_not_idleness(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage).open()

    async def spawn(actor: Puppet) -> asyncio.Task[None]:
        return actor.spawn(gate(), "beside")

    work = await lodgings.address.ask(Do(spawn))
    await gate.reached.wait()
    lodgings.look_after()
    await ready(lodgings.born[0])
    assert not lodgings.gone

    gate.open.set()
    await asyncio.wait([work])
    lodgings.look_after()

    await until(lambda: lodgings.gone)


async def test_a_suspended_actor_does_not_leave(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("one"))
    await ready(lodgings.born[0])
    mailbox = lodgings.supervisor.children["7"].mailbox

    mailbox.suspend()
    lodgings.look_after()
    await ready(lodgings.born[0])
    assert not lodgings.gone
    mailbox.resume()
    lodgings.look_after()

    await until(lambda: lodgings.gone)


async def test_one_that_is_suspended_while_it_leaves_comes_back_with_what_waits(
    stage: Stage,
) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("one"))
    await ready(lodgings.born[0])
    mailbox = lodgings.supervisor.children["7"].mailbox

    lodgings.look_after()
    mailbox.suspend()
    lodgings.address.tell(Note("two"))
    await until(lambda: len(lodgings.born) == 2)
    await ready(lodgings.born[1])
    assert lodgings.seen == ["one"]
    mailbox.resume()

    await until(lambda: lodgings.seen == ["one", "two"])


async def test_the_next_message_after_leaving_starts_a_new_incarnation(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("before"))
    await ready(lodgings.born[0])
    lodgings.look_after()
    await until(lambda: lodgings.gone)

    assert await lodgings.address.ask(Note("after")) == 2

    assert len(lodgings.born) == 2


@pytest.mark.parametrize("turns", range(12))
async def test_a_message_at_any_moment_of_leaving_is_handled_once_and_in_order(
    stage: Stage, turns: int
) -> None:
    """The message comes so many turns of the loop after the patrol did."""
    lodgings = await Lodgings(stage, finish=lambda _: turn()).open()
    await lodgings.address.ask(Note("0"))
    await ready(lodgings.born[0])

    lodgings.look_after()
    for _ in range(turns):
        await turn()
    answers = await asyncio.gather(*(lodgings.address.ask(Note(str(n))) for n in (1, 2, 3)))

    assert answers == [2, 3, 4]
    assert lodgings.seen == ["0", "1", "2", "3"]


async def test_a_message_just_before_the_patrol_keeps_the_actor(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("0"))
    await ready(lodgings.born[0])

    lodgings.address.tell(Note("1"))
    lodgings.look_after()

    assert await lodgings.address.ask(Note("2")) == 3
    assert len(lodgings.born) == 1


async def test_a_message_just_after_the_patrol_keeps_the_actor(stage: Stage) -> None:
    lodgings = await Lodgings(stage).open()
    await lodgings.address.ask(Note("0"))
    await ready(lodgings.born[0])

    lodgings.look_after()
    lodgings.address.tell(Note("1"))

    assert await lodgings.address.ask(Note("2")) == 3
    assert len(lodgings.born) == 1


async def test_a_message_during_finish_waits_for_the_next_incarnation(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage, finish=gate).open()
    await lodgings.address.ask(Note("before"))
    await ready(lodgings.born[0])
    lodgings.look_after()
    await gate.reached.wait()

    asked = asyncio.ensure_future(lodgings.address.ask(Note("during")))
    await turn()
    assert len(lodgings.born) == 1
    gate.open.set()

    assert await asked == 2
    assert len(lodgings.born) == 2


async def test_an_error_while_leaving_is_heard(stage: Stage) -> None:
    async def fail_once(actor: Puppet) -> None:
        if len(lodgings.born) == 1:
            await fail(actor)

    lodgings = await Lodgings(stage, finish=fail_once).open()
    await lodgings.address.ask(Note("one"))
    await ready(lodgings.born[0])

    lodgings.look_after()

    await until(lambda: lodgings.supervisor.children["7"].restart_at is not None)


async def test_an_orderly_stop_from_outside_loses_nothing_either(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage).open()
    lodgings.address.tell(Do(gate))
    await gate.reached.wait()
    asked = asyncio.ensure_future(lodgings.address.ask(Note("waits")))
    await turn()

    lodgings.born[0].actor_ref.stop(block=False)
    gate.open.set()

    assert await asked == 1
    assert len(lodgings.born) == 2


async def test_a_killed_one_leaves_what_waits_to_the_next(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage).open()
    lodgings.address.tell(Do(gate))
    await gate.reached.wait()
    asked = asyncio.ensure_future(lodgings.address.ask(Note("waits")))
    await turn()

    gate.open.set()
    lodgings.born[0].kill()
    await until(lambda: lodgings.supervisor.children["7"].restart_at is not None)
    stage.clock.advance(POLICY.backoff_cap_s)

    assert await asked == 1
    assert len(lodgings.born) == 2


async def test_the_supervisor_waits_for_those_who_are_leaving(stage: Stage) -> None:
    gate = Gate()
    lodgings = await Lodgings(stage, finish=gate).open()
    await lodgings.address.ask(Note("one"))
    await ready(lodgings.born[0])
    lodgings.look_after()
    await gate.reached.wait()

    lodgings.supervisor.stop()
    await turn()
    await turn()
    assert not stage.endings
    gate.open.set()
    await lodgings.supervisor.wait_ended()

    assert lodgings.born[0].actor_stopped.is_set()


async def test_twenty_thousand_messages_with_a_busy_patrol_none_lost_order_kept(
    stage: Stage,
) -> None:
    """The patrol comes between the messages in every rhythm, so that it meets every moment."""
    lodgings = await Lodgings(stage, finish=lambda _: turn()).open()
    rhythm = random.Random(4)  # noqa: S311 - repeatable, not secret
    total = 20_000
    sent = 0
    while sent < total:
        for _ in range(min(rhythm.randrange(1, 6), total - sent)):
            lodgings.address.tell(Note(str(sent)))
            sent += 1
        for _ in range(rhythm.randrange(8)):
            await turn()
        lodgings.look_after()
        for _ in range(rhythm.randrange(8)):
            await turn()
        while sent - len(lodgings.seen) >= 20:
            await turn()

    await until(lambda: len(lodgings.seen) == total)
    assert lodgings.seen == [str(number) for number in range(total)]
    assert len(lodgings.born) > 100


async def test_a_fixed_child_never_leaves(stage: Stage) -> None:
    actor: list[Puppet] = []

    def start() -> Puppet:
        actor.append(Puppet())
        return actor[-1]

    hosted = Hosted.of(ChildSpec(name="clerk", start=start))
    source = random.Random(0)  # noqa: S311 - as above
    supervisor = Supervisor([hosted], SPEC, stage.surroundings, source)
    stage.play(supervisor, "office")
    address = hosted.address(stage.clock)
    await address.ask(Note("one"))
    await ready(actor[0])

    stage.clock.advance(10 * IDLE_S)
    look_after(supervisor, stage.clock.now())
    await ready(actor[0])

    assert await address.ask(Note("two")) == 2
    assert len(actor) == 1
