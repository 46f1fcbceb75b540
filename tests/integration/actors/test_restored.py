"""Who sends wishes asks the node first whose writing it has seen; that needs no comparison."""

import asyncio
from typing import Any
from uuid import uuid4

from actors.user.messages import Standing
from storage.node_phases import NodePhases
from tests.integration.actors.world import OWNERS, Gate, World
from tests.integration.shop import NODE
from xray_api.client.fake import Wish
from xray_api.contract import Writer

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


async def test_a_removal_that_was_found_before_the_look_is_not_sent_after_it(
    world: World,
) -> None:
    """The look is over, and the node frozen, while the rows from before it are in hand."""
    for user_id in (1, 2, 3):
        await world.buy(user_id)
    await world.settle()
    before = set(world.node.running)
    await world.crash()
    await world.rows.execute("SELECT setval('writer_seq', 1)")
    await world.rows.execute(
        "UPDATE credentials SET desired = 'absent', gen = gen + 1, next_at = now()"
    )
    look = hold_looks(world)
    await world.restart()
    gate = Gate(world.actor(f"provisioner/{NODE}"), "due", after=True)
    await gate.reached.wait()

    look.set()
    await world.until(lambda: _is(world, "frozen"))
    await world.until(lambda: _looked(world))
    gate.open()
    await world.looked(f"provisioner/{NODE}", 5)

    assert world.node.running == before
    assert [call for call in world.changes() if call.kind == "remove"] == []


async def test_a_removal_that_waits_for_its_turn_while_its_node_is_frozen_stays(
    world: World,
) -> None:
    await world.buy(1)
    await world.settle()
    before = set(world.node.running)
    gate = Gate(world.actor(f"provisioner/{NODE}"), "begin")
    await world.standing(1, Standing.BANNED)
    await gate.reached.wait()

    await world.rows.execute("UPDATE nodes SET state = 'frozen'")
    gate.open()
    await world.looked(f"provisioner/{NODE}", 5)

    assert world.node.running == before
    await world.rows.execute("UPDATE nodes SET state = 'active'")
    await world.settle()
    assert world.node.running == set()


async def test_the_first_add_of_a_wrong_database_does_not_hide_that_it_is_one(
    world: World,
) -> None:
    """It is quicker than the look, and a mark takes the place of another database's."""
    for user_id in (1, 2, 3):
        await world.buy(user_id)
    await world.settle()
    before = set(world.node.running)
    await world.crash()
    world.node._writer = Writer(str(uuid4()), 500)
    await world.rows.execute("""
        UPDATE credentials c SET gen = gen + 1, next_at = now(),
            desired = CASE s.user_id WHEN 1 THEN 'absent' ELSE 'present' END
        FROM subscriptions s WHERE s.id = c.subscription_id
    """)
    told, look = len(world.puts()), hold_looks(world)

    await world.restart()
    await world.until(lambda: _told(world, told + 2))
    look.set()
    await world.until(lambda: _is(world, "frozen"))
    await world.looked(f"provisioner/{NODE}", 5)

    assert world.node.running == before
    assert [call for call in world.changes() if call.kind == "remove"] == []


async def test_what_an_operator_accepted_before_the_backup_is_not_accepted_after_it(
    world: World,
) -> None:
    """Somebody was banned since the backup; its first wish for them must not get past that."""
    for user_id in (1, 2):
        await world.buy(user_id)
    await world.settle()
    (banned,) = await world.rows.fetchrow("SELECT uuid FROM credentials LIMIT 1")
    await world.crash()
    world.node.wishes[banned] = Wish(9, present=False)
    world.node.running.discard(banned)
    await world.rows.execute("SELECT setval('writer_seq', 1)")
    await world.rows.execute("UPDATE nodes SET accepted_writer = 'another;3'")
    await world.rows.execute(
        "UPDATE credentials SET gen = gen + 1, next_at = now() WHERE uuid = $1", banned
    )
    told, look = len(world.puts()), hold_looks(world)

    await world.restart()
    await world.until(lambda: _told(world, told + 2))
    look.set()
    await world.until(lambda: _is(world, "frozen"))
    await world.looked(f"provisioner/{NODE}", 5)

    assert banned not in world.node.running


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


def hold_looks(world: World) -> asyncio.Event:
    """Whoever asks the node whose writing it has seen waits until this is set."""
    may, real = asyncio.Event(), world.node.ready

    async def held(**named: Any) -> Any:
        await may.wait()
        return await real(**named)

    world.node.ready = held  # type: ignore[method-assign]  # this one only
    return may


async def _told(world: World, adds: int) -> bool:
    return len(world.puts()) >= adds


async def _looked(world: World) -> bool:
    return bool(world.actor(f"provisioner/{NODE}")._looked)  # type: ignore[attr-defined]


async def _is(world: World, state: str) -> bool:
    return bool(await world.rows.fetchval(STATE, NODE) == state)


async def _nothing_due(world: World) -> bool:
    return not await world.rows.fetchval("SELECT count(*) FROM credentials WHERE applied_gen < gen")
