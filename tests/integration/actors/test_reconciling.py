"""Node and database agree in the end, and nothing destructive happens by mistake."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.provisioner.breaker import Hold
from actors.reconciler import actor as reconciler
from actors.reconciler import decisions
from actors.reconciler.actor import RECONCILER, UNCOMPARED_ALERT_S
from actors.reconciler.decisions import SEEN_TWICE_S
from actors.reconciler.messages import AcceptNode, NodeAccepted
from actors.runtime.events import EventKind
from actors.user.messages import Standing
from storage.database import Database
from storage.links import LinkCipher
from tests.integration.actors.world import OWNERS, World, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import NODE
from xray_api.client.errors import NodeProtocolError
from xray_api.client.fake import Wish
from xray_api.contract import DigestReply

#: So many must go before a person is asked.
GUARD = 20


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    async with running(database, rows, cipher, reconciling=True) as made:
        yield made


async def served(world: World, users: int = 3) -> list[UUID]:
    """People with access; what they have."""
    for user_id in range(1, users + 1):
        await world.buy(user_id)
    await world.settle()
    return [
        uuid
        for (uuid,) in await world.rows.fetch("SELECT uuid FROM credentials ORDER BY created_at")
    ]


def add_stale(world: World, users: int, gen: int = 1) -> list[UUID]:
    """The node's own store has users whom no row knows."""
    uuids = [uuid4() for _ in range(users)]
    for uuid in uuids:
        world.node.wishes[uuid] = Wish(gen, present=True)
        world.node.running.add(uuid)
    return uuids


def time_passes(world: World) -> None:
    world.clock.ahead_s += SEEN_TWICE_S + 1


async def state(world: World) -> tuple[str, str]:
    found = await world.rows.fetchrow("SELECT state, reason FROM nodes WHERE id = $1", NODE)
    return found["state"], found["reason"]


async def assert_frozen(world: World, running_before: set[UUID]) -> None:
    assert (await state(world))[0] == "frozen"
    assert world.node.running == running_before, "nobody was removed"
    alerts = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = 'alert-node-frozen'"
    assert await world.rows.fetchval(alerts) == len(OWNERS)


async def test_two_sides_that_agree_are_left_alone(world: World) -> None:
    await served(world)
    run = await world.reconcile()

    assert (run.outcome, run.on_node, run.wanted) == ("equal", 3, 3)
    assert [call.kind for call in world.node.calls if call.kind == "list_users"] == []


async def test_users_that_the_node_lost_come_back_with_the_same_key(world: World) -> None:
    first, second, third = await served(world)
    for uuid in (first, second):
        world.node.running.discard(uuid)
        del world.node.wishes[uuid]

    run = await world.reconcile()

    assert (run.outcome, run.missing, run.raised) == ("mended", 2, 2)
    await world.settle()
    assert world.node.running == {first, second, third}
    assert world.node.wishes[first].gen == 2
    assert (await world.reconcile()).outcome == "equal"
    assert len(world.courier.links(1)) == 1, "the link is no news"


#: 150 people to whom the node confirmed access.
MANY = """
INSERT INTO users (tg_id, language) SELECT n, 'en' FROM generate_series(1001, 1150) n;
INSERT INTO subscriptions (user_id, plan_id, status, expires_at)
SELECT n, 'month', 'active', now() + interval '9 days' FROM generate_series(1001, 1150) n;
INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
    first_applied_at, applied_at, link_enc)
SELECT gen_random_uuid(), s.id, 'node-1', 'present', 1, 1, now(), now() - interval '1 m',
    (SELECT link_enc FROM credentials LIMIT 1)
FROM subscriptions s WHERE s.user_id > 1000
"""


SMALL_STEPS = {
    "PAGE": 40,
    "HASHED_AT_ONCE": 7,
    "LISTED_PAGE": 20,
    "LISTED_AT_ONCE": 3,
    "RANGES_AT_ONCE": 5,
    "ROWS_AT_ONCE": 4,
}


