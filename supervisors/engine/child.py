"""What a supervisor knows of a child before it starts, and while it lives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from actors.runtime.clock import Clock, Timer
from actors.runtime.mailbox import Mailbox
from supervisors.engine.restarts import RestartHistory
from supervisors.engine.strategies import Directive, Restart

NO_DIRECTIVES: Mapping[type[Exception], Directive] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start a child, and what to do when it ends. `start` makes a new object each time.

    `significant` children end their supervisor with them, if it says so. `directives` tell what
    errors of certain classes mean; all others mean a restart.
    """

    name: str
    start: Callable[[], AsyncioActor]
    restart: Restart = Restart.PERMANENT
    significant: bool = False
    directives: Mapping[type[Exception], Directive] = field(default_factory=lambda: NO_DIRECTIVES)

    def __post_init__(self) -> None:
        if self.significant and self.restart is Restart.PERMANENT:
            raise ValueError(f"{self.name}: a permanent child never ends, so it is not significant")


@dataclass(slots=True, eq=False)
class Child:
    """A child as it stands: its inbox outlives the objects that read it."""

    key: str
    spec: ChildSpec
    mailbox: Mailbox
    actor: AsyncioActor | None = None
    incarnation: int = 0
    #: The last incarnation whose end has been dealt with.
    settled: int = 0
    #: Its own: its restarts within the window, and its run of quick crashes.
    history: RestartHistory = field(default_factory=RestartHistory)
    #: When the present incarnation was begun.
    begun_at: float = 0.0
    restart_timer: Timer | None = None
    restart_at: float | None = None
    #: The failed sibling that it is going to be restarted with.
    waits_for: str | None = None

    def down(self) -> bool:
        """Whether nothing runs and nothing is going to start it by itself."""
        return self.actor is None and self.restart_timer is None and self.waits_for is None


@dataclass(frozen=True, slots=True)
class Hosted:
    """A child of a fixed list together with its inbox, which is there before the child is.

    So an address can be handed out while the tree is still being built, and a restart of the
    supervisor itself loses no message either.
    """

    spec: ChildSpec
    mailbox: Mailbox

    @classmethod
    def of(cls, spec: ChildSpec, bound: int = AsyncioActor.mailbox_bound) -> "Hosted":
        """Give a child an inbox for `bound` messages."""
        return cls(spec, Mailbox(spec.name, bound))

    def address(self, clock: Clock) -> Address:
        """Where this child is reached, whichever object stands behind it."""
        return Address(self.spec.name, self.mailbox.put, clock)

    def child(self) -> Child:
        """A child that has not started yet."""
        return Child(self.spec.name, self.spec, self.mailbox)
