"""API keys and the TLS certificate change while the node runs, and no request notices.

The settings file and the certificate's files are looked at every 2 s, and at SIGHUP. What is
wrong changes nothing: the old keys and the old certificate stay until it is mended.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from config.loading import SettingsError
from config.node_settings import NodeSection, load_node_settings
from xray_api.node.keys import ApiKeys

LOOK_EVERY_S = 2.0
#: Settings that are taken over while the node runs.
_LIVE = frozenset({"api_keys"})

_log = structlog.get_logger()

#: What tells one version of a file from the next.
_Stamp = tuple[int, int, int]


class CertificateError(Exception):
    """The certificate cannot be used; the text says why."""


def tls_context(node: NodeSection) -> ssl.SSLContext | None:
    """What the API's listener shows; None where it speaks plain HTTP.

    Raises:
        CertificateError: the files cannot be read, or do not belong together.
    """
    if node.tls_cert is None or node.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(node.tls_cert, node.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(f"node.tls_cert, node.tls_key: {error}") from None
    return context


class Reloader:
    """Takes over what has changed on disk."""

    def __init__(
        self,
        node: NodeSection,
        settings_file: Path | None,
        keys: ApiKeys,
        tls: ssl.SSLContext | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,  # noqa: TID251 - the real one
    ) -> None:
        """Take the settings of the start, their file, and what follows them."""
        self._node = node
        self._settings_file = settings_file
        self._keys = keys
        self._tls = tls
        self._sleep = sleep
        self._stamps = self._look()

    async def run(self, hangup: asyncio.Event) -> None:
        """Look again and again, and at once when `hangup` is set; until cancelled."""
        while True:
            waiting = {
                asyncio.ensure_future(self._sleep(LOOK_EVERY_S)),
                asyncio.create_task(hangup.wait()),
            }
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in waiting:
                    task.cancel()
            asked = hangup.is_set()
            hangup.clear()
            self.check(asked=asked)

    def check(self, *, asked: bool = False) -> None:
        """Take over what has changed since the last look, or everything if `asked`."""
        stamps = self._look()
        changed = {path for path in stamps if stamps[path] != self._stamps.get(path)}
        self._stamps = stamps
        if asked or self._settings_file in changed:
            self._take_settings()
        if self._tls is not None and (asked or changed - {self._settings_file}):
            self._take_certificate(self._tls)

    def _take_settings(self) -> None:
        try:
            node = load_node_settings(self._settings_file).node
        except SettingsError as error:
            _log.error("settings_not_taken_over", problems=error.problems)
            return
        others = sorted(
            name
            for name in NodeSection.model_fields
            if name not in _LIVE and getattr(node, name) != getattr(self._node, name)
        )
        if others:
            _log.warning("settings_need_a_restart", settings=[f"node.{name}" for name in others])
        self._keys.replace(key.get_secret_value() for key in node.api_keys)
        _log.info("api_keys_taken_over", key_ids=self._keys.ids)

    def _take_certificate(self, tls: ssl.SSLContext) -> None:
        """New connections see it; those that are open go on."""
        try:
            newest = tls_context(self._node)
        except CertificateError as error:
            _log.error("certificate_not_taken_over", reason=str(error))
            return
        # One loaded beside the old one would show both, where their keys are of two kinds.
        tls.sni_callback = lambda connection, _name, _context: _show(connection, newest)
        _log.info("certificate_taken_over")

    def _look(self) -> dict[Path, _Stamp | None]:
        paths = (self._settings_file, self._node.tls_cert, self._node.tls_key)
        return {path: _stamp(path) for path in paths if path is not None}


def _show(connection: ssl.SSLObject, context: ssl.SSLContext | None) -> None:
    if context is not None:
        connection.context = context


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
