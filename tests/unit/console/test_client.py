"""What the console hears through the control socket, and what it says when it hears nothing."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from config.tuning import Tunable
from storage.rows import EventRow
from supervisors.console.answers import listed, parsed
from supervisors.console.client import Control
from supervisors.console.errors import (
    BackendOutage,
    ConsoleError,
    NoBackend,
    NotUnderstood,
    Refused,
    Unanswered,
)
from supervisors.operators.socket_path import CONTROL_SOCKET
from tests.unit.console.conftest import Backend


async def test_a_question_is_answered(backend: Backend) -> None:
    backend.answer("GET /events", {"events": []})

    answer = await Control(backend.folder).look("/events", limit=5, actor="user/7")

    assert answer == {"events": []}
    assert backend.asked == [("GET", "/events", {"limit": "5", "actor": "user/7"})]


async def test_a_wish_is_sent_as_json(backend: Backend) -> None:
    await Control(backend.folder).change("/policy/undo", id=None, reason="Ünsinn")

    assert backend.asked == [("POST", "/policy/undo", {"id": None, "reason": "Ünsinn"})]


async def test_a_socket_far_down_is_reached(tmp_path: Path) -> None:
    """The kernel takes 107 bytes of a socket's path; folders may be deeper."""
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    folder.mkdir(parents=True)
    backend = Backend(folder)
    backend.start()
    backend.answer("GET /tree", {"name": "root"})

    assert await Control(folder).look("/tree") == {"name": "root"}

    backend.stop()
    with pytest.raises(NoBackend):
        await Control(folder).look("/tree")


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (400, Refused, "users.max_restarts: 9999 is out of bounds[31m"),
        (503, BackendOutage, "users.max_restarts: 9999 is out of bounds[31m"),
        (500, ConsoleError, "the back-end failed: users.max_restarts: 9999 is out of bounds[31m"),
    ],
)
async def test_a_refusal_is_told_in_the_back_ends_words(
    backend: Backend, status: int, kind: type[ConsoleError], text: str
) -> None:
    reason = "users.max_restarts: 9999 is out of bounds\x1b[31m"
    backend.answer("POST /policy", {"error": reason}, status)

    with pytest.raises(kind) as refusal:
        await Control(backend.folder).change("/policy")

    assert str(refusal.value) == text


@pytest.mark.parametrize(
    ("status", "text"),
    [(200, "<html>"), (200, ""), (500, "[]"), (400, '{"error": 5}'), (200, "[" * 100_000)],
    ids=["html", "nothing", "list", "number", "deep"],
)
async def test_an_answer_without_sense_is_no_crash(
    backend: Backend, status: int, text: str
) -> None:
    backend.answers["GET /tree"] = (status, text)

    with pytest.raises(NotUnderstood, match="same version"):
        await Control(backend.folder).look("/tree")


async def test_what_does_not_speak_http_is_no_crash(data_dir: Path) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(babble, data_dir / CONTROL_SOCKET)

    with pytest.raises(NotUnderstood):
        await Control(data_dir).look("/tree")

    server.close()


async def test_no_folder_means_no_back_end(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"

    with pytest.raises(NoBackend) as refusal:
        await Control(folder).look("/tree")

    assert str(refusal.value) == (
        f"no back-end runs on {folder}; start it with: tollgate run (or tollgate demo)"
    )


async def test_a_socket_that_a_dead_back_end_left_means_no_back_end(data_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(data_dir / CONTROL_SOCKET))

    with pytest.raises(NoBackend):
        await Control(data_dir).look("/tree")


async def test_a_file_in_place_of_the_folder_means_no_back_end(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(NoBackend):
        await Control(tmp_path / "data").look("/tree")


async def test_another_users_socket_is_told_as_such(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forbidden(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", forbidden)

    with pytest.raises(ConsoleError, match=r"control\.sock is another user's"):
        await Control(backend.folder).look("/tree")


async def test_a_back_end_that_goes_away_before_it_answers(backend: Backend) -> None:
    async def go(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    backend.answers["POST /actor"] = go

    with pytest.raises(Unanswered, match="may have been done or not"):
        await Control(backend.folder).change("/actor")


async def test_a_back_end_that_goes_away_while_it_answers(backend: Backend) -> None:
    async def go(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        assert request.transport is not None
        request.transport.close()
        return response

    backend.answers["GET /tree"] = go

    with pytest.raises(Unanswered):
        await Control(backend.folder).look("/tree")


async def test_a_back_end_that_never_answers_is_not_waited_for(backend: Backend) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    backend.answers["GET /tree"] = hang

    with pytest.raises(Unanswered, match=r"no answer came within 0\.05 s"):
        await Control(backend.folder, timeout_s=0.05).look("/tree")


@pytest.mark.parametrize("answer", [None, [], {}, {"events": 5}, {"events": [{"id": "x"}]}])
def test_a_list_of_something_else_is_not_understood(answer: Any) -> None:
    with pytest.raises(NotUnderstood):
        listed(EventRow, answer, "events")


def test_what_a_newer_back_end_adds_is_passed_over() -> None:
    answer = {"key": "a.b", "value": 1, "default": 2, "bounds": "", "changed": True, "new": 5}

    assert parsed(Tunable, answer) == Tunable(key="a.b", value=1, default=2, bounds="")
