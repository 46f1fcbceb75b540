"""A fixed list of children: how they start, are mended, stop, and fail together."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from actors.runtime.messages import ChildEnded, RestartDue
from actors.runtime.replies import Unavailable
from supervisors.engine.child import Child, ChildSpec, Hosted
from supervisors.engine.nursery import GaveUp
from supervisors.engine.policy import Exceeded
from supervisors.engine.strategies import Restart
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Puppet, fail
from tests.unit.supervision.offices import POLICY, Office, failing_once

Logs = list[dict[str, Any]]


# Starting and stopping


async def test_children_start_in_order_each_after_the_one_before_is_ready(office: Office) -> None:
    gate = Gate()
    office.hire("first", prepare=gate)
    office.hire("second")
    supervisor = office.supervisor()
    office.stage.play(supervisor, "office")
    await gate.reached.wait()
    await turn()
    assert office.diary == ["+first"]

    gate.open.set()
    await supervisor.started

    await until(lambda: office.diary == ["+first", "+second"])


async def test_children_stop_in_reverse_order_one_after_the_other(office: Office) -> None:
    gate = Gate()
    office.hire("first")
    office.hire("second", finish=gate)
    supervisor = await office.open()
    supervisor.stop()
    await gate.reached.wait()
    await turn()
    assert office.diary == ["+first", "+second"]

    gate.open.set()
    await supervisor.wait_ended()

    assert office.diary == ["+first", "+second", "-second", "-first"]
    assert office.stage.endings[0].error is None


async def test_a_child_past_its_deadline_is_cancelled_and_the_rest_stop_in_order(
    office: Office,
) -> None:
    gate = Gate()
    office.hire("first")
    stubborn = office.hire("stubborn")
    supervisor = await office.open()
    stubborn.tell(Do(gate))
    await gate.reached.wait()
    supervisor.stop()
    await until(lambda: office.stage.clock.delays == [POLICY.shutdown_s])

    office.stage.clock.advance(POLICY.shutdown_s)
    await supervisor.wait_ended()

    assert office.diary == ["+first", "+stubborn", "-first"]
    assert office.stage.endings[0].error is None
    assert office.stage.clock.timers == []


async def test_who_waits_for_a_stopping_child_is_told(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    supervisor = await office.open()
    clerk.tell(Do(gate))
    await gate.reached.wait()
    waiting = asyncio.ensure_future(clerk.ask(Note("waits")))
    await turn()

    supervisor.stop()
    await turn()
    gate.open.set()

    with pytest.raises(Unavailable, match="clerk is stopping"):
        await waiting


async def test_a_supervisor_past_its_own_deadline_takes_its_children_at_once(
    office: Office,
) -> None:
    """Its children's deadlines, one after the other, would be much longer than its own."""
    gates = [Gate() for _ in range(3)]
    addresses = [office.hire(str(number)) for number in range(3)]
    supervisor = await office.open()
    for address, gate in zip(addresses, gates, strict=True):
        address.tell(Do(gate))
        await gate.reached.wait()
    supervisor.stop()
    await until(lambda: office.stage.clock.timers)

    supervisor.kill()
    await supervisor.wait_ended()

    assert all(actors[-1].actor_stopped.is_set() for actors in office.actors.values())


async def test_a_killed_supervisor_stops_its_children_in_order(office: Office) -> None:
    office.hire("first")
    office.hire("second")
    supervisor = await office.open()

    supervisor.kill()
    await supervisor.wait_ended()

    assert office.diary == ["+first", "+second", "-second", "-first"]