@pytest.mark.parametrize("lost", [151, 3])
@pytest.mark.parametrize("buckets", [4_096, 16], ids=["ranges of one", "one range of all"])
async def test_a_comparison_in_small_steps_leaves_nobody_out_and_counts_nobody_twice(
    world: World, monkeypatch: pytest.MonkeyPatch, lost: int, buckets: int
) -> None:
    monkeypatch.setattr(decisions, "FEW_BUCKETS", buckets)
    await served(world, 1)
    await world.rows.execute(MANY)
    kept = await world.rows.fetch("SELECT uuid FROM credentials ORDER BY uuid OFFSET $1", lost)
    world.node.running = {uuid for (uuid,) in kept}
    world.node.wishes = {uuid: Wish(1, present=True) for (uuid,) in kept}
    strangers = add_stale(world, 90)
    for step, size in SMALL_STEPS.items():
        monkeypatch.setattr(reconciler, step, size)

    run = await world.reconcile(dry_run=True)

    assert (run.wanted, run.on_node) == (151, len(world.node.running))
    assert (run.missing, run.orphans) == (lost, len(strangers))


async def test_many_that_the_node_lost_come_back_too(world: World) -> None:
    uuids = await served(world, 1)
    await world.rows.execute(MANY)

    run = await world.reconcile()

    assert (run.missing, run.raised) == (150, 150)

    async def all_in() -> bool:
        return len(world.node.running) == 151

    await world.until(all_in)
    assert uuids[0] in world.node.running


async def test_a_user_without_a_right_goes_when_it_was_seen_twice(world: World) -> None:
    mine = await served(world)
    strangers = add_stale(world, 3)

    assert (await world.reconcile()).outcome == "watched"
    assert set(strangers) < world.node.running, "seen once, it may be a race"
    assert (await world.reconcile()).outcome == "watched", "too soon after the first"
    time_passes(world)
    run = await world.reconcile()

    assert (run.outcome, run.orphans, run.removed) == ("mended", 3, 3)
    assert world.node.running == set(mine)
    assert (await world.reconcile()).outcome == "equal"


async def test_who_was_gone_in_between_is_seen_for_the_first_time_again(world: World) -> None:
    await served(world)
    (stranger,) = add_stale(world, 1)
    await world.reconcile()
    world.node.running.discard(stranger)
    time_passes(world)
    await world.reconcile()
    world.node.running.add(stranger)

    assert (await world.reconcile()).removed == 0
    assert stranger in world.node.running


async def test_a_removed_user_whom_the_node_has_again_goes_by_its_row(world: World) -> None:
    first, *_ = await served(world)
    await world.standing(1, Standing.REVOKED)
    await world.settle()
    world.node.running.add(first)
    await world.reconcile()
    time_passes(world)

    run = await world.reconcile()

    assert run.removed == 1
    await world.settle()
    assert first not in world.node.running
    assert await world.rows.fetchval("SELECT gen FROM credentials WHERE uuid = $1", first) == 3


async def test_a_key_that_is_being_made_is_no_orphan(world: World) -> None:
    """The list is taken between the commit of the row and its confirmation."""
    await served(world)
    world.node.drop_next_reply_after_applying()
    await world.buy(9)
    await world.call_under_way()

    for _ in range(2):
        run = await world.reconcile()
        assert run.orphans == 0
        time_passes(world)
    await world.settle()
    assert len(world.node.running) == 4


async def test_a_key_that_was_confirmed_after_the_list_is_not_missing(world: World) -> None:
    first, *_ = await served(world)
    world.node.running.discard(first)
    await world.rows.execute(
        "UPDATE credentials SET applied_at = now() + interval '1 h' WHERE uuid = $1", first
    )

    assert (await world.reconcile()).missing == 0


async def test_a_wiped_node_gets_everybody_back(world: World) -> None:
    uuids = await served(world)
    world.node.wipe()

    assert (await world.reconcile()).outcome == "another store"

    await world.settle()
    assert world.node.running == set(uuids)
    assert (await world.reconcile()).outcome == "equal"


