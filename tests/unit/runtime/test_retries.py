"""A message that ends its actor is the next one's first; at the third strike it is set aside."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
import pytest_asyncio

from actors.runtime.actor import STRIKES, Ending
from actors.runtime.events import DeadLetter, Event, EventKind
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed, Hung, Unavailable
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, Outage, Puppet, Stage, Work, failing, nothing


class Household:
    """One inbox, and a new puppet at it whenever the last one has ended."""

    def __init__(self, stage: Stage, bound: int = 10) -> None:
        self.stage = stage
        self.mailbox: Mailbox = stage.mailbox("puppet", bound)
        self.address = stage.address(self.mailbox)
        self.seen: list[str] = []
        self.actor: Puppet

    def begin(self, *, resume_on: tuple[type[Exception], ...] = ()) -> Puppet:
        """The next incarnation."""
        self.actor = Puppet(self.seen)
        self.stage.enter(self.actor, self.mailbox, strikes=STRIKES, resume_on=resume_on)
        return self.actor

    async def ended(self, times: int) -> Ending:
        """How the so-many-th incarnation ended."""
        await until(lambda: len(self.stage.endings) >= times)
        return self.stage.endings[times - 1]

    async def live_through(self, ends: int) -> None:
        """So many incarnations, one after the other, and one more."""
        for number in range(1, ends + 1):
            self.begin()
            await self.ended(number)
        self.begin()


@pytest_asyncio.fixture
async def home(stage: Stage) -> Household:
    """An inbox that nobody reads yet."""
    return Household(stage)


def failing_times(times: int, tries: list[str]) -> Work[str]:
    """Work that is a mistake so many times; it says at which try it was done."""

    async def work(_: Puppet) -> str:
        tries.append("try")
        if len(tries) <= times:
            raise Bug
        return f"done at try {len(tries)}"

    return work


# Asks


@pytest.mark.parametrize("failures", [1, 2])
async def test_an_asker_hears_the_answer_of_a_later_try(home: Household, failures: int) -> None:
    tries: list[str] = []
    asked = asyncio.ensure_future(home.address.ask(Do(failing_times(failures, tries))))

    await home.live_through(failures)

    assert await asked == f"done at try {failures + 1}"
    assert home.stage.letters == []


async def test_an_asker_hears_nothing_between_the_tries(home: Household) -> None:
    asked = asyncio.ensure_future(home.address.ask(Do(failing_times(1, []))))
    home.begin()

    await home.ended(1)
    await turn()

    assert not asked.done()
    home.begin()
    await asked


async def test_an_asker_hears_of_the_failure_after_the_third_try(home: Household) -> None:
    tries: list[str] = []
    asked = asyncio.ensure_future(home.address.ask(Do(failing_times(9, tries))))

    await home.live_through(3)

    with pytest.raises(ActorFailed) as failure:
        await asked
    assert failure.value.actor == "puppet"
    assert len(tries) == 3
    assert await home.address.ask(Note("the next one is well")) == 1


async def test_an_ask_whose_deadline_passed_between_tries_is_not_tried_again(
    home: Household,
) -> None:
    tries: list[str] = []
    asked = asyncio.ensure_future(home.address.ask(Do(failing_times(9, tries)), timeout_s=5))
    home.begin()
    await home.ended(1)

    home.stage.clock.advance(5)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await asked
    home.begin()

    await home.address.ask(Note("a fence"))
    assert len(tries) == 1
    assert home.stage.letters == []


async def test_an_ask_whose_asker_left_during_the_try_is_not_tried_again(home: Household) -> None:
    gate, tries = Gate(), list[str]()

    async def work(actor: Puppet) -> None:
        tries.append(actor.name)
        await gate()
        raise Bug

    asked = asyncio.ensure_future(home.address.ask(Do(work)))
    home.begin()
    await gate.reached.wait()

    asked.cancel()
    await asyncio.wait([asked])
    gate.open.set()
    await home.ended(1)

    assert home.mailbox.empty()
    assert len(tries) == 1


# Tells


async def test_a_tell_that_failed_is_tried_again_before_those_that_wait(home: Household) -> None:
    tries: list[str] = []

    async def work(actor: Puppet) -> None:
        tries.append("try")
        if len(tries) == 1:
            raise Bug
        actor.seen.append("tried again")

    home.begin()
    home.address.tell(Do(work))
    for text in "abc":
        home.address.tell(Note(text))
    await home.ended(1)
    home.address.tell(Note("d"))
    home.begin()

    await until(lambda: len(home.seen) == 5)
    assert home.seen == ["tried again", "a", "b", "c", "d"]


async def test_a_message_is_put_back_into_an_inbox_that_is_full(stage: Stage) -> None:
    home = Household(stage, bound=1)
    gate, tries = Gate(), list[str]()

    async def work(actor: Puppet) -> None:
        tries.append("try")
        await gate()
        if len(tries) == 1:
            raise Bug
        actor.seen.append("tried again")

    home.begin()
    home.address.tell(Do(work))
    await gate.reached.wait()
    home.address.tell(Note("fills the inbox"))
    gate.open.set()
    await home.ended(1)
    assert len(home.mailbox) == 2
    with pytest.raises(Unavailable):
        home.address.tell(Note("too many"))
    home.begin()

    await until(lambda: home.seen == ["tried again", "fills the inbox"])


async def test_the_third_strike_makes_a_dead_letter_and_the_next_message_runs(
    home: Household,
) -> None:
    bug = Bug("secret")
    message = Do(failing(bug), operation_id="tap-7")
    home.address.tell(message)
    home.address.tell(Note("next"))

    await home.live_through(3)

    await until(lambda: home.seen == ["next"])
    [letter] = home.stage.letters
    assert letter == DeadLetter(
        at=home.stage.clock.now(),
        actor="puppet",
        message=message,
        attempts=3,
        error=bug,
        correlation_id=letter.correlation_id,
        operation_id="tap-7",
    )
    assert letter.correlation_id


async def test_the_third_strike_is_an_event(home: Household) -> None:
    home.address.tell(Do(failing(Bug("secret"))))

    await home.live_through(3)

    [event] = home.stage.events
    assert event == Event(
        kind=EventKind.QUARANTINED,
        at=home.stage.clock.now(),
        supervisor="",
        actor="puppet",
        reason="Bug",
        details={"message": "Do", "attempts": 3},
        correlation_id=home.stage.letters[0].correlation_id,
    )


async def test_the_third_strike_is_logged_without_the_errors_words(
    home: Household, logs: list[MutableMapping[str, Any]]
) -> None:
    home.address.tell(Do(failing(Bug("secret"))))

    await home.live_through(3)

    [log] = [log for log in logs if log["event"] == "message_set_aside"]
    assert (log["actor"], log["message"], log["attempts"]) == ("puppet", "Do", 3)
    assert "secret" not in str(log)


async def test_every_message_has_strikes_of_its_own(home: Household) -> None:
    first, second = list[str](), list[str]()
    home.address.tell(Do(failing_times(2, first)))
    home.address.tell(Do(failing_times(2, second)))

    await home.live_through(4)

    await home.address.ask(Note("a fence"))
    assert (len(first), len(second)) == (3, 3)
    assert home.stage.letters == []


async def test_an_observer_that_fails_keeps_neither_the_end_nor_the_letter_from_anybody(
    stage: Stage, logs: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise Bug("a bad observer")

    monkeypatch.setattr(stage, "event", fail)
    address = stage.play(Puppet())

    with pytest.raises(ActorFailed):
        await address.ask(Do(failing(Bug("first"))))

    await until(lambda: stage.endings)
    assert str(stage.endings[0].error) == "first"
    assert len(stage.letters) == 1
    assert [log["told"] for log in logs if log["event"] == "observer_failed"] == ["Event"]


# Kills


async def test_a_kill_puts_the_message_in_hand_back_first_and_is_a_strike(
    home: Household,
) -> None:
    gate = Gate()

    async def work(actor: Puppet) -> None:
        await gate()
        actor.seen.append("tried again")

    home.begin()
    home.address.tell(Do(work))
    await gate.reached.wait()
    home.address.tell(Note("a"))
    home.actor.kill()
    ending = await home.ended(1)
    waiting = await home.mailbox.get()
    assert waiting is not None
    assert (type(waiting.message), waiting.attempts) == (Do, 1)
    home.mailbox.put_back(waiting)

    gate.open.set()
    home.begin()

    await until(lambda: home.seen == ["tried again", "a"])
    assert isinstance(ending.error, asyncio.CancelledError)


async def test_three_kills_over_a_message_set_it_aside(home: Household) -> None:
    async def hang(_: Puppet) -> None:
        await asyncio.Event().wait()

    home.address.tell(Do(hang))
    for number in range(1, 4):
        actor = home.begin()
        await until(lambda: home.mailbox.in_hand is not None)
        actor.kill(Hung())
        assert isinstance((await home.ended(number)).error, Hung)

    [letter] = home.stage.letters
    assert isinstance(letter.error, Hung)
    assert home.mailbox.empty()


async def test_a_kill_while_waiting_loses_nothing_and_keeps_the_order(home: Household) -> None:
    home.begin()
    await home.actor.started
    await turn()
    for text in "abc":
        home.address.tell(Note(text))

    home.actor.kill()
    await home.ended(1)
    home.begin()

    await until(lambda: home.seen == ["a", "b", "c"])
    assert home.stage.letters == []


async def test_a_kill_with_a_reason_is_a_crash_by_it(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)
    await actor.started
    await turn()
    reason = Hung("too long")

    actor.kill(reason)
    actor.kill()

    await until(lambda: stage.endings)
    assert stage.endings[0].error is reason


async def test_a_reason_is_heard_although_the_actor_never_ran(stage: Stage) -> None:
    actor = Puppet()
    stage.play(actor)
    reason = Hung("too long")

    actor.kill(reason)

    await until(lambda: stage.endings)
    assert stage.endings[0].error is reason


async def test_a_handler_that_swallows_its_kill_is_the_actors_last(stage: Stage) -> None:
    gate = Gate()

    async def swallow(_: Puppet) -> str:
        try:
            await gate()
        except asyncio.CancelledError:
            return "still here"
        return "never killed"

    actor = Puppet()
    mailbox = stage.mailbox()
    stage.enter(actor, mailbox)
    address = stage.address(mailbox)
    asked = asyncio.ensure_future(address.ask(Do(swallow)))
    await gate.reached.wait()
    address.tell(Note("waits"))

    actor.kill()

    assert await asked == "still here"
    await until(lambda: stage.endings)
    assert isinstance(stage.endings[0].error, asyncio.CancelledError)
    assert (actor.seen, len(mailbox)) == ([], 1)


# Ticks


async def test_a_tick_in_hand_at_a_crash_is_not_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Household(stage)

    async def fail(_: object, message: Tick) -> None:
        del message
        raise Bug

    with monkeypatch.context() as patch:
        patch.setattr(Puppet, "on_tick", fail)
        home.begin()
        home.address.wake()
        ending = await home.ended(1)
    home.begin()
    await home.address.ask(Note("a fence"))

    assert isinstance(ending.error, Bug)
    assert home.seen == ["a fence"]
    assert stage.letters == []


# Errors over which an actor lives on


async def test_over_a_resumable_error_the_actor_lives_on_with_its_state(home: Household) -> None:
    actor = home.begin(resume_on=(Bug,))
    await home.address.ask(Note("state"))

    with pytest.raises(ActorFailed):
        await home.address.ask(Do(failing(Bug())))

    assert await home.address.ask(Note("more")) == 2
    assert home.actor is actor
    assert (home.stage.endings, home.stage.letters) == ([], [])
    assert home.mailbox.statistics.failed == 1


async def test_an_error_that_is_not_resumable_ends_the_actor_all_the_same(
    home: Household,
) -> None:
    home.begin(resume_on=(KeyError,))

    home.address.tell(Do(failing(Bug())))

    assert isinstance((await home.ended(1)).error, Bug)


# Weather


async def test_weather_in_a_handler_is_no_strike(home: Household) -> None:
    home.begin()

    with pytest.raises(Unavailable):
        await home.address.ask(Do(failing(Outage())))

    assert home.mailbox.empty()
    assert (home.stage.endings, home.stage.letters) == ([], [])
    assert home.mailbox.statistics.failed == 0


async def test_an_end_by_weather_is_no_strike_against_the_message_in_hand(
    home: Household,
) -> None:
    gate = Gate()

    async def beside() -> None:
        await gate.reached.wait()
        raise Outage

    for number in range(1, 6):
        gate.reached.clear()
        home.begin().spawn(beside(), "beside")
        if number == 1:
            home.address.tell(Do(gate))
        assert (await home.ended(number)).weather
    gate.open.set()
    home.begin()

    assert await home.address.ask(Note("a fence")) == 1
    assert home.stage.letters == []


@pytest.mark.parametrize(
    ("error", "weather"), [(Outage(), True), (Unavailable("busy"), True), (Bug(), False)]
)
async def test_an_end_says_whether_it_was_weather(
    stage: Stage, error: Exception, weather: bool
) -> None:
    async def beside(actor: Puppet) -> None:
        async def work() -> None:
            raise error

        actor.spawn(work(), "beside")

    stage.play(Puppet(prepare=failing(error)))
    stage.play(Puppet(prepare=beside))
    stage.play(Puppet(finish=failing(error))).tell(Do(stopping))

    await until(lambda: len(stage.endings) == 3)
    assert [ending.weather for ending in stage.endings] == [weather] * 3


async def stopping(actor: Puppet) -> None:
    """Work after which the actor ends in order."""
    actor.stop()
    await nothing(actor)
