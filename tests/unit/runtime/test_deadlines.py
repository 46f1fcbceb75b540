"""Every ask ends in time: by an answer, its deadline, a refused cycle, or its asker's leaving."""

import asyncio

import pytest

from actors.runtime.address import DEFAULT_TIMEOUT_S, Address
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import current_context
from actors.runtime.replies import ActorFailed, AskCycle, Unavailable
from tests.clock import PATIENCE_S, until
from tests.puppets import Do, Gate, Note, Puppet, Stage


def ask_on(address: Address, timeout_s: float = DEFAULT_TIMEOUT_S) -> Do[int]:
    """A message whose handler asks somebody else."""

    async def work(actor: Puppet) -> int:
        return await address.ask(Note(actor.name), timeout_s=timeout_s)

    return Do(work)


async def deadline_in_hand(_: Puppet) -> float | None:
    """The deadline of the message in hand."""
    context = current_context.get()
    assert context is not None
    return context.deadline


async def test_an_asker_that_got_no_answer_is_told_at_its_deadline(stage: Stage) -> None:
    gate = Gate()
    asked = asyncio.ensure_future(stage.play(Puppet()).ask(Do(gate), timeout_s=5))
    await gate.reached.wait()

    stage.clock.advance(4.999)
    assert not asked.done()
    stage.clock.advance(0.001)

    with pytest.raises(Unavailable, match="puppet did not answer in time"):
        await asked


async def test_an_answered_ask_leaves_no_timer_behind(stage: Stage) -> None:
    await stage.play(Puppet()).ask(Note("one"))

    assert stage.clock.timers == []


async def test_an_actor_that_is_late_with_an_answer_lives_on(stage: Stage) -> None:
    gate = Gate()
    address = stage.play(Puppet())
    asked = asyncio.ensure_future(address.ask(Do(gate), timeout_s=1))
    await gate.reached.wait()
    stage.clock.advance(1)
    with pytest.raises(Unavailable):
        await asked

    gate.open.set()

    assert await address.ask(Note("well")) == 1


async def test_a_deadline_shrinks_along_a_chain_of_asks(stage: Stage) -> None:
    last = stage.play(Puppet(), "last")

    async def ask_with_more_time(_: Puppet) -> float | None:
        stage.clock.advance(3)
        return await last.ask(Do(deadline_in_hand), timeout_s=60)

    start = stage.clock.now()

    assert await stage.play(Puppet(), "first").ask(Do(ask_with_more_time), timeout_s=5) == start + 5


async def test_a_deadline_never_grows_but_may_be_cut(stage: Stage) -> None:
    last = stage.play(Puppet(), "last")

    async def ask_with_less_time(_: Puppet) -> float | None:
        return await last.ask(Do(deadline_in_hand), timeout_s=1)

    start = stage.clock.now()

    assert await stage.play(Puppet(), "first").ask(Do(ask_with_less_time), timeout_s=5) == start + 1


async def test_nothing_is_asked_when_no_time_is_left(stage: Stage) -> None:
    second = Puppet()
    address = stage.play(second, "second")

    async def ask_too_late(_: Puppet) -> str:
        stage.clock.advance(10)
        with pytest.raises(Unavailable) as refusal:
            await address.ask(Note("too late"))
        return refusal.value.reason

    told: list[str] = []

    async def note(actor: Puppet) -> None:
        told.append(await ask_too_late(actor))

    asked = asyncio.ensure_future(stage.play(Puppet(), "first").ask(Do(note), timeout_s=10))
    await asyncio.wait([asked])

    assert isinstance(asked.exception(), Unavailable)
    await until(lambda: told == ["no time is left to ask second"])
    await address.ask(Note("a fence"))
    assert second.seen == ["a fence"]


async def test_a_tell_carries_no_deadline(stage: Stage) -> None:
    deadlines: list[float | None] = []
    second = stage.play(Puppet(), "second")

    async def note_deadline(actor: Puppet) -> None:
        deadlines.append(await deadline_in_hand(actor))

    async def tell(_: Puppet) -> None:
        second.tell(Do(note_deadline))

    await stage.play(Puppet(), "first").ask(Do(tell), timeout_s=1)

    await until(lambda: deadlines == [None])