async def test_a_node_that_was_set_back_is_told_everything_again(world: World) -> None:
    uuids = await served(world)
    wishes, running_then, mark = (
        dict(world.node.wishes),
        set(world.node.running),
        world.node._writer,
    )
    await world.standing(1, Standing.REVOKED)
    await world.settle()
    world.node.wishes, world.node.running, world.node._writer = wishes, running_then, mark

    assert (await world.reconcile()).outcome == "older store"

    await world.settle()
    assert world.node.running == set(uuids[1:]), "who was removed since is removed again"
    assert (await world.reconcile()).outcome == "equal"


# What must never happen.


async def test_more_than_the_guard_freezes_the_node_in_one_run(world: World) -> None:
    await served(world)
    add_stale(world, GUARD + 1)
    before = set(world.node.running)

    run = await world.reconcile()

    assert run.outcome == "frozen"
    await assert_frozen(world, before)
    for _ in range(3):
        time_passes(world)
        assert (await world.reconcile()).removed == 0
    await assert_frozen(world, before)


async def test_an_empty_database_removes_nobody(world: World) -> None:
    """All rows are lost, and the node has fewer users than the guard."""
    await served(world)
    before = set(world.node.running)
    await forget(world)

    for _ in range(3):
        assert (await world.reconcile()).removed == 0
        time_passes(world)

    await assert_frozen(world, before)


async def test_another_database_removes_nobody(world: World) -> None:
    await served(world)
    before = set(world.node.running)
    await world.rows.execute("UPDATE system SET db_id = gen_random_uuid()")
    await world.rows.execute("UPDATE credentials SET desired = 'absent', gen = 2, applied_gen = 2")

    for _ in range(3):
        assert (await world.reconcile()).removed == 0
        time_passes(world)

    await assert_frozen(world, before)


async def test_a_database_of_yesterday_removes_nobody_and_goes_on_adding(world: World) -> None:
    """A backup is restored: the newest customers have no rows, and our numbers begin again."""
    uuids = await served(world, 6)
    before = set(world.node.running)
    await forget(world, uuids[3:])
    await world.rows.execute("SELECT setval('writer_seq', 1)")

    for _ in range(3):
        assert (await world.reconcile()).removed == 0
        time_passes(world)
    await assert_frozen(world, before)

    await world.buy(77)
    await world.until(lambda: _let_in(world, 77))
    await assert_frozen(world, world.node.running)


async def _let_in(world: World, user_id: int) -> bool:
    return len(world.courier.links(user_id)) == 1


async def test_a_list_that_is_cut_short_removes_nobody(world: World) -> None:
    """What is missing in it is wished for again, which harms nobody."""
    uuids = await served(world, 4)
    world.node.running = set(uuids[:1])

    run = await world.reconcile()

    assert (run.removed, run.missing) == (0, 3)
    await world.settle()
    assert world.node.running == set(uuids)


async def test_a_key_of_a_newer_generation_than_was_ever_made_freezes(world: World) -> None:
    first, *_ = await served(world)
    world.node.wishes[first] = Wish(9, present=True)
    before = set(world.node.running)

    assert (await world.reconcile()).outcome == "frozen"
    await assert_frozen(world, before)


async def test_a_clock_that_jumps_makes_nobody_seen_twice(world: World) -> None:
    """PostgreSQL's clock has no say in it."""
    await served(world)
    (stranger,) = add_stale(world, 1)
    await world.reconcile()
    await world.rows.execute("UPDATE credentials SET applied_at = now() - interval '9 y'")

    assert (await world.reconcile()).removed == 0
    assert stranger in world.node.running


async def test_a_node_that_is_left_alone_is_not_compared(world: World) -> None:
    await served(world)
    calls = len(world.node.calls)
    world.health.breaker.order(Hold.ISOLATED, None, world.clock.now())

    assert (await world.reconcile()).outcome == "away"
    assert len(world.node.calls) == calls


