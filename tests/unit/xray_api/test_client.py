"""What the client makes of every answer and failure; one row for each class of error."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from xray_api.client.client import NodeClient
from xray_api.client.errors import (
    DigestChanged,
    EpochChanged,
    Fault,
    NodeBusy,
    NodeCallError,
    NodeProtocolError,
    NodeRedirects,
    NodeRejected,
    NodeTlsError,
    NodeUnauthorized,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
    ShrinkRefused,
    StaleGeneration,
    WrongUserAnswered,
)
from xray_api.client.fake import FakeNodeClient
from xray_api.client.transport import MAX_ANSWER_BYTES
from xray_api.contract import DEADLINE_HEADER, WRITER_HEADER, Operation, Writer

NODE = "https://node.example.com:8090"
KEY, OTHER_KEY = "first-key-0123456789", "second-key-0123456789"
USER, EPOCH = uuid4(), uuid4()
PATH = f"{NODE}/v1/users/{USER}"


def problem(kind: str, status: int, **fields: Any) -> dict[str, Any]:
    payload = {"type": kind, "title": kind, "status": status, **fields}
    return {"status": status, "payload": payload, "content_type": "application/problem+json"}


def put_reply(user: UUID = USER, link: str | None = None, gen: int = 1) -> dict[str, Any]:
    return {
        "uuid": str(user),
        "gen": gen,
        "epoch": str(EPOCH),
        "vless_link": link or f"vless://{user}@node.example.com:443?type=tcp",
        "created": True,
    }


def connector_error(kind: type[aiohttp.ClientConnectorError], cause: OSError) -> Exception:
    key = aiohttp.client_reqrep.ConnectionKey(
        "node.example.com", 8090, True, True, None, None, None
    )
    return kind(key, cause)


FAILURES = [
    ("stale", problem("stale", 409, node_gen=9), StaleGeneration, Fault.STALE),
    ("shrink", problem("shrink", 409, would_remove=30), ShrinkRefused, Fault.STALE),
    ("digest", problem("digest", 409, root="0" * 16), DigestChanged, Fault.STALE),
    ("epoch", problem("epoch", 412, epoch=str(uuid4())), EpochChanged, Fault.EPOCH),
    ("401", problem("unauthorized", 401), NodeUnauthorized, Fault.AUTH),
    ("403", {"status": 403, "body": "<html>"}, NodeUnauthorized, Fault.AUTH),
    ("422", problem("invalid", 422, errors=["gen: wrong"]), NodeRejected, Fault.BUG),
    ("400", problem("invalid", 400), NodeRejected, Fault.BUG),
    ("404", problem("not_found", 404), NodeRejected, Fault.BUG),
    ("405", problem("method_not_allowed", 405), NodeRejected, Fault.BUG),
    ("413", problem("too_large", 413), NodeRejected, Fault.BUG),
    ("html 404", {"status": 404, "body": "<html>"}, NodeProtocolError, Fault.PROTOCOL),
    ("409 without gen", problem("stale", 409), NodeProtocolError, Fault.PROTOCOL),
    ("418", problem("teapot", 418), NodeProtocolError, Fault.PROTOCOL),
    ("204", {"status": 204}, NodeProtocolError, Fault.PROTOCOL),
    ("429", problem("busy", 429), NodeBusy, Fault.THROTTLE),
    ("503", problem("unavailable", 503), NodeUnavailable, Fault.INFRA),
    ("html 503", {"status": 503, "body": "<html>"}, NodeUnavailable, Fault.INFRA),
    ("500", problem("internal", 500), OutcomeUnknown, Fault.INFRA),
    ("502", {"status": 502, "body": "<html>"}, OutcomeUnknown, Fault.INFRA),
    ("522", {"status": 522}, OutcomeUnknown, Fault.INFRA),
    ("525", {"status": 525}, NodeTlsError, Fault.TLS),
    ("526", {"status": 526}, NodeTlsError, Fault.TLS),
    ("302", {"status": 302, "headers": {"Location": NODE}}, NodeRedirects, Fault.PROTOCOL),
    ("no json", {"body": "welcome"}, NodeProtocolError, Fault.PROTOCOL),
    ("no link", {"payload": put_reply(link="hello")}, NodeProtocolError, Fault.PROTOCOL),
    ("other gen", {"payload": put_reply(gen=2)}, NodeProtocolError, Fault.PROTOCOL),
    ("other uuid", {"payload": put_reply(uuid4())}, WrongUserAnswered, Fault.PROTOCOL),
    (
        "other link",
        {"payload": put_reply(link=f"vless://{uuid4()}@h:1")},
        WrongUserAnswered,
        Fault.PROTOCOL,
    ),
    ("too long", {"body": b"x" * (MAX_ANSWER_BYTES + 1)}, NodeProtocolError, Fault.PROTOCOL),
    ("timeout", {"exception": TimeoutError()}, OutcomeUnknown, Fault.INFRA),
    (
        "read timeout",
        {"exception": aiohttp.SocketTimeoutError()},
        OutcomeUnknown,
        Fault.INFRA,
    ),
    ("hang-up", {"exception": aiohttp.ServerDisconnectedError()}, OutcomeUnknown, Fault.INFRA),
    ("reset", {"exception": aiohttp.ClientOSError(104, "reset")}, OutcomeUnknown, Fault.INFRA),
    ("half a body", {"exception": aiohttp.ClientPayloadError()}, OutcomeUnknown, Fault.INFRA),
    (
        "connect timeout",
        {"exception": aiohttp.ConnectionTimeoutError()},
        NodeUnreachable,
        Fault.INFRA,
    ),
    (
        "refused",
        {"exception": connector_error(aiohttp.ClientConnectorError, OSError(111, "refused"))},
        NodeUnreachable,
        Fault.INFRA,
    ),
    (
        "no such name",
        {"exception": connector_error(aiohttp.ClientConnectorDNSError, OSError(-2, "unknown"))},
        NodeUnreachable,
        Fault.INFRA,
    ),
    (
        "tls",
        {"exception": connector_error(aiohttp.ClientConnectorSSLError, ssl.SSLError(1, "bad"))},
        NodeTlsError,
        Fault.TLS,
    ),
]


@pytest.mark.parametrize(
    ("answer", "error", "fault"), [row[1:] for row in FAILURES], ids=[row[0] for row in FAILURES]
)
async def test_every_failure_has_its_class(
    http: aioresponses, answer: dict[str, Any], error: type[NodeCallError], fault: Fault
) -> None:
    http.put(PATH, **answer)

    async with NodeClient(NODE, [KEY]) as client:
        with pytest.raises(NodeCallError) as raised:
            await client.put(USER, 1, EPOCH)

    assert type(raised.value) is error
    assert raised.value.fault is fault
    assert KEY not in f"{raised.value!r} {raised.value}"
    assert "vless://" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "retriable", "not_applied"),
    [
        (NodeUnreachable, True, True),
        (OutcomeUnknown, True, False),
        (NodeTlsError, True, True),
        (NodeBusy, True, True),
        (NodeUnavailable, True, False),
        (NodeProtocolError, True, False),
        (WrongUserAnswered, True, False),
        (NodeUnauthorized, False, True),
        (StaleGeneration, False, True),
        (ShrinkRefused, False, True),
        (DigestChanged, False, True),
        (EpochChanged, False, True),
        (NodeRejected, False, True),
        (NodeRedirects, False, True),
    ],
)
def test_the_class_says_whether_to_call_again(
    error: type[NodeCallError], *, retriable: bool, not_applied: bool
) -> None:
    assert error.retriable is retriable
    assert error.not_applied is not_applied


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("", None), ("Wed, 21 Oct", None)])
async def test_retry_after_is_handed_on(
    http: aioresponses, header: str, seconds: float | None
) -> None:
    http.put(PATH, **problem("busy", 429), headers={"Retry-After": header})

    async with NodeClient(NODE, [KEY]) as client:
        with pytest.raises(NodeBusy) as busy:
            await client.put(USER, 1, EPOCH)

    assert busy.value.retry_after == seconds


async def test_a_request_carries_key_deadline_and_writer(http: aioresponses) -> None:
    http.put(PATH, payload=put_reply())

    async with NodeClient(NODE, [KEY]) as client:
        reply = await client.put(USER, 1, EPOCH, deadline_s=2.5, writer=Writer("db", 4))

    assert reply.created
    (call,) = http.requests[("PUT", URL(PATH))]
    assert call.kwargs["headers"] == {
        "Accept-Encoding": "identity",
        "X-API-Key": KEY,
        DEADLINE_HEADER: "2500",
        WRITER_HEADER: "db;4",
    }
    assert call.kwargs["json"] == {"gen": 1, "epoch": str(EPOCH)}
    assert call.kwargs["allow_redirects"] is False
    assert call.kwargs["timeout"].total == 2.5


async def test_the_other_key_is_tried_once_and_kept(http: aioresponses) -> None:
    http.get(PATH, **problem("unauthorized", 401))
    http.get(PATH, **problem("not_found", 404))
    http.get(PATH, **problem("not_found", 404))

    async with NodeClient(NODE, [KEY, OTHER_KEY]) as client:
        assert await client.get(USER) is None
        assert await client.get(USER) is None

    calls = http.requests[("GET", URL(PATH))]
    assert [c.kwargs["headers"]["X-API-Key"] for c in calls] == [KEY, OTHER_KEY, OTHER_KEY]


async def test_no_more_than_two_keys_are_tried(http: aioresponses) -> None:
    http.get(PATH, **problem("unauthorized", 401), repeat=True)

    async with NodeClient(NODE, [KEY, OTHER_KEY, "third-key-0123456789"]) as client:
        with pytest.raises(NodeUnauthorized):
            await client.get(USER)

    assert len(http.requests[("GET", URL(PATH))]) == 2


class InTransaction(Exception):  # noqa: N818 - what the guard says
    """A call was made where none may be."""


def refuse() -> None:
    raise InTransaction


@pytest.mark.parametrize("make", [lambda: NodeClient(NODE, [KEY], guard=refuse), None])
async def test_the_guard_stops_a_call_before_it_is_sent(http: aioresponses, make: Any) -> None:
    client = make() if make else FakeNodeClient(guard=refuse)

    for call in (
        client.put(USER, 1, EPOCH),
        client.remove(USER, 1, EPOCH),
        client.get(USER),
        client.list_users(),
        client.ready(),
    ):
        with pytest.raises(InTransaction):
            await call

    assert not http.requests


async def test_a_node_that_is_not_ready_says_so(http: aioresponses) -> None:
    readiness = await FakeNodeClient().ready()
    payload = readiness.model_dump(mode="json") | {"ready": False, "reasons": ["Xray is away"]}
    http.get(f"{NODE}/readyz", status=503, payload=payload)
    http.get(f"{NODE}/readyz", **problem("unavailable", 503))

    async with NodeClient(NODE, [KEY]) as client:
        assert (await client.ready()).reasons == ("Xray is away",)
        with pytest.raises(NodeUnavailable):
            await client.ready()


async def test_unknown_fields_of_a_newer_node_are_passed_over(http: aioresponses) -> None:
    http.put(PATH, payload=put_reply() | {"colour": "green"})

    async with NodeClient(NODE, [KEY]) as client:
        assert (await client.put(USER, 1, EPOCH)).created


async def test_keys_stay_out_of_logs_and_reprs(
    http: aioresponses, caplog: pytest.LogCaptureFixture
) -> None:
    http.put(PATH, status=500)
    caplog.set_level(logging.DEBUG)

    async with NodeClient(NODE, [KEY]) as client:
        with pytest.raises(OutcomeUnknown) as error:
            await client.put(USER, 1, EPOCH)
        assert KEY not in repr(client)

    assert KEY not in caplog.text
    assert error.value.__cause__ is None


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(talk: Talk) -> AsyncIterator[str]:
    """A server of one connection, over when the client has gone."""
    over = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await talk(reader, writer)
        writer.close()
        await writer.wait_closed()
        over.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.timeout(30):
            await over.wait()


async def test_a_broken_kept_connection_is_not_tried_again() -> None:
    """The library would send the request a second time; that is the Provisioner's decision."""
    received: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = json.dumps(problem("not_found", 404)["payload"]).encode()
        while head := await reader.read(4096):
            received.append(head)
            if len(received) > 1:
                break
            writer.write(b"HTTP/1.1 404 X\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

    async with served(serve) as url, NodeClient(url, [KEY]) as client:
        assert await client.get(USER) is None
        with pytest.raises(OutcomeUnknown):
            await client.get(USER)

    assert len(received) == 2


async def test_a_refused_connection_was_never_sent() -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()

    async with NodeClient(f"http://127.0.0.1:{port}", [KEY]) as client:
        with pytest.raises(NodeUnreachable):
            await client.ready()


async def test_an_answer_that_does_not_come_in_time_has_an_unknown_outcome() -> None:
    reached = asyncio.Event()

    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        while await reader.read(4096):  # until the client hangs up
            reached.set()

    async with served(never) as url, NodeClient(url, [KEY]) as client:
        with pytest.raises(OutcomeUnknown):
            await client.put(USER, 1, EPOCH, deadline_s=0.2)

    assert reached.is_set()


def test_a_node_needs_a_key() -> None:
    with pytest.raises(ValueError, match="API key"):
        NodeClient(NODE, [])


async def test_aioresponses_still_needs_our_fixture() -> None:
    """When this fails, aioresponses works by itself: remove the patches from conftest."""
    with aioresponses() as plain:
        plain.get(NODE, body="")
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="stream_writer"):
                await session.get(NODE)


