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
from actors.runtime.messages import ChildEnded, RestartDue, Stop
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
        if message.error is not None:
            report.crashed(
                self.name, child.spec.name, child.incarnation, message.during, message.error
            )
        elif child.spec.restart is Restart.TRANSIENT:
            self.forget(child)
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
        """Stop the children, the last one first."""
        await self.stop_children()

    async def abandon(self) -> None:
        """A supervisor that fails takes its children with it, in order."""
        await self.stop_children()

    def begin(self, child: Child) -> AsyncioActor:
        """Start a new incarnation of a child on its old inbox."""
        actor = child.spec.start()
        child.actor = actor
        child.incarnation += 1
        incarnation = child.incarnation
        report.started(self.name, child.spec.name, incarnation)

        def ended(_: AsyncioActor, ending: Ending) -> None:
            if not ending.idle:
                note = ChildEnded(
                    child=child.key,
                    incarnation=incarnation,
                    error=ending.error,
                    during=ending.during,
                )
                self.actor_inbox.put(Envelope(note))

        actor.take_post(
            Post(
                name=child.spec.name,
                mailbox=child.mailbox,
                surroundings=self.surroundings,
                ended=ended,
                vacate=(lambda: self.forget(child)) if self.passivates else None,
            )
        )
        return actor

    def forget(self, child: Child) -> None:
        """A child that is not to be restarted: its name is free again."""
        if self.children.get(child.key) is child:
            del self.children[child.key]

    async def stop_children(self) -> None:
        """Stop all children, in reverse order of their start."""
        for child in reversed(list(self.children.values())):
            await stop_child(child)


class Supervisor(Nursery):
    """A fixed list of children, one_for_one: the failure of one leaves the others alone."""

    def __init__(
        self, children: Sequence["Hosted"], surroundings: Surroundings, source: random.Random
    ) -> None:
        super().__init__(surroundings, source)
        self.children = {hosted.spec.name: hosted.child() for hosted in children}

    def begin_life(self, name: str) -> None:
        """Start as the top of a tree: nobody supervises this one, its end is awaited outside."""
        self.take_post(
            Post(
                name=name,
                mailbox=Mailbox(name, self.mailbox_bound),
                surroundings=self.surroundings,
                ended=lambda _, __: None,
            )
        )

    async def prepare(self) -> None:
        """Start the children in order, each after the one before it is ready."""
        for child in self.children.values():
            await self.begin(child).started


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


async def stop_child(child: Child) -> None:
    """Ask a child to stop; past its deadline, end it. What still waits is refused."""
    if child.restart_timer is not None:
        child.restart_timer.cancel()
    actor = child.actor
    if actor is not None:
        child.mailbox.put(Envelope(Stop()))
        await _ended(actor, child.spec.limits.shutdown_s)
    child.actor = None
    child.mailbox.refuse_all(f"{child.spec.name} is stopping")


async def _ended(actor: AsyncioActor, deadline_s: float) -> None:
    try:
        async with asyncio.timeout(deadline_s):
            await actor.wait_ended()
    except TimeoutError:
        actor.kill()
        await actor.wait_ended()
