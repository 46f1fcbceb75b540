"""A VPN user in miniature: an Xray client built from a delivered link and nothing else.

It shares no code with the node's links, so that it cannot agree with their mistakes.
"""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError

from xray_api.node.process import ChildEngine, XrayProcess, XrayStartError

#: Source of connections to a node on loopback: Xray's online count leaves out 127.0.0.1.
LOOPBACK_SOURCE = "127.0.0.2"
PREFIX_BYTES = 2048


class LinkError(ValueError):
    """The link cannot be used; the text says why and does not hold the link."""


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What became of one fetch through the node.

    Attributes:
        ok: a page came back, with any status below 400.
        status: the page's HTTP status; None if none came.
        latency_ms: from the start of the fetch to its end, the client's start left out.
        body_prefix: the page's first 2048 bytes.
        detail: why it failed; empty when `ok`.
    """

    ok: bool
    status: int | None
    latency_ms: float
    body_prefix: bytes
    detail: str


@dataclass(frozen=True, slots=True)
class VlessClient:
    """A running client; `socks` is HOST:PORT of its SOCKS door."""

    socks: str

    async def fetch(self, url: str, *, timeout_s: float = 20) -> ProbeResult:
        """Get a page through the node, over a connection of its own."""
        loop = asyncio.get_running_loop()
        since = loop.time()
        status, body, detail = None, b"", ""
        try:
            async with asyncio.timeout(timeout_s):
                status, body = await self._get(url)
        except TimeoutError:
            detail = f"no page within {timeout_s:g} s"
        except (aiohttp.ClientError, ProxyError, ProxyConnectionError, OSError) as error:
            detail = f"{type(error).__name__}: the connection was refused or closed"
        if status is not None and status >= 400:  # noqa: PLR2004 - error statuses
            detail = f"the page's status is {status}"
        elapsed_ms = (loop.time() - since) * 1000
        return ProbeResult(not detail, status, elapsed_ms, body, detail)

    async def _get(self, url: str) -> tuple[int, bytes]:
        # The name goes to the node as it is: resolving it here would prove less.
        connector = ProxyConnector.from_url(f"socks5://{self.socks}", rdns=True)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            return response.status, await response.content.read(PREFIX_BYTES)


async def probe_link(link: str, url: str, *, timeout_s: float = 20) -> ProbeResult:
    """Fetch a URL with a fresh client made from the link. Never raises for a bad link."""
    try:
        async with vless_client(link) as client:
            return await client.fetch(url, timeout_s=timeout_s)
    except (LinkError, XrayStartError) as error:
        return ProbeResult(ok=False, status=None, latency_ms=0, body_prefix=b"", detail=str(error))


@asynccontextmanager
async def vless_client(link: str) -> AsyncIterator[VlessClient]:
    """Run a client process for as long as the context lasts.

    Raises:
        LinkError: the link is none that this client understands.
        XrayStartError: the client's Xray did not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    process = await XrayProcess.start(ChildEngine(), client_config(link, port))
    try:
        yield VlessClient(f"127.0.0.1:{port}")
    finally:
        await process.stop()


def client_config(link: str, socks_port: int) -> dict[str, Any]:
    """An Xray client's configuration from a link.

    Raises:
        LinkError: the link is none that this client understands.
    """
    host, port, user, values = _parts(link)
    outbound: dict[str, Any] = {
        "protocol": "vless",
        "settings": {"vnext": [{"address": host, "port": port, "users": [user]}]},
        "streamSettings": _stream(values),
    }
    if _is_loopback(host):
        outbound["sendThrough"] = LOOPBACK_SOURCE
    inbound = {"protocol": "socks", "listen": "127.0.0.1", "port": socks_port}
    return {
        "log": {"loglevel": "warning", "access": "none"},
        "inbounds": [{**inbound, "settings": {"auth": "noauth", "udp": False}}],
        "outbounds": [outbound],
    }


def _parts(link: str) -> tuple[str, int, dict[str, str], dict[str, str]]:
    try:
        parts = urlsplit(link)
        host, port, user = parts.hostname, parts.port, unquote(parts.username or "")
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise LinkError(f"not a link: {type(error).__name__}") from None
    if parts.scheme != "vless" or not host or not port:
        raise LinkError("not vless://UUID@HOST:PORT?...")
    if not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", user):
        raise LinkError("the user is no UUID")
    values = dict(pairs)
    if len(values) != len(pairs):
        raise LinkError("a key stands twice")
    account = {
        "id": user,
        "encryption": values.get("encryption", "none"),
        "flow": values.get("flow", ""),
    }
    return host, port, account, values


def _stream(values: dict[str, str]) -> dict[str, Any]:
    network = values.get("type", "tcp")
    if values.get("security") != "reality":
        raise LinkError("security must be reality")
    try:
        stream: dict[str, Any] = {
            "network": network,
            "security": "reality",
            "realitySettings": {
                "serverName": values["sni"],
                "fingerprint": values["fp"],
                "publicKey": values["pbk"],
                "shortId": values["sid"],
                "spiderX": values.get("spx", ""),
            },
        }
    except KeyError as error:
        raise LinkError(f"{error.args[0]} is missing") from None
    if network == "xhttp":
        stream["xhttpSettings"] = {
            "path": values.get("path", "/"),
            "mode": values.get("mode", "auto"),
        }
    elif network != "tcp":
        raise LinkError("type must be tcp or xhttp")
    return stream


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.version == 4 and address.is_loopback  # noqa: PLR2004 - IPv6 has one address
