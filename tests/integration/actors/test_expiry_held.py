"""A clock that jumps ends nobody's access, and somebody is told."""

import pytest

from actors.expiry.actor import EXPIRY
from actors.expiry.messages import ShowExpiry, TrustClocks
from actors.runtime.clock import epoch_now
from tests.integration.actors.world import World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, pass_time

STATUS = "SELECT status FROM subscriptions WHERE user_id = $1"


async def held(world: World) -> str:
    return (await world.directory.find(EXPIRY).ask(ShowExpiry())).held


async def test_while_clocks_are_apart_nobody_loses_access(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.buy(BUYER)
    await world.settle()
    # The database is an hour ahead, which looks the same as this machine an hour behind.
    monkeypatch.setattr("actors.expiry.actor.epoch_now", lambda: epoch_now() - 3_600)

    async def is_held() -> bool:
        world.directory.find(EXPIRY).wake()
        return "from the others" in await held(world)

    await eventually(is_held)
    await pass_time(world.rows, MONTH_S + 60)
    await world.looked(EXPIRY, times=4)
    assert await world.rows.fetchval(STATUS, BUYER) == "active"
    assert world.node.running

    monkeypatch.undo()

    async def over() -> bool:
        return not world.node.running

    await world.until(over)
    assert await held(world) == ""
    await world.settle()


async def test_an_operator_says_that_it_is_that_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks of one machine went ahead, as after a resumed snapshot."""
    await world.buy(BUYER)
    await world.settle()
    await world.looked(EXPIRY)
    assert not await world.directory.find(EXPIRY).ask(TrustClocks(who="os:me")), "nothing is held"
    monkeypatch.setattr("actors.expiry.actor.steady_now", lambda: 0.0)

    async def is_held() -> bool:
        world.directory.find(EXPIRY).wake()
        return "went" in await held(world)

    await eventually(is_held)
    await pass_time(world.rows, MONTH_S + 60)
    await world.looked(EXPIRY, times=4)
    assert await world.rows.fetchval(STATUS, BUYER) == "active"

    assert await world.directory.find(EXPIRY).ask(TrustClocks(who="os:me"))

    async def over() -> bool:
        return not world.node.running

    await world.until(over)
    assert await world.rows.fetchval(STATUS, BUYER) == "expired"
    await world.settle()
