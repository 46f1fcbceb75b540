"""How nodes, their breakers and the end of access look to operators.

Light to import: the command starts quickly.
"""

from dataclasses import dataclass
from datetime import datetime

#: A comparison of a million users takes seconds, and it may wait behind another one.
PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerView:
    """How a node's breaker stands; `next_probe_s` is 0 where none is needed."""

    node: str
    state: str
    next_probe_s: float
    at_a_time: int
    retry_budget: float
    key_refused: bool
    away_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node for operators."""

    id: str
    state: str
    reason: str
    changed_at: datetime
    changed_by: str
    users: int
    waiting: int
    set_aside: int
    breaker: str
    last_outcome: str | None
    last_why: str
    orphans: int
    missing: int
    #: For how many users it is meant, if that is said; and how many have to leave it.
    capacity: int | None = None
    moving: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryView:
    """What was ended since the start; `held` says why nothing ends, and is empty if it does.

    `off` are the policies that an operator has switched off.
    """

    ended: int
    reminded: int
    held: str
    off: tuple[str, ...] = ()
