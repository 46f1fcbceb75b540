"""Children by key, started by their first message and gone when idle: no message is lost."""

import asyncio
import random
from collections.abc import Callable

from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Address
from actors.runtime.mailbox import Envelope, Mailbox, hand_over
from actors.runtime.replies import Unavailable
from supervisors.engine.child import Child, ChildSpec, Restart
from supervisors.engine.policy import RestartLimits
from supervisors.engine.supervisor import Nursery


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

    def address(self, key: str) -> Address:
        """Where the child of this key is reached, alive or not."""
        return Address(
            f"{self.kind}/{key}",
            lambda envelope: hand_over(self._loop, lambda one: self._deliver(key, one), envelope),
            self._surroundings.clock,
        )

    def _deliver(self, key: str, envelope: Envelope) -> None:
        if self.supervisor is None:
            raise Unavailable(f"{self.kind} actors are not running")
        self.supervisor.deliver(key, envelope)


class DynamicSupervisor(Nursery):
    """Starts a child for a key when something is sent to it."""

    passivates = True

    def __init__(
        self,
        cells: Cells,
        start: Callable[[str], AsyncioActor],
        limits: RestartLimits,
        mailbox_bound: int,
        surroundings: Surroundings,
        source: random.Random,
    ) -> None:
        super().__init__(surroundings, source)
        self.children = cells.children
        self._cells = cells
        self._start = start
        self._limits = limits
        self._bound = mailbox_bound

    async def prepare(self) -> None:
        """From now on messages start children, and so do those left by the life before."""
        self._cells.supervisor = self
        for child in list(self.children.values()):
            self.resume(child)

    async def stop_children(self) -> None:
        """Take no more messages, then stop the children."""
        self._cells.supervisor = None
        await asyncio.gather(*(self.stop_child(child) for child in self.children.values()))

    def deliver(self, key: str, envelope: Envelope) -> None:
        """Put a message into the inbox of a key, whose child starts if there is none.

        Raises:
            Unavailable: the inbox is full.
        """
        child = self.children.get(key)
        if child is not None:
            child.mailbox.put(envelope)
            return
        name = f"{self._cells.kind}/{key}"
        spec = ChildSpec(
            name=name,
            start=lambda: self._start(key),
            limits=self._limits,
            restart=Restart.TRANSIENT,
        )
        child = self.children[key] = Child(key, spec, Mailbox(name, self._bound))
        child.mailbox.put(envelope)
        self.begin(child)
