"""Ends the open connections of users who were removed: Xray alone leaves them alive.

By the kernel, through `ss -K`, which needs CAP_NET_ADMIN. It knows addresses and no users: a
neighbour behind the same address is cut too, and his client connects again.
"""

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from subprocess import DEVNULL, PIPE

import structlog

from xray_api.contract import CutMethod
from xray_api.node.hot_api import HotApi, HotApiError

#: A removed user's connections end within this, or it is logged that they did not.
CUT_WITHIN_S = 60.0
LOOK_EVERY_S = 1.0
#: Cuts of one user's addresses; each of them also cuts his neighbours there.
MOST_CUTS = 3
#: Users who wait for their cut, as many as a snapshot may remove.
MOST_WAITING = 1_000_000
_ADDRESSES_AT_ONCE = 50
_SS_TIMEOUT_S = 10.0
_CAP_NET_ADMIN = 1 << 12  # linux/capability.h

_log = structlog.get_logger()


def machine_cuts() -> bool:
    """Whether this process may end connections: Linux, `ss`, and CAP_NET_ADMIN."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return False
    capabilities = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    allowed = int(capabilities.get("CapEff", "0"), 16) & _CAP_NET_ADMIN
    return bool(allowed) and shutil.which("ss") is not None


@dataclass(slots=True, eq=False)
class _Waiting:
    since: float
    cuts: int = 0


class Cutter:
    """Ends connections to Xray's port."""

    def __init__(
        self,
        port: int,
        is_present: Callable[[str], bool],
        *,
        able: bool | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,  # noqa: TID251 - the real one
    ) -> None:
        """Take Xray's port, and who is let in (again) by e-mail: nobody of those is cut."""
        self._port = port
        self._is_present = is_present
        self._able = machine_cuts() if able is None else able
        self._sleep = sleep
        self._waiting: dict[str, _Waiting] = {}
        self._news = asyncio.Event()

    @property
    def method(self) -> CutMethod:
        """`socket` when this machine ends connections, `none` when they live on."""
        return "socket" if self._able else "none"

    async def cut(self, hot: HotApi, email: str) -> int:
        """End a user's connections now; 10 ms in the middle, 14 at most (20 cuts, measured).

        Returns:
            How many have ended; 0 when he had none, or the machine does not allow it.

        Raises:
            HotApiError: Xray does not say where he is connected from.
        """
        return await self._cut(await hot.addresses(email))

    def cut_soon(self, email: str) -> None:
        """End a removed user's connections in the background, within `CUT_WITHIN_S`."""
        if self._able and len(self._waiting) < MOST_WAITING:
            self._waiting[email] = _Waiting(asyncio.get_running_loop().time())
            self._news.set()

    async def run(self, running: Callable[[], HotApi | None]) -> None:
        """Carry out `cut_soon`, until cancelled.

        Args:
            running: the Xray that runs now.
        """
        while True:
            await self._news.wait()
            while self._waiting:
                hot = running()
                if hot is not None:
                    await self._look(hot)
                if self._waiting:
                    await self._sleep(LOOK_EVERY_S)
            self._news.clear()

    async def _look(self, hot: HotApi) -> None:
        """One round over everybody who waits; those who come during it wait for the next."""
        looked = {e: w for e, w in self._waiting.items() if not self._is_present(e)}
        self._waiting = dict(looked)
        began = asyncio.get_running_loop().time()
        try:
            online = await hot.online()
        except HotApiError:
            return
        connected = {email: looked[email] for email in looked if email in online}
        closed = await self._cut({a for email in connected for a in online[email]})
        if closed:
            _log.info("connections_cut", closed=closed)
        for waiting in connected.values():
            waiting.cuts += 1
        for email, waiting in looked.items():
            if self._is_over(email, waiting, began, is_connected=email in connected):
                self._waiting.pop(email, None)

    def _is_over(self, email: str, waiting: _Waiting, began: float, *, is_connected: bool) -> bool:
        if self._waiting.get(email) is not waiting:
            return False  # he was removed once more meanwhile
        if not is_connected:
            # Who was about to be let in at his removal shows as connected a little later.
            return began - waiting.since >= LOOK_EVERY_S
        if waiting.cuts < MOST_CUTS and began - waiting.since < CUT_WITHIN_S:
            return False
        _log.warning("connections_live_on", user=email[:8])
        return True

    async def _cut(self, addresses: Iterable[str]) -> int:
        if not self._able:
            return 0
        valid = sorted(a for a in addresses if _is_address(a))
        closed = 0
        try:
            for start in range(0, len(valid), _ADDRESSES_AT_ONCE):
                closed += await self._cut_some(valid[start : start + _ADDRESSES_AT_ONCE])
        except OSError as error:  # nothing is claimed of what nobody could look at
            _log.warning("connections_not_cut", reason=str(error))
        return closed

    async def _cut_some(self, addresses: list[str]) -> int:
        clause = " or ".join(f"dst {_written(address)}" for address in addresses)
        chosen = f"sport = :{self._port} and ( {clause} )"
        before = await _ss("-Htn", chosen)
        if not before:
            return 0
        await _ss("-HtnK", chosen)
        left = before & await _ss("-Htn", chosen)
        if left == before:
            self._able = False
            _log.error(
                "connections_cannot_be_cut", hint="is CONFIG_INET_DIAG_DESTROY in the kernel?"
            )
        return len(before - left)


async def _ss(options: str, chosen: str) -> set[str]:
    """The peers, ADDRESS:PORT, of the connections that were chosen.

    Raises:
        OSError: `ss` did not start, failed, or did not end in time.
    """
    # What waits out its time has ended: no cut of it may count, nor its failure.
    states = ["state", "connected", "exclude", "time-wait"]
    command = ["ss", options, *states, *chosen.split()]
    run = partial(subprocess.run, command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, text=True)
    try:
        # In a thread: asyncio leaks a process whose start is cancelled.
        ended = await asyncio.to_thread(run, timeout=_SS_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:  # its own text names addresses of users
        raise TimeoutError(f"ss gave no answer within {_SS_TIMEOUT_S:g} s") from None
    if ended.returncode != 0:
        raise OSError(f"ss ended with status {ended.returncode}")
    lines = (line.split() for line in ended.stdout.splitlines())
    return {line[-1] for line in lines if line}


def _written(address: str) -> str:
    """As `ss` reads it: of a bare IPv6 address it would take the last group for a port."""
    return f"[{address}]" if ":" in address else address


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
