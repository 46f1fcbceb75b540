"""A clock that jumps ends nobody's access, and somebody is told."""

import pytest

from actors.expiry.actor import EXPIRY
from actors.expiry.messages import ShowExpiry, TrustClocks
from actors.runtime.clock import HostTime, epoch_now
from storage.errors import StorageUnavailable
from storage.phases import ExpiryPhases
from tests.integration.actors.world import World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, pass_time

UPDATE = "INSERT INTO inbox (source, source_id, payload) VALUES ('telegram:1', '7', '{}')"
STATUS = "SELECT status FROM subscriptions WHERE user_id = $1"


async def held(world: World) -> str:
    return (await world.directory.find(EXPIRY).ask(ShowExpiry())).held


def an_hour_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's clock, by which the database's is an hour ahead."""
    behind = HostTime(epoch=lambda: epoch_now() - 3_600)
    monkeypatch.setattr(world.actor(EXPIRY), "host", behind)


async def test_while_clocks_are_apart_nobody_loses_access(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.buy(BUYER)
    await world.settle()
    # The database is an hour ahead, which looks the same as this machine an hour behind.
    an_hour_behind(world, monkeypatch)

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


async def test_what_a_clock_that_was_ahead_put_off_is_done_when_it_is_right_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wish, its news and an update were put off by a clock an hour ahead, then set back."""
    await world.rows.execute(UPDATE)
    await world.meet_node()
    an_hour_behind(world, monkeypatch)

    async def is_held() -> bool:
        world.directory.find(EXPIRY).wake()
        return "from the others" in await held(world)

    await eventually(is_held)
    world.node.hold_calls()
    await world.buy(BUYER)
    for table in ("credentials", "outbox", "inbox"):
        await world.rows.execute(f"UPDATE {table} SET next_at = now() + interval '1 hour'")  # noqa: S608
    world.node.release_calls()

    monkeypatch.undo()
    world.directory.find(EXPIRY).wake()

    async def none_waits() -> bool:
        return not await world.rows.fetchval(
            "SELECT (SELECT count(*) FROM outbox WHERE state = 'due' OR next_at > now())"
            " + (SELECT count(*) FROM inbox WHERE next_at > now())"
        )

    async def is_let_in() -> bool:
        return bool(world.node.running)

    await eventually(none_waits)
    await eventually(is_let_in)


async def test_access_ends_also_while_what_was_put_off_cannot_be_taken_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is much at once, and may take longer than a statement may."""
    await world.buy(BUYER)
    await world.settle()
    failed: list[ExpiryPhases] = []

    async def too_much(self: ExpiryPhases) -> None:
        failed.append(self)
        raise StorageUnavailable("canceling statement due to statement timeout")

    with monkeypatch.context() as apart:
        an_hour_behind(world, apart)

        async def is_held() -> bool:
            world.directory.find(EXPIRY).wake()
            return "from the others" in await held(world)

        await eventually(is_held)
        await pass_time(world.rows, MONTH_S + 60)
    monkeypatch.setattr(ExpiryPhases, "forget_waits", too_much)

    async def ended() -> bool:
        world.directory.find(EXPIRY).wake()
        return bool(failed) and not world.node.running

    await world.until(ended)
    assert await held(world) == ""
    assert await world.rows.fetchval(STATUS, BUYER) == "expired"


async def test_an_operator_says_that_it_is_that_late(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both clocks of one machine went ahead, as after a resumed snapshot."""
    await world.buy(BUYER)
    await world.settle()
    await world.looked(EXPIRY)
    assert not await world.directory.find(EXPIRY).ask(TrustClocks(who="os:me")), "nothing is held"
    monkeypatch.setattr(world.actor(EXPIRY), "host", HostTime(steady=lambda: 0.0))

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
