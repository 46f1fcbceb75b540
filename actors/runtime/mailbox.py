"""The inbox of an address: bounded, in order, kept over restarts; stop and crash reports pass."""

import asyncio
from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from pykka._envelope import Envelope as PykkaEnvelope

from actors.runtime.messages import ChildEnded, RestartDue, Stop
from actors.runtime.replies import Reply, Unavailable

#: Messages that a full inbox takes all the same.
SYSTEM_MESSAGES = (Stop, ChildEnded, RestartDue)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageContext:
    """What travels with a message and with everything sent while it is handled.

    `deadline` is in the clock's seconds; `chain` holds the addresses that wait for an answer.
    """

    correlation_id: str
    operation_id: str
    deadline: float | None = None
    chain: tuple[str, ...] = ()


#: The context of the message in hand; None outside a handler.
current_context: ContextVar[MessageContext | None] = ContextVar("current_context", default=None)


@dataclass(slots=True, eq=False)
class Envelope(PykkaEnvelope[Any]):
    """A message, where to answer, and its context."""

    message: Any
    reply_to: Reply[Any] | None = None
    context: MessageContext | None = None
    enqueued_at: float = field(default=0.0)

    def refuse(self, reason: str) -> None:
        """Tell the asker, if there is one, to come back later."""
        if self.reply_to is not None:
            self.reply_to.fail(Unavailable(reason))

    @property
    def abandoned(self) -> bool:
        """Whether it was an ask and nobody waits for the answer any more."""
        return self.reply_to is not None and self.reply_to.settled


class Mailbox:
    """A bounded queue with one reader.

    It belongs to an address, not to an actor object: what waits passes, in order, to the next
    incarnation.
    """

    def __init__(self, owner: str, bound: int) -> None:
        self.owner = owner
        self.bound = bound
        self._loop = asyncio.get_running_loop()
        self._system: deque[Envelope] = deque()
        self._waiting: deque[Envelope] = deque()
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many messages wait, system messages not counted."""
        return len(self._waiting)

    def empty(self) -> bool:
        """Whether nothing waits at all."""
        return not (self._system or self._waiting)

    def put(self, envelope: PykkaEnvelope[Any], /) -> None:
        """Take a message in, from any thread.

        Raises:
            Unavailable: the inbox is full. From a foreign thread nothing can be raised any more;
                there the asker is refused instead.
        """
        ours = envelope if isinstance(envelope, Envelope) else _adopted(envelope)
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - None off the loop, no raise
            self._put(ours)
        else:
            self._loop.call_soon_threadsafe(self._put_or_refuse, ours)

    async def get(self) -> Envelope | None:
        """The next message, system messages first; None when `interrupt` ended the wait."""
        if self.empty():
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._pop()

    def interrupt(self) -> None:
        """End the reader's wait without a message."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def refuse_all(self, reason: str) -> None:
        """Nobody is going to read this inbox any more: tell those who wait."""
        while (envelope := self._pop()) is not None:
            envelope.refuse(reason)

    def _pop(self) -> Envelope | None:
        if self._system:
            return self._system.popleft()
        return self._waiting.popleft() if self._waiting else None

    def _put(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, SYSTEM_MESSAGES):
            self._system.append(envelope)
        elif len(self._waiting) < self.bound:
            self._waiting.append(envelope)
        else:
            raise Unavailable(f"{self.owner} is busy")
        self.interrupt()

    def _put_or_refuse(self, envelope: Envelope) -> None:
        try:
            self._put(envelope)
        except Unavailable as full:
            envelope.refuse(full.reason)


def _adopted(envelope: PykkaEnvelope[Any]) -> Envelope:
    """An envelope made by a stock `ActorRef`; its stop message becomes ours."""
    message = envelope.message
    if type(message).__name__ == "_ActorStop":
        message = Stop()
    return Envelope(message, envelope.reply_to)  # type: ignore[arg-type]  # made by our actor class
