"""When Xray is started again, and when it is not."""

import asyncio
import errno
import math
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.integration.node_fixtures import PATIENCE_S, eventually, free_port
from tests.unit.xray_api.templates import INBOUND, REALITY, template
from xray_api.node import keeper as keeping
from xray_api.node.apply import Applier
from xray_api.node.changes import Wish
from xray_api.node.config import read_template, render
from xray_api.node.keeper import Keeper
from xray_api.node.process import ChildEngine, XrayProcess, XrayStartError
from xray_api.node.store import Store
from xray_api.node.template import Template

USER = uuid4()
Make = Callable[[ChildEngine, "Pauses"], Keeper]


class Pauses:
    """A clock whose pauses are over at once; after `limit` of them nobody wakes again."""

    def __init__(self, limit: int) -> None:
        self.taken: list[float] = []
        self.limit = limit
        self.over = asyncio.Event()

    async def __call__(self, seconds: float) -> None:
        """Note a pause; it is over at once."""
        if len(self.taken) == self.limit:
            self.over.set()
            await asyncio.Event().wait()
        self.taken.append(seconds)


@pytest.fixture
def read() -> Template:
    changes = [
        ((*INBOUND, "listen"), "127.0.0.1"),
        ((*INBOUND, "port"), free_port()),
        ((*REALITY, "dest"), f"127.0.0.1:{free_port()}"),
    ]
    return read_template(template(*changes), allow_private_targets=False)


@pytest.fixture
async def applier(tmp_path: Path, read: Template) -> AsyncIterator[Applier]:
    store = await Store.open(tmp_path / "node.sqlite3")
    await store.write(USER, Wish(1, present=True), None, math.inf)
    yield Applier(store, read.flow)
    await store.close()


def configuration(read: Template, api_socket: Path) -> dict[str, Any]:
    return render(read, [USER], api_socket=api_socket, allow_private_targets=False)


@pytest.fixture
async def make(read: Template, applier: Applier, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes keepers, and ends what they keep."""
    kept: list[tuple[Keeper, asyncio.Task[None]]] = []

    def build(engine: ChildEngine, pauses: Pauses) -> Keeper:
        keeper = Keeper(engine, read, partial(configuration, read), applier, tmp_path, sleep=pauses)
        kept.append((keeper, asyncio.create_task(keeper.run())))
        return keeper

    yield build
    for keeper, running in kept:
        running.cancel()
        await asyncio.wait({running})
        await keeper.close()


def program(folder: Path, text: str) -> ChildEngine:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return ChildEngine(path)


async def test_pauses_grow_to_half_a_minute(make: Make, tmp_path: Path) -> None:
    pauses = Pauses(limit=9)
    keeper = make(program(tmp_path, "exit 1"), pauses)

    async with asyncio.timeout(PATIENCE_S):
        await pauses.over.wait()

    assert pauses.taken == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert keeper.restarts == 0
    assert keeper.reason.startswith("Xray exited at once with status 1")


async def test_after_a_steady_run_a_crash_costs_no_pause(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses(limit=9)
    keeper = make(ChildEngine(), pauses)
    await eventually(partial(is_up, keeper, restarts=1))
    monkeypatch.setattr(keeping, "STEADY_S", 0)
    pauses.taken.clear()
    assert keeper.pid is not None
    os.kill(keeper.pid, signal.SIGKILL)

    await eventually(partial(is_up, keeper, restarts=2))

    assert pauses.taken == [0]


async def is_up(keeper: Keeper, restarts: int) -> bool:
    return keeper.pid is not None and keeper.restarts >= restarts and not keeper.reason


async def test_a_refused_configuration_is_not_tried_again(make: Make, tmp_path: Path) -> None:
    pauses = Pauses(limit=9)
    with capture_logs() as logs:
        keeper = make(program(tmp_path, "exit 23"), pauses)
        await eventually(partial(is_given_up, logs))

    assert keeper.reason.startswith("Xray refuses its configuration")
    assert pauses.taken == [0.5]
    assert not pauses.over.is_set()
    (told,) = (line for line in logs if line["log_level"] == "error")
    assert "next_pause_s" not in told, "there is no next try"
    assert "node.xray_config" in told["hint"]


async def is_given_up(logs: list[EventDict]) -> bool:
    return any(line["log_level"] == "error" for line in logs)


async def test_a_machine_without_files_left_ends_no_keeper(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an Xray that ended while no file could be opened; then it is tried again."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    pauses = Pauses(limit=2)
    keeper = make(program(tmp_path, "exit 1"), pauses)
    monkeypatch.setattr(keeping, "fresh_socket", refuse)

    async with asyncio.timeout(PATIENCE_S):
        await pauses.over.wait()

    assert keeper.reason == "Xray gets no socket for its API: Too many open files"


async def test_a_first_start_with_a_busy_port_is_tried_three_times(
    read: Template, applier: Applier, tmp_path: Path
) -> None:
    pauses = Pauses(limit=9)
    engine = program(tmp_path, "exit 255")
    keeper = Keeper(engine, read, partial(configuration, read), applier, tmp_path, sleep=pauses)

    with pytest.raises(XrayStartError):
        await keeper.start()

    assert len(pauses.taken) == keeping.FIRST_START_TRIES - 1


async def test_an_xray_without_an_api_is_not_kept(
    read: Template, applier: Applier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "API_ANSWERS_WITHIN_S", 0.1)
    engine = program(tmp_path, 'echo "Xray 1.0 started"; exec sleep 600')
    keeper = Keeper(engine, read, partial(configuration, read), applier, tmp_path)

    with pytest.raises(XrayStartError, match=r"does not answer its API: .*it opened no socket"):
        await keeper.start()

    assert keeper.pid is None
    assert not applier.ready


async def test_another_inbound_than_the_linked_one_is_not_kept(
    read: Template, applier: Applier, tmp_path: Path
) -> None:
    def other(api_socket: Path) -> dict[str, Any]:
        config = configuration(read, api_socket)
        config["inbounds"][0]["port"] = free_port()
        return config

    keeper = Keeper(ChildEngine(), read, other, applier, tmp_path)

    with pytest.raises(XrayStartError, match=r"another inbound .*\['port'\]"):
        await keeper.start()

    assert keeper.pid is None
    assert not applier.ready


async def test_a_hung_xray_is_replaced(
    make: Make, applier: Applier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It lives and does not answer: three short questions show it, and no list is waited for."""
    monkeypatch.setattr("xray_api.node.hot_api.LIST_TIMEOUT_S", 3600)
    monkeypatch.setattr(keeping, "RETRY_HUNG_S", 0.01)
    monkeypatch.setattr(keeping, "MEND_EVERY_S", 0.05)  # also the timer's test
    stop = XrayProcess.stop
    stopped = asyncio.Event()

    async def noting(self: XrayProcess) -> None:
        stopped.set()
        await stop(self)

    monkeypatch.setattr(XrayProcess, "stop", noting)
    keeper = make(ChildEngine(), Pauses(limit=9))

    async def ready() -> bool:
        return applier.ready

    await eventually(ready)
    hung = keeper.pid
    assert hung is not None
    os.kill(hung, signal.SIGSTOP)

    async with asyncio.timeout(PATIENCE_S):
        await stopped.wait()

    async def replaced() -> bool:
        return applier.ready and keeper.pid not in {None, hung}

    await eventually(replaced)
