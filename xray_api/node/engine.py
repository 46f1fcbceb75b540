"""What runs Xray, behind one face: a child of the service, or a systemd unit that outlives it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from xray_api.node.process import ChildEngine
from xray_api.node.unit import SYSTEMD, UnitEngine

#: From the socket of Xray's own API to its whole configuration.
Configuration = Callable[[Path], dict[str, Any]]


class RunningXray(Protocol):
    """One Xray, from its start to its end."""

    @property
    def pid(self) -> int:
        """The process's id."""

    @property
    def version(self) -> str:
        """Xray's version."""

    @property
    def api_socket(self) -> Path:
        """Where its API listens."""

    async def wait(self) -> int:
        """The exit status, once it has ended; the negative signal number if one ended it."""

    async def stop(self) -> None:
        """End it. Safe to repeat."""

    async def release(self) -> None:
        """The service ends: end what must not outlive it, and leave what should."""


class Engine(Protocol):
    """Starts Xray."""

    async def adopt(self, configuration: Configuration) -> RunningXray | None:
        """The Xray of a former service, if it runs with this very configuration."""

    async def start(self, configuration: Configuration, api_socket: Path) -> RunningXray:
        """Run Xray with a configuration for a socket of its API; returns when it has started.

        Raises:
            XrayStartError: it has not.
        """

    async def program(self) -> ChildEngine:
        """The same Xray as a child, for a try.

        Raises:
            XrayStartError: there is none.
        """


def engine_of(setting: str, state_dir: Path) -> Engine:
    """What `node.xray` names: `embedded`, `binary:<path>` or `systemd:<unit>`."""
    if setting.startswith(SYSTEMD):
        return UnitEngine(setting.removeprefix(SYSTEMD), state_dir)
    return ChildEngine.of(setting)
