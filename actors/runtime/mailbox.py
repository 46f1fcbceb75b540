"""The inbox of an address: bounded, in order, kept over restarts; stop and crash reports pass.

What an operator asks about an actor is kept here too, since the inbox outlives the object.
"""

import asyncio
import itertools
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from pykka._envelope import Envelope as PykkaEnvelope
from pykka.messages import _ActorStop

from actors.runtime.inspection import Failure, HandledMessage
from actors.runtime.messages import ChildEnded, RestartDue, Stop, Tick
from actors.runtime.replies import Reply, Unavailable, running_loop

log = structlog.get_logger(__name__)

#: Messages that a full inbox takes all the same.
SYSTEM_MESSAGES = (Stop, ChildEnded, RestartDue)
#: How many messages an inbox remembers after they were handled.
REMEMBERED = 5


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


#: Tells the stories of one life of the program from those of another.
_LIFE = uuid.uuid4().hex[:8]
_stories = itertools.count(1)


def new_correlation_id() -> str:
    """Short enough to read out, long enough to search for."""
    return f"{_LIFE}-{next(_stories):x}"


#: The context of the message in hand; None outside a handler.
current_context: ContextVar[MessageContext | None] = ContextVar("current_context", default=None)


@dataclass(slots=True, eq=False)
class Envelope(PykkaEnvelope[Any]):
    """A message, where to answer, and its context."""

    message: Any
    reply_to: Reply[Any] | None = None
    context: MessageContext | None = None
    enqueued_at: float = field(default=0.0)
    #: How often an actor ended with this message in hand.
    attempts: int = field(default=0)

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


class Statistics:
    """What an inbox remembers of the messages that were handled. Times in seconds."""

    __slots__ = ("busy_s", "failed", "handled", "last_failure", "longest_s", "recent")

    def __init__(self) -> None:
        self.handled = 0
        self.failed = 0
        self.busy_s = 0.0
        self.longest_s = 0.0
        self.last_failure: Failure | None = None
        self.recent: tuple[HandledMessage, ...] = ()

    def note(self, message: HandledMessage) -> None:
        """One more message was handled, in whichever way."""
        self.handled += 1
        self.busy_s += message.took_s
        self.longest_s = max(self.longest_s, message.took_s)
        self.recent = (*self.recent, message)[-REMEMBERED:]


