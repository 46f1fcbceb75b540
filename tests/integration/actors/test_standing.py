"""Who is banned has no access and keeps their time; a new link is the only one that works."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from actors.user.messages import ReissueStarted, ReissueUnderWay, Standing
from tests.integration.actors.world import World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, pass_time

LEFT_S = "SELECT extract(epoch FROM expires_at - now())::float8 FROM subscriptions"


async def key_of(world: World) -> UUID:
    """The key of somebody who bought."""
    await world.buy(BUYER)
    await world.settle()
    (key,) = world.node.running
    return key


@pytest.mark.parametrize(
    ("closed", "opened"),
    [(Standing.BANNED, Standing.UNBANNED), (Standing.REVOKED, Standing.RESTORED)],
)
async def test_who_is_shut_out_gets_back_what_was_left(
    world: World, closed: Standing, opened: Standing
) -> None:
    key = await key_of(world)
    await pass_time(world.rows, MONTH_S / 2)

    await world.standing(BUYER, closed)
    await world.settle()
    assert world.node.running == set()
    await pass_time(world.rows, 3 * MONTH_S)
    await world.standing(BUYER, opened)

    await world.settle()
    assert world.node.running == {key}
    assert await world.rows.fetchval(LEFT_S) == pytest.approx(MONTH_S / 2, abs=120)


async def test_a_new_link_works_before_the_old_one_goes(world: World) -> None:
    old = await key_of(world)
    world.node.hold_calls()

    assert await world.reissue(BUYER) == ReissueStarted(old_works=True)
    assert world.node.running == {old}
    assert [call.kind for call in world.changes()] == ["put"]
    world.node.release_calls()

    await world.settle()
    (new,) = world.node.running
    assert new != old
    assert [(call.kind, call.uuid) for call in world.changes()] == [
        ("put", old),
        ("put", new),
        ("remove", old),
    ]
    assert world.courier.links(BUYER) == [world.node.link(old), world.node.link(new)]


async def test_a_leaked_link_goes_even_if_the_new_one_cannot_come_yet(world: World) -> None:
    old = await key_of(world)
    world.node.hold_calls()

    assert await world.reissue(BUYER, leaked=True) == ReissueStarted(old_works=False)
    wishes = await world.rows.fetch("SELECT uuid, desired FROM credentials")
    assert {wish["desired"] for wish in wishes if wish["uuid"] == old} == {"absent"}
    world.node.release_calls()

    await world.settle()
    assert old not in world.node.running
    assert len(world.node.running) == 1


@pytest.mark.parametrize("leaked", [False, True])
async def test_many_wishes_for_a_new_link_end_with_one_that_works(
    world: World, *, leaked: bool
) -> None:
    old = await key_of(world)
    world.node.hold_calls()

    outcomes = await asyncio.gather(*(world.reissue(BUYER, leaked=leaked) for _ in range(8)))

    assert len([found for found in outcomes if isinstance(found, ReissueStarted)]) == 1
    assert len([found for found in outcomes if isinstance(found, ReissueUnderWay)]) == 7
    world.node.release_calls()
    await world.settle()
    assert len(world.node.running - {old}) == len(world.node.running) == 1


@pytest.mark.parametrize("leaked", [False, True])
async def test_a_new_link_survives_a_crash_and_a_lost_answer(world: World, *, leaked: bool) -> None:
    old = await key_of(world)
    world.node.drop_next_reply_after_applying(times=2)
    await world.reissue(BUYER, leaked=leaked)
    before = len(world.changes())

    async def asked() -> Any:
        return len(world.changes()) > before

    await eventually(asked)
    await world.crash()
    await world.restart()

    await world.settle()
    assert len(world.node.running - {old}) == len(world.node.running) == 1
