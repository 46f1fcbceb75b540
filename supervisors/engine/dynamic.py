"""Children by key, started by their first message and gone when idle: no message is lost.

Partitioned, so that a storm among some of them slows down their own partition alone.
"""

import asyncio
import random
import zlib
from collections.abc import Callable, Iterable

from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Address
from actors.runtime.mailbox import Envelope, Mailbox, hand_over
from actors.runtime.replies import Unavailable
from supervisors.engine.child import Child, ChildSpec
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import SupervisorSpec
from supervisors.engine.strategies import Restart


class Cells:
    """The children of a dynamic supervisor as seen from outside: an address for every key.

    It is there before the supervisor starts, and keeps the inboxes while that is restarted.
    """

    def __init__(self, kind: str, surroundings: Surroundings) -> None:
        self.kind = kind
        self.children: dict[str, Child] = {}
        self.supervisor: DynamicSupervisor | None = None
        self._surroundings = surroundings
        self._loop = asyncio.get_running_loop()

    def name(self, key: str) -> str:
        """The name of the child of a key."""
        return f"{self.kind}/{key}"

    def address(self, key: str) -> Address:
        """Where the child of this key is reached, alive or not."""
        return Address(
            self.name(key),
            lambda envelope: hand_over(self._loop, lambda one: self._deliver(key, one), envelope),
            self._surroundings.clock,
        )

    def _deliver(self, key: str, envelope: Envelope) -> None:
        if self.supervisor is None:
            raise Unavailable(f"{self.kind} actors are not running")
        self.supervisor.deliver(key, envelope)


class Partitions:
    """Cells over which keys are spread by hash, each with a supervisor of its own."""

    def __init__(self, kind: str, count: int, surroundings: Surroundings) -> None:
        self.cells = [Cells(kind, surroundings) for _ in range(count)]

    def of(self, key: str) -> Cells:
        """The partition of a key: the same in every run."""
        return self.cells[zlib.crc32(key.encode()) % len(self.cells)]

    def address(self, key: str) -> Address:
        """Where the child of this key is reached, alive or not."""
        return self.of(key).address(key)


class DynamicSupervisor(Nursery):
    """Starts a child for a key when something is sent to it."""

    passivates = True

    def __init__(
        self,
        cells: Cells,
        start: Callable[[str], AsyncioActor],
        mailbox_bound: int,
        spec: SupervisorSpec,
        surroundings: Surroundings,
        source: random.Random,
    ) -> None:
        super().__init__(spec, surroundings, source)
        self.children = cells.children
        self.cells = cells
        self._start = start
        self._bound = mailbox_bound
        self._failed_at: dict[str, float] = {}
        self._storm = False

    async def prepare(self) -> None:
        """From now on messages start children, and so do those left by the life before."""
        self.cells.supervisor = self
        for child in list(self.children.values()):
            self.stay_down(child)

    def close(self) -> None:
        """Take no more messages."""
        self.cells.supervisor = None

    async def stop_children(self) -> None:
        """Stop the children side by side."""
        await asyncio.gather(
            *(self.stop_child(child, drain=self.draining) for child in self.children.values())
        )

    def deliver(self, key: str, envelope: Envelope) -> None:
        """Put a message into the inbox of a key, whose child starts if there is none.

        Raises:
            Unavailable: the inbox is full.
        """
        child = self.children.get(key)
        if child is not None:
            child.mailbox.put(envelope)
            return
        name = self.cells.name(key)
        spec = ChildSpec(name=name, start=lambda: self._start(key), restart=Restart.TRANSIENT)
        child = Child(key, spec, Mailbox(name, self._bound))
        child.mailbox.put(envelope)
        self.children[key] = child
        self.begin(child)

    def stay_down(self, child: Child) -> None:
        """After an orderly end: start again for what waits; with nothing waiting, free the name.

        No await between the look into the inbox and the end of the name: nothing can slip in.
        """
        mailbox = child.mailbox
        if not mailbox.empty() or mailbox.suspended:
            self.begin(child)
        else:
            del self.children[child.key]
            self._failed_at.pop(child.key, None)

    async def begin_all(self, children: Iterable[Child]) -> None:
        """Start children side by side: none builds on another."""
        for child in children:
            self.begin(child)

    def waiting_for(self, child: Child) -> list[Child]:
        """Nobody: the failure of one leaves the others alone."""
        del child
        return []

    def slowed(self, child: Child, delay_s: float) -> float:
        """In a storm restarts take up to the cap, and never less than half of it."""
        now = self.clock.now()
        policy = self.policy
        self._failed_at[child.key] = now
        if len(self._failed_at) >= policy.storm_children:
            self._failed_at = {
                key: at for key, at in self._failed_at.items() if now - at <= policy.window_s
            }
        storm = len(self._failed_at) >= policy.storm_children
        if storm and not self._storm:
            self.report.storm(len(self._failed_at))
        self._storm = storm
        if not storm:
            return delay_s
        return max(delay_s, policy.backoff_cap_s * (1 + self.source.random()) / 2)
