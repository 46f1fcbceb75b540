"""Time moves when told to, from timer to timer, and the kit knows when nothing more happens."""

import asyncio
import random
from typing import Any

import pytest

from actors.runtime.actor import AsyncioActor
from actors.runtime.replies import Unavailable
from supervisors.engine.child import ChildSpec
from tests.clock import turn
from tests.kit import settling
from tests.kit.kit import Kit
from tests.kit.settling import NeverQuiet
from tests.puppets import Bug, Do, Gate, Note, Puppet, nothing


def puppet(name: str, seen: list[str] | None = None, **hooks: Any) -> ChildSpec:
    return ChildSpec(name=name, start=lambda: Puppet(seen, **hooks))


async def hop(actor: Puppet, left: int) -> None:
    """Leave a message to oneself, so many times."""
    actor.seen.append("hop")
    if left:
        actor.spawn(lend(actor, left - 1), "hop")


async def lend(actor: Puppet, left: int) -> None:
    await turn()
    await hop(actor, left)


# quiet


async def test_quiet_waits_for_messages_and_for_work_beside_them() -> None:
    seen: list[str] = []
    async with Kit() as kit:
        await kit.start(puppet("clerk", seen))
        kit.tell("clerk", Note("first"))
        kit.tell("clerk", Do(lambda actor: hop(actor, 50)))
        assert seen == []

        busy = await kit.quiet()

    assert busy == {}
    assert seen == ["first"] + ["hop"] * 51


async def test_quiet_moves_no_time_but_lets_timers_go_off_that_are_due() -> None:
    seen: list[str] = []

    async def yields(actor: Puppet) -> None:
        await actor.clock.sleep(0)
        seen.append("at once")
        await actor.clock.sleep(1)
        seen.append("later")

    async with Kit() as kit:
        await kit.start(puppet("clerk"))
        before = kit.clock.now()
        kit.tell("clerk", Do(yields))

        busy = await kit.quiet()

        assert (seen, kit.clock.now()) == (["at once"], before)
        assert busy == {"clerk": "Do"}
        assert await kit.pass_time(1) == {}
    assert seen == ["at once", "later"]


async def test_quiet_names_who_hangs_and_who_waits_behind() -> None:
    async with Kit() as kit:
        await kit.start(puppet("clerk"), puppet("boss"))
        kit.hang("clerk")
        clerk = kit.address("clerk")
        kit.tell("boss", Do(lambda _: clerk.ask(Note("please"))))

        assert await kit.quiet() == {"clerk": "Note", "boss": "Do"}


async def test_quiet_names_who_does_not_get_ready() -> None:
    async with Kit() as kit:
        gate = Gate()
        await kit.start(puppet("clerk", prepare=gate))

        assert await kit.quiet() == {"clerk": "prepare"}

        gate.open.set()
        assert await kit.quiet() == {}


async def test_quiet_names_who_does_not_come_to_an_end() -> None:
    async with Kit() as kit:
        gate = Gate()
        await kit.start(puppet("clerk", finish=gate))
        kit.actor("clerk").stop()

        assert await kit.quiet() == {"clerk": "finish"}

        gate.open.set()
        assert await kit.quiet() == {}


