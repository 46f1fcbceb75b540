"""Calls from outside, over a real socket and into a real inbox: 200 only for what is committed."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import ClientError, ClientSession, StreamReader, web
from aiohttp.test_utils import make_mocked_request

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from bot.gateways.port import PushAccepted, PushRefused
from bot.web import server
from bot.web.callers import REFUSALS, Network
from bot.web.server import (
    COMMITS_AT_ONCE,
    LARGEST_PUSH,
    AddressTaken,
    TelegramHook,
    WebActor,
    WebLimits,
    try_address,
)
from bot.web.telegram import LARGEST_UPDATE, SECRET_HEADER
from storage.database import Database
from storage.errors import StorageUnavailable
from storage.inbox import PostgresInbox
from tests.integration.database_fixtures import Rows

SECRET = "0123456789abcdef"
HOOK = TelegramHook(path="/hook", secret=SECRET, bot_id=5)
UPDATE = {"update_id": 10, "message": {"from": {"id": 1}, "text": "hello"}}
KNOWN = {SECRET_HEADER: SECRET}
COUNT = "SELECT count(*) FROM inbox"


class Pushes:
    """A provider whose pushes carry a password."""

    push_path = "/webhooks/made-up"

    def accept(
        self, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> PushAccepted | PushRefused:
        """By its header."""
        assert now_s == 7.0
        if headers.get("X-Password") != "open":
            return PushRefused(reason="wrong")
        return PushAccepted(source_id=json.loads(body)["id"])


class Outside:
    """Whoever calls."""

    def __init__(self, session: ClientSession, actor: WebActor, rows: Rows) -> None:
        self.session = session
        self.actor = actor
        self.rows = rows

    async def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """A call, and what it hears."""
        url = f"http://127.0.0.1:{self.actor.port}{path}"
        async with self.session.post(url, data=io.BytesIO(body), headers=headers) as response:
            return response.status, await response.read()

    async def update(self, update: Any = UPDATE, **headers: str) -> tuple[int, bytes]:
        """A call of Telegram's."""
        return await self.post("/hook", json.dumps(update).encode(), KNOWN | headers)


@asynccontextmanager
async def serving(
    database: Database, rows: Rows, *trusted: Network, killed: bool = False
) -> AsyncIterator[Outside]:
    """A server that is up; at the end it is stopped, or has been `killed` by the test."""
    pushes: Any = {"made-up": Pushes()}
    clock = LoopClock()
    actor = WebActor(
        WebLimits(listen="127.0.0.1:0", trusted_proxies=trusted),
        PostgresInbox(database),
        Address("inbox", lambda _: None, clock),
        hook=HOOK,
        pushes=pushes,
        epoch_now=lambda: 7.0,
    )
    surroundings = Surroundings(clock=clock, weather=(StorageUnavailable,))
    ended = _ended_anyhow if killed else _ended_in_order
    mailbox = Mailbox("web", 10)
    actor.take_post(Post(name="web", mailbox=mailbox, surroundings=surroundings, ended=ended))
    await actor.started
    async with ClientSession() as session:
        yield Outside(session, actor, rows)
    actor.stop()
    await actor.wait_ended()


@pytest.fixture
async def outside(database: Database, rows: Rows) -> AsyncIterator[Outside]:
    async with serving(database, rows) as made:
        yield made


def _ended_anyhow(_: AsyncioActor, ending: Ending) -> None:
    del ending


def _ended_in_order(_: AsyncioActor, ending: Ending) -> None:
    assert ending.error is None


async def test_two_hundred_duplicates_at_once_make_one_row(outside: Outside) -> None:
    answers = await asyncio.gather(*(outside.update() for _ in range(200)))

    assert set(answers) == {(200, b"")}
    assert await outside.rows.fetchval(COUNT) == 1


async def test_a_push_is_kept_under_its_provider_s_name(outside: Outside) -> None:
    for _ in range(2):
        answer = await outside.post("/webhooks/made-up", b'{"id": "i1"}', {"X-Password": "open"})
        assert answer == (200, b"")

    (row,) = await outside.rows.fetch("SELECT * FROM inbox")
    assert (row["source"], row["source_id"], row["lane"]) == ("made-up", "i1", None)
    assert row["payload"] == '{"id": "i1"}'


