"""Traffic flows through a delivered link, through nothing else, and needs no restart to begin."""

from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.node_fixtures import Files, Page, running, xray_children
from xray_api.client.client import NodeClient
from xray_api.probe import probe_link, vless_client


async def test_a_page_comes_through_the_delivered_link(node: NodeClient, page: Page) -> None:
    epoch = (await node.ready()).epoch
    link = (await node.put(uuid4(), 1, epoch)).vless_link

    result = await probe_link(link, page.url)

    assert result.ok, result.detail
    assert (result.status, result.body_prefix) == (200, page.text.encode())
    assert page.hits == ["/"]


async def test_users_come_and_go_without_a_restart(node: NodeClient, page: Page) -> None:
    before = xray_children()
    epoch = (await node.ready()).epoch
    first, second = uuid4(), uuid4()
    first_link = (await node.put(first, 1, epoch)).vless_link

    async with vless_client(first_link) as client:
        assert (await client.fetch(page.url)).ok
        second_link = (await node.put(second, 1, epoch)).vless_link
        assert (await probe_link(second_link, page.url)).ok
        await node.remove(second, 2, epoch)
        assert (await client.fetch(page.url)).ok

    assert xray_children() == before
    assert (await node.ready()).xray.restarts == 0


@pytest.mark.parametrize("case", ["unknown uuid", "removed uuid", "wrong short id", "wrong sni"])
async def test_nothing_else_comes_through(node: NodeClient, page: Page, case: str) -> None:
    epoch = (await node.ready()).epoch
    user = uuid4()
    link = (await node.put(user, 1, epoch)).vless_link
    short_id = (await node.ready()).inbound.short_id
    match case:
        case "unknown uuid":
            link = link.replace(str(user), str(uuid4()))
        case "removed uuid":
            assert (await probe_link(link, page.url)).ok
            page.hits.clear()
            await node.remove(user, 2, epoch)
        case "wrong short id":
            link = link.replace(f"sid={short_id}", f"sid={short_id[::-1]}")
        case _:
            link = link.replace("sni=localhost", "sni=elsewhere.example")

    result = await probe_link(link, page.url, timeout_s=5)

    assert not result.ok
    assert result.status is None
    assert page.hits == []


async def test_a_user_who_was_removed_can_come_back(node: NodeClient, page: Page) -> None:
    epoch = (await node.ready()).epoch
    user = uuid4()
    await node.put(user, 1, epoch)
    await node.remove(user, 2, epoch)

    link = (await node.put(user, 3, epoch)).vless_link

    assert (await probe_link(link, page.url)).ok


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_production_node_keeps_users_from_private_addresses(
    node_files: Files, page: Page, host: str
) -> None:
    async with running(node_files.settings()), node_files.client() as node:
        epoch = (await node.ready()).epoch
        link = (await node.put(uuid4(), 1, epoch)).vless_link

        result = await probe_link(link, page.url.replace("127.0.0.1", host), timeout_s=2)

    assert not result.ok
    assert page.hits == []


def replace_text(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


async def test_xhttp_works_by_its_link_too(node_files: Files, page: Page) -> None:
    replace_text(node_files.template_file, '"network": "tcp"', '"network": "xhttp"')

    async with (
        running(node_files.settings(allow_private_targets=True)),
        node_files.client() as node,
    ):
        epoch = (await node.ready()).epoch
        link = (await node.put(uuid4(), 1, epoch)).vless_link

        assert "type=xhttp" in link
        assert (await probe_link(link, page.url)).ok
