"""Many different children failing at a time: their partition slows down, and nothing else does."""

from dataclasses import replace

import pytest

from actors.runtime.events import Event, EventKind
from supervisors.engine.dynamic import Partitions
from tests.clock import turn, until
from tests.puppets import Bug, Do, Note, Stage, nothing
from tests.unit.supervision.offices import HOUSE_POLICY, House

#: Three different ones are a storm.
POLICY = replace(HOUSE_POLICY, storm_children=3, max_restarts=10)


def storms(house: House) -> list[Event]:
    return [event for event in house.stage.events if event.kind is EventKind.STORM]


def delay(house: House, key: str) -> float:
    at = house.cells.children[key].restart_at
    assert at is not None
    return at - house.stage.clock.now()


async def test_a_storm_slows_restarts_down_and_is_told_once(house: House) -> None:
    house.policy = POLICY
    await house.open()

    for key in "12":
        await house.crash(key)
        assert delay(house, key) <= POLICY.backoff_base_s
    assert storms(house) == []
    for key in "3456":
        await house.crash(key)
        assert POLICY.backoff_cap_s / 2 <= delay(house, key) <= POLICY.backoff_cap_s
        told = house.stage.events[-1].details["delay_s"]
        assert told == pytest.approx(delay(house, key), abs=0.001)

    [storm] = storms(house)
    assert (storm.supervisor, storm.actor, storm.details) == ("users", "users", {"children": 3})


async def test_crashes_of_one_alone_are_no_storm(house: House) -> None:
    house.policy = POLICY
    await house.open()

    for _ in range(2 * POLICY.storm_children):
        await house.crash_and_return("1")

    assert storms(house) == []


async def test_in_a_storm_those_who_are_well_notice_nothing(house: House) -> None:
    house.policy = POLICY
    await house.open()
    assert await house.cells.address("well").ask(Note("before")) == 1

    for key in "12345":
        await house.crash(key)

    assert await house.cells.address("well").ask(Note("in the storm")) == 2
    assert await house.cells.address("new").ask(Note("in the storm")) == 1
    assert len(house.born["well"]) == 1


async def test_a_storm_of_one_partition_leaves_the_others_alone(stage: Stage) -> None:
    stormy, calm = House(stage, policy=POLICY), House(stage, policy=POLICY)
    await stormy.open()
    await calm.open()
    for key in "12345":
        await stormy.crash(key)

    await calm.crash("6")

    assert delay(calm, "6") <= POLICY.backoff_base_s


async def test_a_storm_blows_over(house: House) -> None:
    house.policy = POLICY
    await house.open()
    for key in "123":
        await house.crash(key)
    house.stage.clock.advance(POLICY.window_s + 1)
    await until(lambda: all(child.actor for child in house.cells.children.values()))

    await house.crash("4")
    assert delay(house, "4") <= POLICY.backoff_base_s
    for key in "56":
        await house.crash(key)

    assert len(storms(house)) == 2


async def test_one_that_left_is_not_counted(house: House) -> None:
    house.policy = POLICY
    await house.open()
    for key in "12":
        await house.crash_and_return(key)
        await turn()
        house.born[key][-1].leave()
    await until(lambda: not house.cells.children)

    await house.crash("3")

    assert storms(house) == []


async def test_the_storms_measure_may_change(house: House) -> None:
    house.policy = POLICY
    await house.open()
    for key in "1234":
        await house.crash(key)

    house.policy = replace(POLICY, storm_children=100)
    await house.crash("5")

    assert delay(house, "5") <= POLICY.backoff_base_s


async def test_a_key_is_always_in_the_same_partition(stage: Stage) -> None:
    partitions = Partitions("user", 16, stage.surroundings)
    again = Partitions("user", 16, stage.surroundings)
    keys = [str(number) for number in range(1_000)]

    places = [partitions.cells.index(partitions.of(key)) for key in keys]

    assert places == [again.cells.index(again.of(key)) for key in keys]
    assert {places.count(number) > 30 for number in range(16)} == {True}
    assert partitions.address("7").name == "user/7"


async def test_a_child_that_was_never_in_trouble_is_no_part_of_a_storm(house: House) -> None:
    house.policy = POLICY
    await house.open()
    for number in range(10):
        await house.cells.address(str(number)).ask(Do(nothing))

    house.born["1"][0].kill(Bug())
    await until(lambda: house.cells.children["1"].restart_timer)

    assert storms(house) == []
