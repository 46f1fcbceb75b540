"""Xray as a child, embedded or a binary: started, watched, stopped, never orphaned.

Figures are in the design record: SIGTERM ends Xray in 34 ms, a start with 100,000 users
takes 2 s, and a refused configuration ends it with status 23 and no text.
"""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from xray_api.node import child

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 2.0

#: Exit statuses of Xray.
RC_CONFIG_ERROR = 23
RC_START_ERROR = 255

_STARTED = re.compile(r"\bXray (?P<version>[0-9][0-9.]*) started\b")
_UUID = re.compile(r"\b([0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", re.IGNORECASE)
_LONGEST_LINE = 2000
_KEPT_LINES = 5

#: Of an Xray that opens none, as a client.
NO_API = Path()

_log = structlog.get_logger()


class XrayStartError(Exception):
    """Xray did not start; `status` is its exit status, None if it never ran or never said so."""

    def __init__(self, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class ChildEngine:
    """Which Xray to run as a child: the embedded one, or the binary at `path`."""

    path: Path | None = None

    @classmethod
    def of(cls, setting: str) -> "ChildEngine":
        """From `node.xray`: `embedded` or `binary:<path>`."""
        return cls(Path(setting.removeprefix("binary:")) if setting != "embedded" else None)

    def __str__(self) -> str:
        return f"binary:{self.path}" if self.path else "embedded"

    def command(self) -> list[str]:
        """The program and its arguments.

        Raises:
            XrayStartError: there is no such program.
        """
        # -P: this folder's modules must not shadow others in the child.
        command = [sys.executable, "-P", str(Path(child.__file__)), str(os.getpid())]
        if self.path is None:
            return command
        if not self.path.is_file():
            raise XrayStartError(f"{self.path}: there is no such file")
        if not os.access(self.path, os.X_OK):
            raise XrayStartError(f"{self.path}: not an executable file")
        return [*command, str(self.path.absolute()), "run", "-config", "stdin:"]

    async def adopt(self, _configuration: Callable[[Path], dict[str, Any]]) -> None:
        """Nothing: a child never outlives its service."""

    async def start(
        self, configuration: Callable[[Path], dict[str, Any]], api_socket: Path
    ) -> "XrayProcess":
        """Run Xray with a configuration for a socket of its API; returns when it has started.

        Raises:
            XrayStartError: it has not.
        """
        return await XrayProcess.start(self, configuration(api_socket), api_socket=api_socket)

    async def program(self) -> "ChildEngine":
        """Itself."""
        return self


class XrayProcess:
    """A running Xray. Make it with `start`, from the event loop's thread."""

    def __init__(self, process: Process, api_socket: Path) -> None:
        self.api_socket = api_socket
        self._process = process
        self._last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._version: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        streams = (process.stdout, process.stderr)
        self._exit = asyncio.gather(
            process.wait(), *(self._listen(stream) for stream in streams if stream)
        )

    @classmethod
    async def start(
        cls,
        engine: ChildEngine,
        config: Mapping[str, Any],
        *,
        api_socket: Path = NO_API,
        timeout_s: float = START_TIMEOUT_S,
    ) -> "XrayProcess":
        """Run Xray with a configuration; returns when it says that it has started.

        Raises:
            XrayStartError: it ended, or said nothing within `timeout_s` seconds.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *engine.command(), stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment()
            )
        except OSError as error:
            raise XrayStartError(f"cannot be run: {error.strerror}") from error
        xray = cls(process, api_socket)
        try:
            async with asyncio.timeout(timeout_s):
                await xray._feed(json.dumps(config).encode())
                await xray._until_started()
        except TimeoutError:
            await xray.stop()
            reason = f"did not say that it started within {timeout_s:g} s; is it Xray?"
            raise XrayStartError(reason) from None
        except BaseException:
            await xray.stop()
            raise
        return xray

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def version(self) -> str:
        """Xray's version."""
        return self._version.result()

    async def wait(self) -> int:
        """The exit status, once it has ended; the negative signal number if one ended it."""
        status, *_ = await asyncio.shield(self._exit)
        return int(status or 0)

    async def stop(self) -> None:
        """End it: asked first, killed after 2 s. Safe to repeat."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self.wait()
        finally:
            self._signal(signal.SIGKILL)  # also when the wait was cancelled

    async def release(self) -> None:
        """End it: a child must not outlive the service."""
        await self.stop()

    def _signal(self, number: int) -> None:
        """To the whole session, which `child.py` opens: a wrapper's Xray must not stay."""
        if self._exit.done():
            return
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            if self._process.returncode is None:  # too young to have its session
                self._process.send_signal(number)

    async def _feed(self, config: bytes) -> None:
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101 - for mypy; it is a pipe
        try:
            stdin.write(config)
            await stdin.drain()
            stdin.close()
            await stdin.wait_closed()
        except (BrokenPipeError, ConnectionResetError):
            pass  # it ended without reading; its status says more

    async def _until_started(self) -> None:
        ended = asyncio.ensure_future(self.wait())
        first: set[asyncio.Future[Any]] = {ended, self._version}
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                raise self._start_error(ended.result())
        finally:
            ended.cancel()

    def _start_error(self, status: int) -> XrayStartError:
        reason = exit_reason(status)
        said = " | ".join(self._last_lines)
        return XrayStartError(reason + (f"; it said: {said}" if said else ""), status=status)

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stream.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                self._hear(line)
        self._hear(rest)

    def _hear(self, line: bytes) -> None:
        text = _UUID.sub(r"\1", line[:_LONGEST_LINE].decode(errors="replace").strip())
        if not text:
            return
        self._last_lines.append(text)
        _log.debug("xray_said", line=text)
        if (match := _STARTED.search(text)) and not self._version.done():
            self._version.set_result(match["version"])


def exit_reason(status: int) -> str:
    """What an exit status at start says."""
    match status:
        case _ if status == RC_CONFIG_ERROR:
            return "refuses its configuration (exit status 23)"
        case _ if status == RC_START_ERROR:
            return (
                "cannot start (exit status 255); is a port in use, or is it too old to open its "
                "API on a socket?"
            )
        case _ if status < 0:
            return f"was killed by signal {-status} at start"
        case _:
            return f"exited at once with status {status}; is it Xray?"


def environment() -> dict[str, str]:
    """For programs that need none of our settings, some of which are secret."""
    return {k: v for k, v in os.environ.items() if not k.startswith("TOLLGATE_")}
