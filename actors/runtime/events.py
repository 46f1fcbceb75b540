"""What happens in a tree, as values: for the log, the database and the tests alike."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeVar

import structlog

log = structlog.get_logger(__name__)

Told = TypeVar("Told")


class EventKind(StrEnum):
    """What happened to an actor."""

    STARTED = "started"
    CRASHED = "crashed"
    RESTARTING = "restarting"
    PARKED = "parked"
    STORM = "storm"
    GAVE_UP = "gave_up"
    QUARANTINED = "quarantined"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    RESTARTED_BY_HAND = "restarted_by_hand"
    POLICY_CHANGED = "policy_changed"
    LOOP_BLOCKED = "loop_blocked"
    BREAKER_CHANGED = "breaker_changed"
    NODE_AWAY = "node_away"
    NODE_BACK = "node_back"
    NODE_KEY_REFUSED = "node_key_refused"
    NODE_KEY_TAKEN = "node_key_taken"
    NODE_CERTIFICATE = "node_certificate"
    NODE_ANSWERS_WRONG = "node_answers_wrong"
    NODE_FROZEN = "node_frozen"
    NODE_UNCOMPARED = "node_uncompared"
    NODE_EMPTY = "node_empty"
    NODE_NOWHERE = "node_nowhere"
    EXPIRY_HELD = "expiry_held"
    EXPIRY_GOES_ON = "expiry_goes_on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened. `at` is in the clock's seconds, `supervisor` the parent's name."""

    kind: EventKind
    at: float
    supervisor: str
    actor: str
    incarnation: int | None = None
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str = ""
    error: BaseException | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that is not tried again: its actor ended over it too often."""

    at: float
    actor: str
    message: Any
    attempts: int
    error: BaseException
    correlation_id: str
    operation_id: str


class Observer(Protocol):
    """Hears of everything that happens in a tree. Called on the loop, and must not wait."""

    def event(self, event: Event) -> None:
        """Something happened to an actor."""
        ...

    def dead_letter(self, letter: DeadLetter) -> None:
        """A message was set aside."""
        ...


class Unobserved:
    """Nobody listens."""

    def event(self, event: Event) -> None:
        """See `Observer`."""

    def dead_letter(self, letter: DeadLetter) -> None:
        """See `Observer`."""


def observe(listener: Callable[[Told], None], told: Told) -> None:
    """Tell an observer, whose own mistakes end no actor and no supervisor."""
    try:
        listener(told)
    except Exception:  # any bug may hide there; none may cost a restart
        log.exception("observer_failed", told=type(told).__name__)
