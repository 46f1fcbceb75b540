"""The fault proxy does what its rules say, so often, and counts it; all else passes unchanged."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from tests.faults.proxy import (
    LONG_BYTES,
    DelayAfter,
    DelayBefore,
    DropRequest,
    DropResponse,
    Duplicate,
    FaultProxy,
    Hold,
    HoldAnswer,
    Identities,
    Mangle,
    Rule,
    Status,
    WrongCertificate,
    cut_short,
    html,
    of_another_user,
    too_long,
    without,
)
from tests.integration.node_fixtures import eventually

MINE, OTHER = uuid4(), uuid4()
#: Far longer than a test: who waits for it waits for ever.
LONG_S = 3_600.0


@dataclass
class Node:
    """Something that answers like a node, and remembers what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    made = Node()

    async def put(request: web.Request) -> web.Response:
        made.asked.append(request.path)
        uuid = request.match_info["uuid"]
        link = f"vless://{uuid}@node.example.com:443"
        return web.json_response({"uuid": uuid, "vless_link": link}, headers={"X-Own": "yes"})

    app = web.Application()
    app.router.add_put("/v1/users/{uuid}", put)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    made.url = f"http://{host}:{port}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def proxy(node: Node) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(node.url).serve() as made:
        yield made


async def put(
    proxy: FaultProxy,
    uuid: UUID = MINE,
    *,
    wait_s: float = 60.0,
    trust: ssl.SSLContext | None = None,
) -> tuple[int, bytes]:
    """A change; its status and body."""
    timeout = aiohttp.ClientTimeout(total=wait_s)
    url = f"{proxy.url}/v1/users/{uuid}"
    async with aiohttp.ClientSession(timeout=timeout) as session:
        session._retry_connection = False  # one call is one request
        async with session.put(url, json={"gen": 7}, ssl=trust or True) as answer:
            return answer.status, await answer.read()


async def test_what_no_rule_meets_passes_and_is_counted(proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(Status(500), uuid=OTHER))

    status, body = await put(proxy)

    assert (status, json.loads(body)["uuid"]) == (200, str(MINE))
    (seen,) = proxy.requests
    assert (seen.method, seen.uuid, seen.gen, seen.changes) == ("PUT", MINE, 7, True)
    assert rule.hits == 0
    with pytest.raises(AssertionError, match="never fired"):
        proxy.lift(rule)


async def test_a_rule_fires_so_often_and_no_more(node: Node, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(Status(503, {"Retry-After": "9"}), methods=("PUT",), times=2))

    statuses = [(await put(proxy))[0] for _ in range(3)]

    assert statuses == [503, 503, 200]
    assert (rule.hits, len(node.asked)) == (2, 1)
    assert proxy.amplification() == (3, 1)
    assert proxy.amplification(since=2) == (1, 1)


@pytest.mark.parametrize(("fault", "asked"), [(DropRequest(), 0), (DropResponse(), 1)])
async def test_a_connection_ends_before_or_after_the_node_did_it(
    node: Node, proxy: FaultProxy, fault: DropRequest | DropResponse, asked: int
) -> None:
    proxy.add(Rule(fault))

    with pytest.raises(aiohttp.ServerDisconnectedError):
        await put(proxy)

    assert len(node.asked) == asked


@pytest.mark.parametrize(("fault", "asked"), [(DelayBefore(LONG_S), 0), (DelayAfter(LONG_S), 1)])
async def test_a_call_waits_before_or_after_the_node_did_it(
    node: Node, proxy: FaultProxy, fault: DelayBefore | DelayAfter, asked: int
) -> None:
    rule = proxy.add(Rule(fault))

    with pytest.raises(TimeoutError):
        await put(proxy, wait_s=0.3)

    assert (rule.hits, len(node.asked)) == (1, asked)


async def test_what_was_held_arrives_after_its_sender_has_gone(
    node: Node, proxy: FaultProxy
) -> None:
    rule = proxy.add(Rule(Hold()))
    with pytest.raises(TimeoutError):
        await put(proxy, wait_s=0.2)
    assert node.asked == []

    rule.release()

    async def arrived() -> bool:
        return len(node.asked) == 1

    await eventually(arrived)


async def test_the_node_does_at_once_what_is_held_on_its_way_back(
    node: Node, proxy: FaultProxy
) -> None:
    rule = proxy.add(Rule(HoldAnswer(), times=1))
    putting = asyncio.create_task(put(proxy))

    async def answered() -> bool:
        return bool(rule.answered)

    await eventually(answered)
    assert (len(node.asked), rule.answered, putting.done()) == (1, [200], False)

    rule.release()

    assert (await putting)[0] == 200
    assert [seen.method for seen in rule.met] == ["PUT"]


async def test_a_duplicate_reaches_the_node_twice(node: Node, proxy: FaultProxy) -> None:
    proxy.add(Rule(Duplicate(), times=1))

    assert (await put(proxy))[0] == 200

    assert len(node.asked) == 2


async def test_answers_are_mangled(proxy: FaultProxy) -> None:
    changes = (cut_short, html, too_long, without("vless_link"), of_another_user)
    for change in changes:
        proxy.add(Rule(Mangle(change), times=1))

    answers = [await put(proxy) for _ in changes]

    assert [status for status, _ in answers] == [200] * len(changes)
    short, page, long, bare, other = (body for _, body in answers)
    with pytest.raises(json.JSONDecodeError):
        json.loads(short)
    assert page.startswith(b"<!doctype html>")
    assert len(long) > LONG_BYTES
    assert json.loads(bare) == {"uuid": str(MINE)}
    assert str(MINE).encode() not in other
    assert json.loads(other)["vless_link"].startswith(f"vless://{json.loads(other)['uuid']}@")


async def test_a_wrong_certificate_is_shown_so_often(node: Node) -> None:
    identities = Identities()
    trust = ssl.create_default_context(cadata=identities.trusted)
    async with FaultProxy(node.url, identities).serve() as proxy:
        rule = proxy.add(Rule(WrongCertificate(), times=1))

        with pytest.raises(aiohttp.ClientSSLError):
            await put(proxy, trust=trust)
        assert (await put(proxy, trust=trust))[0] == 200

        assert rule.hits == 1
        proxy.lift(rule)


async def test_the_end_of_the_proxy_ends_what_waits(node: Node) -> None:
    async with FaultProxy(node.url).serve() as proxy:
        proxy.add(Rule(DelayBefore(LONG_S)))
        waiting = asyncio.create_task(put(proxy))

        async def under_way() -> bool:
            return len(proxy.requests) == 1

        await eventually(under_way)
    assert (await waiting)[0] == 200
