"""A back-end that answers as it is told, on a control socket in a folder."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from actors.runtime.inspection import ActorState, ActorView
from supervisors.cli import main
from supervisors.operators.socket_path import short_path

Handler = Callable[[web.Request], Any]


@dataclass
class Backend:
    """What it was asked, and what it answers: by method and path, else `{}`."""

    folder: Path
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    answers: dict[str, tuple[int, str] | Handler] = field(default_factory=dict)
    _up: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _end: Callable[[], object] = lambda: None

    def answer(self, question: str, content: Any, status: int = 200) -> None:
        """What `GET /tree` and the like are answered."""
        self.answers[question] = (status, json.dumps(content))

    def start(self) -> None:
        """Listen, on a loop of its own: commands have theirs."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._up.wait(10)

    def stop(self) -> None:
        """Listen no more."""
        if self._thread is not None:
            self._end()
            self._thread.join(10)
            self._thread = None

    async def _serve(self) -> None:
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        self._end = lambda: loop.call_soon_threadsafe(end.set)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        with short_path(self.folder) as path:
            await web.UnixSite(runner, path).start()
        self._up.set()
        await end.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else dict(request.query)
        self.asked.append((request.method, request.path, body))
        answer = self.answers.get(f"{request.method} {request.path}", (200, "{}"))
        if callable(answer):
            response: web.StreamResponse = await answer(request)
            return response
        status, text = answer
        return web.Response(status=status, text=text, content_type="application/json")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where the back-end keeps its things."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def backend(data_dir: Path) -> Iterator[Backend]:
    """A back-end that runs."""
    backend = Backend(data_dir)
    backend.start()
    yield backend
    backend.stop()


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Tollgate = Callable[..., Ended]


@pytest.fixture
def tollgate(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Tollgate:
    """Run the command in the folder that `data` is in, with no settings at all."""
    for name in list(os.environ):
        if name.upper().startswith("TOLLGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(data_dir.parent)

    def run(*words: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["tollgate", *words])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Ended(int(end.value.code or 0), printed.out, printed.err)

    return run


def actor(name: str, *children: ActorView, **values: Any) -> ActorView:
    """An actor that is well, but for what is told of it."""
    well: dict[str, Any] = {
        "kind": "Supervisor" if children else "SomeActor",
        "state": ActorState.RUNNING,
        "incarnation": 1,
        "max_restarts": 5,
    }
    return ActorView(name=name, children=children, **{**well, **values})