async def test_owners_hear_of_a_node_that_is_called_and_cannot_be_compared(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await served(world)
    heard: list[tuple[EventKind, Any]] = []
    actor = world.actor(f"{RECONCILER}/{NODE}")
    monkeypatch.setattr(actor, "tell_observer", lambda kind, **of: heard.append((kind, of)))

    async def garbage(**_: Any) -> DigestReply:
        raise NodeProtocolError("not JSON")

    monkeypatch.setattr(world.node, "digest", garbage)
    assert (await world.reconcile()).outcome == "away"
    assert heard == [], "once may be an accident"
    world.clock.ahead_s += UNCOMPARED_ALERT_S
    await world.reconcile()
    await world.reconcile()

    ((kind, of),) = heard
    assert kind is EventKind.NODE_UNCOMPARED
    assert (of["details"]["node"], of["details"]["error"]) == (NODE, "NodeProtocolError")


# What an operator can do.


async def test_a_dry_run_tells_and_changes_nothing(world: World) -> None:
    first, *_ = await served(world)
    add_stale(world, GUARD + 1)
    world.node.running.discard(first)
    before = set(world.node.running)

    run = await world.reconcile(dry_run=True)

    assert (run.outcome, run.missing, run.raised, run.orphans) == ("would freeze", 1, 0, GUARD + 1)
    assert len(run.sample) == 10
    assert (await state(world))[0] == "active"
    assert world.node.running == before


async def test_an_operator_confirms_how_many_may_go(world: World) -> None:
    mine = await served(world)
    add_stale(world, GUARD + 5)
    await world.reconcile()

    refused = await world.reconcile(allow_removals=GUARD + 4)
    assert (refused.outcome, refused.removed) == ("frozen", 0)
    run = await world.reconcile(allow_removals=GUARD + 5)

    assert run.removed == GUARD + 5
    assert world.node.running == set(mine)


async def test_an_operator_lets_strangers_stay(world: World) -> None:
    await served(world)
    strangers = add_stale(world, GUARD + 1)
    await world.reconcile()

    message = AcceptNode(who="os:me", adopt=True)
    outcome = await world.directory.find(RECONCILER, NODE).ask(message)
    assert outcome == NodeAccepted(adopted=GUARD + 1)
    await world.rows.execute("UPDATE nodes SET state = 'active'")

    for _ in range(2):
        run = await world.reconcile()
        assert (run.orphans, run.removed) == (0, 0)
        time_passes(world)
    assert set(strangers) < world.node.running


async def test_an_operator_says_that_the_database_is_right(world: World) -> None:
    """After a restore, all that has a row works again, and newer wishes get through."""
    uuids = await served(world, 4)
    await forget(world, uuids[3:])
    await world.rows.execute("SELECT setval('writer_seq', 1)")
    world.node.wishes[uuids[0]] = Wish(9, present=True)
    assert (await world.reconcile()).outcome == "frozen"

    message = AcceptNode(who="os:me")
    await world.directory.find(RECONCILER, NODE).ask(message)
    await world.rows.execute("UPDATE nodes SET state = 'active'")
    await world.reconcile(allow_removals=1)

    async def healed() -> bool:
        return world.node.running == set(uuids[:3]) and world.node.wishes[uuids[0]].gen > 9

    await world.until(healed)
    assert (await state(world))[0] == "active"
    assert (await world.reconcile()).outcome == "equal"


async def test_a_new_sign_ends_what_an_operator_said_before(world: World) -> None:
    """The database was restored, and with it the word of somebody who looked at an older one."""
    (first,) = await served(world, 1)
    await world.rows.execute("UPDATE nodes SET accepted_writer = 'another;3'")
    await world.rows.execute("SELECT setval('writer_seq', 1)")
    assert world.node._writer is not None
    world.node._writer = world.node._writer._replace(seq=900)
    world.node.wishes[first] = Wish(9, present=True)

    assert (await world.reconcile()).outcome == "frozen"

    assert await world.rows.fetchval("SELECT gen FROM credentials") == 1


async def forget(world: World, uuids: Sequence[UUID] | None = None) -> None:
    """Rows are gone, as after a restore."""
    await eventually(lambda: _nothing_due(world))
    async with world.rows.transaction():
        await world.rows.execute("SET LOCAL session_replication_role = replica")
        await world.rows.execute(
            "DELETE FROM credentials WHERE $1::uuid[] IS NULL OR uuid = ANY($1)",
            None if uuids is None else list(uuids),
        )


async def _nothing_due(world: World) -> bool:
    return not await world.rows.fetchval("SELECT count(*) FROM credentials WHERE applied_gen < gen")
