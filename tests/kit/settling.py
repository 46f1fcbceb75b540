"""Time that goes from timer to timer, and waiting until nothing more can happen without it."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.clock import ManualClock, turn

Result = TypeVar("Result")

#: More turns of the loop than anything takes that comes to rest.
TURNS = 10_000
#: More timers than go off in any stretch of time that a test lets pass.
STEPS = 100_000
#: Who ran in the last so many turns is named when there is no rest.
NAMED = 100


class NeverQuiet(AssertionError):  # noqa: N818 - what happens
    """Something goes on and on."""


class SteppingClock(ManualClock):
    """A `ManualClock` that can go to its next timer and no further."""

    def step(self, until: float = math.inf) -> bool:
        """Move to the next timer and let it go off; False if there is none until then."""
        if not self.timers or self.timers[0].due > until:
            return False
        timer = self.timers.pop(0)
        self._now = max(self._now, timer.due)
        timer.callback()
        return True


async def settle(clock: SteppingClock) -> None:
    """Let everything run that can without time moving; a timer that is due by now can.

    What waits for a thread or for the network is not waited for.

    Raises:
        NeverQuiet: there is no end of it. Names the tasks that ran last.
    """
    busy: dict[str, None] = {}
    for number in range(TURNS):
        await turn()
        if not _ready() and not clock.step(clock.now()):
            return
        if number >= TURNS - NAMED:
            busy |= dict.fromkeys(filter(None, map(_task_name, _ready())))
    raise NeverQuiet(f"still busy after {TURNS} turns: {', '.join(busy) or 'timers'}")


async def pass_time(clock: SteppingClock, seconds: float) -> None:
    """Move from timer to timer, and let everything settle between."""
    end = clock.now() + seconds
    await settle(clock)
    for _ in range(STEPS):
        if not clock.step(end):
            clock.advance(end - clock.now())
            return
        await settle(clock)
    raise NeverQuiet(f"{STEPS} timers went off, and {end - clock.now()} s are left")


async def drive(clock: SteppingClock, work: Coroutine[Any, Any, Result]) -> Result:
    """Do some work, and let as much time pass as it takes."""
    task = asyncio.ensure_future(work)
    try:
        await settle(clock)
        for _ in range(STEPS):
            if task.done() or not clock.step():
                break
            await settle(clock)
        if not task.done():
            raise NeverQuiet(f"time alone will not end {work}")
        return task.result()
    finally:
        task.cancel()


def _ready() -> list[Any]:
    """What runs in the loop's next turn: nothing, if all tasks wait."""
    # A private name of asyncio's. uvloop has none: there a test stops here instead of passing.
    return list(asyncio.get_running_loop()._ready)  # type: ignore[attr-defined]


def _task_name(handle: Any) -> str:
    task = getattr(handle._callback, "__self__", None)
    return task.get_name() if isinstance(task, asyncio.Task) else ""
