"""An operator may let messages wait; an actor left alone tells askers at once."""

import asyncio

import pytest

from actors.runtime.mailbox import Envelope
from actors.runtime.replies import Unavailable
from tests.clock import turn, until
from tests.puppets import Do, Gate, Note, Puppet, Stage


async def test_messages_wait_while_an_inbox_is_suspended_and_go_on_in_order(
    stage: Stage,
) -> None:
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    address = stage.address(mailbox)
    await address.ask(Note("before"))

    mailbox.suspend()
    address.tell(Note("a"))
    asked = asyncio.ensure_future(address.ask(Note("b")))
    for _ in range(5):
        await turn()
    assert actor.seen == ["before"]
    mailbox.resume()

    assert await asked == 3
    assert actor.seen == ["before", "a", "b"]


async def test_the_message_in_hand_is_finished_when_an_inbox_is_suspended(stage: Stage) -> None:
    gate, mailbox = Gate(), stage.mailbox()
    stage.enter(Puppet(), mailbox)
    asked = asyncio.ensure_future(stage.address(mailbox).ask(Do(gate)))
    await gate.reached.wait()

    mailbox.suspend()
    gate.open.set()

    await asked


async def test_a_suspended_inbox_keeps_its_bound(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=1)
    mailbox.suspend()
    stage.address(mailbox).tell(Note("a"))

    with pytest.raises(Unavailable, match="busy"):
        stage.address(mailbox).tell(Note("b"))


async def test_a_stop_gets_through_to_a_suspended_actor(stage: Stage) -> None:
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    mailbox.suspend()
    stage.address(mailbox).tell(Note("waits"))
    await turn()

    actor.stop()
    await actor.wait_ended()

    assert (actor.seen, len(mailbox)) == ([], 1)


async def test_a_suspension_outlives_the_actor(stage: Stage) -> None:
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    mailbox.suspend()
    stage.address(mailbox).tell(Note("waits"))
    actor.kill()
    await actor.wait_ended()

    successor = Puppet()
    stage.enter(successor, mailbox)
    for _ in range(5):
        await turn()
    assert successor.seen == []
    mailbox.resume()

    await until(lambda: successor.seen == ["waits"])


async def test_parking_tells_those_who_wait_for_an_answer(stage: Stage) -> None:
    mailbox = stage.mailbox("clerk")
    asked = asyncio.ensure_future(stage.address(mailbox).ask(Note("a")))
    await turn()

    mailbox.park()

    with pytest.raises(Unavailable, match="clerk is left alone for a while"):
        await asked


async def test_a_parked_inbox_refuses_asks_at_once_and_keeps_tells(stage: Stage) -> None:
    mailbox = stage.mailbox("clerk")
    address = stage.address(mailbox)
    mailbox.park()

    with pytest.raises(Unavailable, match="clerk is left alone for a while"):
        await address.ask(Note("asked"))
    address.tell(Note("told"))
    actor = Puppet()
    stage.enter(actor, mailbox)

    assert await address.ask(Note("asked again")) == 2
    assert actor.seen == ["told", "asked again"]


async def test_a_closed_inbox_takes_back_the_message_in_hand(stage: Stage) -> None:
    mailbox = stage.mailbox()
    mailbox.close()

    mailbox.put_back(Envelope(Note("in hand at the end")))

    with pytest.raises(Unavailable, match="puppet is stopping"):
        mailbox.put(Envelope(Note("new")))
    assert len(mailbox) == 1
