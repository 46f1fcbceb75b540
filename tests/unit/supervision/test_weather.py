"""Weather and directives: errors that are not what they seem, and what is done about them."""

import pytest

from actors.runtime.events import EventKind
from actors.runtime.replies import ActorFailed, Unavailable
from supervisors.engine.nursery import GaveUp
from supervisors.engine.policy import Exceeded
from supervisors.engine.strategies import Directive
from tests.clock import turn, until
from tests.puppets import Bug, Do, Note, Outage, Puppet, failing
from tests.unit.supervision.offices import POLICY, House, Office


class Typo(Bug):
    """A mistake of a certain kind."""


class Weather:
    """Raises an outage for as long as it rains."""

    def __init__(self) -> None:
        self.rains = True
        self.seen = 0

    def __call__(self) -> None:
        """Where an actor is made."""
        self.seen += 1
        if self.rains:
            raise Outage

    async def prepare(self, _: Puppet) -> None:
        """Where an actor prepares."""
        self()

    async def spawn(self, actor: Puppet) -> None:
        """Where an actor works beside its messages."""

        async def work() -> None:
            self()

        actor.spawn(work(), "work")


@pytest.mark.parametrize("where", ["constructor", "prepare", "spawned work"])
async def test_weather_spends_no_restarts_wherever_it_strikes(office: Office, where: str) -> None:
    weather = Weather()
    clerk = {
        "constructor": lambda: office.hire("clerk", starts=weather),
        "prepare": lambda: office.hire("clerk", prepare=weather.prepare),
        "spawned work": lambda: office.hire("clerk", prepare=weather.spawn),
    }[where]()
    supervisor = await office.open()

    for number in range(1, 5 * POLICY.max_restarts):
        await until(lambda: weather.seen == number and office.planned())  # noqa: B023 - at once
        office.stage.clock.advance(POLICY.backoff_cap_s)
    weather.rains = False
    await until(office.planned)
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await clerk.ask(Note("dry")) == 1
    assert supervisor.history.restarts == supervisor.children["clerk"].history.restarts == ()
    crashes = [event for event in office.stage.events if event.kind is EventKind.CRASHED]
    assert {event.details["weather"] for event in crashes} == {True}


async def test_weather_waits_longer_and_longer(office: Office) -> None:
    weather = Weather()
    office.hire("clerk", starts=weather)
    supervisor = await office.open()

    for streak in range(1, 6):
        clerk = supervisor.children["clerk"]
        await until(lambda: clerk.history.streak == streak and office.planned())  # noqa: B023
        office.stage.clock.advance(POLICY.backoff_cap_s)


async def test_weather_over_a_message_ends_nobody(office: Office) -> None:
    clerk = office.hire("clerk")
    await office.open()

    with pytest.raises(Unavailable, match="clerk: outage"):
        await clerk.ask(Do(failing(Outage())))

    assert await clerk.ask(Note("here")) == 1
    assert len(office.actors["clerk"]) == 1
    assert office.stage.events == []


async def test_weather_over_many_is_no_storm(house: House) -> None:
    await house.open()
    for number in range(2 * house.policy.storm_children):
        await house.cells.address(str(number)).ask(Note("here"))
    for lives in house.born.values():
        lives[0].kill(Outage())
    await until(lambda: all(child.restart_timer for child in house.cells.children.values()))

    assert EventKind.STORM not in {event.kind for event in house.stage.events}
    assert max(house.stage.clock.delays) <= house.policy.backoff_base_s


# Directives


async def test_over_an_error_to_resume_on_the_actor_lives_on_with_its_state(
    office: Office,
) -> None:
    clerk = office.hire("clerk", directives={Typo: Directive.RESUME})
    await office.open()
    before = office.actors["clerk"][0]

    with pytest.raises(ActorFailed):
        await clerk.ask(Do(failing(Typo())))

    assert await clerk.ask(Note("here")) == 1
    assert office.actors["clerk"] == [before]
    assert office.stage.events == []


async def test_outside_a_message_there_is_nothing_to_resume(office: Office) -> None:
    clerk = office.hire("clerk", directives={Typo: Directive.RESUME})
    await office.open()

    office.actors["clerk"][0].kill(Typo())
    await until(office.planned)
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await clerk.ask(Note("back")) == 1
    assert len(office.actors["clerk"]) == 2


async def test_an_error_to_stop_on_leaves_the_child_down_and_its_siblings_alone(
    office: Office,
) -> None:
    office.hire("clerk", directives={Typo: Directive.STOP})
    other = office.hire("other")
    supervisor = await office.open()

    office.actors["clerk"][0].kill(Typo())
    await until(lambda: supervisor.children["clerk"].settled == 1)

    assert supervisor.children["clerk"].down()
    assert await other.ask(Note("well")) == 1
    assert supervisor.history.restarts == ()


async def test_an_error_to_escalate_on_fails_the_supervisor_at_once(office: Office) -> None:
    office.exceeded = Exceeded.KEEP_TRYING
    office.hire("clerk", directives={Typo: Directive.ESCALATE})
    office.hire("other")
    supervisor = await office.open()

    office.actors["clerk"][0].kill(Typo())
    await supervisor.wait_ended()

    [ending] = office.stage.endings
    assert isinstance(ending.error, GaveUp)
    assert str(ending.error) == "clerk: Typo"
    assert office.diary == ["+clerk", "+other", "-other"]


async def test_an_error_of_another_class_means_a_restart(office: Office) -> None:
    clerk = office.hire("clerk", directives={Typo: Directive.ESCALATE})
    await office.open()

    await office.crash_and_return("clerk")

    assert await clerk.ask(Note("back")) == 1


async def test_a_child_that_stays_down_lets_those_who_waited_for_it_start(
    office: Office,
) -> None:
    async def stop_at_second(actor: Puppet) -> None:
        if len(office.actors["clerk"]) == 2:
            raise Typo
        await turn()
        del actor

    office.policy = office.in_step()
    office.hire("clerk", prepare=stop_at_second, directives={Typo: Directive.STOP})
    other = office.hire("other")
    supervisor = await office.open()

    await office.crash("clerk")
    assert supervisor.children["other"].actor is None
    office.stage.clock.advance(POLICY.backoff_cap_s)

    assert await other.ask(Note("well")) == 1
    assert supervisor.children["clerk"].down()