async def test_an_ask_that_nobody_waits_for_any_more_is_not_handled(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    address = stage.play(actor)
    address.tell(Do(gate))
    await gate.reached.wait()
    late = asyncio.ensure_future(address.ask(Note("late"), timeout_s=1))
    kept = asyncio.ensure_future(address.ask(Note("kept"), timeout_s=100))
    await until(lambda: len(stage.clock.timers) == 2)

    stage.clock.advance(1)
    gate.open.set()

    assert await kept == 1
    assert actor.seen == ["kept"]
    with pytest.raises(Unavailable):
        await late


async def test_an_asker_that_leaves_takes_its_message_back(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    address = stage.play(actor)
    address.tell(Do(gate))
    await gate.reached.wait()
    leaving = asyncio.ensure_future(address.ask(Note("taken back")))
    await until(lambda: stage.clock.timers)

    leaving.cancel()
    await asyncio.wait([leaving])
    gate.open.set()
    await address.ask(Note("a fence"))

    assert leaving.cancelled()
    assert actor.seen == ["a fence"]
    assert stage.clock.timers == []


async def test_an_asker_that_leaves_does_not_disturb_the_message_in_hand(stage: Stage) -> None:
    gate = Gate()
    actor = Puppet()
    address = stage.play(actor)

    async def work(actor: Puppet) -> None:
        await gate()
        actor.seen.append("done")

    leaving = asyncio.ensure_future(address.ask(Do(work)))
    await gate.reached.wait()
    leaving.cancel()
    await asyncio.wait([leaving])
    gate.open.set()

    assert await address.ask(Note("a fence")) == 2
    assert actor.seen == ["done", "a fence"]


async def test_asking_oneself_is_refused_at_once(stage: Stage) -> None:
    address = stage.play(Puppet(), "narcissus")

    with pytest.raises(ActorFailed):
        await address.ask(ask_on(address))

    await until(lambda: stage.endings)
    error = stage.endings[0].error
    assert isinstance(error, AskCycle)
    assert error.chain == ("narcissus", "narcissus")


async def test_an_ask_that_would_come_back_is_refused_and_names_the_chain(stage: Stage) -> None:
    first = stage.play(Puppet(), "first")
    second = stage.play(Puppet(), "second")

    async def ask_back(_: Puppet) -> str:
        with pytest.raises(AskCycle) as refusal:
            await first.ask(Note("a knot"))
        return str(refusal.value)

    async def ask_second(_: Puppet) -> str:
        return await second.ask(Do(ask_back))

    assert await first.ask(Do(ask_second)) == "ask cycle: first -> second -> first"


async def test_an_ask_after_a_tell_is_no_cycle_since_nobody_waits(stage: Stage) -> None:
    answered: list[int] = []
    first = stage.play(Puppet(), "first")
    second = stage.play(Puppet(), "second")

    async def ask_back(_: Puppet) -> None:
        answered.append(await first.ask(Note("no knot")))

    async def tell_second(_: Puppet) -> None:
        second.tell(Do(ask_back))

    await first.ask(Do(tell_second))

    await until(lambda: answered == [1])
    assert stage.endings == []


async def test_an_ask_from_spawned_work_is_no_cycle(stage: Stage) -> None:
    answered: list[int] = []
    first = stage.play(Puppet(), "first")
    second = stage.play(Puppet(), "second")

    async def beside() -> None:
        answered.append(await second.ask(ask_on(first)))

    async def spawn(actor: Puppet) -> None:
        actor.spawn(beside(), "beside")

    await first.ask(Do(spawn))

    await until(lambda: answered == [1])


async def test_the_loops_clock_keeps_the_loops_time() -> None:
    clock, fired = LoopClock(), asyncio.Event()
    before = clock.now()

    cancelled = clock.call_later(0, lambda: pytest.fail("a cancelled call"))
    cancelled.cancel()
    clock.call_later(0, fired.set)
    async with asyncio.timeout(PATIENCE_S):
        await fired.wait()
        await clock.sleep(0)

    assert before <= clock.now() <= before + PATIENCE_S
    assert abs(clock.now() - asyncio.get_running_loop().time()) < PATIENCE_S


async def test_the_loops_clock_is_read_on_any_thread() -> None:
    assert await asyncio.to_thread(LoopClock().now) > 0
