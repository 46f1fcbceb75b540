"""Who calls, by whom it can be believed, and how often a caller may be refused."""

from collections import OrderedDict, deque
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

#: Refusals of one address within a minute, after which it is not listened to any more.
REFUSALS = 30
WINDOW_S = 60.0
#: Addresses remembered at once; the one that was refused longest ago is forgotten first.
MOST_CALLERS = 1_024


def caller_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a call comes from.

    The peer's own, unless the peer is a trusted proxy: then the right-most address of the headers
    `X-Forwarded-For` that is no trusted proxy, because all to its left may be made up. An entry
    that is no address ends the search: the proxy that wrote it down is the last one believed.
    """
    caller = _address(peer)
    if caller is None:
        return "unknown"
    hops = [hop for header in forwarded for hop in header.split(",")]
    while hops and _is_trusted(caller, trusted):
        before = _address(hops.pop())
        if before is None:
            break
        caller = before
    return str(caller)


class Refusals:
    """Counts refused calls by address, within bounded memory."""

    def __init__(self) -> None:
        self._refused: OrderedDict[str, deque[float]] = OrderedDict()

    def note(self, caller: str, now: float) -> None:
        """A call of this address was refused. `now` is any monotonic time, seconds."""
        times = self._refused.setdefault(caller, deque(maxlen=REFUSALS))
        times.append(now)
        self._refused.move_to_end(caller)
        if len(self._refused) > MOST_CALLERS:
            self._refused.popitem(last=False)

    def too_many(self, caller: str, now: float) -> bool:
        """Whether this address was refused as often as it may be."""
        times = self._refused.get(caller)
        return times is not None and len(times) == REFUSALS and now - times[0] < WINDOW_S


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # a socket for both families says so of IPv4
    return address


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
