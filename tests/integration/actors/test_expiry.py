"""Access ends when PostgreSQL says that its time is over, and not before."""

import asyncio

import pytest

from actors.expiry.actor import EXPIRY
from actors.notifier.ports import PersonalNotice
from actors.user.messages import (
    AccessExpired,
    NotExpired,
    PaymentCredited,
    Standing,
    StandingChanged,
    StartTrial,
    TrialStarted,
)
from tests.integration.actors.world import DAY_S, Gate, World
from tests.integration.shop import BUYER, MONTH_S, pass_time

STATUS = "SELECT status FROM subscriptions WHERE user_id = $1"
LEFT_S = "SELECT extract(epoch FROM expires_at - now())::float8 FROM subscriptions"
SOURCES = "SELECT source_kind FROM ledger ORDER BY id"


async def shut_out(world: World) -> None:
    """Until nobody is let in any more."""

    async def nobody() -> bool:
        return not world.node.running

    await world.until(nobody)
    await world.settle()


async def sources(world: World) -> list[str]:
    return [row["source_kind"] for row in await world.rows.fetch(SOURCES)]


async def served(world: World) -> None:
    """A month that runs."""
    await world.buy(BUYER)
    await world.settle()


async def test_a_key_leaves_the_node_when_its_time_is_over_and_its_user_is_told(
    world: World,
) -> None:
    await served(world)
    await world.looked(EXPIRY)
    assert world.node.running

    await pass_time(world.rows, MONTH_S + 60)

    await shut_out(world)
    assert await world.rows.fetchval(STATUS, BUYER) == "expired"
    told = [n for n in world.courier.carried if isinstance(n, PersonalNotice)]
    assert [(notice.chat_id, notice.text_id) for notice in told] == [(BUYER, "news-expired")]


async def test_access_does_not_end_a_minute_early(world: World) -> None:
    await served(world)
    await pass_time(world.rows, MONTH_S - 60)

    await world.looked(EXPIRY)

    assert await world.expire(BUYER) == NotExpired()
    assert world.node.running
    await world.settle()


async def test_a_renewal_that_comes_before_the_end_leaves_nothing_to_expire(world: World) -> None:
    """Its credit is under way when the time is over, and the end waits behind it."""
    await served(world)
    order = await world.order(BUYER)
    gate = Gate(world.user(BUYER), "receive_payment")
    renewal = asyncio.create_task(world.pay(BUYER, order))
    await asyncio.wait_for(gate.reached.wait(), 60)
    await pass_time(world.rows, MONTH_S + 60)
    expiry = asyncio.create_task(world.expire(BUYER))
    await world.waiting(BUYER)

    gate.open()

    assert await renewal == PaymentCredited(purchase_id=order)
    assert await expiry == NotExpired()
    await world.settle()
    assert len(world.node.running) == 1
    assert "expiry" not in await sources(world)


async def test_a_renewal_that_comes_after_the_end_brings_the_same_key_back(world: World) -> None:
    """The end is under way when the money comes, and the credit waits behind it."""
    await served(world)
    (key,) = world.node.running
    order = await world.order(BUYER)
    gate = Gate(world.user(BUYER), "record_change")
    await pass_time(world.rows, MONTH_S + 60)
    expiry = asyncio.create_task(world.expire(BUYER))
    await asyncio.wait_for(gate.reached.wait(), 60)
    renewal = asyncio.create_task(world.pay(BUYER, order))
    await world.waiting(BUYER)

    gate.open()

    assert await expiry in (AccessExpired(), NotExpired())  # the expiry actor may have been first
    assert await renewal == PaymentCredited(purchase_id=order)
    await world.settle()
    assert world.node.running == {key}
    assert await sources(world) == ["payment", "activation", "expiry", "payment", "activation"]
    assert await world.rows.fetchval(LEFT_S) == pytest.approx(MONTH_S, abs=120)


async def test_the_time_of_a_trial_runs_out(world: World) -> None:
    started = await world.ask(BUYER, StartTrial(operation_id="tap", language="en"))
    assert started == TrialStarted(period_s=DAY_S)
    await world.settle()
    assert await world.rows.fetchval(LEFT_S) == pytest.approx(DAY_S, abs=120)

    await pass_time(world.rows, DAY_S + 60)

    await shut_out(world)


async def test_the_time_of_a_grant_runs_out(world: World) -> None:
    await world.order(BUYER)
    await world.grant(BUYER, 3 * DAY_S)
    await world.settle()
    assert await world.rows.fetchval(LEFT_S) == pytest.approx(3 * DAY_S, abs=120)

    await pass_time(world.rows, 3 * DAY_S + 60)

    await shut_out(world)


async def test_time_that_is_kept_by_a_ban_does_not_run_out(world: World) -> None:
    await served(world)
    kept = await world.standing(BUYER, Standing.BANNED)
    assert isinstance(kept, StandingChanged)
    assert kept.kept_s == pytest.approx(MONTH_S, abs=120)
    await shut_out(world)
    await pass_time(world.rows, 2 * MONTH_S)
    await world.looked(EXPIRY)

    await world.standing(BUYER, Standing.UNBANNED)

    await world.settle()
    assert len(world.node.running) == 1
    assert await world.rows.fetchval(LEFT_S) == pytest.approx(MONTH_S, abs=120)