async def test_a_restart_that_is_due_does_not_outlive_the_supervisor(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash("clerk")

    supervisor.stop()
    await supervisor.wait_ended()

    assert office.stage.clock.timers == []
    assert len(office.actors["clerk"]) == 1


async def test_two_children_of_one_name_are_a_mistake(office: Office) -> None:
    office.hire("twin")
    office.hire("twin")

    with pytest.raises(ValueError, match="same name"):
        office.supervisor()


async def test_a_significant_child_of_one_that_never_shuts_itself_down_is_a_mistake(
    office: Office,
) -> None:
    office.hire("key", restart=Restart.TRANSIENT, significant=True)

    with pytest.raises(ValueError, match="key is significant, and auto_shutdown is never"):
        office.supervisor()


# Mending


async def test_a_crashed_child_comes_back_and_its_siblings_notice_nothing(
    office: Office,
) -> None:
    clerk, other = office.hire("clerk"), office.hire("other")
    await office.open()

    await office.crash_and_return("clerk")

    assert await clerk.ask(Note("back")) == 1
    assert len(office.actors["clerk"]) == 2
    assert office.actors["clerk"][0] is not office.actors["clerk"][1]
    assert len(office.actors["other"]) == 1
    assert await other.ask(Note("well")) == 1


async def test_a_restart_waits_for_its_back_off(office: Office) -> None:
    office.hire("clerk")
    await office.open()
    await office.crash("clerk")
    [delay] = office.stage.clock.delays
    assert 0 < delay <= POLICY.backoff_base_s

    office.stage.clock.advance(delay / 2)
    await turn()
    assert len(office.actors["clerk"]) == 1
    office.stage.clock.advance(delay / 2 + 1e-6)

    await until(lambda: len(office.actors["clerk"]) == 2)


async def test_what_waited_is_handled_after_the_restart_in_order(office: Office) -> None:
    clerk = office.hire("clerk")
    await office.open()
    clerk.tell(Do(failing_once()))
    for text in "abc":
        clerk.tell(Note(text))
    await until(office.planned)
    clerk.tell(Note("d"))

    office.stage.clock.advance(POLICY.backoff_cap_s)

    await until(lambda: office.notes["clerk"] == ["a", "b", "c", "d"])


async def test_a_crash_in_prepare_is_tried_again_and_siblings_start_all_the_same(
    office: Office,
) -> None:
    async def fail_once(actor: Puppet) -> None:
        if len(office.actors["clerk"]) == 1:
            await fail(actor)

    clerk = office.hire("clerk", prepare=fail_once)
    other = office.hire("other")
    await office.open()
    assert await other.ask(Note("well")) == 1
    await until(office.planned)

    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await clerk.ask(Note("well")) == 1


async def test_a_constructor_that_fails_is_a_crash_of_that_child_alone(
    office: Office, logs: Logs
) -> None:
    attempts: list[int] = []

    def fail_once() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise Bug

    clerk = office.hire("clerk", starts=fail_once)
    other = office.hire("other")
    await office.open()
    assert await other.ask(Note("well")) == 1
    await until(office.planned)
    asked = asyncio.ensure_future(clerk.ask(Note("waits")))

    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await asked == 1
    [crash] = [log for log in logs if log["event"] == "actor_crashed"]
    assert crash["during"] == "start"


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
async def test_a_permanent_child_comes_back_from_every_end(office: Office, kill: bool) -> None:
    clerk = office.hire("clerk")
    await office.open()

    (office.actors["clerk"][0].kill if kill else office.actors["clerk"][0].stop)()
    await until(office.planned)
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await clerk.ask(Note("back")) == 1


async def test_a_transient_child_that_stops_in_order_stays_away(office: Office) -> None:
    address = office.hire("temp", restart=Restart.TRANSIENT)
    supervisor = await office.open()

    office.actors["temp"][0].stop()

    await until(lambda: supervisor.children["temp"].settled == 1)
    assert supervisor.children["temp"].down()
    assert office.stage.clock.timers == []
    with pytest.raises(Unavailable):  # at once: nobody reads there
        await address.ask(Note("anybody?"))


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "crashed"])
async def test_a_transient_child_comes_back_from_a_crash(office: Office, kill: bool) -> None:
    temp = office.hire("temp", restart=Restart.TRANSIENT)
    await office.open()

    if kill:
        office.actors["temp"][0].kill()
    else:
        temp.tell(Do(failing_once()))
    await until(office.planned)
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await temp.ask(Note("back")) == 1


async def test_a_crash_is_logged_with_its_story(office: Office, logs: Logs) -> None:
    clerk = office.hire("clerk")
    await office.open()
    clerk.tell(Do(fail, operation_id="tap-7"))
    await until(office.planned)

    [crash] = [log for log in logs if log["event"] == "actor_crashed"]

    assert isinstance(crash["exc_info"], Bug)
    assert (crash["supervisor"], crash["child"], crash["during"]) == ("office", "clerk", "Do")
    assert crash["operation_id"] == "tap-7"
    assert crash["correlation_id"]


async def test_a_mistake_in_finish_is_logged_although_the_supervisor_is_stopping(
    office: Office, logs: Logs
) -> None:
    office.hire("clerk", finish=fail)
    supervisor = await office.open()

    supervisor.stop()
    await supervisor.wait_ended()

    [crash] = [log for log in logs if log["event"] == "actor_crashed"]
    assert crash["during"] == "finish"


