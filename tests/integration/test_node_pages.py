"""A node's list of pages that do not fit together is no list."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.faults.proxy import Answer, FaultProxy, Mangle, Rule
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeProtocolError

PageChange = Callable[[dict[str, Any]], None]
ABOVE_ALL = str(UUID(int=2**128 - 1))


def backwards(page: dict[str, Any]) -> None:
    page["users"].reverse()


def doubled(page: dict[str, Any]) -> None:
    page["users"].append(page["users"][-1])


def turning_back(page: dict[str, Any]) -> None:
    page["next"] = page["users"][0]["uuid"]


def leaping_ahead(page: dict[str, Any]) -> None:
    page["next"] = ABOVE_ALL


def begun_too_early(page: dict[str, Any]) -> None:
    page["users"].insert(0, {"uuid": str(UUID(int=1)), "gen": 1})


def empty_and_not_the_last(page: dict[str, Any]) -> None:
    page["users"], page["next"] = [], ABOVE_ALL


def mangled(change: PageChange) -> Mangle:
    def changed(answer: Answer) -> Answer:
        page = json.loads(answer.body)
        change(page)
        return replace(answer, body=json.dumps(page).encode())

    return Mangle(changed)


@pytest.mark.parametrize(
    "change",
    [backwards, doubled, turning_back, leaping_ahead, begun_too_early, empty_and_not_the_last],
)
async def test_pages_that_do_not_fit_together_are_refused(
    node: NodeClient, change: PageChange
) -> None:
    epoch = (await node.ready()).epoch
    for _ in range(5):
        await node.put(uuid4(), 1, epoch)
    first = await node.list_users(limit=2)
    async with (
        FaultProxy(node._url).serve() as proxy,
        NodeClient(proxy.url, node._keys) as client,
    ):
        assert (await client.list_users(after=first.next, limit=2)).users
        rule = proxy.add(Rule(mangled(change), path="/v1/users$"))

        with pytest.raises(NodeProtocolError):
            await client.list_users(after=first.next, limit=2)

        proxy.lift(rule)
