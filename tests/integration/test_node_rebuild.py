"""Xray is started again, once, where that is the quicker or the only way to be right."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import grpc.aio
import pytest

from tests.integration.node_fixtures import (
    Files,
    eventually,
    fresh_files,
    running,
    serving_page,
)
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.node.hot_api import target
from xray_api.probe import probe_link

MANY = 20_000


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made:
        yield made


@pytest.fixture
async def node(files: Files) -> AsyncIterator[NodeClient]:
    async with running(files.settings(allow_private_targets=True)), files.client() as client:
        yield client


async def reaches_the_page(link: str) -> bool:
    async with serving_page() as page:
        return (await probe_link(link, page.url)).ok


async def remove_inbound(socket: Path, tag: str) -> None:
    """The product never does; the request is one string, the first field."""
    async with grpc.aio.insecure_channel(target(socket)) as channel:
        remove: Any = cast("Any", channel).unary_unary(
            "/xray.app.proxyman.command.HandlerService/RemoveInbound"
        )
        await remove(b"\x0a" + bytes([len(tag)]) + tag.encode(), timeout=5)


async def test_a_snapshot_into_a_wiped_node_takes_one_start(node: NodeClient) -> None:
    epoch = (await node.ready()).epoch
    users = {uuid4(): 1 for _ in range(MANY)}

    reply = await node.snapshot(epoch, users)

    assert (reply.added, reply.removed, reply.kept) == (MANY, 0, 0)
    state = await node.ready()
    assert (state.ready, state.xray.restarts, state.users.applied) == (True, 1, MANY)
    some = await node.get(next(iter(users)))
    assert some is not None
    assert await reaches_the_page(some.vless_link)


async def test_an_inbound_that_somebody_took_away_comes_back_with_its_users(
    files: Files, node: NodeClient
) -> None:
    state = await node.ready()
    link = (await node.put(uuid4(), 1, state.epoch)).vless_link
    await remove_inbound(files.api_socket, state.inbound.tag)

    async def is_ready() -> bool:
        try:
            return (await node.ready()).ready
        except NodeCallError:
            return False

    assert not await is_ready()
    await eventually(is_ready)

    assert (await node.ready()).xray.restarts == 1
    assert await reaches_the_page(link)
