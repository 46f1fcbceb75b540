"""A stop leaves what waits to the next incarnation, a drain finishes it; neither begins anew."""

import asyncio
from typing import Any

import pytest

from actors.runtime.replies import Unavailable
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Puppet, Stage, failing


async def busy_with(stage: Stage, gate: Gate, *texts: str) -> tuple[Puppet, Any, Any]:
    """An actor that stands at a gate while these notes wait."""
    actor, mailbox = Puppet(), stage.mailbox(bound=10)
    stage.enter(actor, mailbox)
    address = stage.address(mailbox)
    address.tell(Do(gate))
    await gate.reached.wait()
    for text in texts:
        address.tell(Note(text))
    return actor, mailbox, address


async def test_a_drain_handles_all_that_waits(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox, _ = await busy_with(stage, gate, "a", "b")

    actor.stop(drain=True)
    gate.open.set()
    await actor.wait_ended()

    assert actor.seen == ["a", "b"]
    assert mailbox.empty()
    assert stage.endings[0].error is None


async def test_a_stop_leaves_what_waits_for_the_next(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox, address = await busy_with(stage, gate, "a", "b")

    actor.stop()
    gate.open.set()
    await actor.wait_ended()
    assert (actor.seen, len(mailbox)) == ([], 2)
    successor = Puppet()
    stage.enter(successor, mailbox)

    assert await address.ask(Note("c")) == 3
    assert successor.seen == ["a", "b", "c"]


async def test_a_stop_during_a_drain_ends_it_after_the_message_in_hand(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox, _ = await busy_with(stage, gate, "a")

    actor.stop(drain=True)
    actor.stop()
    gate.open.set()
    await actor.wait_ended()

    assert (actor.seen, len(mailbox)) == ([], 1)


async def test_a_drain_refuses_new_messages(stage: Stage) -> None:
    gate, second = Gate(), Gate()
    actor, _, address = await busy_with(stage, gate)
    address.tell(Do(second))
    actor.stop(drain=True)
    gate.open.set()
    await second.reached.wait()

    with pytest.raises(Unavailable, match="puppet is stopping"):
        address.tell(Note("too late"))
    with pytest.raises(Unavailable, match="puppet is stopping"):
        await address.ask(Note("too late"))
    actor.wake_self()  # is silent about it
    second.open.set()
    await actor.wait_ended()

    assert actor.seen == []


async def test_after_a_drain_the_next_incarnation_takes_messages(stage: Stage) -> None:
    gate = Gate()
    gate.open.set()
    actor, mailbox, address = await busy_with(stage, gate)
    actor.stop(drain=True)
    await actor.wait_ended()

    stage.enter(Puppet(), mailbox)

    assert await address.ask(Note("well")) == 1


async def test_a_drain_waits_for_work_that_drains_and_cancels_the_rest(stage: Stage) -> None:
    told: list[str] = []
    delivery, other = Gate(), Gate()

    async def deliver() -> None:
        await delivery()
        told.append("delivered")

    async def listen() -> None:
        try:
            await other()
        except asyncio.CancelledError:
            told.append("cancelled")
            raise

    async def finish(_: Puppet) -> None:
        told.append("finish")

    actor = Puppet(finish=finish)
    stage.play(actor)
    actor.spawn(deliver(), "delivery", drains=True)
    actor.spawn(listen(), "ear")
    await delivery.reached.wait()
    await other.reached.wait()

    actor.stop(drain=True)
    await turn()
    await turn()
    assert stage.endings == []
    delivery.open.set()
    await actor.wait_ended()

    assert told == ["delivered", "cancelled", "finish"]


async def test_a_stop_cancels_work_that_would_drain(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    stage.play(actor)
    work = actor.spawn(gate(), "delivery", drains=True)
    await gate.reached.wait()

    actor.stop()
    await actor.wait_ended()

    assert work.cancelled()
    assert stage.endings[0].error is None


async def test_a_kill_ends_a_drain_and_what_waits_stays(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox, _ = await busy_with(stage, gate, "a")
    actor.stop(drain=True)

    actor.kill()
    await actor.wait_ended()

    assert isinstance(stage.endings[0].error, asyncio.CancelledError)
    assert (actor.seen, len(mailbox)) == ([], 1)  # the one in hand had its only strike


async def test_a_crash_during_a_drain_leaves_the_rest_waiting(stage: Stage) -> None:
    gate = Gate()
    actor, mailbox, address = await busy_with(stage, gate)
    address.tell(Do(failing(Bug())))
    address.tell(Note("waits"))

    actor.stop(drain=True)
    gate.open.set()
    await until(lambda: stage.endings)

    assert isinstance(stage.endings[0].error, Bug)
    assert len(mailbox) == 1


async def test_a_drain_of_a_suspended_actor_ends_and_leaves_what_waits(stage: Stage) -> None:
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    mailbox.suspend()
    stage.address(mailbox).tell(Note("waits"))

    actor.stop(drain=True)
    await actor.wait_ended()

    assert (actor.seen, len(mailbox)) == ([], 1)
    assert stage.endings[0].error is None
