"""Calls from outside, over a real socket and into a real inbox: 200 only for what is committed."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from bot.gateways.port import PushAccepted, PushRefused
from bot.web.callers import REFUSALS
from bot.web.server import LARGEST_PUSH, TelegramHook, WebActor, WebLimits
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


@pytest.fixture
async def outside(database: Database, rows: Rows) -> AsyncIterator[Outside]:
    pushes: Any = {"made-up": Pushes()}
    clock = LoopClock()
    actor = WebActor(
        WebLimits(listen="127.0.0.1:0"),
        PostgresInbox(database),
        Address("inbox", lambda _: None, clock),
        hook=HOOK,
        pushes=pushes,
        epoch_now=lambda: 7.0,
    )
    surroundings = Surroundings(clock=clock, weather=(StorageUnavailable,))
    mailbox = Mailbox("web", 10)
    actor.take_post(
        Post(name="web", mailbox=mailbox, surroundings=surroundings, ended=_ended_in_order)
    )
    await actor.started
    async with ClientSession() as session:
        yield Outside(session, actor, rows)
    actor.stop()
    await actor.wait_ended()


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
