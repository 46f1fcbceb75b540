"""Nursery: what every supervisor does with a child. It ends only with the supervisor's knowledge.

A failed restart is a note to oneself: no handler waits for a back-off, so a stop gets through.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar, NoReturn

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.clock import Clock
from actors.runtime.inspection import failure_of
from actors.runtime.mailbox import Envelope
from actors.runtime.messages import ChildEnded, RestartByHand, RestartDue
from supervisors.engine.child import Child
from supervisors.engine.policy import Policy, Scope, Strategy, SupervisorSpec
from supervisors.engine.report import Reporter
from supervisors.engine.restarts import (
    GiveUp,
    ParkFor,
    RestartAfter,
    RestartHistory,
    decide_restart,
    later,
    restarts_within,
)
from supervisors.engine.strategies import (
    Directive,
    Outcome,
    Restart,
    decide_outcome,
    decide_shutdown,
    directive_for,
)

#: A child that takes longer to get ready hangs, seconds.
START_DEADLINE_S = 30.0


class GaveUp(Exception):  # noqa: N818 - what happened, for the supervisor above
    """A child failed more often than the policy allows, or by an error that is not its own."""


class NotReady(Exception):  # noqa: N818 - what happened
    """A child did not get ready in time."""


class Nursery(AsyncioActor):
    """Starts children, hears of their ends, mends or gives up."""

    hung_after_s = None  # stopping children takes as long as they are given
    abandon_deadline_s = None
    #: Whether an idle child may leave, to be started again by the next message.
    passivates: ClassVar[bool] = False

    def __init__(
        self, spec: SupervisorSpec, surroundings: Surroundings, source: random.Random
    ) -> None:
        super().__init__()
        self.spec = spec
        self.surroundings = surroundings
        self.source = source
        self.children: dict[str, Child] = {}
        #: The restarts of all children together.
        self.history = RestartHistory()
        self._shutting_down = False
        self._hurried = False
        self.report = Reporter(self, surroundings.clock, surroundings.observer)

    @property
    def policy(self) -> Policy:
        """The policy of this moment."""
        return self.spec.policy()

    async def on_child_ended(self, message: ChildEnded) -> None:
        """Mend the end of a child as its spec and the policy say, or fail."""
        child = self.children.get(message.child)
        if child is None or message.incarnation <= child.settled or self._shutting_down:
            return
        child.actor = None
        child.settled = message.incarnation
        directive = None
        if message.error is not None:
            directive = directive_for(message.error, child.spec.directives)
        match decide_outcome(child.spec.restart, directive):
            case Outcome.RESTART:
                await self._restart(child, weather=message.weather)
            case Outcome.STAY_DOWN:
                self.stay_down(child)
                await self.begin_all(self.waiting_for(child))
            case Outcome.FORGET:
                self.forget(child)
                await self.begin_all(self.waiting_for(child))
            case Outcome.ESCALATE:
                self._give_up(child, type(message.error).__name__)

    async def on_restart_due(self, message: RestartDue) -> None:
        """The back-off is over."""
        child = self.children.get(message.child)
        if child is None or child.restart_timer is None or child.settled != message.incarnation:
            return
        self._forget_timer(child)
        await self.begin_all([*self.waiting_for(child), child])

    async def on_restart_by_hand(self, message: RestartByHand) -> bool:
        """An operator wants a new life for a child. It spends nothing, and ends a parking."""
        child = self.children.get(message.child)
        if child is None:
            return False
        self.report.by_hand(child.spec.name, child.incarnation, message)
        if message.at_once and child.actor is not None:
            child.actor.kill()
        await self.stop_child(child)
        child.history = RestartHistory()
        await self.begin_all([*self.waiting_for(child), child])
        return True

    def hurry(self) -> None:
        """End now and without patience, and so does everybody below."""
        self._hurried = True
        self.kill()

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

    async def begin_all(self, children: Iterable[Child]) -> None:
        """Start those of the children that are down, in order, each after the last is ready."""
        if self._shutting_down:
            return
        wanted = {child.key for child in children if child.actor is None}
        waiting = [child for child in self.children.values() if child.key in wanted]
        for child in waiting:
            child.waits_for = None
        for number, child in enumerate(waiting):
            if not await self._ready(child) and self.policy.strategy is not Strategy.ONE_FOR_ONE:
                # Those after it build on it: they start when its own restart is due.
                for follower in waiting[number + 1 :]:
                    follower.waits_for = child.key
                return

    def begin(self, child: Child) -> AsyncioActor | None:
        """Start a new incarnation of a child on its old inbox; None if not even that worked."""
        self._forget_timer(child)
        child.waits_for = None
        child.incarnation += 1
        incarnation = child.incarnation

        def ended(_: AsyncioActor | None, ending: Ending) -> None:
            if not self.actor_stopped.is_set():
                note = ChildEnded(
                    child=child.key,
                    incarnation=incarnation,
                    error=ending.error,
                    weather=ending.weather,
                )
                self.actor_inbox.put(Envelope(note))
            # Told here and not on the note: a supervisor that is stopping reads no notes.
            if ending.error is not None:
                self.report.crashed(child.spec.name, incarnation, ending)

        child.mailbox.open()
        try:
            actor = child.spec.start()
        except Exception as bug:  # noqa: BLE001 - the child's bug, so its policy holds
            weather = isinstance(bug, self.weather)
            child.mailbox.statistics.last_failure = failure_of(bug, "start", self.clock.now())
            ended(None, Ending(error=bug, during="start", context=None, weather=weather))
            return None
        child.actor = actor
        child.begun_at = self.clock.now()
        self.report.started(child.spec.name, incarnation)
        actor.take_post(
            Post(
                name=child.spec.name,
                mailbox=child.mailbox,
                surroundings=self.surroundings,
                ended=ended,
                resume_on=tuple(
                    kind
                    for kind, directive in child.spec.directives.items()
                    if directive is Directive.RESUME
                ),
            )
        )
        return actor

    def stay_down(self, child: Child) -> None:
        """A child has ended for good, unless a sibling's restart or an operator starts it again."""
        self._nobody_reads(child)
        self._end_with(child)

    def forget(self, child: Child) -> None:
        """A temporary child has ended by itself."""
        self._drop(child)
        self._end_with(child)

    def close(self) -> None:
        """The supervisor is ending: begin nothing new."""

    async def stop_children(self) -> None:
        """Stop all children, in reverse order of their start."""
        for child in reversed(list(self.children.values())):
            await self.stop_child(child, drain=self.draining)

    async def stop_child(self, child: Child, *, drain: bool = False) -> None:
        """Ask a child to stop; past its deadline, end it. Its end is no news any more.

        A supervisor has no deadline of its own: its children have theirs.
        """
        self._forget_timer(child)
        child.waits_for = None
        actor = child.actor
        if actor is not None:
            actor.stop(drain=drain)
            await self._until_ended(actor)
        child.actor = None
        child.settled = child.incarnation

    def waiting_for(self, child: Child) -> list[Child]:
        """Siblings that are going to be restarted with a failed child."""
        return [other for other in self.children.values() if other.waits_for == child.key]

    def siblings_of(self, child: Child) -> list[Child]:
        """Who is restarted with a failed child, in the order of their start."""
        del child
        return []

    def slowed(self, child: Child, delay_s: float) -> float:
        """The delay of a restart, longer while something larger is wrong."""
        del child
        return delay_s

    async def _restart(self, child: Child, *, weather: bool) -> None:
        now = self.clock.now()
        together = self.spec.scope is Scope.TOGETHER
        # How often is counted as the spec says; the back-off is always the child's own.
        counted = self.history.restarts if together else child.history.restarts
        decision = decide_restart(
            replace(child.history, restarts=counted),
            now,
            self.policy,
            self.spec.exceeded,
            self.source.random(),
            weather=weather,
        )
        if isinstance(decision, GiveUp):
            self._give_up(child, "too many restarts")
        if isinstance(decision, RestartAfter) and not weather:
            decision = later(decision, self.slowed(child, decision.delay_s))
        siblings = self.siblings_of(child)
        if isinstance(decision, ParkFor):
            self._forget_restarts(child)
            child.mailbox.park()
            self.report.parked(child.spec.name, child.incarnation, decision.delay_s)
        else:
            self._remember(child, decision, now, weather=weather)
            names = [sibling.spec.name for sibling in siblings]
            self.report.restarting(child.spec.name, child.incarnation, decision, names)
        for sibling in reversed(siblings):
            await self.stop_child(sibling)
            if sibling.spec.restart is Restart.TEMPORARY:
                self._drop(sibling)
            else:
                sibling.waits_for = child.key
        # From now on, not from the crash: the siblings' ends took time.
        self._begin_after(child, decision.delay_s)

    def _give_up(self, child: Child, reason: str) -> NoReturn:
        self.report.gave_up(child.spec.name, reason)
        raise GaveUp(f"{child.spec.name}: {reason}")

    def _remember(self, child: Child, decision: RestartAfter, now: float, *, weather: bool) -> None:
        history = decision.history
        if self.spec.scope is Scope.TOGETHER:
            self.history = RestartHistory(restarts=history.restarts)
            own = restarts_within(child.history, now, self.policy)
            history = replace(history, restarts=own if weather else (*own, now))
        child.history = history

    def _forget_restarts(self, child: Child) -> None:
        child.history = RestartHistory()
        self.history = RestartHistory()

    def _drop(self, child: Child) -> None:
        """Forget a temporary child."""
        del self.children[child.key]
        self._nobody_reads(child)

    def _nobody_reads(self, child: Child) -> None:
        child.mailbox.close()
        child.mailbox.refuse_askers(f"{child.spec.name} has ended")

    def _begin_after(self, child: Child, delay_s: float) -> None:
        note = RestartDue(child=child.key, incarnation=child.settled)
        child.restart_at = self.clock.now() + delay_s
        child.restart_timer = self.clock.call_later(
            delay_s, lambda: self.actor_inbox.put(Envelope(note))
        )

    def _forget_timer(self, child: Child) -> None:
        if child.restart_timer is not None:
            child.restart_timer.cancel()
        child.restart_timer = child.restart_at = None

    def _end_with(self, child: Child) -> None:
        """End in order, if this child's end is meant to be the supervisor's."""
        if not child.spec.significant:
            return
        left = sum(other.spec.significant and not other.down() for other in self.children.values())
        if decide_shutdown(self.spec.auto_shutdown, significant_left=left):
            # What else has ended meanwhile is no longer mended: that might fail what ends in order.
            self._shutting_down = True
            self.stop()

    async def _ready(self, child: Child) -> bool:
        """Start a child and wait until it takes messages; False if it failed before."""
        actor = self.begin(child)
        if actor is None:
            return False
        # A supervisor is as long in starting as its children are, and those have a deadline each.
        deadline_s = None if isinstance(actor, Nursery) else START_DEADLINE_S
        with _timer(self.clock, deadline_s, lambda: actor.kill(NotReady())):
            await asyncio.wait([actor.started])
        return not actor.actor_stopped.is_set()

    async def _until_ended(self, actor: AsyncioActor) -> None:
        deadline_s = None if isinstance(actor, Nursery) else self.policy.shutdown_s
        with _timer(self.clock, deadline_s, actor.kill):
            await actor.wait_ended()

    async def _take_down(self) -> None:
        self.close()
        if self._hurried:
            await self._cut_off()
            return
        try:
            await self.stop_children()
        except asyncio.CancelledError:
            # Past the supervisor's own deadline there is no time for those of its children.
            await self._cut_off()
            raise

    async def _cut_off(self) -> None:
        living = []
        for child in self.children.values():
            self._forget_timer(child)
            if child.actor is not None:
                living.append(child.actor)
        for actor in living:
            if isinstance(actor, Nursery):
                actor.hurry()
            else:
                actor.kill()
        for actor in living:
            await actor.wait_ended()


@contextmanager
def _timer(clock: Clock, delay_s: float | None, callback: Callable[[], None]) -> Iterator[None]:
    """A call that happens unless the block ends before."""
    timer = None if delay_s is None else clock.call_later(delay_s, callback)
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
