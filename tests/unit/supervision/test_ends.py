"""How trees end: in order, drained, at once; and how starts are cut short."""

import asyncio
from dataclasses import replace

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import Unavailable
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.nursery import START_DEADLINE_S, NotReady
from supervisors.engine.policy import AutoShutdown, Strategy
from supervisors.engine.strategies import Restart
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Puppet
from tests.unit.supervision.offices import POLICY, House, Office


@pytest.fixture
async def upper(office: Office) -> Office:
    """A supervisor above the office."""
    upper = Office(office.stage)
    upper.hosted.append(Hosted.of(ChildSpec(name="office", start=office.supervisor)))
    return upper


async def test_every_child_has_a_deadline_of_its_own(office: Office) -> None:
    gates = [Gate(), Gate()]
    for number, gate in enumerate(gates):
        office.hire(str(number)).tell(Do(gate))
    supervisor = await office.open()
    for gate in gates:
        await gate.reached.wait()

    supervisor.stop()
    for name in "10":
        await until(lambda: office.stage.clock.delays == [POLICY.shutdown_s])
        assert not office.actors[name][0].actor_stopped.is_set()
        office.stage.clock.advance(POLICY.shutdown_s)
        await office.actors[name][0].wait_ended()

    await supervisor.wait_ended()


async def test_a_drain_goes_from_the_door_inwards_and_handles_all_that_waits(
    office: Office,
) -> None:
    gate = Gate()
    inner = office.hire("inner")
    door = office.hire("door")
    supervisor = await office.open()

    async def pass_on(_: Puppet) -> None:
        inner.tell(Note("from the door"))

    door.tell(Do(gate))
    door.tell(Do(pass_on))
    await gate.reached.wait()
    supervisor.stop(drain=True)
    for _ in range(10):
        await turn()
    inner.tell(Note("not too late"))
    gate.open.set()
    await supervisor.wait_ended()

    assert office.notes["inner"] == ["not too late", "from the door"]
    assert office.diary[-2:] == ["-door", "-inner"]


async def test_a_drained_house_handles_what_waits_and_takes_nothing_new(house: House) -> None:
    gate = Gate()
    supervisor = await house.open()
    address = house.cells.address("7")
    address.tell(Do(gate))
    address.tell(Note("waits"))
    await gate.reached.wait()

    supervisor.stop(drain=True)
    for _ in range(10):
        await turn()
    with pytest.raises(Unavailable, match="not running"):
        address.tell(Note("too late"))
    gate.open.set()
    await supervisor.wait_ended()

    assert house.notes["7"] == ["waits"]


async def test_a_second_order_to_end_cuts_the_whole_tree_off_at_once(
    office: Office, upper: Office, house: House
) -> None:
    """Nobody's deadline is waited for, however deep, and nobody is left running."""
    house_spec = ChildSpec(name="users", start=house.supervisor)
    upper.hosted.append(Hosted.of(house_spec))
    last = upper.hire("last")
    addresses = [office.hire(str(number)) for number in range(3)]
    root = await upper.open()
    addresses += [last, house.cells.address("7"), house.cells.address("8")]
    gates = [Gate() for _ in addresses]
    for address, gate in zip(addresses, gates, strict=True):
        address.tell(Do(gate))
        await gate.reached.wait()
    root.stop()
    await until(lambda: root.clock.now() and upper.stage.clock.timers)
    before = root.clock.now()

    root.kill()
    await root.wait_ended()

    everybody = [*office.actors.values(), *upper.actors.values(), *house.born.values()]
    assert all(lives[-1].actor_stopped.is_set() for lives in everybody)
    assert root.clock.now() == before
    assert upper.stage.clock.timers == []
    with pytest.raises(Unavailable, match="not running"):
        house.cells.address("9").tell(Note("too late"))


