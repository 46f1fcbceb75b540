"""What the runtime takes from pykka, one test for each name: an upgrade that moves one fails here.

The second half holds that pykka's own `ActorRef` works on our actors.
"""

import asyncio
import inspect
import re
from collections.abc import Callable
from typing import Any

import pykka
import pytest
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import _ActorStop

from actors.runtime.mailbox import Envelope, Mailbox
from actors.runtime.replies import ActorFailed, Reply, Unavailable, WouldBlock
from tests.clock import PATIENCE_S, until
from tests.puppets import Bug, Do, Gate, Note, Puppet, fail


class Recorder:
    """Stands in for an inbox and notes what pykka puts into it."""

    def __init__(self) -> None:
        self.put_in: list[PykkaEnvelope[Any]] = []

    def put(self, envelope: PykkaEnvelope[Any], /) -> None:
        """Note it."""
        self.put_in.append(envelope)


# What we override or read


@pytest.mark.parametrize("name", ["_create_actor_inbox", "_create_future", "_start_actor_loop"])
def test_pykka_asks_an_actor_class_for_this(name: str) -> None:
    assert name in pykka.Actor.__abstractmethods__


async def test_an_actors_constructor_takes_its_inbox_from_our_hook() -> None:
    actor = Puppet()

    assert isinstance(actor.actor_inbox, Mailbox)
    assert actor.actor_inbox.bound == Puppet.mailbox_bound
    assert actor.actor_inbox.owner == "Puppet"


async def test_an_actor_keeps_its_reference_where_we_replace_it() -> None:
    actor = Puppet()

    assert isinstance(actor._actor_ref, pykka.ActorRef)
    assert actor.actor_ref is actor._actor_ref


async def test_a_reference_takes_inbox_and_stop_flag_from_the_actor_when_it_is_made() -> None:
    actor = Puppet()
    replacement = Mailbox("another", 1)
    actor.actor_inbox = replacement  # type: ignore[assignment]  # as take_post does

    reference = pykka.ActorRef(actor)

    assert id(reference.actor_inbox) == id(replacement)
    assert reference.actor_stopped is actor.actor_stopped


def test_of_the_stop_flag_pykka_uses_what_ours_has() -> None:
    sources = [inspect.getsource(kind) for kind in (pykka.Actor, pykka.ActorRef)]
    used = {name for source in sources for name in re.findall(r"actor_stopped\.(\w+)\(", source)}

    assert used == {"is_set", "set"}


async def test_an_ask_makes_its_future_by_our_hook_and_an_envelope_by_pykkas_class() -> None:
    actor = Puppet()
    actor.actor_inbox = inbox = Recorder()  # type: ignore[assignment]  # a stand-in

    future = pykka.ActorRef(actor).ask("question", block=False)

    [envelope] = inbox.put_in
    assert type(envelope) is PykkaEnvelope
    assert envelope.message == "question"
    assert envelope.reply_to is future
    assert isinstance(future, Reply)


async def test_a_stop_is_a_message_of_this_class() -> None:
    actor = Puppet()
    actor.actor_inbox = inbox = Recorder()  # type: ignore[assignment]  # a stand-in

    pykka.ActorRef(actor).stop(block=False)

    assert isinstance(inbox.put_in[0].message, _ActorStop)


def test_our_envelope_is_one_of_pykkas() -> None:
    assert issubclass(Envelope, PykkaEnvelope)
    assert PykkaEnvelope.__slots__ == ["message", "reply_to"]


def test_a_future_keeps_a_hook_where_we_look_for_it() -> None:
    future = pykka.Future[int]()
    assert future._get_hook is None

    future.set_get_hook(lambda _: 7)

    assert future._get_hook is not None
    assert future.get() == 7


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(Reply.set, pykka.Future.set), (Reply.set_exception, pykka.Future.set_exception)],
)
def test_our_future_is_set_like_pykkas(
    ours: Callable[..., Any], theirs: Callable[..., Any]
) -> None:
    assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)


async def test_started_actors_are_in_the_registry_until_they_end() -> None:
    reference = Puppet.start()
    assert reference in pykka.ActorRegistry.get_all()

    await reference.stop(block=False)
    await until(lambda: not reference.is_alive())

    assert reference not in pykka.ActorRegistry.get_all()


# pykka's own references on our actors


async def test_a_stock_tell_and_ask_reach_the_handler_in_order() -> None:
    reference = Puppet.start()
    reference.tell(Note("told"))

    assert await reference.ask(Note("asked"), block=False) == 2

    await reference.stop(block=False)


async def test_a_stock_asker_hears_of_the_crash() -> None:
    reference = Puppet.start()

    with pytest.raises(ActorFailed):
        await reference.ask(Do(fail), block=False)


