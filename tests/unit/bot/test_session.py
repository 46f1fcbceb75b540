"""The way to the Bot API, against a real server on this machine."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import pytest
from aiogram import Bot
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramNetworkError,
    TelegramRetryAfter,
)
from aiogram.methods import GetUpdates
from aiohttp import web

from bot.session import REQUEST_TIMEOUT_S, GetRawUpdates, GuardedSession, make_bot
from tests.unit.bot.conftest import LINK, TOKEN

STRANGE = {"update_id": 1, "message": {"message_id": "not a number", "новое": [1]}}
PLAIN = {"update_id": 2}


@dataclass
class Server:
    """A Bot API server that answers every call with `status` and `body`."""

    body: str = '{"ok": true, "result": true}'
    status: int = 200
    content_type: str = "application/json"
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Note the call and answer it."""
        fields = {key: str(value) for key, value in (await request.post()).items()}
        self.seen.append((request.path, fields))
        return web.Response(text=self.body, status=self.status, content_type=self.content_type)


@dataclass
class Guard:
    """Refuses while `in_transaction`."""

    in_transaction: bool = False

    def __call__(self) -> None:
        """Stand in for the database's guard."""
        if self.in_transaction:
            raise RuntimeError("a call from inside a transaction")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
async def api_base(server: Server) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_post("/{path:.*}", server.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    yield f"http://127.0.0.1:{port}"
    await runner.cleanup()


@pytest.fixture
async def real_bot(api_base: str, guard: Guard) -> AsyncGenerator[Bot]:
    bot = make_bot(TOKEN, guard, api_base)
    yield bot
    await bot.session.close()


async def test_calls_go_to_the_configured_server(real_bot: Bot, server: Server) -> None:
    await real_bot.send_chat_action(chat_id=77, action="typing")

    [(path, fields)] = server.seen
    assert path == f"/bot{TOKEN}/sendChatAction"
    assert fields == {"chat_id": "77", "action": "typing"}


async def test_messages_are_html_and_their_links_show_no_preview(
    real_bot: Bot, server: Server
) -> None:
    sent = {"message_id": 1, "date": 0, "chat": {"id": 77, "type": "private"}}
    server.body = json.dumps({"ok": True, "result": sent})

    await real_bot.send_message(77, "<b>x</b>")

    [(_, fields)] = server.seen
    assert fields["parse_mode"] == "HTML"
    assert json.loads(fields["link_preview_options"]) == {"is_disabled": True}


async def test_an_update_that_cannot_be_decoded_does_not_hide_the_others(
    real_bot: Bot, server: Server
) -> None:
    server.body = json.dumps({"ok": True, "result": [STRANGE, PLAIN]})

    poll = GetRawUpdates(offset=1, timeout=30, allowed_updates=["message"])
    assert await real_bot(poll) == [STRANGE, PLAIN]
    [(path, fields)] = server.seen
    assert path.endswith("/getUpdates")
    assert fields == {"offset": "1", "timeout": "30", "allowed_updates": '["message"]'}
    # The reason for a method of our own: aiogram's gives up the whole batch.
    with pytest.raises(TelegramNetworkError):
        await real_bot(GetUpdates())


async def test_a_long_poll_may_take_its_own_time(
    real_bot: Bot, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.body = json.dumps({"ok": True, "result": []})
    session = real_bot.session
    assert isinstance(session, GuardedSession)
    client = await session.create_session()
    waits: list[object] = []
    post = client.post

    def noting(url: str, **options: object) -> object:
        waits.append(options["timeout"])
        return post(url, **options)  # type: ignore[arg-type] # passed on as they came

    monkeypatch.setattr(client, "post", noting)
    await real_bot(GetRawUpdates(timeout=30, allowed_updates=[]))
    await real_bot(GetRawUpdates(timeout=30, allowed_updates=[]), request_timeout=3)
    server.body = '{"ok": true, "result": true}'
    await real_bot.log_out()

    assert waits == [30 + REQUEST_TIMEOUT_S, 3, REQUEST_TIMEOUT_S]


async def test_nothing_is_called_from_inside_a_transaction(
    real_bot: Bot, server: Server, guard: Guard
) -> None:
    guard.in_transaction = True

    with pytest.raises(RuntimeError, match="transaction"):
        await real_bot.log_out()
    assert not server.seen


async def test_refusals_keep_their_meaning(real_bot: Bot, server: Server) -> None:
    server.status, server.body = 400, '{"ok": false, "description": "Bad Request: chat not found"}'
    with pytest.raises(TelegramBadRequest, match="chat not found"):
        await real_bot.log_out()

    refusal = {"ok": False, "description": "Too Many", "parameters": {"retry_after": 7}}
    server.status, server.body = 429, json.dumps(refusal)
    with pytest.raises(TelegramRetryAfter) as caught:
        await real_bot.log_out()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    "body", [f"<html>502, you said {LINK}</html>", json.dumps({"ok": True, "result": LINK})]
)
async def test_an_answer_that_cannot_be_read_is_not_quoted(
    real_bot: Bot, server: Server, body: str
) -> None:
    server.body, server.status = body, 502

    with pytest.raises(TelegramNetworkError) as caught:
        await real_bot.get_me()
    assert_holds_no_secret(caught.value)


async def test_no_error_holds_the_token(guard: Guard) -> None:
    bot = make_bot(TOKEN, guard, "http://[::1")  # aiohttp quotes a URL that it cannot read

    with pytest.raises(TelegramNetworkError) as caught:
        await bot.log_out()
    await bot.session.close()
    assert "<token>" in str(caught.value)
    assert_holds_no_secret(caught.value)


async def test_a_server_that_is_away_is_weather(guard: Guard, unused_tcp_port: int) -> None:
    bot = make_bot(TOKEN, guard, f"http://127.0.0.1:{unused_tcp_port}")

    with pytest.raises(TelegramNetworkError) as caught:
        await bot.log_out()
    await bot.session.close()
    assert_holds_no_secret(caught.value)


def assert_holds_no_secret(error: BaseException | None) -> None:
    while error is not None:
        assert TOKEN not in f"{error!s} {error!r} {error.args!r}"
        assert LINK not in f"{error!s} {error!r} {error.args!r}"
        error = error.__cause__ or error.__context__
