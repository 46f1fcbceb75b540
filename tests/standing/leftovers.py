"""A test leaves nothing behind: no task, thread, child process, socket or temporary file."""

import asyncio
import asyncio.runners
import gc
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What ends, ends within this, seconds; nobody waits for it where nothing is left.
PATIENCE_S = 10.0
LOOK_EVERY_S = 0.02
#: A connection's own task, which aiohttp ends with the connection; its socket is looked for.
OF_AIOHTTP = "RequestHandler."
#: Turns of a loop that is about to be closed.
LAST_TURNS = 40
#: gRPC's own thread, for all loops and as long as it likes, and how many sockets it has.
POLLER, SOCKETS_OF_POLLER = "(_poll_wrapper)", 2
#: Python's own child, which cleans up after others until the end.
TRACKER = "multiprocessing.resource_tracker"
#: What starts PostgreSQL makes one in each such folder, and keeps it.
POSTGRES_LOCK = ".lockfile"
#: Threads of libraries that stay for the process's life.
STAYING = ("asyncio-waitpid", "pytest", "hypothesis", "execnet", "Dummy", "tmp")


@dataclass(frozen=True, slots=True)
class Seen:
    """What was there, by kind, each under something that tells it from others."""

    things: Mapping[str, Mapping[Any, str]]


#: What a fixture of the session made while a test was set up; by kind and key.
_shared: set[tuple[str, Any]] = set()
#: Tasks that were still there when their loop was closed.
_tasks: list[str] = []


def seen() -> Seen:
    """What is there now."""
    return Seen(
        {
            "thread": _threads(),
            "child process": _children(),
            "socket": _sockets(),
            "temporary file": _files(),
        }
    )


def left_since(before: Seen, patience_s: float = PATIENCE_S, *, tasks: bool = True) -> list[str]:
    """What is there and was not; what is about to end has time to. `tasks`: those too."""
    deadline = time.monotonic() + patience_s  # noqa: TID251 - real things end in real time
    left = _left(before)
    while left and time.monotonic() < deadline:  # noqa: TID251
        gc.collect()
        time.sleep(LOOK_EVERY_S)  # noqa: TID251
        left = _left(before)
    left += _tasks if tasks else []
    _tasks.clear()
    return left


def forget_tasks() -> None:
    """What an earlier test left is told of that one, or of none."""
    _tasks.clear()


@contextmanager
def shared() -> Iterator[None]:
    """What is made inside the block, and is there at its end, is no test's own."""
    before = seen()
    yield
    for kind, things in seen().things.items():
        _shared.update((kind, key) for key in things if key not in before.things[kind])


def watch_tasks() -> None:
    """Note from now on what runs when a loop is closed, before it is cancelled for that."""
    cancel = asyncio.runners._cancel_all_tasks  # type: ignore[attr-defined]

    def note_and_cancel(loop: asyncio.AbstractEventLoop) -> None:
        note_tasks(loop)
        cancel(loop)

    asyncio.runners._cancel_all_tasks = note_and_cancel  # type: ignore[attr-defined]


def note_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Note what runs on a loop; what is about to end gets its turns."""
    turns = 0
    while asyncio.all_tasks(loop) and turns < LAST_TURNS:
        loop.run_until_complete(asyncio.sleep(0 if turns < LAST_TURNS // 2 else LOOK_EVERY_S))  # noqa: TID251
        turns += 1
    for task in asyncio.all_tasks(loop):
        coroutine = task.get_coro()
        name = getattr(coroutine, "__qualname__", repr(coroutine))
        if name.startswith(OF_AIOHTTP):
            continue
        _tasks.append(f"task {task.get_name()}: {name}")


def _left(before: Seen) -> list[str]:
    now = seen()
    new = {
        kind: [name for key, name in things.items() if _is_new(before, kind, key)]
        for kind, things in now.things.items()
    }
    own = [name for name in new["thread"] if not name.endswith(POLLER)]
    pollers = len(new["thread"]) - len(own)
    new["thread"], new["socket"] = own, new["socket"][pollers * SOCKETS_OF_POLLER :]
    return [f"{kind} {name}" for kind, names in new.items() for name in names]


def _is_new(before: Seen, kind: str, key: Any) -> bool:
    return key not in before.things[kind] and (kind, key) not in _shared


def _threads() -> dict[Any, str]:
    return {
        thread.ident: thread.name
        for thread in threading.enumerate()
        if not thread.name.startswith(STAYING)
    }


def _children() -> dict[Any, str]:
    children: dict[Any, str] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            found = (task / "children").read_text().split()
        except OSError:  # the thread has ended
            continue
        children |= {pid: f"{pid} {_command(pid)}" for pid in found}
    return {pid: name for pid, name in children.items() if TRACKER not in name}


def _command(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:160]
    except OSError:
        return "?"


def _sockets() -> dict[Any, str]:
    found: dict[Any, str] = {}
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = os.readlink(entry.path)  # noqa: PTH115 - asked often; a Path costs more
        except OSError:  # the descriptor of this very look
            continue
        if target.startswith("socket:"):
            found[target] = f"{target} (descriptor {entry.name})"
    return found


def _files() -> dict[Any, str]:
    entries = os.scandir(tempfile.gettempdir())
    return {entry.name: entry.path for entry in entries if entry.name != POSTGRES_LOCK}


def temporary_folder_of_our_own() -> "tempfile.TemporaryDirectory[str]":
    """A folder for this process's temporary files, which nobody else writes to."""
    folder = tempfile.TemporaryDirectory(prefix="tg-")
    Path(folder.name).chmod(0o755)  # PostgreSQL runs as another user where root runs the tests
    # pytest keeps the folders of the last runs where it always does.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
    tempfile.tempdir = folder.name
    os.environ["TMPDIR"] = folder.name
    return folder