async def test_a_stock_stop_lets_the_message_in_hand_finish_and_tells_who_waits() -> None:
    finished: list[str] = []

    async def finish(actor: Puppet) -> None:
        finished.append(actor.name)

    gate = Gate()
    reference = Puppet.start(finish=finish)
    in_hand = reference.ask(Do(gate), block=False)
    await gate.reached.wait()
    waiting = reference.ask(Note("too late"), block=False)
    stopped = reference.stop(block=False)

    gate.open.set()

    await in_hand
    assert await stopped is True
    with pytest.raises(Unavailable, match="stopped"):
        await waiting
    assert len(finished) == 1


async def test_a_stock_stop_of_an_ended_actor_answers_false() -> None:
    reference = Puppet.start()
    await reference.stop(block=False)
    await until(lambda: not reference.is_alive())

    assert await reference.stop(block=False) is False


async def test_a_stock_tell_to_an_ended_actor_is_refused() -> None:
    reference = Puppet.start()
    await reference.stop(block=False)
    await until(lambda: not reference.is_alive())

    with pytest.raises(pykka.ActorDeadError):
        reference.tell(Note("too late"))


async def test_an_actors_own_stop_after_its_end_is_harmless() -> None:
    actor = Puppet.start()._actor_weakref()
    assert actor is not None
    actor.stop()
    await actor.wait_ended()

    actor.stop()

    assert actor.actor_inbox.empty()


async def test_blocking_on_the_loop_is_refused() -> None:
    reference = Puppet.start()

    with pytest.raises(WouldBlock):
        reference.ask(Note("one"))
    with pytest.raises(WouldBlock):
        reference.stop()


async def test_get_gives_an_answer_that_is_there() -> None:
    reply: Reply[int] = Reply()
    with pytest.raises(WouldBlock):
        reply.get()

    reply.set(7)

    assert reply.get() == 7


async def test_futures_that_pykka_derives_are_awaited_too() -> None:
    reference = Puppet.start()
    first, second = (reference.ask(Note(text), block=False) for text in ("one", "two"))

    assert await first.join(second).map(sum) == 3


async def test_a_derived_future_fails_like_the_one_it_is_derived_from() -> None:
    reference = Puppet.start()

    with pytest.raises(ActorFailed):
        await reference.ask(Do(fail), block=False).map(str)


async def test_a_reply_settles_once() -> None:
    reply: Reply[int] = Reply()
    reply.set(1)

    reply.set(2)
    reply.fail(Bug())

    assert await reply == 1


async def test_set_exception_takes_the_one_that_is_being_handled() -> None:
    reply: Reply[int] = Reply()
    try:
        await fail(Puppet())
    except Bug:
        reply.set_exception()

    with pytest.raises(Bug):
        await reply


async def test_set_exception_outside_of_one_is_an_error_too() -> None:
    reply: Reply[int] = Reply()

    reply.set_exception()

    with pytest.raises(RuntimeError, match="without an exception"):
        await reply


# Foreign threads


async def test_a_foreign_thread_may_tell() -> None:
    seen: list[str] = []
    reference = Puppet.start(seen)

    await asyncio.to_thread(reference.tell, Note("from afar"))

    await until(lambda: seen == ["from afar"])


async def test_a_foreign_thread_may_ask_and_block() -> None:
    reference = Puppet.start()

    answer = await asyncio.to_thread(reference.ask, Note("from afar"), timeout=PATIENCE_S)

    assert answer == 1


async def test_a_foreign_thread_hears_of_the_crash() -> None:
    reference = Puppet.start()

    with pytest.raises(ActorFailed):
        await asyncio.to_thread(reference.ask, Do(fail), timeout=PATIENCE_S)


async def test_a_foreign_threads_wait_has_pykkas_timeout() -> None:
    gate = Gate()
    reference = Puppet.start()

    with pytest.raises(pykka.Timeout):
        await asyncio.to_thread(reference.ask, Do(gate), timeout=0)


async def test_a_reply_made_in_a_foreign_thread_is_awaited_on_the_loop() -> None:
    reference = Puppet.start()
    future = await asyncio.to_thread(lambda: reference.ask(Note("from afar"), block=False))

    assert await future == 1


async def test_another_loop_in_a_foreign_thread_may_ask() -> None:
    reference = Puppet.start()

    async def ask() -> Any:
        return await reference.ask(Note("from afar"), block=False)

    assert await asyncio.to_thread(asyncio.run, ask()) == 1


async def test_an_asker_whose_loop_is_closed_harms_nobody() -> None:
    gate = Gate()
    reference = Puppet.start()

    async def ask_and_leave() -> None:
        reference.ask(Do(gate), block=False)

    await asyncio.to_thread(asyncio.run, ask_and_leave())
    await gate.reached.wait()
    gate.open.set()

    assert await reference.ask(Note("still here"), block=False) == 1
