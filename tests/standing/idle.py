"""No transaction waits for anything outside: watched from beside, on the server.

A busy machine is no finding. A moment counts only if the loop of the test turned at once, the
watcher itself woke in time, and the server's process slept: then nobody but the holder of the
transaction kept it waiting.
"""

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from storage.invariants.acts import Idle

#: The name under which a test records the longest wait that was seen.
IDLE = "idle"
EVERY_S = 0.05
#: A loop that turns later than this does something else.
TURNS_WITHIN_S = 0.01
#: A watcher that wakes later than this did not get the machine.
WAKES_WITHIN_S = 0.02
LOOK = """
SELECT pid, state_change, query, clock_timestamp() - state_change AS lasted
FROM pg_stat_activity
WHERE state = 'idle in transaction' AND application_name LIKE 'tollgate%'
    AND state_change < clock_timestamp() - interval '40 ms'
"""

#: The loop of the test at hand, which holds the transactions.
_loops: list[asyncio.AbstractEventLoop] = []


@dataclass(slots=True)
class _Watched:
    """One wait in one transaction."""

    query: str
    lasted: timedelta = timedelta(0)
    counted: timedelta = timedelta(0)

    def idle(self) -> Idle:
        """As the rule sees it."""
        return Idle(
            lasted=self.lasted, query=self.query, stalled=max(self.lasted - self.counted, _NONE)
        )


_NONE = timedelta(0)


class IdleWatch:
    """Looks at a server every 50 ms, from a thread and a connection of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._watched: dict[tuple[int, Any], _Watched] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="idle-watch", daemon=True)
        self._thread.start()
        self._up.wait(30)

    def close(self) -> None:
        """Look no more."""
        self._closed.set()
        self._thread.join(30)

    def taken(self) -> list[Idle]:
        """What was seen since the last time."""
        with self._lock:
            found = [one.idle() for one in self._watched.values()]
            self._watched.clear()
        return found

    def _run(self) -> None:
        with suppress(Exception):  # a server that is restarted or gone is not watched meanwhile
            asyncio.run(self._watch())
        self._up.set()

    async def _watch(self) -> None:
        while not self._closed.is_set():
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection = await asyncpg.connect(
                    self._url, server_settings={"application_name": "watch"}, timeout=10
                )
                try:
                    await self._watch_by(connection)
                finally:
                    connection.terminate()
            self._up.set()
            await asyncio.sleep(EVERY_S)  # noqa: TID251 - beside the tests, in real time

    async def _watch_by(self, connection: "asyncpg.Connection[Any]") -> None:
        self._up.set()
        last = time.monotonic()  # noqa: TID251
        while not self._closed.is_set():
            await asyncio.sleep(EVERY_S)  # noqa: TID251
            turned = await turns_at_once()
            now = time.monotonic()  # noqa: TID251
            fair = turned and now - last < EVERY_S + TURNS_WITHIN_S + WAKES_WITHIN_S
            self._note(await connection.fetch(LOOK), now - last if fair else 0.0)
            last = time.monotonic()  # noqa: TID251

    def _note(self, rows: list[Any], counted_s: float) -> None:
        with self._lock:
            for row in rows:
                key = (row["pid"], row["state_change"])
                one = self._watched.setdefault(key, _Watched(row["query"]))
                one.lasted = row["lasted"]
                if counted_s and sleeps(row["pid"]):
                    one.counted += timedelta(seconds=counted_s)


def told(idle: Idle, test: str) -> tuple[int, str]:
    """A wait for the summary of a run: its length without what stood still, and words."""
    alone, whole = (
        round(span / timedelta(milliseconds=1))
        for span in (idle.lasted - idle.stalled, idle.lasted)
    )
    query = " ".join(idle.query.split())[:80]
    return alone, f"{alone} ms, with stalls {whole} ms, in {test} after: {query}"


@asynccontextmanager
async def held_by_this_loop() -> AsyncIterator[None]:
    """Transactions are this loop's, as long as the context lasts."""
    _loops.append(asyncio.get_running_loop())
    try:
        yield
    finally:
        _loops.pop()


async def turns_at_once() -> bool:
    """Whether the loop of the test turns at once; one of another process is not asked."""
    if not _loops:
        return False
    turned, here = asyncio.Event(), asyncio.get_running_loop()
    try:
        _loops[-1].call_soon_threadsafe(here.call_soon_threadsafe, turned.set)
    except RuntimeError:  # closed
        return False
    try:
        async with asyncio.timeout(TURNS_WITHIN_S):
            await turned.wait()
    except TimeoutError:
        return False
    return True


def sleeps(pid: int) -> bool:
    """Whether a process waits; one that has something to do and no machine does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "S"