@pytest.mark.parametrize(
    ("path", "headers", "body", "status"),
    [
        ("/hook", {}, b"{}", 401),
        ("/hook", {SECRET_HEADER: ""}, b"{}", 401),
        ("/hook", {SECRET_HEADER: "0123456789abcdeF"}, b"{}", 401),
        ("/hook", {SECRET_HEADER: "sécret ☃"}, b"{}", 401),
        ("/hook", {}, b"x" * (LARGEST_UPDATE + 1), 401),
        ("/hook", KNOWN, b"x" * (LARGEST_UPDATE + 1), 413),
        ("/hook", KNOWN, b"{", 400),
        ("/hook", KNOWN, b'{"update_id": "10"}', 400),
        ("/webhooks/made-up", {}, b'{"id": "i1"}', 401),
        ("/webhooks/made-up", {"X-Password": "open"}, b"x" * (LARGEST_PUSH + 1), 413),
        ("/", KNOWN, b"{}", 404),
        ("/healthz", KNOWN, b"{}", 404),
    ],
)
async def test_what_is_refused_leaves_nothing_and_learns_nothing(
    outside: Outside, path: str, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert await outside.post(path, body, headers) == (status, b"")
    assert await outside.rows.fetchval(COUNT) == 0


async def test_what_cannot_be_committed_is_not_taken(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> None:
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresInbox, "accept", away)
        assert await outside.update() == (503, b"")
    assert await outside.update() == (200, b"")
    assert await outside.rows.fetchval(COUNT) == 1


async def test_whoever_is_refused_again_and_again_does_not_shut_out_who_is_right(
    outside: Outside,
) -> None:
    statuses = [(await outside.post("/hook", b"{}", {}))[0] for _ in range(REFUSALS + 1)]

    assert statuses == [401] * REFUSALS + [429]
    assert await outside.update() == (200, b"")


async def test_health_is_told_to_everybody(outside: Outside) -> None:
    async with outside.session.get(f"http://127.0.0.1:{outside.actor.port}/healthz") as response:
        assert (response.status, await response.read()) == (200, b"ok")


async def test_a_crowd_leaves_connections_to_others(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, here, most, full = PostgresInbox.accept, 0, 0, asyncio.Event()

    async def watched(self: PostgresInbox, updates: Any) -> None:
        nonlocal here, most
        here += 1
        most = max(most, here)
        if here == COMMITS_AT_ONCE:
            full.set()
        await full.wait()
        await accept(self, updates)
        here -= 1

    monkeypatch.setattr(PostgresInbox, "accept", watched)
    updates = [UPDATE | {"update_id": number} for number in range(3 * COMMITS_AT_ONCE)]
    answers = await asyncio.gather(*(outside.update(update) for update in updates))

    assert set(answers) == {(200, b"")}
    assert most == COMMITS_AT_ONCE
    assert await outside.rows.fetchval(COUNT) == len(updates)


async def test_a_bug_says_nothing_to_strangers(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresInbox, "accept", broken)
        assert await outside.update() == (500, b"")
    assert await outside.update() == (200, b"")


async def _raw(outside: Outside, request: bytes) -> bytes:
    """What a call hears that is written by hand."""
    reader, writer = await asyncio.open_connection("127.0.0.1", outside.actor.port)
    writer.write(request)
    status = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return status


async def test_a_push_of_who_was_refused_too_often_is_not_even_read(outside: Outside) -> None:
    for _ in range(REFUSALS):
        assert await outside.post("/webhooks/made-up", b"{}", {}) == (401, b"")

    # The body never comes: who would read it would wait for ever.
    head = b"POST /webhooks/made-up HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
    async with asyncio.timeout(60):
        assert b" 429 " in await _raw(outside, head)


@pytest.mark.parametrize("path", ["/webhooks/made-up", "/hook"])
async def test_a_body_that_never_ends_is_not_waited_for(
    outside: Outside, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A stranger who sends a byte now and then would hold connections for ever."""
    monkeypatch.setattr(server, "BODY_S", 0.0)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{SECRET_HEADER}: {SECRET}\r\n".encode()

    async with asyncio.timeout(60):
        assert b" 408 " in await _raw(outside, head + b"Content-Length: 9\r\n\r\n{")
    assert await outside.rows.fetchval(COUNT) == 0


@pytest.mark.parametrize("cut", [ConnectionResetError(), web.RequestPayloadError("no chunk")])
async def test_a_body_that_breaks_off_is_no_bug_and_not_taken(
    outside: Outside, cut: Exception
) -> None:
    body = StreamReader(Mock(), 2**16)
    body.set_exception(cut)
    request = make_mocked_request("POST", "/webhooks/made-up", payload=body)

    answer = await outside.actor._answer(request)

    assert answer.status == 400
    assert await outside.rows.fetchval(COUNT) == 0


async def _refused_by_name(outside: Outside, caller: str, times: int) -> list[int]:
    named = {"X-Forwarded-For": caller}
    return [(await outside.post("/hook", b"{}", named))[0] for _ in range(times)]


async def test_callers_behind_a_trusted_proxy_are_told_apart(
    database: Database, rows: Rows
) -> None:
    async with serving(database, rows, ip_network("127.0.0.0/8")) as outside:
        assert await _refused_by_name(outside, "203.0.113.1", REFUSALS) == [401] * REFUSALS

        assert await _refused_by_name(outside, "203.0.113.1", 1) == [429]
        assert await _refused_by_name(outside, "203.0.113.2", 1) == [401]
        # What stands to the left of the proxy's own word was made up by the caller.
        assert await _refused_by_name(outside, "203.0.113.3, 203.0.113.1", 1) == [429]


async def test_nobody_s_word_about_addresses_counts_unless_it_is_trusted(outside: Outside) -> None:
    for number in range(REFUSALS):
        assert await _refused_by_name(outside, f"203.0.113.{number}", 1) == [401]

    assert await _refused_by_name(outside, "203.0.113.99", 1) == [429]


async def test_a_server_killed_between_commit_and_answer_takes_the_repeat_as_the_same(
    database: Database, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    committed = asyncio.Event()
    accept = PostgresInbox.accept

    async def commit_and_hang(self: PostgresInbox, updates: Any) -> None:
        await accept(self, updates)
        committed.set()
        await asyncio.Event().wait()

    async with serving(database, rows, killed=True) as outside:
        with monkeypatch.context() as patch:
            patch.setattr(PostgresInbox, "accept", commit_and_hang)
            call = asyncio.create_task(outside.update())
            await committed.wait()
            outside.actor.kill()
            with pytest.raises(ClientError):
                await call

    async with serving(database, rows) as outside:
        assert await outside.update() == (200, b"")
        assert await rows.fetchval(COUNT) == 1


async def test_an_address_in_use_is_told_before_anything_starts(outside: Outside) -> None:
    with pytest.raises(AddressTaken, match="address already in use"):
        await try_address(f"127.0.0.1:{outside.actor.port}")
    await try_address("127.0.0.1:0")
