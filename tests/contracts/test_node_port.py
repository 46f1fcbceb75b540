"""What the back-end may rely on, over the fake and over a real node with a real Xray."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.integration.node_fixtures import fresh_files, running
from xray_api.client.errors import (
    DigestChanged,
    EpochChanged,
    NodeCallError,
    ShrinkRefused,
    StaleGeneration,
)
from xray_api.client.fake import FakeNodeClient
from xray_api.client.port import NodePort
from xray_api.contract import Operation, Writer
from xray_api.digest import digest


@pytest.fixture(params=["fake", "real"])
async def node(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NodePort]:
    if request.param == "fake":
        yield FakeNodeClient()
        return
    async with (
        fresh_files(tmp_path / "node") as files,
        running(files.settings()),
        files.client() as client,
    ):
        yield client


@pytest.fixture
async def epoch(node: NodePort) -> UUID:
    return (await node.ready()).epoch


async def test_put_lets_a_user_in_and_gives_his_link(node: NodePort, epoch: UUID) -> None:
    user = uuid4()

    reply = await node.put(user, 1, epoch)

    assert (reply.uuid, reply.gen, reply.epoch, reply.created) == (user, 1, epoch, True)
    assert reply.vless_link.startswith(f"vless://{user}@")
    found = await node.get(user)
    assert found is not None
    assert (found.uuid, found.gen, found.vless_link) == (user, 1, reply.vless_link)


async def test_a_repeated_put_gives_the_same_link(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    first = await node.put(user, 1, epoch)

    repeat = await node.put(user, 1, epoch)
    later = await node.put(user, 2, epoch)

    assert first.vless_link == repeat.vless_link == later.vless_link
    assert (repeat.created, later.created) == (False, False)


async def test_remove_shuts_a_user_out(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    await node.put(user, 1, epoch)

    reply = await node.remove(user, 2, epoch)
    repeat = await node.remove(user, 2, epoch)

    assert (reply.uuid, reply.gen, reply.epoch, reply.removed) == (user, 2, epoch, True)
    assert repeat.removed is False
    assert await node.get(user) is None
    assert (await node.list_users()).users == ()


async def test_a_late_put_does_not_revive_a_removed_user(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    await node.put(user, 1, epoch)
    await node.remove(user, 3, epoch)

    with pytest.raises(StaleGeneration) as late:
        await node.put(user, 2, epoch)

    assert late.value.node_gen == 3
    assert (await node.list_users()).users == ()


async def test_removing_an_absent_user_leaves_a_tombstone(node: NodePort, epoch: UUID) -> None:
    user = uuid4()

    assert (await node.remove(user, 5, epoch)).removed is False

    with pytest.raises(StaleGeneration):
        await node.put(user, 4, epoch)


@pytest.mark.parametrize("first", ["put", "remove"])
async def test_one_generation_has_one_wish(node: NodePort, epoch: UUID, first: str) -> None:
    user = uuid4()
    calls = [node.put, node.remove] if first == "put" else [node.remove, node.put]
    await calls[0](user, 7, epoch)

    with pytest.raises(StaleGeneration) as opposite:
        await calls[1](user, 7, epoch)

    assert opposite.value.node_gen == 7


async def test_a_higher_generation_brings_a_user_back(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    first = await node.put(user, 1, epoch)
    await node.remove(user, 2, epoch)

    back = await node.put(user, 3, epoch)

    assert back.created
    assert back.vless_link == first.vless_link


async def test_another_epoch_changes_nothing(node: NodePort, epoch: UUID) -> None:
    user, other = uuid4(), uuid4()

    for call in (node.put, node.remove):
        with pytest.raises(EpochChanged) as refused:
            await call(user, 1, other)
        assert refused.value.epoch == epoch

    assert await node.get(user) is None
    assert (await node.put(user, 1, epoch)).created


async def test_an_unknown_user_is_none(node: NodePort) -> None:
    assert await node.get(uuid4()) is None


async def test_users_are_listed_by_uuid_in_pages(node: NodePort, epoch: UUID) -> None:
    users = sorted(uuid4() for _ in range(5))
    for gen, user in enumerate(users, start=1):
        await node.put(user, gen, epoch)

    first = await node.list_users(limit=3)
    rest = await node.list_users(after=first.next, limit=3)

    assert [(u.uuid, u.gen) for u in first.users + rest.users] == list(
        zip(users, range(1, 6), strict=True)
    )
    assert (first.next, rest.next) == (users[2], None)
    assert first.epoch == epoch
    assert (await node.list_users(limit=5)).next is None


async def test_readiness_counts_users(node: NodePort, epoch: UUID) -> None:
    user, removed = uuid4(), uuid4()
    await node.put(user, 1, epoch)
    await node.remove(removed, 1, epoch)

    readiness = await node.ready()

    assert readiness.ready
    assert readiness.reasons == ()
    assert readiness.epoch == epoch
    assert (readiness.users.desired, readiness.users.applied) == (1, 1)
    assert readiness.writer is None


async def test_the_highest_mark_of_the_last_writer_is_kept(node: NodePort, epoch: UUID) -> None:
    user = uuid4()

    async def mark() -> tuple[str, int] | None:
        writer = (await node.ready()).writer
        return (writer.db_id, writer.seq) if writer else None

    await node.put(user, 1, epoch, writer=Writer("db-a", 10))
    await node.put(user, 2, epoch, writer=Writer("db-a", 9))
    assert await mark() == ("db-a", 10)
    await node.put(user, 2, epoch, writer=Writer("db-a", 11))
    assert await mark() == ("db-a", 11)
    await node.remove(user, 3, epoch, writer=Writer("db-b", 1))
    assert await mark() == ("db-b", 1)
    await node.remove(user, 4, epoch)
    assert await mark() == ("db-b", 1)


async def test_the_highest_of_many_concurrent_wishes_stands(node: NodePort, epoch: UUID) -> None:
    users = [uuid4() for _ in range(8)]

    async def wish(user: UUID, gen: int) -> None:
        call = node.put if gen % 2 else node.remove
        try:
            await call(user, gen, epoch)
        except StaleGeneration as error:
            assert error.node_gen > gen  # noqa: PT017 - a race: any call may be overtaken

    gens = [5, 2, 7, 1, 8, 3, 6, 4]
    await asyncio.gather(*(wish(user, gen) for user in users[:4] for gen in gens))
    await asyncio.gather(*(wish(user, gen) for user in users[4:] for gen in [*gens, 9]))

    listed = {user.uuid: user.gen for user in (await node.list_users()).users}
    assert listed == dict.fromkeys(users[4:], 9)


async def test_every_failure_is_a_call_error(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    await node.remove(user, 2, epoch)

    with pytest.raises(NodeCallError) as stale:
        await node.put(user, 1, epoch)

    assert not stale.value.retriable
    assert stale.value.not_applied


async def listed(node: NodePort) -> dict[UUID, int]:
    return {user.uuid: user.gen for user in (await node.list_users()).users}


async def test_a_batch_answers_each_operation_in_order(node: NodePort, epoch: UUID) -> None:
    old, new = uuid4(), uuid4()
    await node.put(old, 3, epoch)

    reply = await node.batch(
        epoch,
        [
            Operation(op="put", uuid=new, gen=1),
            Operation(op="delete", uuid=old, gen=2),
            Operation(op="delete", uuid=old, gen=4),
        ],
        writer=Writer("db", 5),
    )

    assert [(r.uuid, r.status, r.gen) for r in reply.results] == [
        (new, "applied", 1),
        (old, "stale", 3),
        (old, "applied", 4),
    ]
    found = await node.get(new)
    assert found is not None
    assert reply.results[0].vless_link == found.vless_link
    assert await listed(node) == {new: 1}
    mark = (await node.digest()).writer
    assert mark is not None
    assert (mark.db_id, mark.seq) == ("db", 5)


async def test_a_snapshot_is_everybody(node: NodePort, epoch: UUID) -> None:
    kept, gone, tombstone, new = (uuid4() for _ in range(4))
    await node.put(kept, 1, epoch)
    await node.put(gone, 2, epoch)
    await node.remove(tombstone, 5, epoch)
    root = (await node.digest()).root

    reply = await node.snapshot(epoch, {kept: 2, tombstone: 5, new: 1}, base_digest=root)

    assert (reply.added, reply.removed, reply.kept, reply.stale) == (1, 1, 1, 1)
    assert await listed(node) == {kept: 2, new: 1}
    with pytest.raises(StaleGeneration):
        await node.put(gone, 2, epoch)


async def test_a_snapshot_for_other_users_changes_nothing(node: NodePort, epoch: UUID) -> None:
    user = uuid4()
    await node.put(user, 1, epoch)
    root = (await node.digest()).root

    with pytest.raises(DigestChanged) as refused:
        await node.snapshot(epoch, {uuid4(): 1}, base_digest="0" * 16)

    assert refused.value.root == root
    assert await listed(node) == {user: 1}


async def test_a_snapshot_that_removes_many_must_say_so(node: NodePort, epoch: UUID) -> None:
    users = {uuid4(): 1 for _ in range(21)}
    await node.snapshot(epoch, users)

    for allowed in (None, 20):
        with pytest.raises(ShrinkRefused) as refused:
            await node.snapshot(epoch, {}, allow_shrink=allowed)
        assert refused.value.would_remove == 21
    assert await listed(node) == users

    assert (await node.snapshot(epoch, {}, allow_shrink=21)).removed == 21
    assert await listed(node) == {}


async def test_many_changes_in_another_epoch_change_nothing(node: NodePort, epoch: UUID) -> None:
    other = uuid4()

    with pytest.raises(EpochChanged):
        await node.batch(other, [Operation(op="put", uuid=uuid4(), gen=1)])
    with pytest.raises(EpochChanged) as refused:
        await node.snapshot(other, {uuid4(): 1}, base_digest="1" * 16)

    assert refused.value.epoch == epoch
    assert await listed(node) == {}


@pytest.mark.parametrize("buckets", [1, 16])
async def test_the_digest_is_that_of_the_users(node: NodePort, epoch: UUID, buckets: int) -> None:
    users = {uuid4(): gen for gen in range(1, 6)}
    await node.snapshot(epoch, users)

    reply = await node.digest(buckets=buckets)

    expected = digest(users.items(), buckets)
    assert (reply.count, reply.root, reply.buckets) == (5, expected.root, expected.buckets)
    assert reply.epoch == epoch


async def test_who_never_connected_has_no_traffic_and_nothing_open(
    node: NodePort, epoch: UUID
) -> None:
    user = uuid4()
    await node.put(user, 1, epoch)

    assert all(u.uplink == u.downlink == u.online == 0 for u in (await node.traffic()).users)
    assert (await node.traffic(reset=True)).users is not None
    reply = await node.disconnect(user)
    assert reply is not None
    assert reply.closed == 0
    assert await node.disconnect(uuid4()) is None
