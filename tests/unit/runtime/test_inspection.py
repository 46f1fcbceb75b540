"""What an operator sees of an actor: what it did and how long that took, never what was said."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from actors.runtime.inspection import HandledMessage
from actors.runtime.mailbox import REMEMBERED
from actors.runtime.replies import ActorFailed, Unavailable
from tests.clock import until
from tests.puppets import Bug, Do, Gate, Note, Outage, Puppet, Stage, Work, failing


def lasting(stage: Stage, seconds: float) -> Work[None]:
    """Work that takes so long."""

    async def work(_: Puppet) -> None:
        stage.clock.advance(seconds)

    return work


async def test_an_actor_has_nothing_to_show_unless_it_says_so() -> None:
    class Clerk(Puppet):
        def describe(self) -> Mapping[str, Any]:
            return {"noted": len(self.seen)}

    assert Puppet().describe() == {}
    assert Clerk(["a"]).describe() == {"noted": 1}


async def test_an_inbox_remembers_a_message_with_its_times_and_outcome(stage: Stage) -> None:
    mailbox = stage.mailbox()
    address = stage.address(mailbox)
    asked = asyncio.ensure_future(address.ask(Do(lasting(stage, 2))))
    await until(lambda: len(mailbox) == 1)
    stage.clock.advance(3)
    stage.enter(Puppet(), mailbox)
    await asked

    [message] = mailbox.statistics.recent
    assert message == HandledMessage(
        message="Do",
        correlation_id=message.correlation_id,
        at=stage.clock.now(),
        waited_s=3,
        took_s=2,
        outcome="handled",
    )
    assert message.correlation_id


async def test_an_inbox_remembers_the_last_few_messages_only(stage: Stage) -> None:
    mailbox = stage.mailbox(bound=100)
    stage.enter(Puppet(), mailbox)
    address = stage.address(mailbox)
    for _ in range(REMEMBERED):
        await address.ask(Note("early"))
    for _ in range(REMEMBERED):
        await address.ask(Do(lasting(stage, 0)))

    assert [message.message for message in mailbox.statistics.recent] == ["Do"] * REMEMBERED
    assert mailbox.statistics.handled == 2 * REMEMBERED


async def test_an_inbox_remembers_the_longest_message_and_the_time_of_all(stage: Stage) -> None:
    mailbox = stage.mailbox()
    stage.enter(Puppet(), mailbox)
    for seconds in (1, 4, 2):
        await stage.address(mailbox).ask(Do(lasting(stage, seconds)))

    assert mailbox.statistics.longest_s == 4
    assert mailbox.statistics.busy_s == 7


@pytest.mark.parametrize(
    ("error", "heard", "outcome", "failed"),
    [(Outage(), Unavailable, "postponed", 0), (Bug(), ActorFailed, "Bug", 1)],
)
async def test_an_outcome_names_the_kind_of_error(
    stage: Stage, error: Exception, heard: type[Exception], outcome: str, failed: int
) -> None:
    mailbox = stage.mailbox()
    stage.enter(Puppet(), mailbox)

    with pytest.raises(heard):
        await stage.address(mailbox).ask(Do(failing(error)))

    assert [message.outcome for message in mailbox.statistics.recent] == [outcome]
    assert mailbox.statistics.failed == failed


async def test_the_last_failure_says_what_where_and_when_and_not_its_words(stage: Stage) -> None:
    mailbox = stage.mailbox()
    stage.enter(Puppet(), mailbox)
    stage.address(mailbox).tell(Do(failing(Bug("secret"))))
    await until(lambda: stage.endings)

    failure = mailbox.statistics.last_failure
    assert failure is not None
    assert (failure.error, failure.during, failure.at) == ("Bug", "Do", stage.clock.now())
    line = failing.__code__.co_firstlineno
    name, number = failure.where.split(":")
    assert name == "puppets.py"
    assert line < int(number) < line + 6
    assert str(failure) == f"Bug in {failure.where} during Do"
    assert "secret" not in repr(failure)


async def test_a_failure_without_a_place_is_shown_without_one(stage: Stage) -> None:
    actor, mailbox = Puppet(), stage.mailbox()
    stage.enter(actor, mailbox)
    actor.kill(Bug())
    await until(lambda: stage.endings)

    assert str(mailbox.statistics.last_failure) == "Bug during prepare"


async def test_an_inbox_knows_what_is_in_hand_and_since_when(stage: Stage) -> None:
    gate, mailbox = Gate(), stage.mailbox()
    stage.enter(Puppet(), mailbox)
    started = stage.clock.now()
    asked = asyncio.ensure_future(stage.address(mailbox).ask(Do(gate)))
    await gate.reached.wait()
    stage.clock.advance(4)

    assert mailbox.in_hand is not None
    assert isinstance(mailbox.in_hand.message, Do)
    assert mailbox.in_hand_since == started
    gate.open.set()
    await asked
    assert mailbox.in_hand is None
    assert mailbox.used_at == started + 4


async def test_an_inbox_knows_since_when_its_oldest_message_waits(stage: Stage) -> None:
    mailbox = stage.mailbox()
    assert mailbox.oldest_at is None
    stage.address(mailbox).tell(Note("a"))
    began = stage.clock.now()

    stage.clock.advance(7)
    stage.address(mailbox).tell(Note("b"))

    assert mailbox.oldest_at == began


async def test_a_test_may_look_at_every_message_before_its_handler(stage: Stage) -> None:
    looked: list[tuple[str, str]] = []

    async def look(actor: str, message: Any) -> None:
        looked.append((actor, message.text))
        if message.text == "poison":
            raise Bug

    stage.before_message = look
    actor = Puppet()
    address = stage.play(actor, "clerk")
    await address.ask(Note("well"))

    with pytest.raises(ActorFailed):
        await address.ask(Note("poison"))

    assert looked == [("clerk", "well"), ("clerk", "poison")]
    assert actor.seen == ["well"]
