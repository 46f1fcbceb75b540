"""What an operator sees of an actor, as values: no exception's words, no message's content."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any


class ActorState(StrEnum):
    """How an actor stands."""

    RUNNING = "running"
    SUSPENDED = "suspended"  # by an operator: takes no messages
    RESTARTING = "restarting"  # waits for its back-off
    PARKED = "parked"  # failed too often: left alone for a while
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The last error of an actor: what kind, where in the code, during which message, and when.

    Not its text, which may quote anything. `at` is in the clock's seconds.
    """

    error: str
    where: str
    during: str
    at: float

    def __str__(self) -> str:
        place = f" in {self.where}" if self.where else ""
        return f"{self.error}{place} during {self.during}"


@dataclass(slots=True, kw_only=True)
class HandledMessage:
    """A message that an actor has had in hand. Times in seconds.

    Not frozen: one is made for every message, and freezing triples what that costs.
    """

    message: str
    correlation_id: str
    at: float
    waited_s: float
    took_s: float
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorView:
    """One actor in the tree as it stands. Times in seconds, None where there is none."""

    name: str
    kind: str
    state: ActorState
    incarnation: int
    restarts: int = 0
    max_restarts: int | None = None
    inbox: int = 0
    oldest_s: float | None = None
    in_hand: str | None = None
    in_hand_s: float | None = None
    back_in_s: float | None = None
    last_error: str | None = None
    last_error_s: float | None = None
    strategy: str | None = None
    children: tuple["ActorView", ...] = ()
    #: Children that were left out of `children`; those in trouble come first.
    more: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorDetails:
    """A look inside one actor. `state` is what the actor says of itself, redacted."""

    view: ActorView
    supervisor: str
    state: Mapping[str, Any] = field(default_factory=dict)
    handled: int = 0
    failed: int = 0
    mean_s: float | None = None
    longest_s: float | None = None
    recent: tuple[HandledMessage, ...] = ()


def failure_of(error: BaseException, during: str, at: float) -> Failure:
    """What is shown of an error: the innermost place in the code, and nothing that it says."""
    frames = list(traceback.walk_tb(error.__traceback__))  # `extract_tb` would read the sources
    where = ""
    if frames:
        frame, line = frames[-1]
        where = f"{Path(frame.f_code.co_filename).name}:{line}"
    return Failure(error=type(error).__name__, where=where, during=during, at=at)
