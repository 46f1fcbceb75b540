"""Xray as a systemd unit: it outlives the service, which takes it over again if it is ours.

The configuration is a file only while Xray starts, so that nobody, not even systemd at boot,
can start it with users of yesterday.
"""

import asyncio
import hashlib
import json
import os
import re
import select
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import DEVNULL
from typing import Any

import structlog

from xray_api.node.process import (
    RC_CONFIG_ERROR,
    RC_START_ERROR,
    START_TIMEOUT_S,
    ChildEngine,
    XrayStartError,
    environment,
    exit_reason,
)

SYSTEMD = "systemd:"
#: The configuration, while Xray starts. The unit's ExecStart names it. Not `xray.json`: so
#: `node init` calls the operator's template.
CONFIG_FILE = "xray-start.json"
#: What was started with which configuration; holds no secret.
RECORD_FILE = "xray-unit.json"
#: A question to systemd takes 10 ms; a stop takes at most the unit's TimeoutStopSec, here 2 s.
ASK_TIMEOUT_S = 10.0
POLL_S = 0.02
UNKNOWN_VERSION = "unknown"

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "MainPID",
    "InvocationID",
    "ExecMainCode",
    "ExecMainStatus",
    "ExecStart",
    "Restart",
)
_CLD_EXITED = "1"  # waitid(2)
_PROGRAM = re.compile(r"\bpath=(\S+) ;")
_VERSION = re.compile(rb"\bXray ([0-9][0-9.]*)")
_REFUSALS = ("access denied", "authentication required", "not permitted")

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _State:
    """What systemd says of the unit."""

    load: str
    active: str
    pid: int
    invocation: str
    status: int
    command: str
    restart: str

    @classmethod
    def of(cls, text: str) -> "_State":
        said = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
        status = int(said.get("ExecMainStatus") or 0)
        ended_by_signal = said.get("ExecMainCode", "0") not in {"0", _CLD_EXITED}
        return cls(
            load=said.get("LoadState", ""),
            active=said.get("ActiveState", ""),
            pid=int(said.get("MainPID") or 0),
            invocation=said.get("InvocationID", ""),
            status=-status if ended_by_signal else status,
            command=said.get("ExecStart", ""),
            restart=said.get("Restart", ""),
        )