class Mailbox:
    """A bounded queue with one reader.

    It belongs to an address, not to an actor object: what waits passes, in order, to the next
    incarnation, and so does the message that the last one had in hand.
    """

    __slots__ = (
        "_closed",
        "_loop",
        "_reader",
        "_system",
        "_tick_waits",
        "_waiting",
        "bound",
        "in_hand",
        "in_hand_since",
        "owner",
        "parked",
        "statistics",
        "suspended",
        "used_at",
    )

    def __init__(self, owner: str, bound: int) -> None:
        self.owner = owner
        self.bound = bound
        #: An operator's word: messages wait until it is taken back.
        self.suspended = False
        #: Nobody reads for some time: who asks is told so at once, what is told waits.
        self.parked = False
        self.in_hand: Envelope | None = None
        self.in_hand_since = 0.0
        #: When a message was last taken or done with.
        self.used_at = 0.0
        self.statistics = Statistics()
        self._loop = asyncio.get_running_loop()
        self._system: list[Envelope] = []
        # Not a deque, which takes 600 bytes when empty, as most inboxes are.
        self._waiting: list[Envelope] = []
        self._closed = False
        self._tick_waits = False
        self._reader: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        """How many messages wait, system messages not counted."""
        return len(self._waiting)

    def empty(self) -> bool:
        """Whether nothing waits at all."""
        return not (self._system or self._waiting)

    @property
    def oldest_at(self) -> float | None:
        """When the message that waits longest came in; None if none waits."""
        return self._waiting[0].enqueued_at if self._waiting else None

    def put(self, envelope: PykkaEnvelope[Any], /) -> None:
        """Take a message in, from any thread.

        Raises:
            Unavailable: the inbox is full, closed, or parked and this is an ask. From a foreign
                thread nothing can be raised any more; there the asker is refused instead, and a
                message without one leaves a warning.
        """
        ours = envelope if isinstance(envelope, Envelope) else _adopted(envelope)
        hand_over(self._loop, self._put, ours)

    async def get(self) -> Envelope | None:
        """The next message, system messages first; None when `interrupt` ended the wait."""
        if not self._readable():
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        return self._pop()

    def interrupt(self) -> None:
        """End the reader's wait, with the message that is there by now or without one."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def take(self, envelope: Envelope, now: float) -> None:
        """A message is in the reader's hand until it is `done`."""
        self.in_hand = envelope
        self.in_hand_since = self.used_at = now

    def done(self, now: float, outcome: str) -> None:
        """The message in hand has come to an end, `outcome` says to which."""
        envelope, self.in_hand = self.in_hand, None
        if envelope is None or isinstance(envelope.message, SYSTEM_MESSAGES):
            return
        self.used_at = now
        self.statistics.note(
            HandledMessage(
                message=type(envelope.message).__name__,
                correlation_id=envelope.context.correlation_id if envelope.context else "",
                at=now,
                waited_s=max(0.0, self.in_hand_since - envelope.enqueued_at),
                took_s=now - self.in_hand_since,
                outcome=outcome,
            )
        )

    def put_back(self, envelope: Envelope) -> None:
        """Let a message be the next one again, however full the inbox is."""
        self._waiting.insert(0, envelope)

    def suspend(self) -> None:
        """Let messages wait; stop and system messages still get through."""
        self.suspended = True

    def resume(self) -> None:
        """Let messages through again."""
        self.suspended = False
        self.interrupt()

    def park(self) -> None:
        """Nobody reads for some time."""
        self.parked = True
        self.refuse_askers(f"{self.owner} is left alone for a while")

    def close(self) -> None:
        """Take nothing new, system messages apart."""
        self._closed = True

    def open(self) -> None:
        """A new incarnation is going to read."""
        self._closed = self.parked = False

    def refuse_askers(self, reason: str) -> None:
        """Nobody reads this inbox for some time: tell those who wait for an answer."""
        for envelope in self._waiting:
            envelope.refuse(reason)

    def settle_system(self) -> None:
        """An incarnation ended: what the system had to say was for that one, not for the next."""
        for envelope in self._system:
            envelope.settle(None)
        self._system.clear()

    def _readable(self) -> bool:
        return bool(self._system) or (bool(self._waiting) and not self.suspended)

    def _pop(self) -> Envelope | None:
        if self._system:
            return self._system.pop(0)
        if not self._readable():
            return None
        envelope = self._waiting.pop(0)
        if _is_hint(envelope):
            self._tick_waits = False
        return envelope

    def _put(self, envelope: Envelope) -> None:
        if isinstance(envelope.message, SYSTEM_MESSAGES):
            self._system.append(envelope)
        elif self._closed:
            raise Unavailable(f"{self.owner} is stopping")
        elif self.parked and envelope.reply_to is not None:
            raise Unavailable(f"{self.owner} is left alone for a while")
        elif _is_hint(envelope) and self._tick_waits:
            return  # one look finds all the work that two would
        elif self._full():
            raise Unavailable(f"{self.owner} is busy")
        else:
            self._waiting.append(envelope)
            self._tick_waits = self._tick_waits or _is_hint(envelope)
        self.interrupt()

    def _full(self) -> bool:
        """Asks that nobody waits for any more take nobody's place."""
        if len(self._waiting) >= self.bound:
            self._waiting = [envelope for envelope in self._waiting if not envelope.abandoned]
        return len(self._waiting) >= self.bound


def _is_hint(envelope: Envelope) -> bool:
    """Whether nothing is lost when another of its kind waits already."""
    return isinstance(envelope.message, Tick) and envelope.reply_to is None


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
