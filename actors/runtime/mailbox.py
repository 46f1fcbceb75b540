"""The inbox of an address: bounded, in order, kept over restarts; stop and crash reports pass."""

import asyncio
import uuid
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import _ActorStop

from actors.runtime.messages import ChildEnded, RestartDue, Stop, Tick
from actors.runtime.replies import Reply, Unavailable, running_loop

log = structlog.get_logger(__name__)

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

    @classmethod
    def fresh(cls) -> "MessageContext":
        """The beginning of a story of its own."""
        return cls(correlation_id=new_correlation_id(), operation_id="")


def new_correlation_id() -> str:
    """Short enough to read out, long enough to search for."""
    return uuid.uuid4().hex[:12]


#: The context of the message in hand; None outside a handler.
current_context: ContextVar[MessageContext | None] = ContextVar("current_context", default=None)


@dataclass(slots=True, eq=False)
class Envelope(PykkaEnvelope[Any]):
    """A message, where to answer, and its context."""

    message: Any
    reply_to: Reply[Any] | None = None
    context: MessageContext | None = None
    enqueued_at: float = field(default=0.0)

    def settle(self, answer: Any) -> None:
        """Answer the asker, if there is one."""
        if self.reply_to is not None:
            self.reply_to.set(answer)

    def fail(self, error: BaseException) -> None:
        """Give the asker, if there is one, an exception in place of an answer."""
        if self.reply_to is not None:
            self.reply_to.fail(error)

    def refuse(self, reason: str) -> None:
        """Tell the asker, if there is one, to come back later."""
        self.fail(Unavailable(reason))

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
        self._tick_waits = False
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
                there the asker is refused instead, and a message without one leaves a warning.
        """
        ours = envelope if isinstance(envelope, Envelope) else _adopted(envelope)
        hand_over(self._loop, self._put, ours)

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

    def refuse_askers(self, reason: str) -> None:
        """Nobody reads this inbox for some time: tell those who wait for an answer."""
        for envelope in self._waiting:
            envelope.refuse(reason)

    def settle_system(self) -> None:
        """An incarnation ended: what the system had to say was for that one, not for the next."""
        while self._system:
            self._system.popleft().settle(None)

    def _pop(self) -> Envelope | None:
        if self._system:
            return self._system.popleft()
        if not self._waiting:
            return None
        envelope = self._waiting.popleft()
        if isinstance(envelope.message, Tick):
            self._tick_waits = False
        return envelope

    def _put(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, SYSTEM_MESSAGES):
            self._system.append(envelope)
        elif isinstance(envelope.message, Tick) and envelope.reply_to is None and self._tick_waits:
            return  # one look finds all the work that two would
        elif len(self._waiting) >= self.bound:
            raise Unavailable(f"{self.owner} is busy")
        else:
            self._waiting.append(envelope)
            self._tick_waits = self._tick_waits or isinstance(envelope.message, Tick)
        self.interrupt()


def hand_over(
    loop: asyncio.AbstractEventLoop, deliver: Callable[[Envelope], None], envelope: Envelope
) -> None:
    """Deliver at once on the loop, from a foreign thread as soon as the loop gets to it."""
    if running_loop() is loop:
        deliver(envelope)
    else:
        loop.call_soon_threadsafe(_deliver_or_refuse, deliver, envelope)


def _deliver_or_refuse(deliver: Callable[[Envelope], None], envelope: Envelope) -> None:
    try:
        deliver(envelope)
    except Unavailable as refusal:
        if envelope.reply_to is None:
            log.warning(
                "message_refused", message=type(envelope.message).__name__, reason=refusal.reason
            )
        envelope.refuse(refusal.reason)


def _adopted(envelope: PykkaEnvelope[Any]) -> Envelope:
    """An envelope made by a stock `ActorRef`; its stop message becomes ours."""
    message = Stop() if isinstance(envelope.message, _ActorStop) else envelope.message
    return Envelope(message, envelope.reply_to)  # type: ignore[arg-type]  # made by our actor class
