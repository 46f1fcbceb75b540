"""The demo's programs as child processes: seen when they die, started again, never left behind."""

import asyncio
import ctypes
import os
import signal
import sys
from pathlib import Path

from supervisors.demo.errors import DemoError

#: Between a child's death and its next start, seconds; a person who kills it can watch.
RESTART_PAUSE_S = 1.0
#: A child that dies so often within the demo's life is broken, not killed.
MOST_RESTARTS = 20
#: More than an orderly stop of the back-end may take, seconds.
STOP_DEADLINE_S = 30.0
#: How a program's own explanation of its end begins in its log.
OWN_WORDS = "tollgate: "
#: The environment outranks the demo's own values, but for these: somebody's bot, nodes and money.
NOT_FOR_DEMOS = ("TOLLGATE_TELEGRAM", "TOLLGATE_NODES", "TOLLGATE_PAYMENTS")
#: linux/prctl.h
PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Runs in the child: a demo that is killed leaves no program behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """The demo's own, less what would lead a demo to somebody's bot, nodes or money."""
    return {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_DEMOS)}


class ChildFailed(DemoError):  # noqa: N818 - what happened
    """A program of the demo ended by itself; the text has its last words."""


class ChildProgram:
    """`tollgate <arguments>` as a child, its log in a file."""

    def __init__(self, name: str, arguments: list[str], log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def pid(self) -> int:
        """Process id of the present incarnation."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start the program; its first start empties the log."""
        with self.log_file.open("ab" if self._process else "wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "supervisors.cli",
                *self._arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C reaches the demo alone, which stops its children in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,
                env=_environment(),
            )

    async def ended(self) -> ChildFailed:
        """Wait for the end of the present incarnation, and tell it with its last words."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        status = await self._process.wait()
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return ChildFailed(f"{self.name} {how}: {self._last_words()}")

    async def keep_alive(self) -> None:
        """Start the program again whenever it dies.

        Raises:
            ChildFailed: it dies again and again.
        """
        for _ in range(MOST_RESTARTS):
            failure = await self.ended()
            if self._stopping:
                return
            print(f"  {failure}\n  starting it again", flush=True)
            await asyncio.sleep(RESTART_PAUSE_S)  # noqa: TID251 - the demo waits in real time
            await self.start()
        raise failure

    async def stop(self) -> None:
        """Ask the program to stop; past the deadline, end it."""
        self._stopping = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_DEADLINE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _last_words(self) -> str:
        lines = self.log_file.read_text(encoding="utf-8", errors="replace").splitlines()
        words = [line.removeprefix(OWN_WORDS) for line in lines if line.startswith(OWN_WORDS)]
        return "; ".join(words) or f"see {self.log_file}"
