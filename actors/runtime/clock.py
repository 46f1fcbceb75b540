"""Time as a collaborator: real in production, moved by hand in tests, never read in decisions."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Timer(Protocol):
    """A call that is going to happen."""

    def cancel(self) -> None:
        """Let it not happen; harmless when it already did."""
        ...


class Clock(Protocol):
    """Monotonic time, in seconds. Entitlement never asks it: that time comes with the rows."""

    def now(self) -> float:
        """Seconds since some fixed moment."""
        ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Call back once, after a while, on the event loop."""
        ...

    async def sleep(self, delay_s: float) -> None:
        """Wait; only tasks that an actor spawned may, handlers never."""
        ...


class LoopClock:
    """The running event loop's own time."""

    def now(self) -> float:
        """See `Clock`. The time of both asyncio's and uvloop's loops, on any thread."""
        return time.monotonic()  # noqa: TID251 - the one place that reads it

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """See `Clock`."""
        return asyncio.get_running_loop().call_later(delay_s, callback)

    async def sleep(self, delay_s: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(delay_s)  # noqa: TID251 - the one place that really waits


def steady_now() -> float:
    """Seconds by a clock that nobody can set and that counts while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def epoch_now() -> float:
    """Seconds since 1970, to judge how old a stranger's message is; entitlement never asks it."""
    return time.time()  # noqa: TID251 - the one place that reads it


@dataclass(frozen=True, slots=True)
class HostTime:
    """The machine's own clocks, against which PostgreSQL's is held."""

    epoch: Callable[[], float] = epoch_now
    steady: Callable[[], float] = steady_now


HOST = HostTime()
