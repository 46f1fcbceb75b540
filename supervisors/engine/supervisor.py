"""A supervisor: an actor whose children end only with its knowledge.

Children start in list order and stop in reverse, each with a deadline and then cancelled.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.mailbox import Envelope, Mailbox
from actors.runtime.messages import ChildEnded, RestartDue
from supervisors.engine import report
from supervisors.engine.child import Child, ChildSpec, Restart
from supervisors.engine.restarts import GiveUp, decide_restart


class GaveUp(Exception):  # noqa: N818 - what happened, for the supervisor above
    """A child failed more often than its limits allow."""


class Nursery(AsyncioActor):
    """What every supervisor does with a child: start it, hear of its end, mend or give up."""

    #: Whether an idle child may leave, to be started again by the next message.
    passivates: ClassVar[bool] = False

    def __init__(self, surroundings: Surroundings, source: random.Random) -> None:
        super().__init__()
        self.surroundings = surroundings
        self.source = source
        self.children: dict[str, Child] = {}

    async def on_child_ended(self, message: ChildEnded) -> None:
        """Restart a child by its limits, or fail as they say."""
        child = self.children.get(message.child)
        if child is None or child.incarnation != message.incarnation:
            return
        child.actor = None
        if message.error is None and child.spec.restart is Restart.TRANSIENT:
            self.resume(child)
            return
        limits = child.spec.limits
        decision = decide_restart(child.history, self.clock.now(), limits, self.source.random())
        if isinstance(decision, GiveUp):
            report.gave_up(self.name, child.spec.name)
            raise GaveUp(f"{child.spec.name} exceeded its restart limits")
        child.history = decision.history
        report.restarting(self.name, child.spec.name, decision.delay_s, exceeded=decision.exceeded)
        note = RestartDue(child=message.child, incarnation=child.incarnation)
        child.restart_timer = self.clock.call_later(
            decision.delay_s, lambda: self.actor_inbox.put(Envelope(note))
        )

    async def on_restart_due(self, message: RestartDue) -> None:
        """The back-off is over."""
        child = self.children.get(message.child)
        if child is not None and child.actor is None and child.incarnation == message.incarnation:
            self.begin(child)

    async def finish(self) -> None:
        """Stop the children, the last one first; who still waits for an answer is told."""
        await self._take_down()
        for child in self.children.values():
            child.mailbox.refuse_askers(f"{child.spec.name} is stopping")

    async def abandon(self) -> None:
        """A supervisor that fails takes its children with it, in order.

        What waits for them waits on: the next incarnation of the supervisor starts them again.
        """
        await self._take_down()

    def begin(self, child: Child) -> AsyncioActor | None:
        """Start a new incarnation of a child on its old inbox; None if not even that worked."""
        child.incarnation += 1
        incarnation = child.incarnation

        def ended(_: AsyncioActor | None, ending: Ending) -> None:
            # Told here and not on the note: a supervisor that is stopping reads no notes.
            if ending.error is not None:
                report.crashed(self.name, child.spec.name, incarnation, ending)
            if not self.actor_stopped.is_set():
                note = ChildEnded(child=child.key, incarnation=incarnation, error=ending.error)
                self.actor_inbox.put(Envelope(note))

        try:
            actor = child.actor = child.spec.start()
        except Exception as bug:  # noqa: BLE001 - the child's bug, so its restart limits hold
            ended(None, Ending(error=bug, during="start", context=None))
            return None
        report.started(self.name, child.spec.name, incarnation)
        actor.take_post(
            Post(
                name=child.spec.name,
                mailbox=child.mailbox,
                surroundings=self.surroundings,
                ended=ended,
                may_leave=self.passivates,
            )
        )
        return actor

    def resume(self, child: Child) -> None:
        """After an orderly end: start again for what waits; with nothing waiting, free the name.

        No await between the look into the inbox and the end of the name: nothing can slip in.
        """
        if not child.mailbox.empty():
            self.begin(child)
        else:
            del self.children[child.key]

    async def stop_children(self) -> None:
        """Stop all children, in reverse order of their start."""
        for child in reversed(self.children.values()):
            await self.stop_child(child)

    async def stop_child(self, child: Child) -> None:
        """Ask a child to stop; past its deadline, end it."""
        if child.restart_timer is not None:
            child.restart_timer.cancel()
        actor = child.actor
        if actor is None:
            return
        actor.stop()
        deadline = self.clock.call_later(child.spec.limits.shutdown_s, actor.kill)
        try:
            await actor.wait_ended()
        finally:
            deadline.cancel()
        child.actor = None

    async def _take_down(self) -> None:
        try:
            await self.stop_children()
        except asyncio.CancelledError:
            # Past the supervisor's own deadline there is no time for those of its children.
            for child in self.children.values():
                if child.actor is not None:
                    child.actor.kill()
            raise


class Supervisor(Nursery):
    """A fixed list of children, one_for_one: the failure of one leaves the others alone."""

    def __init__(
        self, children: Sequence["Hosted"], surroundings: Surroundings, source: random.Random
    ) -> None:
        super().__init__(surroundings, source)
        self.children = {hosted.spec.name: hosted.child() for hosted in children}
        if len(self.children) != len(children):
            raise ValueError("two children have the same name")

    def begin_life(self, name: str) -> None:
        """Start as the top of a tree: nobody supervises this one, its end is awaited outside."""
        self.take_post(
            Post(
                name=name,
                mailbox=Mailbox(name, self.mailbox_bound),
                surroundings=self.surroundings,
                ended=report.top_ended,
            )
        )

    async def prepare(self) -> None:
        """Start the children in order, each after the one before it is ready."""
        for child in self.children.values():
            actor = self.begin(child)
            if actor is not None:
                await actor.started


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

    def address(self, surroundings: Surroundings) -> Address:
        """Where this child is reached, whichever object stands behind it."""
        return Address(self.spec.name, self.mailbox.put, surroundings.clock)

    def child(self) -> Child:
        """A child that has not started yet."""
        return Child(self.spec.name, self.spec, self.mailbox)
