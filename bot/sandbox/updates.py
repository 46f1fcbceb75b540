"""Updates that wait for the bot: kept in order, at most 24 hours, until they are confirmed.

The rules are those of getUpdates, https://core.telegram.org/bots/api#getupdates: asking for an
offset confirms everything below it, and only one consumer exists at a time.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any

from bot.sandbox.errors import ApiError
from bot.sandbox.faults import Faults

RETENTION_S = 24 * 3600
POLL_MAX_S = 50
BATCH_MAX = 100

_TWO_POLLS = (
    "terminated by other getUpdates request; make sure that only one bot instance is running"
)

OPT_IN = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Kinds that are not delivered unless `allowed_updates` names them."""


@dataclass(frozen=True, slots=True)
class Pending:
    """One update and the moment, in loop time, at which it came into being."""

    update_id: int
    body: dict[str, Any]
    since: float


class UpdateQueue:
    """Undelivered updates and the single consumer of them."""

    def __init__(self, first_id: int, faults: Faults) -> None:
        self._next_id = first_id
        self._faults = faults
        self._pending: deque[Pending] = deque()
        self._poll: asyncio.Future[str] | None = None
        self._arrived = asyncio.Event()
        self.allowed: list[str] = []

    def __len__(self) -> int:
        self._forget_old()
        return len(self._pending)

    def push(self, kind: str, content: dict[str, Any]) -> None:
        """A new update, unless the bot did not ask for this kind."""
        if kind not in self.allowed and (self.allowed or kind in OPT_IN):
            return
        body = {"update_id": self._next_id, kind: content}
        pending = Pending(self._next_id, body, asyncio.get_running_loop().time())
        self._next_id += 1
        if self._faults.swallows(body):
            return
        self._pending.extend([pending] * (2 if self._faults.take_duplicate() else 1))
        self.wake()

    def redeliver(self, body: dict[str, Any]) -> None:
        """Puts an update, whose id the bot may have seen before, at the end of the queue."""
        now = asyncio.get_running_loop().time()
        self._pending.append(Pending(int(body["update_id"]), body, now))
        self.wake()

    def clear(self) -> None:
        """Drops everything that waits."""
        self._pending.clear()

    def head(self) -> Pending | None:
        """The oldest update."""
        self._forget_old()
        return self._pending[0] if self._pending else None

    def confirm_head(self, pending: Pending) -> None:
        """Removes the oldest update if it still is `pending`."""
        if self._pending and self._pending[0] is pending:
            self._pending.popleft()

    async def arrival(self) -> None:
        """Returns when something was pushed or woken since the last return."""
        await self._arrived.wait()
        self._arrived.clear()

    def wake(self) -> None:
        """Lets whoever waits in `arrival` look again."""
        self._arrived.set()

    def terminate_poll(self, reason: str) -> None:
        """Ends the getUpdates call in progress with status 409, if there is one."""
        if self._poll is not None and not self._poll.done():
            self._poll.set_result(reason)

    async def poll(self, offset: int, limit: int, timeout_s: float) -> list[dict[str, Any]]:
        """One getUpdates call.

        Args:
            offset: Positive: confirms all ids below. Negative: keeps only that many, from the end.
            limit: At most so many updates, 1 to 100.
            timeout_s: How long to wait for the first one, cut to 50 seconds.

        Raises:
            ApiError: 409, because a newer call or a webhook took over.
        """
        self.terminate_poll(_TWO_POLLS)
        self._confirm(offset)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(max(timeout_s, 0), POLL_MAX_S)
        mine = self._poll = loop.create_future()
        while not len(self) and loop.time() < deadline:
            await self._wait(mine, deadline - loop.time())
        if mine.done():
            raise ApiError(409, f"Conflict: {mine.result()}")
        self._poll = None
        return [p.body for p in list(self._pending)[: min(max(limit, 1), BATCH_MAX)]]

    async def _wait(self, mine: asyncio.Future[str], timeout_s: float) -> None:
        arrival = asyncio.ensure_future(self.arrival())
        either: set[asyncio.Future[Any]] = {arrival, mine}
        try:
            await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            arrival.cancel()
        if mine.done():
            raise ApiError(409, f"Conflict: {mine.result()}")

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            self._pending = deque(list(self._pending)[offset:])
        else:
            self._pending = deque(p for p in self._pending if p.update_id >= offset)

    def _forget_old(self) -> None:
        oldest = asyncio.get_running_loop().time() - RETENTION_S
        while self._pending and self._pending[0].since < oldest:
            self._pending.popleft()
