"""What a supervisor knows of a child before it starts, and while it lives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from actors.runtime.actor import AsyncioActor
from actors.runtime.clock import Timer
from actors.runtime.mailbox import Mailbox
from supervisors.engine.policy import RestartLimits
from supervisors.engine.restarts import RestartHistory


class Restart(StrEnum):
    """Which ends of a child are mended."""

    PERMANENT = "permanent"  # every end
    TRANSIENT = "transient"  # crashes alone; after an orderly end the next message starts another


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start a child, and what to do when it ends. `start` makes a new object each time."""

    name: str
    start: Callable[[], AsyncioActor]
    limits: RestartLimits
    restart: Restart = Restart.PERMANENT


@dataclass(slots=True, eq=False)
class Child:
    """A child as it stands: its inbox outlives the objects that read it."""

    key: str
    spec: ChildSpec
    mailbox: Mailbox
    actor: AsyncioActor | None = None
    incarnation: int = 0
    history: RestartHistory = field(default_factory=RestartHistory)
    restart_timer: Timer | None = None
