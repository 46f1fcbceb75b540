"""Where an actor can be reached, whichever object is behind it just now."""

from collections.abc import Callable
from typing import Any, TypeVar

from actors.runtime.clock import Clock
from actors.runtime.mailbox import (
    Envelope,
    MessageContext,
    current_context,
    new_correlation_id,
)
from actors.runtime.messages import Request, Tick
from actors.runtime.replies import AskCycle, Reply, Unavailable

Answer = TypeVar("Answer")

#: How long an ask waits where the sender has no deadline of its own, seconds.
DEFAULT_TIMEOUT_S = 10.0


class Address:
    """A name to send to. It outlives every actor object behind it."""

    __slots__ = ("_clock", "_deliver", "name")

    def __init__(self, name: str, deliver: Callable[[Envelope], None], clock: Clock) -> None:
        self.name = name
        self._deliver = deliver
        self._clock = clock

    def __repr__(self) -> str:
        return f"Address({self.name})"

    def tell(self, message: Any, *, operation_id: str | None = None) -> None:
        """Send without waiting, from any thread.

        Raises:
            Unavailable: the inbox is full.
        """
        self._deliver(Envelope(message, None, _context(message, operation_id), self._clock.now()))

    def wake(self) -> None:
        """Hint that rows wait. A lost hint costs time, never work, so a full inbox is no matter."""
        try:
            self.tell(Tick())
        except Unavailable:
            return

    async def ask(
        self, message: Request[Answer], *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Send and wait for the answer, no longer than the message in hand may still take.

        A wait that is cancelled takes the message back, if it is not in hand yet.

        Raises:
            Unavailable: not now; the same message may be sent again.
            ActorFailed: the actor crashed on it.
            AskCycle: the actor waits, directly or not, for the sender.
        """
        sender = current_context.get()
        chain = sender.chain if sender else ()
        if self.name in chain:
            raise AskCycle((*chain, self.name))
        now = self._clock.now()
        deadline = now + timeout_s
        if sender is not None and sender.deadline is not None:
            deadline = min(deadline, sender.deadline)
        if deadline <= now:
            raise Unavailable(f"no time is left to ask {self.name}")
        context = _context(message, None, deadline, chain)
        reply: Reply[Answer] = Reply()
        self._deliver(Envelope(message, reply, context, now))
        timer = self._clock.call_later(
            deadline - now,
            lambda: reply.fail(Unavailable(f"{self.name} did not answer in time")),
        )
        try:
            return await reply
        finally:
            timer.cancel()


def _context(
    message: Any,
    operation_id: str | None,
    deadline: float | None = None,
    chain: tuple[str, ...] = (),
) -> MessageContext:
    """The sender's story goes on; its deadline and chain bind only what it waits for."""
    sender = current_context.get()
    operation = operation_id or getattr(message, "operation_id", None)
    return MessageContext(
        correlation_id=sender.correlation_id if sender else new_correlation_id(),
        operation_id=operation or (sender.operation_id if sender else ""),
        deadline=deadline,
        chain=chain,
    )


class Directory:
    """Who is where, by kind and key; filled by supervisors, asked at every send."""

    def __init__(self) -> None:
        self._finders: dict[str, Callable[[str], Address]] = {}
        self._fixed: dict[tuple[str, str], Address] = {}

    def register(self, kind: str, address: Address, key: str = "") -> None:
        """Announce an actor that lives as long as its supervisor."""
        self._fixed[kind, key] = address

    def register_family(self, kind: str, find: Callable[[str], Address]) -> None:
        """Announce actors that start when they are first written to."""
        self._finders[kind] = find

    def find(self, kind: str, key: str = "") -> Address:
        """The address of an actor.

        Raises:
            LookupError: nobody announced it: a mistake in the wiring.
        """
        if kind in self._finders:
            return self._finders[kind](key)
        address = self._fixed.get((kind, key))
        if address is None:
            raise LookupError(f"there is no {kind} {key}".rstrip())
        return address