OTHER = uuid4()


def batch_result(user: UUID, **fields: Any) -> dict[str, Any]:
    link = f"vless://{user}@node.example.com:443"
    return {"uuid": str(user), "status": "applied", "gen": 1, "vless_link": link, **fields}


FIRST, SECOND = batch_result(USER), batch_result(OTHER)


@pytest.mark.parametrize(
    ("results", "error"),
    [
        ([FIRST], NodeProtocolError),
        ([FIRST, SECOND, SECOND], NodeProtocolError),
        ([SECOND, FIRST], WrongUserAnswered),
        ([FIRST, batch_result(OTHER, vless_link=f"vless://{USER}@h:1")], WrongUserAnswered),
        ([FIRST, batch_result(OTHER, vless_link=None)], NodeProtocolError),
        ([FIRST, batch_result(OTHER, gen=2)], NodeProtocolError),
    ],
    ids=["short", "long", "reordered", "other link", "no link", "other gen"],
)
async def test_a_batch_answer_must_fit_the_operations(
    http: aioresponses, results: list[dict[str, Any]], error: type[NodeCallError]
) -> None:
    http.post(f"{NODE}/v1/users:batch", payload={"epoch": str(EPOCH), "results": results})
    operations = [Operation(op="put", uuid=user, gen=1) for user in (USER, OTHER)]

    async with NodeClient(NODE, [KEY]) as client:
        with pytest.raises(NodeProtocolError) as raised:
            await client.batch(EPOCH, operations)

    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("root", "buckets"),
    [
        ("0" * 15 + "3", ["0" * 15 + "3"]),
        ("0" * 16, ["0" * 16, "0" * 15 + "1"]),
        ("0" * 16, ["0" * 15, "0" * 16]),
        ("0" * 16, ["0" * 15 + "g", "0" * 16]),
    ],
    ids=["fewer", "other root", "short", "no hex"],
)
async def test_a_digest_must_fit_itself(http: aioresponses, root: str, buckets: list[str]) -> None:
    reply = {"epoch": str(EPOCH), "count": 1, "root": root, "buckets": buckets, "writer": None}
    http.get(f"{NODE}/v1/digest?buckets=2", payload=reply)

    async with NodeClient(NODE, [KEY]) as client:
        with pytest.raises(NodeProtocolError):
            await client.digest(buckets=2)


async def test_a_bulk_answer_may_be_longer(http: aioresponses) -> None:
    users = [{"uuid": str(uuid4()), "uplink": 1, "downlink": 2, "online": 0}] * 12_000
    http.get(f"{NODE}/v1/traffic?reset=false", payload={"users": users})

    async with NodeClient(NODE, [KEY]) as client:
        assert len((await client.traffic()).users) == len(users)
    assert len(json.dumps(users)) > MAX_ANSWER_BYTES