@dataclass(frozen=True, slots=True)
class UnitEngine:
    """The unit, and the folder that holds its configuration while it starts."""

    unit: str
    state_dir: Path

    def __str__(self) -> str:
        return f"{SYSTEMD}{self.unit}"

    @property
    def config_file(self) -> Path:
        """What the unit's ExecStart must read."""
        return self.state_dir.absolute() / CONFIG_FILE

    async def adopt(self, configuration: Callable[[Path], dict[str, Any]]) -> "XrayUnit | None":
        """The unit's Xray, if the last start of it was ours, with this configuration.

        Raises:
            XrayStartError: systemd cannot be asked, or the unit does not suit.
        """
        state = await self._suitable()
        with suppress(OSError):  # a service that was killed during a start left it
            await asyncio.to_thread(self.config_file.unlink, missing_ok=True)
        try:
            record = json.loads((self.state_dir / RECORD_FILE).read_bytes())
            invocation, digest = record["invocation"], record["digest"]
            api_socket, version = Path(record["api_socket"]), str(record["version"])
            ours = invocation == state.invocation and digest == _digest(configuration(api_socket))
        except (OSError, ValueError, TypeError, KeyError):
            return None
        if state.active != "active" or not state.invocation or not ours:
            return None
        return await self._running(state, api_socket, version)

    async def start(
        self,
        configuration: Callable[[Path], dict[str, Any]],
        api_socket: Path,
        *,
        timeout_s: float = START_TIMEOUT_S,
    ) -> "XrayUnit":
        """End what the unit runs, and run Xray with a configuration for a socket of its API.

        Returns when it serves.

        Raises:
            XrayStartError: systemd cannot be asked, the unit does not suit, or Xray ended or
                did not serve within `timeout_s` seconds.
        """
        # Of the program as it is now: a newer one may lie there when this one is taken over.
        version = await _version(_program(await self._suitable()))
        config = configuration(api_socket)
        # Of a unit that failed often systemd refuses a start; how often is the keeper's concern.
        with suppress(XrayStartError):
            await self._systemctl("reset-failed")
        try:
            await asyncio.to_thread(_write, self.config_file, json.dumps(config))
            await self._systemctl("restart", timeout_s=timeout_s)
            xray = await self._started(api_socket, version, timeout_s)
        finally:
            await asyncio.to_thread(self.config_file.unlink, missing_ok=True)
        record = {
            "invocation": xray.invocation,
            "api_socket": str(api_socket),
            "digest": _digest(config),
            "version": version,
        }
        await asyncio.to_thread(_write, self.state_dir / RECORD_FILE, json.dumps(record))
        return xray

    async def program(self) -> ChildEngine:
        """The unit's program.

        Raises:
            XrayStartError: systemd cannot be asked, or the unit does not suit.
        """
        return ChildEngine(_program(await self._suitable()))

    async def state(self) -> _State:
        """What systemd says of the unit.

        Raises:
            XrayStartError: it cannot be asked.
        """
        return _State.of(await self._systemctl("show", f"--property={','.join(_PROPERTIES)}"))

    async def stop(self) -> None:
        """End what the unit runs.

        Raises:
            XrayStartError: systemd cannot be asked, or did not do it in time.
        """
        await self._systemctl("stop")

    async def exit_status(self, invocation: str) -> int:
        """How a start's process ended, negative for a signal; 0 if systemd does not know it."""
        with suppress(XrayStartError, TimeoutError):
            async with asyncio.timeout(ASK_TIMEOUT_S):
                while (state := await self.state()).invocation == invocation:
                    if state.pid == 0:
                        return state.status
                    await asyncio.sleep(POLL_S)  # noqa: TID251 - systemd is about to see its end
        return 0

    async def _suitable(self) -> _State:
        state = await self.state()
        if state.load != "loaded":
            raise XrayStartError(f"systemd has no usable unit of this name ({state.load})")
        if str(self.config_file) not in state.command:
            raise XrayStartError(f"its ExecStart must run Xray with -config {self.config_file}")
        if state.restart != "no":
            raise XrayStartError(
                f"it has Restart={state.restart}; set Restart=no: "
                "systemd would start Xray without its users, this service starts it with them"
            )
        return state

    async def _started(self, api_socket: Path, version: str, timeout_s: float) -> "XrayUnit":
        state = await self.state()
        if state.pid == 0:
            raise self._start_error(state.status, api_socket)
        xray = await self._running(state, api_socket, version)
        if xray is None:
            raise self._start_error(await self.exit_status(state.invocation), api_socket)
        try:
            async with asyncio.timeout(timeout_s):
                # Xray opens its API after every inbound.
                while not await xray.ends_within(POLL_S) and not await _accepts(api_socket):
                    pass
        except TimeoutError:
            await xray.stop()
            reason = f"did not open its API within {timeout_s:g} s; is it Xray?"
            raise XrayStartError(reason) from None
        except BaseException:
            await xray.stop()
            raise
        if await xray.ends_within(0):
            raise self._start_error(await xray.wait(), api_socket)
        return xray

    async def _running(self, state: _State, api_socket: Path, version: str) -> "XrayUnit | None":
        """What the unit runs; None if it has ended in between."""
        try:
            watch = os.pidfd_open(state.pid)
        except ProcessLookupError:
            return None
        except OSError as error:
            raise XrayStartError(f"cannot be watched: {error.strerror}") from error
        held = False
        try:
            # Only now is the id surely held by the process that systemd named.
            held = (await self.state()).invocation == state.invocation and not _is_readable(watch)
        finally:
            if not held:
                os.close(watch)
        if not held:
            return None
        return XrayUnit(self, state, watch, api_socket, version)

    def _start_error(self, status: int, api_socket: Path) -> XrayStartError:
        reason = exit_reason(status)
        if status == RC_CONFIG_ERROR:
            reason += f", or its user may not read {self.config_file}"
        if status == RC_START_ERROR:
            reason += f" Or may it not write in {api_socket.parent}?"
        return XrayStartError(f"{reason}; `journalctl -u {self.unit}` says more", status=status)

    async def _systemctl(self, verb: str, *options: str, timeout_s: float | None = None) -> str:
        command = ["systemctl", "--no-ask-password", "--no-pager", verb, *options, "--", self.unit]
        said, complaint, status = await _run(command, timeout_s or ASK_TIMEOUT_S)
        if status == 0:
            return said
        lines = complaint.strip().splitlines() or [f"exit status {status}"]
        # A job that failed is no failure of systemd: the unit's state says what became of it.
        if verb == "restart" and lines[0].startswith("Job for "):
            return said
        reason = f"`systemctl {verb}`: {lines[0]}"
        if any(refusal in complaint.lower() for refusal in _REFUSALS):
            reason += "; allow it to the service's user by a polkit rule (config/systemd)"
        raise XrayStartError(reason)


