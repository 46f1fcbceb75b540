"""Messages that every actor or supervisor understands, and the base of those with an answer."""

from dataclasses import dataclass
from typing import Generic, TypeVar

Reply_co = TypeVar("Reply_co", covariant=True)


class Request(Generic[Reply_co]):
    """A message whose answer has the type `Reply_co`; expected outcomes are answers, not errors."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Look for unfinished work: sent by a timer, and by whoever has just made some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Finish the message in hand and end; passes every waiting message.

    With `drain` the inbox takes nothing new, and what waits in it is handled first.
    """

    drain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildEnded:
    """A child of a supervisor ended. `error` is None for an orderly end, `weather` an outage's."""

    child: str
    incarnation: int
    error: BaseException | None
    weather: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartDue:
    """A supervisor's note to itself: the back-off of this child is over."""

    child: str
    incarnation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartByHand(Request[bool]):
    """An operator wants a child started anew; the answer is whether there was one.

    With `at_once` the message in hand is cut off, which counts as a strike against it.
    """

    child: str
    at_once: bool = False
    who: str = ""
    reason: str = ""
