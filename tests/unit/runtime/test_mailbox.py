"""An inbox is bounded and in order; what keeps the system alive always gets in."""

import asyncio

import pytest
import structlog

from actors.runtime.address import DEFAULT_TIMEOUT_S
from actors.runtime.mailbox import Envelope, Mailbox
from actors.runtime.messages import ChildEnded, RestartDue, Stop, Tick
from actors.runtime.replies import Unavailable
from tests.clock import turn, until
from tests.puppets import Do, Gate, Note, Puppet, Stage

SYSTEM = [
    Stop(),
    ChildEnded(child="child", incarnation=1, error=None),
    RestartDue(child="child", incarnation=1),
]


async def taken(mailbox: Mailbox) -> object:
    """The next message."""
    envelope = await mailbox.get()
    return envelope and envelope.message


async def test_a_full_inbox_tells_the_sender(stage: Stage) -> None:
    mailbox = stage.mailbox("clerk", bound=2)
    address = stage.address(mailbox)
    address.tell(Note("one"))
    address.tell(Note("two"))

    with pytest.raises(Unavailable, match="clerk is busy"):
        address.tell(Note("three"))
    with pytest.raises(Unavailable, match="clerk is busy"):
        await address.ask(Note("four"))

    assert len(mailbox) == 2
    assert stage.clock.timers == []


@pytest.mark.parametrize("message", SYSTEM, ids=lambda message: type(message).__name__)
async def test_a_system_message_passes_a_full_inbox(message: object) -> None:
    mailbox = Mailbox("clerk", 1)
    mailbox.put(Envelope(Note("one")))

    mailbox.put(Envelope(message))

    assert await taken(mailbox) == message
    assert await taken(mailbox) == Note("one")
    assert mailbox.empty()


async def test_system_messages_keep_their_order() -> None:
    mailbox = Mailbox("clerk", 1)
    for message in SYSTEM:
        mailbox.put(Envelope(message))

    assert [await taken(mailbox) for _ in SYSTEM] == SYSTEM


async def test_a_place_is_free_again_when_a_message_is_taken() -> None:
    mailbox = Mailbox("clerk", 1)
    mailbox.put(Envelope(Note("one")))
    await mailbox.get()

    mailbox.put(Envelope(Note("two")))

    assert await taken(mailbox) == Note("two")


async def test_an_ask_that_nobody_waits_for_takes_nobodys_place(stage: Stage) -> None:
    mailbox = stage.mailbox("clerk", bound=3)
    address = stage.address(mailbox)
    address.tell(Note("one"))
    asks = [asyncio.ensure_future(address.ask(Note(text))) for text in ("two", "three")]
    await turn()
    stage.clock.advance(DEFAULT_TIMEOUT_S)
    await asyncio.gather(*asks, return_exceptions=True)

    address.tell(Note("four"))
    address.tell(Note("five"))

    with pytest.raises(Unavailable, match="clerk is busy"):
        address.tell(Note("six"))
    assert [await taken(mailbox) for _ in range(3)] == [Note("one"), Note("four"), Note("five")]


async def test_a_wake_on_a_full_inbox_is_silent(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=1)
    address = stage.address(mailbox)
    address.tell(Note("one"))

    address.wake()

    assert len(mailbox) == 1


async def test_an_actor_wakes_itself_and_a_full_inbox_is_no_matter(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    address = stage.play(actor, bound=1)
    address.tell(Do(gate))
    await gate.reached.wait()
    address.tell(Note("one"))

    actor.wake_self()
    gate.open.set()
    await until(lambda: actor.seen == ["one"])
    actor.wake_self()

    await until(lambda: actor.seen == ["one", "tick"])


async def test_ticks_that_wait_become_one(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=3)
    address = stage.address(mailbox)

    for _ in range(10):
        address.wake()

    assert len(mailbox) == 1


async def test_a_tick_while_another_is_in_hand_is_kept(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=3)
    address = stage.address(mailbox)
    address.wake()
    assert await taken(mailbox) == Tick()

    address.wake()

    assert await taken(mailbox) == Tick()


async def test_a_tick_that_somebody_asks_with_is_answered(stage: Stage) -> None:
    actor = Puppet()
    address = stage.play(actor)
    address.wake()

    assert await actor.actor_ref.ask(Tick(), block=False) is None
    assert actor.seen == ["tick", "tick"]


async def test_a_reader_that_is_interrupted_gets_nothing() -> None:
    mailbox = Mailbox("clerk", 1)
    reading = asyncio.ensure_future(mailbox.get())
    await turn()

    mailbox.interrupt()

    assert await reading is None


async def test_interrupting_nobody_is_harmless() -> None:
    mailbox = Mailbox("clerk", 1)

    mailbox.interrupt()

    mailbox.put(Envelope(Note("one")))
    assert await taken(mailbox) == Note("one")


async def test_a_reader_that_is_cancelled_loses_nothing() -> None:
    mailbox = Mailbox("clerk", 1)
    reading = asyncio.ensure_future(mailbox.get())
    await turn()
    mailbox.put(Envelope(Note("one")))
    reading.cancel()
    await asyncio.wait([reading])

    assert reading.cancelled()
    assert await taken(mailbox) == Note("one")


async def test_a_foreign_threads_tell_keeps_the_bound_and_leaves_a_warning(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=1)
    address = stage.address(mailbox)
    address.tell(Note("one"))

    with structlog.testing.capture_logs() as logs:
        await asyncio.to_thread(address.tell, Note("two"))
        await until(lambda: logs)

    assert len(mailbox) == 1
    assert [(log["event"], log["message"]) for log in logs] == [("message_refused", "Note")]


async def test_a_foreign_threads_ask_hears_of_a_full_inbox(stage: Stage) -> None:
    actor, gate = Puppet(), Gate()
    address = stage.play(actor, bound=1)
    address.tell(Do(gate))
    await gate.reached.wait()
    address.tell(Note("one"))

    future = await asyncio.to_thread(
        lambda: actor.actor_ref.ask(Note("two"), block=False),
    )

    with pytest.raises(Unavailable, match="busy"):
        await future


async def test_a_foreign_threads_tells_keep_their_order(stage: Stage) -> None:
    actor = Puppet()
    address = stage.play(actor, bound=100)

    def tell() -> None:
        for number in range(50):
            address.tell(Note(str(number)))

    await asyncio.to_thread(tell)

    await until(lambda: len(actor.seen) == 50)
    assert actor.seen == [str(number) for number in range(50)]


async def test_many_who_want_an_early_look_get_one_and_later_each_time(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)
    waits = []
    for _ in range(6):
        for _ in range(5):
            actor.wake_self_soon()
        waits += stage.clock.delays
        stage.clock.advance(max(stage.clock.delays))

    assert waits == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    stage.clock.advance(60)
    actor.wake_self_soon()
    assert stage.clock.delays == [0.1], "it was quiet for long"
