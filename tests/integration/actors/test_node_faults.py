"""Whatever a node answers, or does not: paid access comes in the end, once, and is told truly."""

from uuid import UUID

import pytest

from actors.notifier.ports import Progress
from actors.user.messages import LinkShown, ShowLink
from storage.node_phases import NodePhases
from storage.rows import CredentialRow
from tests.integration.actors.world import OWNERS, World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S, expire, pass_time
from xray_api.client.errors import (
    NodeBusy,
    NodeCallError,
    NodeProtocolError,
    NodeRejected,
    NodeTlsError,
    NodeUnavailable,
    OutcomeUnknown,
    StaleGeneration,
)


@pytest.fixture
def postponed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The class of every failure for which a wish was put off, in order."""
    classes: list[str] = []
    postpone = NodePhases.postpone

    async def noted(self: NodePhases, row: CredentialRow, after_s: float, error_class: str) -> None:
        await postpone(self, row, after_s, error_class)
        classes.append(error_class)

    monkeypatch.setattr(NodePhases, "postpone", noted)
    return classes


async def attempts(world: World) -> int:
    found: int = await world.rows.fetchval("SELECT attempts FROM credentials")
    return found


def requests(world: World) -> set[tuple[UUID, int]]:
    """The different wishes that the node was told."""
    return set(world.wishes())


async def test_a_node_that_is_away_costs_time_and_nothing_else(world: World) -> None:
    world.node.refuse_connections()
    await world.buy(BUYER)

    async def told() -> bool:
        return Progress.DELAYED in world.courier.progress(BUYER) and await attempts(world) >= 4

    await world.until(told)
    assert world.courier.links(BUYER) == []
    await world.check(healed=False)

    world.node.accept_connections()
    await world.settle()

    assert world.courier.progress(BUYER)[-1] is Progress.READY
    # The news of the payment may be told so late that it already says so: that and once more.
    assert world.courier.progress(BUYER).count(Progress.DELAYED) <= 2, "a delay is told once"
    assert len(world.courier.links(BUYER)) == 1
    left = await world.rows.fetchval(
        "SELECT extract(epoch FROM expires_at - now())::float FROM subscriptions"
    )
    assert MONTH_S - 300 < left <= MONTH_S


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OutcomeUnknown("status 502"), "infra"),
        (NodeUnavailable("status 503", retry_after=5.0), "infra"),
        (NodeBusy("status 429", retry_after=5.0), "throttle"),
        (NodeTlsError("certificate"), "tls"),
        (NodeProtocolError("not JSON"), "protocol"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
async def test_the_same_wish_is_repeated_until_it_is_granted(
    world: World, postponed: list[str], error: NodeCallError, fault: str
) -> None:
    await world.meet_node()
    world.node.fail_next(error, times=2, visits=False)
    await world.buy(BUYER)
    await world.settle()

    assert postponed == [fault, fault]
    assert len(world.puts()) == 3
    assert len(requests(world)) == 1, "every retry is the same request"
    assert await world.rows.fetchval("SELECT last_class FROM credentials") is None
    assert await attempts(world) == 0


async def test_a_node_s_own_wait_is_kept(world: World) -> None:
    await world.meet_node()
    world.node.fail_next(NodeBusy("status 429", retry_after=50.0), visits=False)
    await world.buy(BUYER)

    async def put_off() -> bool:
        return bool(await world.rows.fetchval("SELECT last_class = 'throttle' FROM credentials"))

    await eventually(put_off)

    assert await world.rows.fetchval("SELECT next_at > now() + interval '40 s' FROM credentials")


async def test_an_answer_that_was_lost_after_applying_is_one_credential(world: World) -> None:
    await world.meet_node()
    world.node.drop_next_reply_after_applying(times=3)
    await world.buy(BUYER)
    await world.settle()

    assert len(world.puts()) == 4
    assert len(requests(world)) == 1
    assert len(world.node.running) == 1


async def test_an_answer_about_somebody_else_is_never_stored(
    world: World, postponed: list[str]
) -> None:
    await world.meet_node()
    world.node.answer_for_another_user_next()
    await world.buy(BUYER)
    await world.settle()

    assert postponed == ["protocol"]
    (uuid,) = world.node.running
    assert world.courier.links(BUYER) == [world.node.link(uuid)]


async def test_each_request_shows_a_higher_number_of_the_same_database(world: World) -> None:
    await world.meet_node()
    world.node.fail_next(OutcomeUnknown("timeout"), times=2, visits=False)
    await world.buy(BUYER)
    await world.settle()

    marks = [call.writer for call in world.puts()]
    assert len(marks) == 3
    database_id = str(await world.rows.fetchval("SELECT db_id FROM system"))
    assert {mark.db_id for mark in marks if mark} == {database_id}
    seqs = [mark.seq for mark in marks if mark]
    assert seqs == sorted(set(seqs))
    assert await world.rows.fetchval("SELECT writer_seq_acked FROM nodes") == seqs[-1]


# First contact, and nodes that are not the ones they were.


async def test_a_node_is_met_before_it_is_told_anything(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()

    kinds = [call.kind for call in world.node.calls]
    assert set(kinds[: kinds.index("put")]) == {"ready"}
    assert world.puts()[0].epoch == world.node.epoch
    assert await world.rows.fetchval("SELECT epoch FROM nodes") == world.node.epoch
    assert world.puts()[0].gen == 1, "there was nothing to repeat"


async def test_a_rebuilt_node_is_told_everything_under_new_generations(world: World) -> None:
    for user_id in (1, 2, 3):
        await world.buy(user_id)
    await world.settle()
    before = {call.uuid for call in world.puts()}
    world.node.wipe()

    await world.buy(4)
    await world.settle()

    assert len(world.node.running) == 4
    assert before < world.node.running
    after = {uuid: gen for uuid, gen in requests(world) if uuid in before and gen != 1}
    assert after == dict.fromkeys(before, 2)
    assert len(world.courier.links(1)) == 1, "the link is no news"


async def test_a_link_that_waits_is_told_although_its_node_was_rebuilt(world: World) -> None:
    """The generation rose between the activation and the message."""
    world.courier.hold()
    await world.buy(BUYER)

    async def applied() -> bool:
        return bool(await world.rows.fetchval("SELECT applied_gen = gen FROM credentials"))

    await eventually(applied)
    world.node.refuse_connections()
    await world.rows.execute("UPDATE credentials SET gen = gen + 1")
    world.courier.release()

    async def told() -> bool:
        return len(world.courier.links(BUYER)) == 1

    await world.until(told)
    shown = await world.ask(BUYER, ShowLink(operation_id="x"))
    assert isinstance(shown, LinkShown)
    world.node.accept_connections()
    await world.settle()


async def test_a_removal_that_meets_a_rebuilt_node_is_repeated_to_it(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    epoch = world.node.wipe()
    await pass_time(world.rows, MONTH_S + 1)
    await expire(world.rows)
    await world.settle()

    assert world.node.running == set()
    assert world.changes()[-1].kind == "remove"
    assert world.changes()[-1].epoch == epoch


async def test_whom_a_node_has_again_from_a_copy_of_its_store_is_shut_out_again(
    world: World,
) -> None:
    """Its store was damaged and made anew from the copy, which is older than a removal."""
    await world.buy(BUYER)
    await world.settle()
    copy = dict(world.node.wishes)
    await pass_time(world.rows, MONTH_S + 1)
    await expire(world.rows)
    await world.settle()
    world.node.wipe()
    world.node.wishes = dict(copy)
    world.node.start_xray()
    assert world.node.running == set(copy)

    await world.buy(BUYER + 1)
    await world.settle()

    assert len(world.node.running) == 1
    assert not world.node.running & set(copy)


# 409: a race, or a database that was restored.


async def test_a_wish_that_was_overtaken_gives_way_to_the_newer_one(world: World) -> None:
    """The node saw the newer generation first; the older call comes back with 409."""
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()
    (uuid,) = {call.uuid for call in world.puts()}
    await world.rows.execute("UPDATE credentials SET gen = 2, next_at = now()")
    world.node.fail_next(StaleGeneration(2), visits=False)
    world.node.release_calls()

    await world.settle()

    assert [(call.uuid, call.gen) for call in world.puts()] == [(uuid, 1), (uuid, 2)]
    assert await world.rows.fetchval("SELECT applied_gen FROM credentials") == 2


async def test_a_node_that_knows_more_is_asked_again_and_nothing_is_guessed(
    world: World, postponed: list[str]
) -> None:
    await world.meet_node()
    world.node.fail_next(StaleGeneration(9), times=2, visits=False)
    await world.buy(BUYER)
    await world.settle()

    assert postponed == ["rollback", "rollback"]
    assert len(requests(world)) == 1
    assert world.puts()[0].gen == 1


# A wish that the node will never take.


async def test_one_wish_that_is_wrong_is_set_aside_and_the_others_go_on(world: World) -> None:
    await world.meet_node()
    world.node.fail_next(NodeRejected(422, "uuid"), visits=False)
    await world.buy(1)

    async def set_aside() -> bool:
        return bool(await world.rows.fetchval("SELECT quarantined_at IS NOT NULL FROM credentials"))

    await eventually(set_aside)
    for user_id in range(2, 8):
        await world.buy(user_id)
    await world.until(lambda: _links(world, range(2, 8)))

    assert len(world.puts()) == 7, "the wrong one is not repeated"
    await world.until(lambda: _told(world, 1, Progress.DELAYED))
    assert world.courier.links(1) == []
    alerted = await world.rows.fetch(
        "SELECT payload->'arguments'->>'user_id' FROM outbox "
        "WHERE payload->>'text_id' = 'alert-key-set-aside'"
    )
    assert [user_id for (user_id,) in alerted] == ["1"] * len(OWNERS), "owners hear whom it hits"


async def _links(world: World, users: range) -> bool:
    return all(world.courier.links(user_id) for user_id in users)


async def _told(world: World, user_id: int, progress: Progress) -> bool:
    return progress in world.courier.progress(user_id)


async def test_more_work_than_calls_at_a_time_is_done_all_the_same(world: World) -> None:
    world.node.refuse_connections()
    for user_id in range(1, 31):
        await world.buy(user_id)
    world.node.accept_connections()

    await world.settle()

    assert len(world.node.running) == 30


async def test_no_more_calls_than_allowed_are_under_way(world: World) -> None:
    await world.meet_node()
    world.trust_node()
    world.node.hold_calls()
    for user_id in range(1, 21):
        await world.buy(user_id)

    async def full() -> bool:
        await world.hurry()
        return len(world.puts()) >= 8

    await eventually(full)
    for _ in range(5):
        world.directory.find("provisioner", "node-1").wake()
        await world.hurry()
    under_way = [call.uuid for call in world.puts()]
    assert len(under_way) == len(set(under_way)) == 8

    world.node.release_calls()
    await world.settle()


async def test_a_stranger_to_the_node_s_actor_is_nobody_s_work(world: World) -> None:
    """A credential of another node is not this actor's."""
    await world.rows.execute("INSERT INTO nodes (id) VALUES ('node-2')")
    await world.buy(BUYER)
    await world.settle()
    await world.rows.execute("UPDATE credentials SET node_id = 'node-2', gen = gen + 1")
    calls = len(world.node.calls)

    await world.buy(5)
    await world.until(lambda: _links(world, range(5, 6)))

    foreign = world.puts()[0].uuid
    assert foreign not in {call.uuid for call in world.node.calls[calls:]}
