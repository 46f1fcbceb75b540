"""The standing checks find what they look for."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from storage.invariants.acts import broken_idle
from tests.standing import canaries, idle, leftovers

TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
KEY = "no-secret-no-secret-no-secret-no-secret-no-"
LINK = "vless://deadbeef-0000-4000-8000-00000000c0de@node.example:443"


class Trouble(Exception):  # noqa: N818
    """Something with a secret in its words."""


def told(act: Callable[[], Any]) -> int:
    """How many secrets an act told."""
    with canaries.heard() as found:
        act()
    return len(found)


def raising(text: str) -> Callable[[], Any]:
    """Log an error with its traceback."""

    def fail() -> None:
        raise Trouble(text)

    def act() -> None:
        try:
            fail()
        except Trouble:
            structlog.get_logger().exception("it_failed")

    return act


@pytest.mark.parametrize(
    "act",
    [
        lambda: structlog.get_logger().info("asked", header=KEY),
        lambda: structlog.get_logger().info(f"asked with {KEY}"),
        lambda: structlog.get_logger().info("asked", details={"headers": [KEY]}),
        raising(f"refused {KEY}"),
        lambda: logging.getLogger("library").warning("refused %s", KEY),
    ],
)
def test_a_secret_in_a_log_is_heard(act: Callable[[], Any]) -> None:
    assert told(act) == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda: structlog.get_logger().info("asked", api_key=KEY),
        lambda: structlog.get_logger().info("asked", url=f"https://t.example/bot{TOKEN}/getMe"),
        lambda: structlog.get_logger().info("given", text=LINK),
        lambda: logging.getLogger("library").warning("asked %s", TOKEN),
    ],
)
def test_what_the_program_cuts_out_is_no_finding(act: Callable[[], Any]) -> None:
    assert told(act) == 0


def test_whoever_configures_the_log_is_watched() -> None:
    structlog.configure(processors=[structlog.processors.KeyValueRenderer()])

    assert told(lambda: structlog.get_logger().info("given", text=LINK)) == 1


def a_thread() -> Iterator[None]:
    """One that goes on."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="straggler")
    thread.start()
    yield
    end.set()
    thread.join()


def a_child() -> Iterator[None]:
    """One that goes on."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield
    child.communicate(b"\n")


def a_socket() -> Iterator[None]:
    """One that listens."""
    listener = socket.create_server(("127.0.0.1", 0))
    yield
    listener.close()


def a_file() -> Iterator[None]:
    """One that stays."""
    descriptor, name = tempfile.mkstemp()
    os.close(descriptor)
    yield
    Path(name).unlink()


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        (a_thread, "thread straggler"),
        (a_child, "child process"),
        (a_socket, "socket"),
        (a_file, "temporary file"),
    ],
)
def test_what_is_left_is_found(begin: Callable[[], Iterator[None]], kind: str) -> None:
    before = leftovers.seen()
    thing = begin()
    next(thing)

    left = leftovers.left_since(before, patience_s=0)
    for _ in thing:
        raise AssertionError

    assert [one for one in left if one.startswith(kind)], left
    assert leftovers.left_since(before) == []


def test_a_task_that_is_left_is_found() -> None:
    async def leave() -> None:
        leave_one = asyncio.create_task(asyncio.Event().wait(), name="straggler")
        await asyncio.sleep(0)  # noqa: TID251
        del leave_one

    asyncio.run(leave())

    assert leftovers.left_since(leftovers.seen()) == ["task straggler: Event.wait"]


class Watch(idle.IdleWatch):
    """A watch whose moments are the test's."""

    def __init__(self) -> None:
        self._watched = {}
        self._lock = threading.Lock()


def row(lasted_ms: int) -> dict[str, Any]:
    """What the server says of a transaction of this very process, which is awake or sleeps."""
    return {
        "pid": os.getpid(),
        "state_change": "a moment",
        "query": "SELECT 1",
        "lasted": timedelta(milliseconds=lasted_ms),
    }


@pytest.mark.parametrize(
    ("asleep", "counted_s", "found"), [(True, 0.05, 1), (True, 0.0, 0), (False, 0.05, 0)]
)
def test_a_wait_counts_only_while_nothing_else_can_be_the_reason(
    monkeypatch: pytest.MonkeyPatch, asleep: bool, counted_s: float, found: int
) -> None:
    monkeypatch.setattr(idle, "sleeps", lambda _: asleep)
    watch = Watch()

    for moment in range(1, 7):
        watch._note([row(50 * moment)], counted_s)

    waits = watch.taken()
    assert [one.lasted for one in waits] == [timedelta(milliseconds=300)]
    assert len(broken_idle(waits)) == found
    assert watch.taken() == []
