"""Children by key: each one's trouble is its own, and an address outlives whoever answers there."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from actors.runtime.address import Address
from actors.runtime.replies import Unavailable
from tests.clock import turn, until
from tests.puppets import Bug, Do, Gate, Note, fail
from tests.unit.supervision.offices import HOUSE_POLICY, House


async def test_a_key_has_nobody_until_the_first_message(house: House) -> None:
    await house.open()
    address = house.cells.address("7")
    await turn()
    assert house.born == {}

    assert await address.ask(Note("one")) == 1

    assert list(house.born) == ["7"]
    assert address.name == house.born["7"][0].name == "user/7"


async def test_every_key_has_its_own(house: House) -> None:
    await house.open()

    await house.cells.address("7").ask(Note("seven"))
    await house.cells.address("8").ask(Note("eight"))

    assert house.notes == {"7": ["seven"], "8": ["eight"]}


async def test_all_addresses_of_a_key_lead_to_the_same_one(house: House) -> None:
    await house.open()

    await asyncio.gather(*(house.cells.address("7").ask(Note(text)) for text in "abc"))

    assert house.notes == {"7": ["a", "b", "c"]}
    assert len(house.born["7"]) == 1


async def test_one_users_crash_leaves_the_others_alone(house: House) -> None:
    await house.open()
    await house.cells.address("8").ask(Note("before"))

    await house.crash("7")

    assert await house.cells.address("8").ask(Note("after")) == 2
    assert len(house.born["8"]) == 1


async def test_an_address_survives_a_crash_and_what_waits_is_handled(house: House) -> None:
    await house.open()
    address = house.cells.address("7")
    await house.crash("7")
    asked = asyncio.ensure_future(address.ask(Note("waits")))
    await turn()

    house.stage.clock.advance(HOUSE_POLICY.backoff_cap_s)

    assert await asked == 1
    assert len(house.born["7"]) == 2


async def test_a_user_that_crashes_too_often_is_parked_and_then_starts_afresh(
    house: House,
) -> None:
    supervisor = await house.open()
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    await house.crash("7")
    assert house.stage.clock.delays == [HOUSE_POLICY.park_s]
    house.cells.address("7").tell(Note("waits"))

    house.stage.clock.advance(HOUSE_POLICY.park_s - 0.001)
    await turn()
    assert len(house.born["7"]) == HOUSE_POLICY.max_restarts + 1
    house.stage.clock.advance(0.001)

    await until(lambda: house.notes["7"] == ["waits"])
    assert supervisor.children["7"].history.restarts == ()
    assert house.stage.endings == []


async def test_who_asks_a_parked_one_is_told_at_once_and_a_tell_waits(house: House) -> None:
    await house.open()
    address = house.cells.address("7")
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    await house.crash("7")
    address.tell(Note("waits"))

    with pytest.raises(Unavailable, match="user/7 is left alone for a while"):
        await address.ask(Note("now?"))

    house.stage.clock.advance(HOUSE_POLICY.park_s)
    await until(lambda: house.notes["7"] == ["waits"])
    assert await address.ask(Note("and again")) == 2


async def test_who_waits_when_one_is_parked_is_told_and_the_message_is_dropped(
    house: House,
) -> None:
    gate = Gate()
    await house.open()
    address = house.cells.address("7")
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    address.tell(Do(gate))
    await gate.reached.wait()
    asked = asyncio.ensure_future(address.ask(Note("waits")))
    await turn()

    house.born["7"][-1].kill(Bug())

    with pytest.raises(Unavailable, match="left alone"):
        await asked
    gate.open.set()
    house.stage.clock.advance(HOUSE_POLICY.park_s)
    await until(lambda: house.cells.children["7"].actor)
    assert await address.ask(Note("after")) == 1


async def test_parking_one_is_an_alarm(house: House, logs: list[MutableMapping[str, Any]]) -> None:
    await house.open()
    for _ in range(HOUSE_POLICY.max_restarts):
        await house.crash_and_return("7")
    await house.crash("7")

    done = [log for log in logs if log["event"] in {"actor_restarts", "actor_parked"}]

    assert [log["event"] for log in done] == ["actor_restarts"] * 2 + ["actor_parked"]
    assert [log["log_level"] for log in done] == ["warning", "warning", "error"]


async def test_a_crash_storm_of_one_child_does_not_hold_up_the_others(house: House) -> None:
    await house.open()
    storm = house.cells.address("7")
    others = [house.cells.address(str(number)) for number in range(100, 120)]

    for round_number in range(1, 40):
        while True:
            try:
                storm.tell(Do(fail))
            except Unavailable:
                break
        # Nobody moves the clock meanwhile: only the storm waits for it.
        answers = await asyncio.gather(*(other.ask(Note("well")) for other in others))
        assert answers == [round_number] * len(others)
        await until(lambda: house.stage.clock.timers)
        house.stage.clock.advance(HOUSE_POLICY.park_s)

    assert {len(house.born[str(number)]) for number in range(100, 120)} == {1}
    assert len(house.born["7"]) > 30
    assert len(house.stage.letters) > 5
    assert house.stage.endings == []


async def test_one_that_cannot_be_constructed_is_tried_again_and_harms_nobody(
    house: House,
) -> None:
    await house.open()
    house.broken.add("7")
    asked = asyncio.ensure_future(house.cells.address("7").ask(Note("waits")))
    await until(lambda: len(house.stage.clock.timers) == 2)  # the deadline and the back-off
    assert await house.cells.address("8").ask(Note("well")) == 1

    house.broken.clear()
    house.stage.clock.advance(HOUSE_POLICY.backoff_cap_s)

    assert await asked == 1
    assert house.stage.endings == []


async def test_a_full_inbox_tells_the_sender(house: House) -> None:
    gate = Gate()
    await house.open()
    address = house.cells.address("7")
    address.tell(Do(gate))
    await gate.reached.wait()
    for text in "abc":
        address.tell(Note(text))

    with pytest.raises(Unavailable, match="user/7 is busy"):
        await address.ask(Note("one too many"))


async def test_nobody_takes_messages_before_the_supervisor_runs(house: House) -> None:
    with pytest.raises(Unavailable, match="user actors are not running"):
        house.cells.address("7").tell(Note("too early"))


async def test_a_stop_takes_no_more_messages_and_lets_those_in_hand_finish(house: House) -> None:
    gates = {key: Gate() for key in "78"}
    supervisor = await house.open()
    asked = {
        key: asyncio.ensure_future(house.cells.address(key).ask(Do(gate)))
        for key, gate in gates.items()
    }
    for gate in gates.values():
        await gate.reached.wait()
    waiting = asyncio.ensure_future(house.cells.address("7").ask(Note("waits")))
    await turn()

    supervisor.stop()
    await until(lambda: len(house.stage.clock.timers) == 5)  # three asks, two deadlines

    with pytest.raises(Unavailable, match="not running"):
        await house.cells.address("7").ask(Note("too late"))
    for gate in gates.values():
        gate.open.set()
    await asyncio.gather(*asked.values())
    with pytest.raises(Unavailable, match="user/7 is stopping"):
        await waiting
    await supervisor.wait_ended()
    assert house.stage.clock.timers == []
    assert house.stage.endings[0].error is None


async def test_children_stop_side_by_side_within_one_deadline(house: House) -> None:
    gates = [Gate() for _ in range(5)]
    supervisor = await house.open()
    for number, gate in enumerate(gates):
        house.cells.address(str(number)).tell(Do(gate))
        await gate.reached.wait()
    supervisor.stop()
    await until(lambda: len(house.stage.clock.timers) == len(gates))

    house.stage.clock.advance(HOUSE_POLICY.shutdown_s)
    await supervisor.wait_ended()

    assert house.stage.clock.timers == []


async def test_a_restart_of_the_supervisor_loses_no_message(house: House) -> None:
    gate = Gate()
    first = await house.open()
    address: Address = house.cells.address("7")
    address.tell(Do(gate))
    await gate.reached.wait()
    asked = asyncio.ensure_future(address.ask(Note("waits")))
    await turn()
    await house.cells.address("8").ask(Note("nothing waits here"))

    first.kill()
    await until(lambda: len(house.stage.clock.timers) >= 2 and house.cells.supervisor is None)
    gate.open.set()
    await first.wait_ended()
    second = await house.open()

    assert await asked == 1
    assert await address.ask(Note("after")) == 2
    assert list(second.children) == ["7"]


async def test_a_foreign_thread_may_write_to_one_that_does_not_live_yet(house: House) -> None:
    await house.open()

    await asyncio.to_thread(house.cells.address("7").tell, Note("from afar"))

    await until(lambda: house.notes.get("7") == ["from afar"])
