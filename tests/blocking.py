"""Catches calls that block the loop while an actor has a message in hand.

Python tells its audit hooks of such calls before they happen; of `time.sleep` only from 3.13 on, so
that one is replaced. `open` is not among those looked
for: tracebacks and late imports read files too, and the disk is seldom what keeps a loop waiting.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, SupportsIndex

from actors.runtime.mailbox import current_context

BLOCKING = frozenset(
    {
        "socket.connect",
        "socket.getaddrinfo",
        "socket.gethostbyname",
        "subprocess.Popen",
        "os.system",
        "sqlite3.connect",
    }
)

_watchers: list[list[str]] = []


@contextmanager
def caught() -> Iterator[list[str]]:
    """The blocking calls of actors inside the block, as `actor: call`."""
    calls: list[str] = []
    _watchers.append(calls)
    try:
        yield calls
    finally:
        _watchers.remove(calls)


def _note(event: str) -> None:
    context = current_context.get()
    if context is None or asyncio._get_running_loop() is None:
        return  # nobody's message, or a thread that may block
    if _watchers:
        _watchers[-1].append(f"{context.chain[-1]}: {event}")


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in BLOCKING:
        return
    if event == "socket.connect" and arguments[0].gettimeout() == 0:
        return  # asyncio's own: does not wait
    _note(event)


_sleep = time.sleep  # noqa: TID251 - to be replaced


def _noted_sleep(seconds: float | SupportsIndex, /) -> None:
    _note("time.sleep")
    _sleep(seconds)


time.sleep = _noted_sleep  # noqa: TID251 - as above
sys.addaudithook(_hear)