class XrayUnit:
    """A unit's running Xray. Made by `UnitEngine`."""

    def __init__(
        self, engine: UnitEngine, state: _State, watch: int, api_socket: Path, version: str
    ) -> None:
        """Take the unit's state, and a pidfd of its process."""
        self.pid = state.pid
        self.invocation = state.invocation
        self.api_socket = api_socket
        self.version = version
        self._engine = engine
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._loop.add_reader(watch, self._on_end)

    async def ends_within(self, seconds: float) -> bool:
        """Whether the process is gone by then."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        return self._ended.is_set()

    async def wait(self) -> int:
        """The exit status; 0 if systemd has forgotten it."""
        await self._ended.wait()
        return await self._engine.exit_status(self.invocation)

    async def stop(self) -> None:
        """End it: through systemd, and where that fails, killed."""
        if self._ended.is_set():
            return
        try:
            await self._engine.stop()
        except XrayStartError as error:
            _log.warning("xray_unit_not_stopped", reason=str(error))
            self._kill()
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                await self._ended.wait()
        except TimeoutError:
            self._kill()

    async def release(self) -> None:
        """Leave it running for the next service."""
        self._unwatch()

    def _kill(self) -> None:
        if self._watch < 0:
            return
        try:
            signal.pidfd_send_signal(self._watch, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except OSError as error:
            _log.error("xray_unit_not_killed", pid=self.pid, reason=error.strerror)

    def _on_end(self) -> None:
        self._unwatch()
        self._ended.set()

    def _unwatch(self) -> None:
        if self._watch >= 0:
            self._loop.remove_reader(self._watch)
            os.close(self._watch)
            self._watch = -1


def _program(state: _State) -> Path:
    if (match := _PROGRAM.search(state.command)) is None:
        raise XrayStartError("its ExecStart names no program")
    return Path(match[1])


def _digest(config: dict[str, Any]) -> str:
    """Of all but the users, whom the service changes while Xray runs."""
    inbounds = [
        {**inbound, "settings": {**inbound.get("settings", {}), "clients": []}}
        for inbound in config.get("inbounds", [])
    ]
    text = json.dumps({**config, "inbounds": inbounds}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(path: Path, text: str) -> None:
    """Whole or not at all; for its owner alone.

    Raises:
        XrayStartError: it cannot be written.
    """
    draft = path.with_suffix(".draft")
    try:
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        raise XrayStartError(f"{path} cannot be written: {error.strerror}") from error


async def _accepts(api_socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(api_socket)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def _is_readable(watch: int) -> bool:
    look = select.poll()  # `select` knows no file above 1023
    look.register(watch, select.POLLIN)
    return bool(look.poll(0))


async def _version(program: Path) -> str:
    try:
        said, _, _ = await _run([str(program), "version"], ASK_TIMEOUT_S)
    except XrayStartError:
        return UNKNOWN_VERSION
    match = _VERSION.search(said.encode())
    return match[1].decode() if match else UNKNOWN_VERSION


async def _run(command: list[str], timeout_s: float) -> tuple[str, str, int]:
    """What a program wrote to standard output and error, and its exit status.

    Raises:
        XrayStartError: it cannot be run, or took longer than `timeout_s` seconds.
    """
    env = {**environment(), "LC_ALL": "C"}
    # In a thread: asyncio leaks a process whose start is cancelled.
    run = partial(subprocess.run, command, stdin=DEVNULL, env=env, timeout=timeout_s)
    try:
        ended = await asyncio.to_thread(run, capture_output=True, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        reason = f"`{command[0]}` gave no answer within {timeout_s:g} s"
        raise XrayStartError(reason) from None
    except FileNotFoundError:
        reason = f"there is no {command[0]} here; use embedded or binary:<path>"
        raise XrayStartError(reason) from None
    except OSError as error:
        raise XrayStartError(f"{command[0]} cannot be run: {error.strerror}") from error
    return ended.stdout, ended.stderr, ended.returncode
