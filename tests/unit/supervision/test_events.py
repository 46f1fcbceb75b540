"""What observers hear: which events, in which order, with which words."""

from dataclasses import replace
from typing import Any

import pytest

from actors.runtime.events import Event, EventKind
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.policy import Exceeded
from tests.clock import until
from tests.puppets import Bug, Do, Note, Outage, failing
from tests.unit.supervision.offices import HOUSE_POLICY, POLICY, House, Office


def told(events: list[Event]) -> list[tuple[str, str, int | None]]:
    """The gist of events."""
    return [(str(event.kind), event.actor, event.incarnation) for event in events]


def details(events: list[Event], kind: EventKind) -> list[dict[str, Any]]:
    return [dict(event.details) for event in events if event.kind is kind]


async def test_a_quiet_life_is_no_news(office: Office) -> None:
    clerk = office.hire("clerk")
    supervisor = await office.open()
    await clerk.ask(Note("one"))
    supervisor.stop()
    await supervisor.wait_ended()

    assert office.stage.events == []


async def test_a_crash_and_a_return(office: Office) -> None:
    clerk = office.hire("clerk")
    supervisor = await office.open()
    bug = Bug()
    clerk.tell(Do(failing(bug)), operation_id="tap-7")
    await until(office.planned)
    at = office.stage.clock.now()
    due = supervisor.children["clerk"].restart_at or 0
    office.stage.clock.advance(POLICY.backoff_cap_s)
    await until(lambda: len(office.stage.events) >= 3)

    crashed, restarting, started, *_ = office.stage.events

    assert told(office.stage.events)[:3] == [
        ("crashed", "clerk", 1),
        ("restarting", "clerk", 1),
        ("started", "clerk", 2),
    ]
    assert {event.supervisor for event in office.stage.events} == {"office"}
    assert (crashed.at, crashed.reason, crashed.error) == (at, "Bug", bug)
    assert crashed.details == {"during": "Do", "weather": False}
    assert crashed.correlation_id
    assert restarting.at == at
    assert restarting.details == {
        "delay_s": round(due - at, 3),
        "exceeded": False,
        "restarts": 1,
        "streak": 1,
        "together_with": [],
    }
    assert started.at == at + POLICY.backoff_cap_s


async def test_siblings_that_are_taken_along_are_named(office: Office) -> None:
    office.policy = office.in_step()
    for name in ["first", "clerk", "third", "fourth"]:
        office.hire(name)
    await office.open()

    await office.crash_and_return("clerk")
    await until(lambda: len(office.actors["fourth"]) == 2)

    [restarting] = details(office.stage.events, EventKind.RESTARTING)
    assert restarting["together_with"] == ["third", "fourth"]
    assert told(office.stage.events)[2:] == [
        ("started", "clerk", 2),
        ("started", "third", 2),
        ("started", "fourth", 2),
    ]


async def test_weather_says_that_it_is(office: Office) -> None:
    office.hire("clerk")
    await office.open()
    office.actors["clerk"][0].kill(Outage())
    await until(office.planned)

    crashed, restarting = office.stage.events

    assert crashed.details == {"during": "waiting", "weather": True}
    assert restarting.details["restarts"] == 0


async def test_a_supervisor_that_gives_up(office: Office) -> None:
    office.policy = replace(POLICY, max_restarts=0)
    office.hire("clerk")
    supervisor = await office.open()

    await office.crash("clerk")
    await supervisor.wait_ended()

    assert told(office.stage.events) == [("crashed", "clerk", 1), ("gave_up", "office", None)]
    assert office.stage.events[1].reason == "clerk: too many restarts"


async def test_one_that_keeps_trying_says_that_it_exceeds(office: Office) -> None:
    office.policy = replace(POLICY, max_restarts=0)
    office.exceeded = Exceeded.KEEP_TRYING
    office.hire("clerk")
    await office.open()

    await office.crash("clerk")

    [restarting] = details(office.stage.events, EventKind.RESTARTING)
    assert (restarting["exceeded"], restarting["delay_s"]) == (True, POLICY.backoff_cap_s)


async def test_one_that_is_parked_and_comes_back(house: House) -> None:
    house.policy = replace(HOUSE_POLICY, max_restarts=0)
    await house.open()
    await house.crash("7")
    house.stage.clock.advance(HOUSE_POLICY.park_s)
    await until(lambda: len(house.stage.events) == 3)

    assert told(house.stage.events) == [
        ("crashed", "user/7", 1),
        ("parked", "user/7", 1),
        ("started", "user/7", 2),
    ]
    assert house.stage.events[1].details == {"for_s": HOUSE_POLICY.park_s}


async def test_a_restart_by_hand(office: Office) -> None:
    office.hire("clerk")
    await office.open()

    await office.by_hand("clerk")

    assert told(office.stage.events) == [
        ("restarted_by_hand", "clerk", 1),
        ("started", "clerk", 2),
    ]


async def test_a_message_that_is_set_aside(office: Office) -> None:
    office.policy = office.patient()
    clerk = office.hire("clerk")
    await office.open()
    clerk.tell(Do(failing(Bug())), operation_id="tap-7")
    for crashes in (1, 2, 3):
        await until(lambda: len(office.stage.events) >= 3 * crashes - 1 and office.planned())  # noqa: B023 - at once
        office.stage.clock.advance(POLICY.backoff_cap_s)
    await until(lambda: len(office.stage.events) == 10)

    assert [str(event.kind) for event in office.stage.events] == [
        *["crashed", "restarting", "started"] * 2,
        *["crashed", "quarantined", "restarting", "started"],
    ]
    [letter] = office.stage.letters
    assert (letter.actor, letter.attempts, letter.operation_id) == ("clerk", 3, "tap-7")


async def test_the_end_of_a_supervisor_is_told_by_the_one_above(office: Office) -> None:
    upper = Office(office.stage)
    office.policy = replace(POLICY, max_restarts=0)
    office.hire("clerk")
    upper.hosted.append(Hosted.of(ChildSpec(name="office", start=office.supervisor)))
    await upper.open()

    await office.crash("clerk")
    await until(upper.planned)

    assert [(event.kind, event.actor) for event in office.stage.events] == [
        (EventKind.CRASHED, "clerk"),
        (EventKind.GAVE_UP, "office"),
        (EventKind.CRASHED, "office"),
        (EventKind.RESTARTING, "office"),
    ]
    assert office.stage.events[2].reason == "GaveUp"


async def test_an_observer_that_fails_costs_nobody_a_restart(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_to_hear(_: object) -> None:
        raise Bug

    monkeypatch.setattr(office.stage, "event", fail_to_hear)
    clerk = office.hire("clerk")
    await office.open()

    await office.crash_and_return("clerk")

    assert await clerk.ask(Note("back")) == 1
    assert office.stage.endings == []
