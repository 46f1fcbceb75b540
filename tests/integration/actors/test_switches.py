"""What operators switch off is off from the next step on, and nothing is lost by it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from actors.expiry.actor import EXPIRY
from actors.expiry.messages import ShowExpiry
from actors.notifier.ports import Progress
from actors.reconciler.actor import RECONCILER
from storage.database import Database
from storage.links import LinkCipher
from tests.integration.actors.test_reconciling import add_stale, served, time_passes
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import MONTH_S, NODE, pass_time


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    async with running(database, rows, cipher, reconciling=True) as made:
        yield made


async def test_without_calls_to_nodes_what_is_bought_waits_and_comes_then(world: World) -> None:
    await world.meet_node()
    world.limits = replace(world.limits, enabled=False)

    await world.buy(1)
    await world.looked(f"provisioner/{NODE}")

    assert world.changes() == []

    async def told() -> bool:
        return Progress.DELAYED in world.courier.progress(1)

    await eventually(told)
    world.limits = replace(world.limits, enabled=True)
    await world.settle()
    assert len(world.node.running) == 1


async def test_without_expiry_nobody_s_access_ends(world: World) -> None:
    await served(world, 1)
    world.ending = replace(world.ending, enabled=False)
    await pass_time(world.rows, MONTH_S + 60)

    await world.looked(EXPIRY)

    assert len(world.node.running) == 1
    shown = await world.directory.find(EXPIRY).ask(ShowExpiry())
    assert shown.off == ("expiry.enabled",)
    world.ending = replace(world.ending, enabled=True)

    async def ended() -> bool:
        return not world.node.running

    await world.until(ended)


async def test_without_comparing_a_node_is_compared_when_somebody_asks(world: World) -> None:
    lost, *_ = await served(world)
    world.comparing = replace(world.comparing, enabled=False)
    world.node.running.discard(lost)
    calls = len(world.node.calls)

    world.directory.find(RECONCILER, NODE).wake()
    await world.reconcile(dry_run=True)

    kinds = [call.kind for call in world.node.calls[calls:]]
    assert kinds.count("digest") == 1, "the wake-up before it asked nothing"


async def test_without_removals_strangers_are_counted_and_stay(world: World) -> None:
    await served(world)
    strangers = set(add_stale(world, 3))
    world.comparing = replace(world.comparing, removals=False)

    await world.reconcile()
    time_passes(world)
    run = await world.reconcile()

    assert (run.orphans, run.removed) == (3, 0)
    assert strangers < world.node.running
    world.comparing = replace(world.comparing, removals=True)
    await world.reconcile()
    time_passes(world)
    assert (await world.reconcile()).removed == 3


async def test_a_narrower_guard_freezes_sooner(world: World) -> None:
    await served(world)
    add_stale(world, 3)
    world.comparing = replace(world.comparing, guard_users=2)

    assert (await world.reconcile()).outcome == "frozen"
