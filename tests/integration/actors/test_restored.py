"""Who sends wishes asks the node first whose writing it has seen; that needs no comparison."""

from storage.node_phases import NodePhases
from tests.integration.actors.world import OWNERS, World
from tests.integration.shop import NODE

STATE = "SELECT state FROM nodes WHERE id = $1"
ALERTS = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = 'alert-node-frozen'"


async def test_a_restored_database_removes_nobody_in_its_first_moment(world: World) -> None:
    """By the backup the time of all was over, so its first wishes are to shut them out."""
    for user_id in (1, 2, 3):
        await world.buy(user_id)
    await world.settle()
    before = set(world.node.running)
    await world.crash()
    await world.rows.execute("SELECT setval('writer_seq', 1)")
    await world.rows.execute(
        "UPDATE credentials SET desired = 'absent', gen = gen + 1, next_at = now()"
    )

    await world.restart()
    await world.until(lambda: _is(world, "frozen"))
    await world.looked(f"provisioner/{NODE}")

    assert world.node.running == before
    assert [call for call in world.changes() if call.kind == "remove"] == []
    assert await world.rows.fetchval(ALERTS) == len(OWNERS)


async def test_a_node_that_was_set_back_is_told_everything_at_the_first_look(world: World) -> None:
    for user_id in (1, 2, 3):
        await world.buy(user_id)
    await world.settle()
    wishes, running, mark = dict(world.node.wishes), set(world.node.running), world.node._writer
    (gone,) = await world.rows.fetchrow(
        "SELECT uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id "
        "WHERE user_id = 1"
    )
    await NodePhases(world.database, world.cipher).learn_epoch(NODE, world.node.epoch)
    await world.rows.execute(
        "UPDATE credentials SET desired = 'absent', gen = gen + 1, next_at = now() WHERE uuid = $1",
        gone,
    )

    async def removed() -> bool:
        return gone not in world.node.running

    await world.until(removed)
    await world.until(lambda: _nothing_due(world))
    await world.crash()
    world.node.wishes, world.node.running, world.node._writer = wishes, running, mark

    await world.restart()
    await world.until(removed)

    assert world.node.running == running - {gone}


async def _is(world: World, state: str) -> bool:
    return bool(await world.rows.fetchval(STATE, NODE) == state)


async def _nothing_due(world: World) -> bool:
    return not await world.rows.fetchval("SELECT count(*) FROM credentials WHERE applied_gen < gen")
