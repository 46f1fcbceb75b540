"""The walk through the tree: who hangs is cut off, who has nothing to do may leave."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import ActorFailed, Unavailable
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.nursery import Nursery
from supervisors.engine.patrol import PATROL_INTERVAL_S, Patrol, look_after, supervisors
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Puppet, Stage
from tests.unit.supervision.offices import House, Office

HUNG = Puppet.hung_after_s or 0


async def go_on(stage: Stage, seconds: float) -> None:
    """Let time pass as a clock does: in small steps, with everybody reacting to each."""
    passed = 0.0
    while passed < seconds:
        stage.clock.advance(min(1.0, seconds - passed))
        passed += 1.0
        for _ in range(10):
            await turn()


@pytest.fixture
async def patrolled(office: Office) -> AsyncIterator[Office]:
    """An office with a patrol through it."""
    patrol = Patrol(lambda: office.lives[-1] if office.lives else None)
    office.stage.play(patrol, "patrol")
    await patrol.started
    yield office
    patrol.kill()
    await patrol.wait_ended()


async def test_a_handler_that_hangs_is_cut_off_and_counted(patrolled: Office) -> None:
    tries: list[Puppet] = []

    async def hang_once(actor: Puppet) -> int:
        tries.append(actor)
        if len(tries) == 1:
            await Gate()()
        return len(tries)

    clerk = patrolled.hire("clerk")
    supervisor = await patrolled.open()
    asked = asyncio.ensure_future(clerk.ask(Do(hang_once), timeout_s=1_000))
    await until(lambda: tries)

    await go_on(patrolled.stage, HUNG - PATROL_INTERVAL_S)
    assert patrolled.stage.events == []
    await go_on(patrolled.stage, 3 * PATROL_INTERVAL_S)

    assert await asked == 2
    crash = patrolled.stage.events[0]
    assert (crash.kind, crash.actor, crash.reason) == (EventKind.CRASHED, "clerk", "Hung")
    assert len(supervisor.history.restarts) == 1


async def test_a_message_that_hangs_three_times_is_set_aside(patrolled: Office) -> None:
    clerk = patrolled.hire("clerk")
    patrolled.policy = patrolled.patient()
    await patrolled.open()
    asked = asyncio.ensure_future(clerk.ask(Do(Gate()), timeout_s=1_000))
    clerk.tell(Note("next"))

    await go_on(patrolled.stage, 4 * (HUNG + 3 * PATROL_INTERVAL_S))

    with pytest.raises(ActorFailed):
        await asked
    [letter] = patrolled.stage.letters
    assert (letter.actor, letter.attempts) == ("clerk", 3)
    assert type(letter.error).__name__ == "Hung"
    assert patrolled.notes["clerk"] == ["next"]


async def test_a_message_that_outlives_its_asker_by_hanging_is_set_aside_at_once(
    patrolled: Office,
) -> None:
    """Its asker asks anew, again and again: no message would ever come to three strikes."""
    clerk = patrolled.hire("clerk")
    await patrolled.open()
    asked = asyncio.ensure_future(clerk.ask(Do(Gate()), timeout_s=10))

    await go_on(patrolled.stage, HUNG + 3 * PATROL_INTERVAL_S)

    with pytest.raises(Unavailable):
        await asked
    [letter] = patrolled.stage.letters
    assert (letter.actor, letter.attempts) == ("clerk", 1)


async def test_who_waits_for_a_message_does_not_hang(patrolled: Office) -> None:
    patrolled.hire("clerk")
    await patrolled.open()

    await go_on(patrolled.stage, 3 * HUNG)

    assert patrolled.stage.events == []
    assert len(patrolled.actors["clerk"]) == 1


async def test_the_walk_reaches_supervisors_below(patrolled: Office) -> None:
    lower = Office(patrolled.stage)
    clerk = lower.hire("clerk")
    patrolled.hosted.append(Hosted.of(ChildSpec(name="lower", start=lower.supervisor)))
    await patrolled.open()
    clerk.tell(Do(Gate()))

    await go_on(patrolled.stage, HUNG + 3 * PATROL_INTERVAL_S)

    assert len(lower.actors["clerk"]) == 2
    assert list(supervisors(patrolled.lives[0])) == [patrolled.lives[0], lower.lives[0]]


@pytest.mark.parametrize("hook", ["prepare", "finish"])
async def test_one_by_key_that_hangs_on_its_way_in_or_out_is_cut_off(
    house: House, hook: str
) -> None:
    """Nobody waits for its start, nor for its leaving: without the patrol it hung for ever."""
    supervisor = await house.open()
    await house.cells.address("7").ask(Note("one"))
    house.born["7"][-1].hooks[hook] = Gate()
    if hook == "prepare":
        house.prepares["7"] = Gate()
        house.born["7"][-1].kill(Bug())
        await until(lambda: house.cells.children["7"].restart_timer)
        house.stage.clock.advance(house.policy.backoff_cap_s)
        await until(lambda: len(house.born["7"]) == 2)
        house.prepares.clear()
    else:
        house.born["7"][-1].leave()
        await until(lambda: house.born["7"][-1].ending_since)
    house.cells.address("7").tell(Note("two"))
    await turn()

    house.stage.clock.advance(HUNG)
    look(house, supervisor)
    await until(lambda: house.cells.children["7"].restart_timer)
    house.stage.clock.advance(house.policy.backoff_cap_s)

    await until(lambda: house.notes["7"] == ["one", "two"])


async def test_one_that_lets_go_already_is_not_cut_off_again(patrolled: Office) -> None:
    """A second cut would hit what it does to let go."""
    let_go = asyncio.Event()

    async def slowly(actor: Puppet) -> None:
        if actor is patrolled.actors["clerk"][0]:
            await actor.clock.sleep(2 * PATROL_INTERVAL_S)
            let_go.set()

    clerk = patrolled.hire("clerk", abandon=slowly)
    await patrolled.open()
    patrolled.actors["clerk"][0].abandon_deadline_s = 60  # type: ignore[misc]  # a class's
    clerk.tell(Do(Gate()))

    await go_on(patrolled.stage, HUNG + 4 * PATROL_INTERVAL_S)

    assert let_go.is_set()


async def test_before_there_is_a_tree_nothing_happens(stage: Stage) -> None:
    patrol = Patrol(lambda: None)
    stage.play(patrol, "patrol")
    await patrol.started

    await go_on(stage, 3 * PATROL_INTERVAL_S)
    patrol.stop()
    await patrol.wait_ended()

    assert stage.endings[0].error is None


def look(house: House, supervisor: Nursery) -> None:
    look_after(supervisor, house.stage.clock.now())


async def test_an_idle_one_leaves_and_comes_back_with_the_next_message(house: House) -> None:
    supervisor = await house.open()
    await house.cells.address("7").ask(Note("one"))
    house.stage.clock.advance(house.policy.idle_after_s - 1)
    look(house, supervisor)
    await turn()
    assert list(house.cells.children) == ["7"]

    house.stage.clock.advance(1)
    look(house, supervisor)
    await until(lambda: not house.cells.children)

    assert await house.cells.address("7").ask(Note("two")) == 2
    assert len(house.born["7"]) == 2
    assert house.stage.events == []


async def test_one_with_work_in_hand_does_not_leave(house: House) -> None:
    gate = Gate()
    supervisor = await house.open()
    asked = asyncio.ensure_future(house.cells.address("7").ask(Do(gate), timeout_s=10_000))
    await gate.reached.wait()
    house.born["7"][0].hung_after_s = None  # type: ignore[misc]  # a class's, but here it varies
    house.stage.clock.advance(house.policy.idle_after_s)

    look(house, supervisor)
    gate.open.set()

    await asked
    assert len(house.born["7"]) == 1


async def test_a_suspended_one_never_leaves(house: House) -> None:
    supervisor = await house.open()
    await house.cells.address("7").ask(Note("one"))
    house.cells.children["7"].mailbox.suspend()

    for _ in range(3):
        house.stage.clock.advance(house.policy.idle_after_s)
        look(house, supervisor)
        for _ in range(10):
            await turn()

    assert list(house.cells.children) == ["7"]
    assert len(house.born["7"]) == 1


async def test_those_of_a_fixed_list_never_leave(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    office.stage.clock.advance(10 * office.policy.idle_after_s)

    look_after(supervisor, office.stage.clock.now())
    await turn()

    assert office.actors["clerk"][0].actor_stopped.is_set() is False


async def test_one_that_is_down_is_left_alone(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash("clerk")

    look_after(supervisor, office.stage.clock.now() + 1_000)

    assert office.planned()
