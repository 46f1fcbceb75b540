"""The outcome of trying a VPN link, as the chat page shows it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VpnCheck:
    """What came of one try.

    Attributes:
        ok: Whether a page came back through the tunnel.
        latency_ms: How long that took, in milliseconds; ``None`` if it did not.
        detail: One sentence for the person who looks at the page.
    """

    ok: bool
    latency_ms: float | None
    detail: str


CheckVpn = Callable[[str], Awaitable[VpnCheck]]
