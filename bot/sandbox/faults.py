"""Scripted trouble: a queue of faults per Bot API method, each used up by one call."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Status:
    """The call is not executed and answered with this status."""

    code: int
    description: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Delay:
    """The call is executed after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """The call is executed once the gate opens."""

    gate: asyncio.Event


@dataclass(frozen=True, slots=True)
class Drop:
    """The connection closes; the call is not executed."""


@dataclass(frozen=True, slots=True)
class ReplyLost:
    """The call is executed, then the connection closes without a reply."""


AnyFault = Status | Delay | Hold | Drop | ReplyLost

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden: bot was blocked by the user",
    409: "Conflict: terminated by other getUpdates request",
    429: "Too Many Requests: retry later",
    500: "Internal Server Error",
    502: "Bad Gateway",
}


class Fault:
    """Constructors for the faults, so that a test reads ``Fault.status(502)``."""

    @staticmethod
    def status(
        code: int, description: str | None = None, *, retry_after_s: int | None = None
    ) -> Status:
        """Answer `code` without executing the call."""
        return Status(code, description or _REASONS.get(code, "Bad Request"), retry_after_s)

    @staticmethod
    def delay(seconds: float) -> Delay:
        """Execute the call `seconds` later."""
        return Delay(seconds)

    @staticmethod
    def hold(gate: asyncio.Event) -> Hold:
        """Execute the call when `gate` is set: a delay without a guess about time."""
        return Hold(gate)

    @staticmethod
    def drop() -> Drop:
        """Close the connection before the call takes effect."""
        return Drop()

    @staticmethod
    def reply_lost() -> ReplyLost:
        """Let the call take effect and close the connection instead of answering."""
        return ReplyLost()


class Faults:
    """What will go wrong next, method by method.

    Attributes:
        swallowed: Updates that were lost on their way, oldest first.
    """

    def __init__(self) -> None:
        self._queues: defaultdict[str, deque[AnyFault]] = defaultdict(deque)
        self._repeats = 0
        self._lost: list[Callable[[dict[str, Any]], bool]] = []
        self.swallowed: list[dict[str, Any]] = []

    def next(self, method: str, fault: AnyFault, *, times: int = 1) -> None:
        """The next `times` calls of `method` (any case) suffer `fault`, after those queued before.

        Args:
            method: A Bot API method such as ``"sendMessage"``, or ``"*"`` for whichever comes.
            fault: What happens.
            times: How many calls suffer it.
        """
        self._queues[method.casefold()].extend([fault] * times)

    def duplicate_next_update(self, times: int = 1) -> None:
        """The next `times` updates are delivered twice, with the same ``update_id``."""
        self._repeats += times

    def swallow_next_update(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """The next update that is `wanted` never reaches the bot."""
        self._lost.append(wanted)

    def clear(self) -> None:
        """Forget everything that has not happened yet."""
        self._queues.clear()
        self._repeats = 0
        self._lost.clear()

    def take(self, method: str) -> AnyFault | None:
        """The fault for this call, which is thereby used up."""
        for name in (method.casefold(), "*"):
            if self._queues[name]:
                return self._queues[name].popleft()
        return None

    def swallows(self, update: dict[str, Any]) -> bool:
        """Whether the update being created is lost."""
        for wanted in self._lost:
            if wanted(update):
                self._lost.remove(wanted)
                self.swallowed.append(update)
                return True
        return False

    def take_duplicate(self) -> bool:
        """Whether the update being created is one of those delivered twice."""
        if not self._repeats:
            return False
        self._repeats -= 1
        return True
