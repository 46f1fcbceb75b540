"""What operators do about nodes is recorded, checked, and in force at once."""

from collections.abc import AsyncIterator

import pytest

from actors.provisioner.breaker import Hold
from bot.ports import OperationRefused
from storage.database import Database
from storage.links import LinkCipher
from storage.node_phases import ReconcilePhases
from storage.operations import OperatorRecords
from supervisors.console.nodes import breaker_lines, node_lines, run_lines
from supervisors.operators.nodes import NodeOperations
from tests.integration.actors.test_reconciling import GUARD, add_stale, served
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import NODE

WHO = "os:me"


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    async with running(database, rows, cipher, reconciling=True) as made:
        yield made


@pytest.fixture
def nodes(world: World) -> NodeOperations:
    return NodeOperations(
        directory=world.directory,
        phases=ReconcilePhases(world.database),
        records=OperatorRecords(world.database),
        healths={NODE: world.health},
        clock=world.clock,
    )


async def acts(world: World) -> list[tuple[str, str, str, str]]:
    found = await world.rows.fetch("SELECT actor, action, target, reason FROM admin_actions")
    return [tuple(row) for row in found]


async def test_nodes_are_shown_with_what_they_serve(world: World, nodes: NodeOperations) -> None:
    await served(world, 2)
    await nodes.reconcile(None, dry_run=True)

    (view,) = await nodes.nodes()

    assert (view.id, view.state, view.users, view.waiting) == (NODE, "active", 2, 0)
    assert (view.breaker, view.last_outcome) == ("closed", "equal")
    (line,) = node_lines([view])
    assert NODE in line
    assert "closed" in line


async def test_an_isolated_node_is_not_called_until_it_is_released(
    world: World, nodes: NodeOperations
) -> None:
    await world.meet_node()
    view = await nodes.order(NODE, "isolate", 600.0, WHO, "moving house")
    calls = len(world.changes())
    await world.buy(1)
    await world.looked(f"provisioner/{NODE}")

    assert view.state == Hold.ISOLATED
    assert len(world.changes()) == calls
    assert await acts(world) == [(WHO, "breaker_isolate", NODE, "moving house")]

    await nodes.order(NODE, "release", None, WHO, "")

    async def let_in() -> bool:
        return len(world.node.running) == 1

    await eventually(let_in)
    assert breaker_lines(nodes.breakers())[0].startswith(NODE)
    await world.settle()


async def test_a_frozen_node_is_worked_with_again_when_an_operator_says_so(
    world: World, nodes: NodeOperations
) -> None:
    mine = await served(world)
    await nodes.freeze(NODE, WHO, "looking")
    (frozen,) = await nodes.nodes()
    assert (frozen.state, frozen.reason, frozen.changed_by) == ("frozen", "looking", WHO)
    assert "unfreeze" in "".join(node_lines([frozen]))
    with pytest.raises(OperationRefused, match="is not active or draining"):
        await nodes.freeze(NODE, WHO, "again")

    assert await nodes.unfreeze(NODE, WHO, "looked") == 0

    assert (await nodes.nodes())[0].state == "active"
    with pytest.raises(OperationRefused, match="is not frozen"):
        await nodes.unfreeze(NODE, WHO, "again")
    assert [act[1] for act in await acts(world)][:2] == ["node_frozen", "node_unfreeze"]
    assert world.node.running == set(mine)


async def test_users_above_the_guard_go_when_their_number_is_confirmed(
    world: World, nodes: NodeOperations
) -> None:
    mine = await served(world)
    add_stale(world, GUARD + 1)
    (run,) = await nodes.reconcile(NODE, dry_run=False)
    assert run.outcome == "frozen"
    assert f"{GUARD + 1} without a right" in run_lines([run])[0]

    with pytest.raises(OperationRefused, match=f"more than {GUARD}: nobody was removed"):
        await nodes.confirm(NODE, GUARD, WHO, "")
    accepted = await world.rows.fetchval("SELECT accepted_writer FROM nodes")
    assert accepted is None, "what was refused was not accepted either"
    run = await nodes.confirm(NODE, GUARD + 1, WHO, "checked the list")

    assert run.removed == GUARD + 1
    assert world.node.running == set(mine)
    assert (await nodes.nodes())[0].state == "active"
    with pytest.raises(OperationRefused, match="is not frozen"):
        await nodes.confirm(NODE, 1, WHO, "")


async def test_users_that_are_adopted_stay(world: World, nodes: NodeOperations) -> None:
    await served(world)
    strangers = add_stale(world, GUARD + 1)
    await nodes.reconcile(NODE, dry_run=False)

    assert await nodes.unfreeze(NODE, WHO, "friends", adopt=True) == GUARD + 1

    (run,) = await nodes.reconcile(NODE, dry_run=False)
    assert run.orphans == 0
    assert set(strangers) < world.node.running


async def test_a_node_that_does_not_answer_is_not_unfrozen(
    world: World, nodes: NodeOperations
) -> None:
    await served(world)
    await nodes.freeze(NODE, WHO, "")
    world.health.breaker.order(Hold.ISOLATED, None, world.clock.now())

    with pytest.raises(OperationRefused, match="cannot be looked at now"):
        await nodes.unfreeze(NODE, WHO, "")

    assert (await nodes.nodes())[0].state == "frozen"


@pytest.mark.parametrize("act", ["freeze", "unfreeze"])
async def test_an_unknown_node_is_refused_with_those_that_are_there(
    nodes: NodeOperations, act: str
) -> None:
    with pytest.raises(OperationRefused, match=f"no node paris is in the settings.*{NODE}"):
        await getattr(nodes, act)("paris", WHO, "")
    with pytest.raises(OperationRefused, match="isolated, closed or released"):
        await nodes.order(NODE, "open", None, WHO, "")
