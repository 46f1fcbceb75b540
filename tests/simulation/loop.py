"""An event loop whose time is a number and whose order is a seed's: nothing real is waited for.

Every step runs one ready callback, chosen by the source. When none is ready, time jumps to the next
timer, and may jump over several at once, as on a machine that was suspended.
"""

import asyncio
import contextvars
import heapq
import random
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

#: So many steps without time moving are no work any more.
LIVELOCK_STEPS = 50_000


class Deadlock(Exception):  # noqa: N818 - what happened
    """Nothing is ready, and no timer is set: whoever waits, waits for ever."""


class Livelock(Exception):  # noqa: N818 - what happened
    """Steps without end at one moment."""


@dataclass(eq=False, slots=True)
class Process:
    """Whose callbacks run. When it is killed none of them ever runs again."""

    name: str
    dead: bool = False


#: The process that a callback is of; None for the world outside.
process: ContextVar[Process | None] = ContextVar("process", default=None)


class SimTask(asyncio.Task[T]):
    """A task whose hash does not depend on where it lies in memory: sets of them have an order."""

    def __init__(
        self, coro: Coroutine[Any, Any, T], *, loop: "SimLoop", context: Context, number: int
    ) -> None:
        self._number = number
        #: Whose it is; None for the world outside.
        self.owner = context.get(process)
        super().__init__(coro, loop=loop, context=context)

    def __hash__(self) -> int:
        return self._number


@dataclass(slots=True)
class Pace:
    """How ready callbacks are chosen and how far time jumps beyond the next timer, seconds."""

    lag_s: float = 0.0
    #: Never beyond this moment.
    until_s: float = 0.0
    #: A timer that is nearer than this belongs to something under way, and is not overrun.
    near_s: float = 0.4
    fifo: bool = False


class SimLoop(asyncio.BaseEventLoop):
    """See the module. `errors` are what no callback handled; they end the run."""

    def __init__(self, source: random.Random) -> None:
        super().__init__()
        self._time = 0.0
        self._random = source.random
        self._ready: list[asyncio.Handle] = []
        self._scheduled: list[Any] = []
        self._tasks_made = 0
        self._still = 0
        self.steps = 0
        self.pace = Pace()
        self.errors: list[BaseException] = []
        #: Tasks of killed processes: kept, as to throw them away would run their last words.
        self.buried: list[asyncio.Task[Any]] = []
        #: Called after each step; whatever it raises ends the run.
        self.after_step: Callable[[], None] | None = None
        self.set_task_factory(self._task)  # type: ignore[arg-type]  # its stub knows no context
        self.set_exception_handler(self._note_error)

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._time

    def _task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, T],
        context: Context | None = None,
    ) -> asyncio.Task[T]:
        del loop
        self._tasks_made += 1
        own = contextvars.copy_context() if context is None else context
        return SimTask(coro, loop=self, context=own, number=self._tasks_made)

    def spawn(self, owner: Process | None, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of a process, or of the world outside."""
        context = contextvars.Context()
        context.run(process.set, owner)
        return self.create_task(coro, context=context)

    def kill(self, owner: Process) -> int:
        """No callback of this process ever runs again; how many tasks it had."""
        owner.dead = True
        buried = 0
        for task in asyncio.all_tasks(self):
            if isinstance(task, SimTask) and task.owner is owner:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                self.buried.append(task)
                buried += 1
        return buried

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> Any:
        """Work of a thread, done on the loop a seeded moment later."""
        del executor
        done: asyncio.Future[T] = self.create_future()

        def work() -> None:
            if done.cancelled():
                return
            try:
                done.set_result(func(*args))
            except Exception as error:  # noqa: BLE001 - handed to whoever waits
                done.set_exception(error)

        self.call_later(self._random() * 0.01, work)
        return done

    def _run_once(self) -> None:
        ready = self._ready
        self._collect_due()
        if not ready:
            if self._stopping:  # type: ignore[attr-defined]
                return
            self._jump()
            return
        if self._still >= LIVELOCK_STEPS:
            raise Livelock(f"{LIVELOCK_STEPS} steps at {self._time:.3f} s; ready: {ready[:3]!r}")
        last = len(ready) - 1
        if last and not self.pace.fifo:
            chosen = int(self._random() * (last + 1))
            handle = ready[chosen]
            ready[chosen] = ready[last]
            ready.pop()
        else:
            handle = ready.pop(0)
        if handle._cancelled:
            return
        owner = handle._context.get(process)  # type: ignore[attr-defined]
        if owner is not None and owner.dead:
            return
        self.steps += 1
        self._still += 1
        handle._run()
        if self.after_step is not None:
            self.after_step()
        if self.errors:
            raise self.errors[0]

    def _collect_due(self) -> None:
        scheduled = self._scheduled
        while scheduled and (scheduled[0]._when <= self._time or scheduled[0]._cancelled):
            timer = heapq.heappop(scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)

    def _jump(self) -> None:
        if not self._scheduled:
            raise Deadlock(f"nothing is left to do at {self._time:.3f} s")
        then = max(self._time, self._scheduled[0]._when)
        pace = self.pace
        if pace.lag_s and then - self._time > pace.near_s and then < pace.until_s:
            then = min(pace.until_s, then + pace.lag_s * self._random())
        self._time = then
        self._still = 0

    def _note_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        del loop
        error = context.get("exception")
        task = context.get("task") or context.get("future")
        if isinstance(task, SimTask) and task.owner is not None and task.owner.dead:
            return
        self.errors.append(
            error if isinstance(error, BaseException) else RuntimeError(context["message"])
        )

    def _process_events(self, event_list: Any) -> None:
        """There are no events from outside."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""


@dataclass(slots=True)
class SimClock:
    """The loop's time as the back-end's `Clock`."""

    loop: SimLoop = field(repr=False)

    def now(self) -> float:
        """See `Clock`."""
        return self.loop.time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """See `Clock`."""
        return self.loop.call_later(delay_s, callback)

    async def sleep(self, delay_s: float) -> None:
        """See `Clock`."""
        await asyncio.sleep(delay_s)  # noqa: TID251 - of the loop's own time