async def test_those_that_go_on_and_on_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that wake one another in turn: no single look sees both."""
    monkeypatch.setattr(settling, "TURNS", 200)

    def pass_on(to: str) -> Do[None]:
        async def work(_: Puppet) -> None:
            kit.tell(to, pass_on("ping" if to == "pong" else "pong"))

        return Do(work)

    async with Kit() as kit:
        await kit.start(puppet("clerk"), puppet("ping"), puppet("pong"))
        kit.tell("clerk", Note("a"))
        kit.tell("ping", pass_on("pong"))

        with pytest.raises(
            NeverQuiet, match=r"still busy after 200 turns: (ping, pong|pong, ping)$"
        ):
            await kit.quiet()


async def test_a_timer_that_is_always_due_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "TURNS", 200)

    async def naps(actor: Puppet) -> None:
        while True:
            await actor.clock.sleep(0)

    async with Kit() as kit:
        await kit.start(puppet("napper"))
        kit.tell("napper", Do(naps))

        with pytest.raises(NeverQuiet, match="napper"):
            await kit.quiet()

        kit.kill("napper")


# pass_time


async def test_time_stops_at_every_timer_and_all_settles_before_the_next() -> None:
    """A message sent at second 1 is handled then, and not when the time is over."""
    moments: list[float] = []

    async def ticks(actor: Puppet) -> None:
        for _ in range(3):
            await actor.clock.sleep(1)
            other.tell(Do(note))

    async def note(actor: Puppet) -> None:
        await turn()
        moments.append(actor.clock.now() - began)

    async with Kit() as kit:
        await kit.start(puppet("clerk"), puppet("other"))
        other, began = kit.address("other"), kit.clock.now()
        kit.tell("clerk", Do(ticks))

        await kit.pass_time(10)

        assert moments == [1, 2, 3]
        assert kit.clock.now() == began + 10


async def test_time_that_comes_to_no_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "STEPS", 100)

    async def ever_faster(actor: Puppet) -> None:
        while True:
            await actor.clock.sleep(0.001)

    async with Kit() as kit:
        await kit.start(puppet("clerk"))
        kit.tell("clerk", Do(ever_faster))

        with pytest.raises(NeverQuiet, match="100 timers went off"):
            await kit.pass_time(60)

        kit.kill("clerk")


# ask


async def test_an_ask_takes_as_much_time_as_its_answer() -> None:
    async def slow(actor: Puppet) -> str:
        await actor.clock.sleep(3)
        return "done"

    async with Kit() as kit:
        await kit.start(puppet("clerk"))
        before = kit.clock.now()

        assert await kit.ask("clerk", Do(slow)) == "done"

        assert kit.clock.now() == before + 3


async def test_an_ask_that_nobody_answers_ends_at_its_deadline() -> None:
    async with Kit() as kit:
        await kit.start(puppet("clerk"))
        kit.hang("clerk")
        before = kit.clock.now()

        with pytest.raises(Unavailable, match="did not answer in time"):
            await kit.ask("clerk", Note("hello"), timeout_s=7)

        assert kit.clock.now() == before + 7


async def test_a_name_that_nobody_has_is_refused_with_those_that_are() -> None:
    async with Kit() as kit:
        await kit.start(puppet("clerk"), puppet("boss"))

        with pytest.raises(LookupError, match="there is no clark; there are clerk, boss"):
            kit.tell("clark", Note("hello"))


# seeds


async def test_the_same_seed_gives_the_same_life() -> None:
    async def life(seed: int | None) -> list[str]:
        async with Kit(seed) as kit:
            await kit.start(puppet("clerk"))
            kit.fail("clerk", times=3)
            kit.tell("clerk", Note("hello"))
            await kit.pass_time(60)
            return [f"{event.at} {event.details}" for event in kit.record.events]

    first, again, other = await life(4), await life(4), await life(5)

    assert first == again
    assert first != other


async def test_a_failure_tells_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KIT_SEED", raising=False)
    kit = Kit()

    async def wrong() -> None:
        async with kit:
            await kit.start(puppet("clerk"))
            raise Bug

    with pytest.raises(Bug) as failed:
        await wrong()

    [note] = failed.value.__notes__
    name = "test_time.py::test_a_failure_tells_how_to_repeat_it"
    assert f"KIT_SEED={kit.seed} pytest " in note
    assert note.endswith(name)
    monkeypatch.setenv("KIT_SEED", str(kit.seed))
    assert Kit().source.random() == random.Random(kit.seed).random()  # noqa: S311 - the same


async def test_a_seed_in_the_test_is_stronger_than_one_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KIT_SEED", "5")

    assert (Kit(7).seed, Kit().seed) == (7, 5)


# the end


async def test_nothing_of_the_tree_is_left_behind() -> None:
    diary: list[str] = []

    async def ends(_: Puppet) -> None:
        diary.append("finished")

    before = asyncio.all_tasks()
    async with Kit() as kit:
        await kit.start(puppet("clerk", finish=ends), puppet("boss", finish=ends), kit.patrol())
        kit.hang("boss")
        kit.tell("boss", Note("hello"))
        await kit.quiet()
        kit.kill("clerk")

    assert asyncio.all_tasks() == before
    assert diary == ["finished"]  # the clerk was waiting for its restart


async def test_a_tree_that_does_not_end_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "TURNS", 200)

    class Stubborn(AsyncioActor):
        abandon_deadline_s = None

        async def abandon(self) -> None:
            await gate()

        async def finish(self) -> None:
            await gate()

    gate, kit = Gate(), Kit()

    async def endless() -> None:
        async with kit:
            await kit.start(ChildSpec(name="stubborn", start=Stubborn))

    with pytest.raises(NeverQuiet, match="time alone will not end"):
        await endless()
    gate.open.set()
    await kit.quiet()


async def test_a_kit_has_one_tree() -> None:
    async with Kit() as kit:
        await kit.start(puppet("clerk", prepare=nothing))

        with pytest.raises(ValueError, match="one tree"):
            await kit.start(puppet("boss"))


async def test_without_a_tree_there_is_nobody() -> None:
    async with Kit() as kit:
        with pytest.raises(LookupError, match="nothing was started"):
            kit.tell("clerk", Note("hello"))
