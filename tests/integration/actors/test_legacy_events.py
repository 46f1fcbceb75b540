"""Events on which operators of the legacy bot alert are there on real flows, and tell no secret."""

import re
from collections import Counter
from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from actors.user.messages import Reissue, StartTrial
from config.logging import redact
from tests.integration.actors.world import World
from tests.integration.shop import BUYER, MONTH_S, pass_time

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
LINKS = re.compile(r"vless:|://")

Log = list[MutableMapping[str, Any]]


@pytest.fixture
def log(world: World) -> Iterator[Log]:
    """Everything that is logged from now on. The world sets logging up, so it comes first."""
    del world
    with capture_logs() as captured:
        yield captured


def counted(log: Log) -> Counter[str]:
    return Counter(str(entry["event"]) for entry in log)


async def assert_no_secret(world: World, log: Log) -> None:
    """No key of anybody, cut or not by the program's own last line of defence."""
    keys = [row["uuid"] for row in await world.rows.fetch("SELECT uuid FROM credentials")]
    assert keys
    told = repr(log)
    assert [key for key in keys if str(key) in told or key.hex in told] == []
    assert LINKS.findall(told) == []
    written = repr([redact(None, "", dict(entry)) for entry in log])
    assert UUID.findall(written) == []


async def test_a_purchase_a_renewal_and_the_end_tell_each_step_once(world: World, log: Log) -> None:
    await world.buy(BUYER)
    await world.settle()
    (key,) = world.node.running
    await world.buy(BUYER)
    await world.settle()
    await pass_time(world.rows, 2 * MONTH_S + 60)

    async def over() -> bool:
        return not world.node.running

    await world.until(over)
    await world.settle()
    await world.buy(BUYER)
    await world.settle()

    told = counted(log)
    assert told["ACTIVATION_PHASE1_UUID_CREATED"] == 2
    assert told["ACTIVATION_PHASE2_DB_COMMIT"] == 2
    assert told["RENEWAL_EXTENDED"] == 1
    assert told["RENEWAL_REACTIVATED"] == 1
    assert told["XRAY_CALL_START"] == told["XRAY_CALL_SUCCESS"] == 3
    assert told["ORPHAN_CLEANUP_ATTEMPT"] == told["ORPHAN_CLEANUP_SUCCESS"] == 1
    assert {entry["uuid"] for entry in log if "uuid" in entry} == {str(key)[:8]}
    await assert_no_secret(world, log)


async def test_a_node_that_does_not_answer_is_told_for_what_it_holds_up(
    world: World, log: Log
) -> None:
    await world.meet_node()
    world.node.drop_next_reply_after_applying()
    await world.buy(BUYER)
    await world.settle()
    world.node.drop_next_reply_after_applying()
    await pass_time(world.rows, MONTH_S + 60)

    async def over() -> bool:
        return not world.node.running

    await world.until(over)
    await world.settle()

    told = counted(log)
    assert told["XRAY_CALL_FAILED"] == 2
    assert told["XRAY_SYNC_FAILED_BUT_PAYMENT_OK"] == 1
    assert told["ORPHAN_CLEANUP_RETRY"] == 1
    assert told["ORPHAN_CLEANUP_SUCCESS"] == 1
    await assert_no_secret(world, log)


async def test_money_that_does_not_fit_is_told_with_both_amounts(world: World, log: Log) -> None:
    await world.buy(BUYER)
    await world.settle()
    order = await world.order(BUYER)

    await world.pay(BUYER, order, amount=1)

    (entry,) = [entry for entry in log if entry["event"] == "PAYMENT_AMOUNT_MISMATCH"]
    assert (entry["paid"], entry["price"], entry["user_id"]) == (1, 150, BUYER)
    await assert_no_secret(world, log)


async def test_a_trial_and_a_new_link_are_told(world: World, log: Log) -> None:
    for number in range(2):
        await world.ask(BUYER, StartTrial(operation_id=f"tap-{number}", language="en"))
    await world.settle()
    await world.ask(BUYER, Reissue(operation_id="new", leaked=False))
    await world.settle()

    told = counted(log)
    assert told["TRIAL_STARTED"] == 1
    assert told["TRIAL_REFUSED"] == 1
    assert told["REISSUE_TWO_PHASE_ACTIVATION"] == 1
    assert told["ACTIVATION_PHASE1_UUID_CREATED"] == 2
    await assert_no_secret(world, log)
