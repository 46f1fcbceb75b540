"""What operators do while a tree runs: restart one actor, change a policy."""

import asyncio
from dataclasses import replace

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import Unavailable
from supervisors.engine.nursery import GaveUp
from supervisors.engine.policy import Exceeded, Scope, Strategy
from supervisors.engine.strategies import Restart
from tests.clock import turn, until
from tests.puppets import Do, Gate, Note, Puppet
from tests.unit.supervision.offices import HOUSE_POLICY, POLICY, House, Office


async def test_a_restart_by_hand_is_a_new_object_and_spends_nothing(office: Office) -> None:
    office.policy = replace(POLICY, max_restarts=0)
    clerk = office.hire("clerk")
    supervisor = await office.open()

    for _ in range(3):
        assert await office.by_hand("clerk")

    assert await clerk.ask(Note("back")) == 1
    assert len(set(office.actors["clerk"])) == 4
    assert office.diary == ["+clerk", *["-clerk", "+clerk"] * 3]
    assert supervisor.history.restarts == supervisor.children["clerk"].history.restarts == ()


async def test_nobody_is_restarted_who_is_not_there(office: Office) -> None:
    office.hire("clerk")
    await office.open()

    assert not await office.by_hand("a stranger")

    assert office.stage.events == []


async def test_a_restart_by_hand_lets_the_message_in_hand_finish(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    await office.open()
    asked = asyncio.ensure_future(clerk.ask(Do(gate)))
    await gate.reached.wait()

    restarted = asyncio.ensure_future(office.by_hand("clerk"))
    await turn()
    assert len(office.actors["clerk"]) == 1
    gate.open.set()

    assert await restarted
    await asked
    assert len(office.actors["clerk"]) == 2


async def test_at_once_cuts_the_message_off_and_it_is_tried_again(office: Office) -> None:
    tries: list[Puppet] = []

    async def hang_once(actor: Puppet) -> int:
        tries.append(actor)
        if len(tries) == 1:
            await Gate()()
        return len(tries)

    clerk = office.hire("clerk")
    await office.open()
    asked = asyncio.ensure_future(clerk.ask(Do(hang_once)))
    await until(lambda: tries)
    clerk.tell(Note("next"))

    assert await office.by_hand("clerk", at_once=True)

    assert await asked == 2
    assert tries == office.actors["clerk"]
    await until(lambda: office.notes["clerk"] == ["next"])
    assert not office.planned()


async def test_a_restart_by_hand_ends_a_back_off(office: Office) -> None:
    clerk = office.hire("clerk")
    supervisor = await office.open()
    await office.crash("clerk")

    assert await office.by_hand("clerk")

    assert await clerk.ask(Note("back")) == 1
    assert not office.planned()
    assert supervisor.children["clerk"].history.streak == 0


async def test_a_restart_by_hand_ends_a_parking(house: House) -> None:
    await house.open()
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    await house.crash("7")
    assert house.cells.children["7"].mailbox.parked
    assert house.address is not None

    assert await house.by_hand("7")

    assert await house.cells.address("7").ask(Note("back")) == 1
    assert house.stage.clock.timers == []


async def test_siblings_that_waited_for_a_child_come_back_with_it(office: Office) -> None:
    office.policy = office.in_step()
    office.hire("clerk")
    other = office.hire("other")
    await office.open()
    await office.crash("clerk")
    assert office.diary == ["+clerk", "+other", "-other"]

    assert await office.by_hand("clerk")

    assert await other.ask(Note("well")) == 1
    assert office.diary[3:] == ["+clerk", "+other"]


async def test_a_temporary_child_is_restarted_by_hand_in_its_place(office: Office) -> None:
    office.hire("first", restart=Restart.TEMPORARY)
    office.hire("second")
    supervisor = await office.open()

    assert await office.by_hand("first")
    assert list(supervisor.children) == ["first", "second"]
    supervisor.stop()
    await supervisor.wait_ended()

    assert office.diary[-2:] == ["-second", "-first"]


async def test_a_child_that_ended_for_good_can_be_restarted_by_hand(office: Office) -> None:
    temp = office.hire("temp", restart=Restart.TRANSIENT)
    supervisor = await office.open()
    office.actors["temp"][0].stop()
    await until(lambda: supervisor.children["temp"].settled == 1)

    assert await office.by_hand("temp")

    assert await temp.ask(Note("back")) == 1


# A policy that changes


async def test_fewer_restarts_hold_from_the_next_crash_on(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash_and_return("clerk")

    office.policy = replace(POLICY, max_restarts=1)
    await office.crash("clerk")
    await supervisor.wait_ended()

    assert isinstance(office.stage.endings[0].error, GaveUp)


async def test_more_restarts_hold_from_the_next_crash_on(office: Office) -> None:
    clerk = office.hire("clerk")
    await office.open()
    for _ in range(POLICY.max_restarts):
        await office.crash_and_return("clerk")

    office.policy = replace(POLICY, max_restarts=10)
    await office.crash_and_return("clerk")

    assert await clerk.ask(Note("back")) == 1


async def test_another_strategy_holds_from_the_next_crash_on(office: Office) -> None:
    office.hire("clerk")
    office.hire("other")
    await office.open()
    await office.crash_and_return("clerk")
    assert office.diary == ["+clerk", "+other", "+clerk"]

    office.policy = replace(POLICY, strategy=Strategy.ONE_FOR_ALL)
    await office.crash_and_return("clerk")
    await until(lambda: len(office.diary) == 6)

    assert office.diary[3:] == ["-other", "+clerk", "+other"]


async def test_who_waits_in_step_starts_although_the_strategy_changed_meanwhile(
    office: Office,
) -> None:
    office.policy = office.in_step()
    office.hire("clerk")
    other = office.hire("other")
    await office.open()
    await office.crash("clerk")

    office.policy = POLICY
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await other.ask(Note("well")) == 1


async def test_another_back_off_holds_from_the_next_crash_on(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash_and_return("clerk")

    office.policy = replace(POLICY, max_restarts=1, backoff_cap_s=77)
    office.exceeded = Exceeded.KEEP_TRYING
    supervisor.spec = replace(supervisor.spec, exceeded=Exceeded.KEEP_TRYING)
    await office.crash("clerk")

    assert supervisor.children["clerk"].restart_at == office.stage.clock.now() + 77


async def test_another_shutdown_deadline_holds_for_the_next_stop(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    supervisor = await office.open()
    clerk.tell(Do(gate))
    await gate.reached.wait()

    office.policy = replace(POLICY, shutdown_s=1)
    supervisor.stop()
    await until(lambda: office.stage.clock.delays == [1])
    office.stage.clock.advance(1)

    await supervisor.wait_ended()


# What goes with whose restarts are counted


@pytest.mark.parametrize("scope", Scope)
async def test_intensity_is_counted_as_the_spec_says(office: Office, scope: Scope) -> None:
    office.scope = scope
    office.hire("clerk")
    office.hire("other")
    supervisor = await office.open()
    for _ in range(POLICY.max_restarts):
        await office.crash_and_return("clerk")

    await office.crash("other")

    assert supervisor.actor_stopped.is_set() is (scope is Scope.TOGETHER)


async def test_one_childs_quick_crashes_do_not_lengthen_anothers_back_off(
    office: Office,
) -> None:
    office.exceeded = Exceeded.KEEP_TRYING
    office.policy = replace(POLICY, max_restarts=100, backoff_cap_s=POLICY.backoff_cap_s)
    office.hire("clerk")
    office.hire("other")
    supervisor = await office.open()
    for _ in range(20):
        await office.crash_and_return("clerk")

    await office.crash("other")

    assert supervisor.children["other"].history.streak == 1
    assert max(office.stage.clock.delays) <= POLICY.backoff_base_s


async def test_above_the_policy_one_keeps_trying_at_the_cap(office: Office) -> None:
    office.exceeded = Exceeded.KEEP_TRYING
    office.hire("clerk")
    supervisor = await office.open()
    for _ in range(POLICY.max_restarts):
        await office.crash_and_return("clerk")

    for _ in range(3):
        await office.crash("clerk")
        assert supervisor.children["clerk"].restart_at == (
            office.stage.clock.now() + POLICY.backoff_cap_s
        )
        office.stage.clock.advance(POLICY.backoff_cap_s)
        await until(lambda: not office.planned())

    exceeded = [
        event.details["exceeded"]
        for event in office.stage.events
        if event.kind is EventKind.RESTARTING
    ]
    assert exceeded == [False, False, True, True, True]


async def test_parking_in_step_leaves_nobody_to_run_on_what_is_not_there(
    office: Office,
) -> None:
    office.exceeded = Exceeded.PARK
    office.policy = replace(office.in_step(), max_restarts=0)
    clerk = office.hire("clerk")
    other = office.hire("other")
    supervisor = await office.open()

    await office.crash("clerk")
    with pytest.raises(Unavailable, match="left alone"):
        await clerk.ask(Note("now?"))
    assert supervisor.children["other"].actor is None
    office.stage.clock.advance(POLICY.park_s)

    assert await other.ask(Note("well")) == 1
    assert office.diary == ["+clerk", "+other", "-other", "+clerk", "+other"]


async def test_a_parked_child_has_all_its_restarts_again(office: Office) -> None:
    office.exceeded = Exceeded.PARK
    office.hire("clerk")
    supervisor = await office.open()
    for _ in range(POLICY.max_restarts):
        await office.crash_and_return("clerk")
    await office.crash("clerk")

    office.stage.clock.advance(POLICY.park_s)
    await until(lambda: not office.planned())
    await office.crash("clerk")

    assert not supervisor.children["clerk"].mailbox.parked
    assert len(supervisor.history.restarts) == 1