async def test_a_kill_in_the_middle_of_work_keeps_what_waits_in_order(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    first = await office.open()
    clerk.tell(Do(gate))
    for text in "abc":
        clerk.tell(Note(text))
    await gate.reached.wait()

    first.kill()
    await until(lambda: POLICY.shutdown_s in office.stage.clock.delays)
    clerk.tell(Note("d"))
    first.kill()  # past its own deadline
    await first.wait_ended()
    clerk.tell(Note("e"))
    gate.open.set()
    await office.open()

    await until(lambda: office.notes["clerk"] == ["a", "b", "c", "d", "e"])


async def test_a_restart_that_is_due_does_not_outlive_a_supervisor_cut_off(
    office: Office,
) -> None:
    gate = Gate()
    office.hire("clerk")
    office.hire("stubborn").tell(Do(gate))
    supervisor = await office.open()
    await gate.reached.wait()
    await office.crash("clerk")

    supervisor.stop()
    await until(lambda: POLICY.shutdown_s in office.stage.clock.delays)
    supervisor.kill()
    await supervisor.wait_ended()

    assert office.stage.clock.timers == []


async def test_a_child_that_does_not_get_ready_has_crashed(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk", prepare=gate)
    other = office.hire("other")
    supervisor = office.supervisor()
    office.stage.play(supervisor, "office")
    await gate.reached.wait()

    office.stage.clock.advance(START_DEADLINE_S)

    assert await other.ask(Note("well")) == 1
    await until(office.planned)
    crash = office.stage.events[0]
    assert (crash.kind, crash.actor, crash.reason) == (EventKind.CRASHED, "clerk", "NotReady")
    assert isinstance(crash.error, NotReady)
    gate.open.set()
    office.stage.clock.advance(POLICY.backoff_cap_s)
    assert await clerk.ask(Note("ready")) == 1


async def test_a_supervisor_may_take_as_long_as_its_children_do(
    office: Office, upper: Office
) -> None:
    gates = [Gate(), Gate()]
    for number, gate in enumerate(gates):
        office.hire(str(number), prepare=gate)
    root = upper.supervisor()
    upper.stage.play(root, "root")
    for gate in gates:
        await gate.reached.wait()
        upper.stage.clock.advance(START_DEADLINE_S)

    await root.started

    assert len(office.lives) == 1
    crashed = {event.actor for event in office.stage.events if event.kind is EventKind.CRASHED}
    await until(office.planned)
    assert crashed <= {"0", "1"}


async def test_a_stop_gets_through_while_a_child_gets_ready(office: Office) -> None:
    gate = Gate()
    office.hire("clerk", prepare=gate)
    supervisor = office.supervisor()
    office.stage.play(supervisor, "office")
    await gate.reached.wait()

    supervisor.kill()
    await until(lambda: POLICY.shutdown_s in office.stage.clock.delays)
    office.stage.clock.advance(POLICY.shutdown_s)

    await supervisor.wait_ended()
    assert office.stage.clock.timers == []


async def test_a_temporary_child_is_forgotten_and_says_so(office: Office) -> None:
    gate = Gate()
    temp = office.hire("temp", restart=Restart.TEMPORARY)
    supervisor = await office.open()
    temp.tell(Do(gate))
    await gate.reached.wait()
    asked = asyncio.ensure_future(temp.ask(Note("waits")))
    await turn()

    office.actors["temp"][0].kill(Bug())

    with pytest.raises(Unavailable, match="temp has ended"):
        await asked
    assert supervisor.children == {}
    with pytest.raises(Unavailable):
        temp.tell(Note("too late"))


async def test_a_temporary_sibling_taken_along_is_forgotten_and_says_so(office: Office) -> None:
    office.policy = office.in_step()
    office.hire("clerk")
    temp = office.hire("temp", restart=Restart.TEMPORARY)
    supervisor = await office.open()

    await office.crash_and_return("clerk")

    assert list(supervisor.children) == ["clerk"]
    with pytest.raises(Unavailable):
        temp.tell(Note("too late"))


async def test_a_supervisor_ends_in_order_with_a_significant_child(office: Office) -> None:
    office.auto_shutdown = AutoShutdown.ANY_SIGNIFICANT
    office.hire("job", restart=Restart.TRANSIENT, significant=True)
    office.hire("helper")
    supervisor = await office.open()

    office.actors["job"][0].stop()
    await supervisor.wait_ended()

    assert office.stage.endings[0].error is None
    assert office.diary == ["+job", "+helper", "-job", "-helper"]


async def test_a_crash_beside_a_significant_end_does_not_turn_it_into_a_failure(
    office: Office,
) -> None:
    office.auto_shutdown = AutoShutdown.ANY_SIGNIFICANT
    office.policy = replace(POLICY, max_restarts=0)
    office.hire("job", restart=Restart.TEMPORARY, significant=True)
    office.hire("helper")
    supervisor = await office.open()

    office.actors["job"][0].kill(Bug())
    office.actors["helper"][0].kill(Bug())
    await supervisor.wait_ended()

    assert office.stage.endings[0].error is None


async def test_a_significant_child_that_waits_for_a_sibling_is_not_taken_for_ended(
    office: Office,
) -> None:
    office.auto_shutdown = AutoShutdown.ALL_SIGNIFICANT
    office.policy = replace(POLICY, strategy=Strategy.REST_FOR_ONE)
    office.hire("job", restart=Restart.TRANSIENT, significant=True)
    office.hire("clerk")
    second = office.hire("second job", restart=Restart.TRANSIENT, significant=True)
    supervisor = await office.open()
    await office.crash("clerk")

    office.actors["job"][0].stop()
    await until(lambda: supervisor.children["job"].settled == 1)
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await second.ask(Note("there")) == 1
