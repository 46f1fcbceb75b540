"""Pure: every link comes from the inbound's configuration, so nothing is typed twice.

The operator gives only the public host and port. The same uuid always gets the same link.
"""

import base64
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import quote, urlencode
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from xray_api.contract import InboundState
from xray_api.node.template import Template

#: The only TLS fingerprint besides firefox and safari that this Xray accepts (measured).
FINGERPRINT = "chrome"
_SHORT_ID_BYTES = 8
_REALITY = "xray.transport.internet.reality.Config"
_RUNNING_NETWORK = {"raw": "tcp", "xhttp": "splithttp"}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*))*")


class NoLinkError(ValueError):
    """No link that works can be made; the text says why."""


@dataclass(frozen=True, slots=True)
class RunningInbound:
    """What Xray says of an inbound: short ids as 8 bytes, the private key raw. Never log it."""

    tag: str
    ports: tuple[tuple[int, int], ...]
    network: str
    security: str
    server_names: tuple[str, ...]
    short_ids: tuple[bytes, ...]
    private_key: bytes

    def __repr__(self) -> str:
        return f"RunningInbound(tag={self.tag!r})"


def public_key(private_key: str) -> str:
    """The key that clients need, derived from the inbound's; both in unpadded base64url."""
    private = X25519PrivateKey.from_private_bytes(_decoded(private_key))
    raw = private.public_key().public_bytes_raw()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def describe(template: Template) -> InboundState:
    """The inbound as links show it: the first server name and the first short id."""
    inbound = template.inbound
    stream = inbound.stream_settings
    reality = stream.reality_settings
    return InboundState(
        tag=inbound.tag,
        port=inbound.port,
        network="tcp" if stream.network == "raw" else stream.network,
        security=stream.security,
        flow=template.flow,
        server_name=reality.server_names[0],
        short_id=reality.short_ids[0],
        public_key=public_key(reality.private_key),
    )


class Links:
    """Makes the links of one inbound."""

    def __init__(self, template: Template, host: str, port: int | None = None) -> None:
        """Take the public host, and the public port where it is not the inbound's.

        Raises:
            NoLinkError: the host cannot stand in a link.
        """
        self.inbound = describe(template)
        xhttp = template.inbound.stream_settings.xhttp_settings
        transport = {"flow": template.flow, "type": self.inbound.network}
        if self.inbound.network == "xhttp":
            path, mode = (xhttp.path, xhttp.mode) if xhttp else ("/", "auto")
            transport = {"type": self.inbound.network, "path": path, "mode": mode}
        values = {
            "encryption": "none",
            **transport,
            "security": self.inbound.security,
            "sni": self.inbound.server_name,
            "fp": FINGERPRINT,
            "pbk": self.inbound.public_key,
            "sid": self.inbound.short_id,
            "spx": "/",
        }
        query = urlencode(values, safe="", quote_via=quote)
        address = f"{_written(host)}:{port or self.inbound.port}"
        self._rest = f"@{address}?{query}#{quote(host, safe='')}"

    def link(self, uuid: UUID) -> str:
        """A user's link."""
        return f"vless://{uuid}{self._rest}"


def differences(template: Template, running: list[RunningInbound]) -> list[str]:
    """Where the running inbound is not the one that links are made from, by key."""
    inbound = template.inbound
    found = [candidate for candidate in running if candidate.tag == inbound.tag]
    if len(found) != 1:
        return ["tag"]
    stream = inbound.stream_settings
    reality = stream.reality_settings
    padded = {bytes.fromhex(text).ljust(_SHORT_ID_BYTES, b"\0") for text in reality.short_ids}
    network = _RUNNING_NETWORK.get(stream.network, stream.network)
    pairs = {
        "port": (found[0].ports, ((inbound.port, inbound.port),)),
        "network": (found[0].network, network),
        "security": (found[0].security, _REALITY),
        "serverNames": (set(found[0].server_names), set(reality.server_names)),
        "shortIds": (set(found[0].short_ids), padded),
        "privateKey": (found[0].private_key, _decoded(reality.private_key)),
    }
    return [key for key, (runs, linked) in pairs.items() if runs != linked]


def _decoded(key: str) -> bytes:
    return base64.urlsafe_b64decode(key + "=")


def _written(host: str) -> str:
    try:
        return f"[{IPv6Address(host.strip('[]'))}]"
    except ValueError:
        pass
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        ascii_host = ""
    if not _HOST.fullmatch(ascii_host):
        raise NoLinkError("must be a host name or an address, without port or scheme")
    return ascii_host
