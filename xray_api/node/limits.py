"""What one caller may cost: guesses at the key, silence, and reads that list everybody."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, IPv6Network
from typing import Generic, TypeVar

#: Wrong keys from one address at once, and then in a second.
GUESSES_AT_ONCE = 20
GUESSES_PER_S = 1.0
#: Addresses that are remembered; the one seen longest ago is forgotten first.
MOST_ADDRESSES = 10_000
#: Heavy reads that may wait for the one that is under way.
MOST_WAITING = 8
#: How long a connection may be open without a valid key, and how many such there may be.
STRANGERS_FOR_S = 10.0
MOST_STRANGERS = 500

Connection = TypeVar("Connection")


class TooMany(Exception):  # noqa: N818 - says what happened
    """Too many heavy reads wait already."""


class FailedKeys:
    """A token bucket for each address, or IPv6 network, that came with a wrong key.

    A right key is never asked about: whoever guesses behind the back-end's own address, as
    behind one proxy, cannot lock it out.
    """

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def too_many(self, address: str, now: float) -> bool:
        """Count one more wrong key; whether there have been too many.

        Args:
            address: where it came from; IPv6 counts by /64, all of which one customer may have.
            now: seconds of a clock that never goes back.
        """
        address = _network(address)
        left, seen = self._left.pop(address, (float(GUESSES_AT_ONCE), now))
        left = min(GUESSES_AT_ONCE, left + (now - seen) * GUESSES_PER_S)
        self._left[address] = (max(left - 1, 0.0), now)
        if len(self._left) > MOST_ADDRESSES:
            self._left.popitem(last=False)
        return left < 1


class Strangers(Generic[Connection]):
    """Connections on which no valid key has come: few, and not for long.

    A silent one costs a stranger nothing, and the service one of the files that it may open.
    """

    def __init__(self) -> None:
        self._known: set[Connection] = set()
        self._since: dict[Connection, float] = {}

    def vouch(self, connection: Connection) -> None:
        """A valid key has come on it: it may stay."""
        self._known.add(connection)

    def overdue(self, connections: Iterable[Connection], now: float) -> list[Connection]:
        """Those to be ended, of all that are open; the oldest first where they are too many.

        Args:
            connections: all that are open.
            now: seconds of a clock that never goes back.
        """
        opened = list(connections)
        self._known.intersection_update(opened)
        self._since = {c: self._since.get(c, now) for c in opened if c not in self._known}
        oldest_first = sorted(self._since, key=self._since.__getitem__)
        too_many = len(oldest_first) - MOST_STRANGERS
        return [
            connection
            for place, connection in enumerate(oldest_first)
            if place < too_many or now - self._since[connection] >= STRANGERS_FOR_S
        ]


class HeavyReads:
    """One at a time, and a short queue: with 100,000 users each costs Xray 0.6 s (measured)."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._waiting = 0

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for one's turn.

        Raises:
            TooMany: the queue is full.
        """
        if self._waiting >= MOST_WAITING:
            raise TooMany("too many lists and digests are asked for at once")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


def _network(address: str) -> str:
    try:
        known = IPv6Address(address)
    except ValueError:
        return address
    return str(known.ipv4_mapped or IPv6Network((known.packed, 64), strict=False))
