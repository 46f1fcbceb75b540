"""A thread that notices when the event loop does not run, and says who holds it up.

It sees what asyncio's own debug mode cannot: a call that has not come back yet.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from actors.runtime.clock import LoopClock

log = structlog.get_logger(__name__)

#: A loop that does not run for longer is blocked, seconds.
THRESHOLD_S = 0.25
#: After a report there is none for so long, seconds: one in a storm tells as much as a hundred.
QUIET_S = 10.0
#: How many calls of a stack are shown, the innermost ones.
SHOWN_CALLS = 12
#: How often it looks within the threshold.
_LOOKS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Blockage:
    """The loop does not run. `actor` is the name of the task that holds it up.

    `stack` has functions and lines, no values. `blocked_s` is None while it lasts; `withheld` says
    how many blockages before this one were not reported.
    """

    actor: str
    stack: tuple[str, ...]
    blocked_s: float | None = None
    withheld: int = 0


class LoopWatchdog:
    """Watches the loop on which its `with` block is entered."""

    def __init__(
        self,
        *,
        threshold_s: float = THRESHOLD_S,
        quiet_s: float = QUIET_S,
        report: Callable[[Blockage], None] | None = None,
    ) -> None:
        self._slice_s = threshold_s / _LOOKS
        self._threshold_s = threshold_s
        self._quiet_s = quiet_s
        self._report = report or log_blockage
        self._clock = LoopClock()
        self._stopping = threading.Event()
        self._answered = threading.Event()
        self._withheld = 0
        self._reported_at: float | None = None
        self._loop: asyncio.AbstractEventLoop
        self._loops_thread = 0
        self._thread = threading.Thread(target=self._watch, name="loop-watchdog", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._answered.set()
        self._thread.join(timeout=1.0)  # it is here within a look; more would hold up the end

    def _watch(self) -> None:
        while not self._stopping.wait(self._slice_s):
            self._answered.clear()
            asked_at = self._clock.now()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # it is closed
                return
            if self._runs():
                continue
            blockage = self._look()
            quiet = self._quiet(asked_at)
            if not quiet:
                self._report(blockage)
            while not self._answered.wait(self._threshold_s) and not self._stopping.is_set():
                pass
            if not quiet:
                self._report(
                    Blockage(
                        actor=blockage.actor,
                        stack=blockage.stack,
                        blocked_s=self._clock.now() - asked_at,
                    )
                )

    def _runs(self) -> bool:
        """Whether the loop answers before it has had the threshold to do so."""
        had_s = 0.0
        while had_s < self._threshold_s:
            began, cpu = self._clock.now(), time.process_time()
            if self._answered.wait(self._slice_s) or self._stopping.is_set():
                return True
            had_s += time_had(self._clock.now() - began, time.process_time() - cpu, self._slice_s)
        return self._answered.is_set()

    def _quiet(self, now: float) -> bool:
        if self._reported_at is not None and now - self._reported_at < self._quiet_s:
            self._withheld += 1
            return True
        self._reported_at = now
        self._withheld = 0
        return False

    def _look(self) -> Blockage:
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._loops_thread)  # noqa: SLF001 - documented
        calls = [] if frame is None else list(traceback.walk_stack(frame))[:SHOWN_CALLS]
        return Blockage(
            actor=task.get_name() if task else "no task",
            stack=tuple(
                f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_qualname}"
                for frame, line in reversed(calls)
            ),
            withheld=self._withheld,
        )


def time_had(elapsed_s: float, cpu_s: float, slice_s: float) -> float:
    """How much of a look's time the loop could have used.

    A look that takes much longer than it was meant to means that this thread did not run either:
    because the process was stopped or starved, and then no time was had, or because a call kept
    Python's lock, and then the process has used the time.
    """
    return elapsed_s if elapsed_s <= 2 * slice_s else min(elapsed_s, cpu_s)


def log_blockage(blockage: Blockage) -> None:
    """Two lines for each: when it is noticed, and when it is over."""
    if blockage.blocked_s is None:
        log.error(
            "loop_blocked",
            actor=blockage.actor,
            stack=blockage.stack,
            withheld=blockage.withheld,
        )
    else:
        log.error("loop_runs_again", actor=blockage.actor, blocked_s=round(blockage.blocked_s, 3))
