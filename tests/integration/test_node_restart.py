"""A crash at any place restarts with the right users; what is unequal is mended."""

import asyncio
import os
import signal
from uuid import UUID, uuid4

import pytest

from tests.integration.node_fixtures import (
    Files,
    Page,
    eventually,
    is_alive,
    node_process,
    running,
    xray_children,
)
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError, StaleGeneration
from xray_api.node import keeper
from xray_api.node.hot_api import HotApi, XrayAway
from xray_api.probe import probe_link


async def until_ready(node: NodeClient, restarts: int) -> None:
    async def ready() -> bool:
        readiness = await node.ready()
        return readiness.ready and readiness.xray.restarts == restarts

    await eventually(ready)


async def listed(node: NodeClient) -> dict[UUID, int]:
    return {user.uuid: user.gen for user in (await node.list_users()).users}


async def test_a_killed_xray_comes_back_with_its_users(node: NodeClient, page: Page) -> None:
    epoch = (await node.ready()).epoch
    kept, removed = uuid4(), uuid4()
    link = (await node.put(kept, 1, epoch)).vless_link
    await node.put(removed, 1, epoch)
    await node.remove(removed, 2, epoch)
    (pid,) = xray_children()

    os.kill(pid, signal.SIGKILL)

    async def noticed() -> bool:
        readiness = await node.ready()
        return not readiness.ready or readiness.xray.restarts > 0

    await eventually(noticed)
    await until_ready(node, restarts=1)
    assert xray_children() != {pid}
    assert await listed(node) == {kept: 1}
    assert (await node.ready()).epoch == epoch
    assert (await probe_link(link, page.url)).ok


async def test_while_xray_is_away_changes_are_refused_or_kept(node: NodeClient) -> None:
    """Whatever the answers were, one more call of each makes them true."""
    epoch = (await node.ready()).epoch
    users = [uuid4() for _ in range(20)]
    (pid,) = xray_children()

    async def put(user: UUID) -> None:
        try:
            await node.put(user, 1, epoch)
        except NodeCallError as error:
            assert error.retriable  # noqa: PT017 - a race: either outcome is right

    os.kill(pid, signal.SIGKILL)
    await asyncio.gather(*(put(user) for user in users))
    await until_ready(node, restarts=1)

    for user in users:
        await node.put(user, 1, epoch)
    assert await listed(node) == dict.fromkeys(users, 1)


async def test_wishes_survive_the_death_of_the_service(node_files: Files) -> None:
    kept, removed = uuid4(), uuid4()
    async with node_process(node_files) as process, node_files.client() as node:
        before = await node.ready()
        link = (await node.put(kept, 1, before.epoch)).vless_link
        await node.put(removed, 1, before.epoch)
        await node.remove(removed, 2, before.epoch)
        process.kill()
        await process.wait()

    async with node_process(node_files), node_files.client() as node:
        after = await node.ready()
        assert after.epoch == before.epoch
        assert await listed(node) == {kept: 1}
        found = await node.get(kept)
        assert found is not None
        assert found.vless_link == link
        with pytest.raises(StaleGeneration):
            await node.put(removed, 1, before.epoch)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_service_and_its_xray(node_files: Files, number: int) -> None:
    async with node_process(node_files) as process:
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children, encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - procfs
            (xray,) = map(int, file.read().split())

        process.send_signal(number)

        async with asyncio.timeout(30):
            assert await process.wait() == 0
        assert not is_alive(xray)


async def test_a_killed_service_leaves_no_xray(node_files: Files) -> None:
    async with node_process(node_files) as process:
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        with open(children, encoding="ascii") as file:  # noqa: ASYNC230, PTH123 - procfs
            (xray,) = map(int, file.read().split())

        process.kill()
        await process.wait()

    async def gone() -> bool:
        return not is_alive(xray)

    await eventually(gone)


async def test_a_cancelled_service_leaves_no_xray(node_files: Files) -> None:
    async with running(node_files.settings()):
        assert len(xray_children()) == 1

    assert xray_children() == set()


async def test_a_user_lost_by_xray_is_mended_when_readiness_is_asked(
    no_timer: None, node_files: Files, node: NodeClient
) -> None:
    del no_timer
    epoch = (await node.ready()).epoch
    user, stranger = uuid4(), uuid4()
    await node.put(user, 1, epoch)
    behind = HotApi(node_files.api_socket, "vless", "xtls-rprx-vision")
    await behind.add(stranger)
    assert await listed(node) == {user: 1, stranger: 0}

    assert not (await node.ready()).ready
    await until_ready(node, restarts=0)

    assert await listed(node) == {user: 1}
    await behind.remove(str(user))
    assert (await node.ready()).reasons == ("Xray has 0 users, the store wants 1",)
    await until_ready(node, restarts=0)
    assert await listed(node) == {user: 1}
    await behind.close()


@pytest.fixture
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparisons happen on suspicion alone."""
    monkeypatch.setattr(keeper, "MEND_EVERY_S", 3600.0)


async def test_a_stored_wish_that_xray_missed_is_applied_by_a_comparison(
    no_timer: None, node: NodeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Xray did not answer: 503, the wish is kept, and the suspicion starts a comparison."""
    del no_timer
    epoch = (await node.ready()).epoch
    user = uuid4()

    async def away(_: HotApi, __: UUID) -> bool:
        raise XrayAway("test")

    with monkeypatch.context() as patch:
        patch.setattr(HotApi, "add", away)
        with pytest.raises(NodeCallError) as refused:
            await node.put(user, 1, epoch)

    assert refused.value.retriable
    assert not refused.value.not_applied

    async def applied() -> bool:
        return await listed(node) == {user: 1}

    await eventually(applied)
    assert not (await node.put(user, 1, epoch)).created
