"""Time that moves only when a test says so, and waiting that ends by an event."""

import asyncio
import signal
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NoReturn

#: Reached only by a test that fails, however busy the machine is with other tests.
PATIENCE_S = 60.0


@dataclass(order=True, slots=True)
class ManualTimer:
    """A call due at a moment of a `ManualClock`."""

    due: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    clock: "ManualClock" = field(compare=False, repr=False)

    def cancel(self) -> None:
        """See `Timer`."""
        if self in self.clock.timers:
            self.clock.timers.remove(self)


class ManualClock:
    """A `Clock` that a test moves. Callbacks run inside `advance`, in the order they are due."""

    def __init__(self, start: float = 1_000.0) -> None:
        self.timers: list[ManualTimer] = []
        self._now = start
        self._made = 0

    def now(self) -> float:
        """See `Clock`."""
        return self._now

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> ManualTimer:
        """See `Clock`."""
        self._made += 1
        timer = ManualTimer(self._now + delay_s, self._made, callback, self)
        insort(self.timers, timer)
        return timer

    async def sleep(self, delay_s: float) -> None:
        """See `Clock`."""
        woken = asyncio.Event()
        timer = self.call_later(delay_s, woken.set)
        try:
            await woken.wait()
        finally:
            timer.cancel()

    def advance(self, seconds: float) -> None:
        """Let time pass. What the callbacks wake runs when the test next waits."""
        end = self._now + seconds
        while self.timers and self.timers[0].due <= end:
            timer = self.timers.pop(0)
            self._now = max(self._now, timer.due)
            timer.callback()
        self._now = end

    @property
    def delays(self) -> list[float]:
        """How long until each of the calls that wait, rounded to microseconds."""
        return [round(timer.due - self._now, 6) for timer in self.timers]


async def turn() -> None:
    """Let everything that is ready run once."""
    await asyncio.sleep(0)  # noqa: TID251 - yields, and waits for nothing


@contextmanager
def patience() -> Iterator[None]:
    """Fail where the test stands if it waits for ever."""

    def lost(*_: object) -> NoReturn:
        raise TimeoutError("the test waits for something that does not come")

    before = signal.signal(signal.SIGALRM, lost)
    signal.setitimer(signal.ITIMER_REAL, 3 * PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


async def until(holds: Callable[[], object]) -> None:
    """Give the loop turns until something holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await turn()