async def test_a_note_about_an_incarnation_that_is_gone_changes_nothing(office: Office) -> None:
    office.hire("clerk")
    supervisor = await office.open()
    await office.crash_and_return("clerk")
    child: Child = supervisor.children["clerk"]
    living = child.actor

    await supervisor.on_child_ended(ChildEnded(child="clerk", incarnation=1, error=None))
    await supervisor.on_child_ended(ChildEnded(child="a stranger", incarnation=1, error=None))
    await supervisor.on_restart_due(RestartDue(child="clerk", incarnation=1))
    await supervisor.on_restart_due(RestartDue(child="a stranger", incarnation=1))

    assert child.actor is living
    assert not office.planned()


# Failing


async def test_too_many_crashes_fail_the_supervisor_and_siblings_stop_in_reverse(
    office: Office, logs: Logs
) -> None:
    office.hire("first")
    office.hire("clerk")
    office.hire("third")
    await office.open()
    for _ in range(POLICY.max_restarts):
        await office.crash_and_return("clerk")

    await office.crash("clerk")

    await until(lambda: office.stage.endings)
    assert isinstance(office.stage.endings[0].error, GaveUp)
    assert str(office.stage.endings[0].error) == "clerk: too many restarts"
    assert [entry for entry in office.diary if entry.startswith("-")] == ["-third", "-first"]
    assert [log["event"] for log in logs if log["log_level"] == "critical"] == [
        "supervisor_gave_up"
    ]


async def test_one_that_keeps_trying_never_fails_its_supervisor(office: Office) -> None:
    office.exceeded = Exceeded.KEEP_TRYING
    clerk = office.hire("clerk")
    await office.open()

    for _ in range(5 * POLICY.max_restarts):
        await office.crash_and_return("clerk")

    assert await clerk.ask(Note("back")) == 1
    assert office.stage.endings == []


async def test_a_restarted_supervisor_loses_no_message_of_its_children(office: Office) -> None:
    gate = Gate()
    clerk = office.hire("clerk")
    first = await office.open()
    clerk.tell(Do(gate))
    await gate.reached.wait()
    clerk.tell(Note("a"))
    asked = asyncio.ensure_future(clerk.ask(Note("b")))
    await turn()

    first.kill()
    await until(lambda: POLICY.shutdown_s in office.stage.clock.delays)  # the clerk is to stop
    gate.open.set()
    await first.wait_ended()
    assert not asked.done()
    clerk.tell(Note("c"))
    await office.open()

    assert await asked == 2
    await until(lambda: office.notes["clerk"] == ["a", "b", "c"])


async def test_what_a_failed_supervisor_had_to_hear_does_not_confuse_the_next_one(
    office: Office,
) -> None:
    """The ends of the children it stopped must not be taken for ends of the new ones."""
    upper = Office(office.stage)
    office.policy = replace(POLICY, max_restarts=0)
    clerk = office.hire("clerk")
    sibling = office.hire("sibling")
    upper.hosted.append(Hosted.of(ChildSpec(name="office", start=office.supervisor)))
    await upper.open()
    assert await sibling.ask(Note("one")) == 1

    clerk.tell(Do(failing_once()))
    await until(lambda: office.lives[0].actor_stopped.is_set() and upper.planned())
    upper.stage.clock.advance(POLICY.backoff_cap_s)

    assert await clerk.ask(Note("back")) == 1
    assert await sibling.ask(Note("two")) == 2
    upper.stage.clock.advance(POLICY.backoff_cap_s)
    assert await sibling.ask(Note("three")) == 3
    assert len(office.actors["sibling"]) == 2
    assert not office.planned()


async def test_the_end_of_the_top_is_logged(office: Office, logs: Logs) -> None:
    office.policy = replace(POLICY, max_restarts=0)
    clerk = office.hire("clerk")
    root = office.supervisor()
    root.begin_life("root")
    await root.started

    clerk.tell(Do(fail))
    await root.wait_ended()

    assert [log["event"] for log in logs if log["log_level"] == "critical"] == [
        "supervisor_gave_up",
        "tree_failed",
    ]


async def test_an_orderly_end_of_the_top_is_quiet(office: Office, logs: Logs) -> None:
    office.hire("clerk")
    root = office.supervisor()
    root.begin_life("root")
    await root.started

    root.stop()
    await root.wait_ended()
    root.stop()  # a second request finds nobody, and that is fine

    assert not [log for log in logs if log["log_level"] in {"critical", "error"}]
