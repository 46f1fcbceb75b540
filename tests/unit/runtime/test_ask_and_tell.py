"""Messages come in order and one at a time; an ask gets its answer, or the reason why not."""

import asyncio
from dataclasses import dataclass

import pytest

from actors.runtime.actor import handler_name
from actors.runtime.address import Directory
from actors.runtime.messages import Request
from actors.runtime.replies import ActorFailed, Unavailable
from tests.clock import until
from tests.puppets import Bug, Do, Gate, Note, Outage, Puppet, Stage, fail, failing


@dataclass(frozen=True, slots=True)
class Riddle(Request[str]):
    """Nobody handles this."""


async def test_messages_of_one_sender_are_handled_in_order(stage: Stage) -> None:
    actor = Puppet()
    address = stage.play(actor, bound=100)

    for number in range(100):
        address.tell(Note(str(number)))

    await until(lambda: len(actor.seen) == 100)
    assert actor.seen == [str(number) for number in range(100)]


async def test_an_actor_handles_one_message_at_a_time(stage: Stage) -> None:
    at_work: set[int] = set()
    together: list[int] = []
    address = stage.play(Puppet(), bound=20)

    async def work(_: Puppet) -> None:
        at_work.add(1)
        together.append(len(at_work))
        await asyncio.wait([asyncio.ensure_future(asyncio.Event().wait())], timeout=0)
        at_work.clear()

    await asyncio.gather(*(address.ask(Do(work)) for _ in range(20)))

    assert together == [1] * 20


async def test_different_actors_work_side_by_side(stage: Stage) -> None:
    first, second = stage.play(Puppet(), "first"), stage.play(Puppet(), "second")
    gates = Gate(), Gate()

    asks = asyncio.gather(first.ask(Do(gates[0])), second.ask(Do(gates[1])))

    await gates[0].reached.wait()
    await gates[1].reached.wait()
    for gate in gates:
        gate.open.set()
    await asks


async def test_an_answer_has_the_type_of_its_question(stage: Stage) -> None:
    count: int = await stage.play(Puppet()).ask(Note("one"))

    assert count == 1


async def test_an_answer_may_be_none(stage: Stage) -> None:
    gate = Gate()
    gate.open.set()

    answer: object = await stage.play(Puppet()).ask(Do(gate))

    assert answer is None


async def test_a_message_without_a_handler_is_a_bug(stage: Stage) -> None:
    address = stage.play(Puppet())

    with pytest.raises(ActorFailed):
        await address.ask(Riddle())

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, TypeError)
    assert str(stage.endings[0].error) == "puppet does not understand Riddle"
    assert stage.endings[0].during == "Riddle"


@pytest.mark.parametrize(
    ("weather", "reason"),
    [(Outage("the database is away"), "puppet: outage"), (Unavailable("busy"), "busy")],
)
async def test_weather_is_told_to_the_asker_and_the_actor_lives_on(
    stage: Stage, weather: Exception, reason: str
) -> None:
    address = stage.play(Puppet())

    with pytest.raises(Unavailable) as refusal:
        await address.ask(Do(failing(weather)))

    assert refusal.value.reason == reason
    assert await address.ask(Note("still here")) == 1
    assert stage.endings == []


async def test_weather_under_a_tell_leaves_the_actor_alive(stage: Stage) -> None:
    address = stage.play(Puppet())

    address.tell(Do(failing(Outage())))

    assert await address.ask(Note("still here")) == 1


async def test_a_bug_reaches_the_asker_and_the_supervisor(stage: Stage) -> None:
    address = stage.play(Puppet())

    with pytest.raises(ActorFailed) as failure:
        await address.ask(Do(fail))

    assert failure.value.actor == "puppet"
    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)
    assert stage.endings[0].during == "Do"


async def test_a_bug_under_a_tell_reaches_the_supervisor(stage: Stage) -> None:
    address = stage.play(Puppet())

    address.tell(Do(fail))

    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, Bug)


async def test_what_waited_at_a_crash_is_handled_by_the_next_incarnation_in_order(
    stage: Stage,
) -> None:
    seen: list[str] = []
    mailbox = stage.mailbox(bound=10)
    address = stage.address(mailbox)
    stage.enter(Puppet(seen), mailbox)
    address.tell(Do(fail))
    answers = [asyncio.ensure_future(address.ask(Note(text))) for text in "abc"]
    await until(lambda: stage.endings)
    address.tell(Note("d"))

    stage.enter(Puppet(seen), mailbox)

    assert await asyncio.gather(*answers) == [1, 2, 3]
    await until(lambda: len(seen) == 4)
    assert seen == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("OpenPurchase", "on_open_purchase"),
        ("Tick", "on_tick"),
        ("CreditV2Payment", "on_credit_v2_payment"),
    ],
)
def test_a_handler_is_found_by_the_name_of_the_message(message: str, name: str) -> None:
    assert handler_name(type(message, (), {})) == name


async def test_the_directory_finds_a_fixed_actor(stage: Stage) -> None:
    directory = Directory()
    address = stage.play(Puppet(), "node/berlin")
    directory.register("node", address, "berlin")

    assert directory.find("node", "berlin") is address


async def test_the_directory_finds_a_member_of_a_family(stage: Stage) -> None:
    directory = Directory()
    directory.register_family("user", lambda key: stage.play(Puppet(), f"user/{key}"))

    assert directory.find("user", "7").name == "user/7"
    assert repr(directory.find("user", "8")) == "Address(user/8)"


@pytest.mark.parametrize(
    ("kind", "key", "words"),
    [("node", "paris", "there is no node paris"), ("clerk", "", "there is no clerk")],
)
def test_asking_the_directory_for_nobody_is_a_mistake(kind: str, key: str, words: str) -> None:
    with pytest.raises(LookupError, match=f"^{words}$"):
        Directory().find(kind, key)
