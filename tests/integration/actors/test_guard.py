"""Nothing makes a comparison remove more than its guard allows, in one run or in many."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.reconciler.decisions import SEEN_TWICE_S, ReconcilerLimits
from storage.database import Database
from storage.links import LinkCipher
from tests.integration.actors.world import Gate, World, running
from tests.integration.database_fixtures import Rows
from tests.integration.shop import NODE
from xray_api.client.fake import Wish

STATE = "SELECT state FROM nodes WHERE id = $1"
UNFREEZE = "UPDATE nodes SET state = 'active', changed_at = now() WHERE id = $1"
#: No credential is ever deleted by code of ours; a restore that was cut off looks so.
LOSE = "DELETE FROM credentials WHERE uuid = ANY($1)"


FEWEST_GUARDED = ReconcilerLimits().guard_users


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    async with running(database, rows, cipher, reconciling=True) as made:
        yield made


async def served(world: World, users: int) -> list[UUID]:
    """People with access; what they have."""
    for user_id in range(1, users + 1):
        await world.buy(user_id)
    await world.settle()
    return [uuid for (uuid,) in await world.rows.fetch("SELECT uuid FROM credentials")]


def strangers(world: World, users: int) -> set[UUID]:
    """The node lets people in whom no row knows."""
    uuids = {uuid4() for _ in range(users)}
    for uuid in uuids:
        world.node.wishes[uuid] = Wish(1, present=True)
    world.node.running |= uuids
    return uuids


async def seen_twice(world: World) -> int:
    """Two comparisons, far enough from each other; how many were removed."""
    first = await world.reconcile()
    world.clock.ahead_s += SEEN_TWICE_S + 1
    return first.removed + (await world.reconcile()).removed


async def state(world: World) -> Any:
    return await world.rows.fetchval(STATE, NODE)


async def test_the_guard_holds_over_many_runs(world: World) -> None:
    """A fifth of it each time: the sixth fifth freezes, and nobody of it goes."""
    await served(world, 1)
    for _ in range(5):
        strangers(world, FEWEST_GUARDED // 5)
        assert await seen_twice(world) == FEWEST_GUARDED // 5
    last = strangers(world, 1)

    assert await seen_twice(world) == 0

    assert await state(world) == "frozen"
    assert last < world.node.running
    await world.rows.execute(UNFREEZE, NODE)
    assert await seen_twice(world) == 1, "somebody has looked; it counts from there"


async def test_a_run_that_is_cut_off_has_used_up_its_share(world: World) -> None:
    await served(world, 1)
    strangers(world, FEWEST_GUARDED)
    await world.reconcile()
    world.clock.ahead_s += SEEN_TWICE_S + 1
    world.node.drop_next_reply_after_applying()
    assert (await world.reconcile()).outcome == "away"
    last = strangers(world, 1)

    assert await seen_twice(world) == 0

    assert await state(world) == "frozen"
    assert last < world.node.running


async def test_who_comes_back_again_and_again_counts_once(world: World) -> None:
    await served(world, 1)
    again = strangers(world, FEWEST_GUARDED)
    for _ in range(3):
        assert await seen_twice(world) == FEWEST_GUARDED
        for uuid in again:
            world.node.wishes[uuid] = Wish(world.node.wishes[uuid].gen, present=True)
        world.node.running |= again
    assert await state(world) == "active"


async def test_half_of_the_rows_are_lost(world: World) -> None:
    """Fewer than the guard allows, and every one of them has paid."""
    uuids = await served(world, 6)
    before = set(world.node.running)
    async with world.rows.transaction():
        await world.rows.execute("SET LOCAL session_replication_role = replica")
        await world.rows.execute(LOSE, uuids[3:])

    assert await seen_twice(world) == 0

    assert await state(world) == "frozen"
    assert world.node.running == before


async def test_a_digest_that_counts_too_many_makes_no_larger_guard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served(world, 3)
    many = strangers(world, FEWEST_GUARDED + 1)
    real = world.node.digest

    async def lying(**named: Any) -> Any:
        return (await real(**named)).model_copy(update={"count": 1_000_000})

    monkeypatch.setattr(world.node, "digest", lying)

    assert await seen_twice(world) == 0
    assert await state(world) == "frozen"
    assert many < world.node.running


async def test_a_digest_that_lies_about_equal_sides_changes_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = await served(world, 3)
    real = world.node.digest

    async def lying(**named: Any) -> Any:
        found = await real(**named)
        wrong = tuple(f"{int(text, 16) ^ 1:016x}" for text in found.buckets)
        return found.model_copy(update={"buckets": wrong, "root": "00000000000000ff"})

    monkeypatch.setattr(world.node, "digest", lying)

    assert await seen_twice(world) == 0
    assert world.node.running == set(uuids)
    assert await world.rows.fetchval("SELECT max(gen) FROM credentials") == 1


async def test_two_runs_at_once_remove_each_stranger_once(world: World) -> None:
    await served(world, 1)
    strangers(world, FEWEST_GUARDED)
    await world.reconcile()
    world.clock.ahead_s += SEEN_TWICE_S + 1

    runs = await asyncio.gather(world.reconcile(), world.reconcile())

    assert sorted(run.removed for run in runs) == [0, FEWEST_GUARDED]
    assert len([call for call in world.node.calls if call.kind == "batch"]) == 1


async def test_a_back_end_that_lost_the_database_removes_nobody(
    world: World, database_url: str
) -> None:
    """Another one has taken over between the list and the removal."""
    await served(world, 1)
    several = strangers(world, 3)
    await world.reconcile()
    world.clock.ahead_s += SEEN_TWICE_S + 1
    gate = Gate(world.actor(f"reconciler/{NODE}"), "note")
    run = asyncio.create_task(world.reconcile())
    await gate.reached.wait()
    other = await Database.connect(database_url)
    await other.take_over(uuid4())
    try:
        gate.open()
        await asyncio.wait({run})

        assert run.exception() is not None
        assert several < world.node.running
    finally:
        await other.close()
