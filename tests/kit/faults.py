"""What a test wants to go wrong, and when. Nothing is patched: it happens before a handler runs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(slots=True, kw_only=True, eq=False)
class Fault:
    """Happens to an actor at its `at`-th message from now on, and at those after it, `times` times.

    With `on` only messages of that type count. Every try of a message counts: one that crashed its
    actor is the next message too. `times` None: for ever.
    """

    actor: str
    what: str
    act: Callable[[str, Any], Awaitable[None]]
    at: int = 1
    on: type = object
    times: int | None = 1
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.at < 1 or (self.times is not None and self.times < 1):
            raise ValueError(f"{self}: messages and times are counted from 1")

    def __str__(self) -> str:
        kind = "" if self.on is object else f" {self.on.__name__}"
        return f"{self.actor} {self.what} at{kind} message {self.at}"

    def due(self, name: str, message: Any) -> bool:
        """Count a message; whether this one is hit."""
        if name != self.actor or not isinstance(message, self.on):
            return False
        self.seen += 1
        hit = self.seen >= self.at and (self.times is None or self.struck < self.times)
        self.struck += hit
        return hit


class Faults:
    """All faults of a test, and who hangs by one of them."""

    def __init__(self) -> None:
        self.planned: list[Fault] = []
        self.hanging: dict[str, asyncio.Event] = {}

    async def before_message(self, name: str, message: Any) -> None:
        """See `Surroundings`. All faults count the message before the first one happens."""
        for fault in [fault for fault in self.planned if fault.due(name, message)]:
            await fault.act(name, message)

    async def hang(self, name: str, _: Any) -> None:
        """Until released, or until the actor is killed."""
        gate = self.hanging[name] = asyncio.Event()
        try:
            await gate.wait()
        finally:
            del self.hanging[name]

    def release(self, name: str) -> None:
        """Let the message that hangs be handled.

        Raises:
            LookupError: the actor does not hang.
        """
        if name not in self.hanging:
            raise LookupError(f"{name} does not hang; {', '.join(self.hanging) or 'nobody'} does")
        self.hanging[name].set()

    def end(self) -> list[str]:
        """Nothing goes wrong any more; the answer names the faults that never happened."""
        missed = [f"{fault}: it took {fault.seen}" for fault in self.planned if not fault.struck]
        self.planned = []
        for name in self.hanging:
            self.release(name)
        return missed
