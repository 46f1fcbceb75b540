"""AsyncioActor: one message at a time on the event loop, and no end that nobody hears of."""

import asyncio
import contextvars
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pykka
import structlog

from actors.runtime.clock import Clock, LoopClock
from actors.runtime.events import DeadLetter, Event, EventKind, Observer, Unobserved, observe
from actors.runtime.inspection import failure_of
from actors.runtime.mailbox import (
    SYSTEM_MESSAGES,
    Envelope,
    Mailbox,
    MessageContext,
    current_context,
)
from actors.runtime.messages import Stop, Tick
from actors.runtime.replies import ActorFailed, Hung, Reply, Unavailable

log = structlog.get_logger(__name__)

#: How often a message may end its actor before it is set aside.
STRIKES = 3
#: Work that was cancelled and goes on is cancelled again after so long, seconds.
CANCEL_AGAIN_S = 5.0
#: After so long what an outage cut off is tried again, seconds: it costs one question then.
SOON_S = 0.1
#: While that fails again and again it waits twice as long each time, up to this, seconds.
LONGEST_SOON_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every actor of a program shares.

    `weather` are exceptions of outages, not of bugs. `before_message` is for tests that simulate
    failures: it is awaited with the actor's name and the message before each handler.
    """

    clock: Clock
    weather: tuple[type[Exception], ...] = ()
    observer: Observer = field(default_factory=Unobserved)
    before_message: Callable[[str, Any], Awaitable[None]] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an actor ended.

    `error` is None for an orderly end, a CancelledError after a kill. `during` names what the actor
    did, `context` is that of the message in hand. `weather`: by an outage, not by a bug.
    """

    error: BaseException | None
    during: str
    context: MessageContext | None
    weather: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """An actor's place in the tree: its name and inbox, and who hears of its end.

    `strikes` is how often a message may end an actor before it is set aside, `resume_on` are errors
    over which the actor lives on with the state that it has.
    """

    name: str
    mailbox: Mailbox
    surroundings: Surroundings
    ended: Callable[["AsyncioActor", Ending], None]
    strikes: int = STRIKES
    resume_on: tuple[type[Exception], ...] = ()


class _Ended:
    """What is used of pykka's `threading.Event`, at a twentieth of its memory."""

    __slots__ = ("_ended",)

    def __init__(self) -> None:
        self._ended = False

    def is_set(self) -> bool:
        """Whether the actor has ended."""
        return self._ended

    def set(self) -> None:
        """It has."""
        self._ended = True


class AsyncioActor(pykka.Actor):
    """An actor whose handlers are `async def on_<message>`.

    An expected outcome is an answer. An exception listed as weather becomes `Unavailable` for the
    asker and the actor lives on; any other exception ends this actor and reaches its supervisor,
    and the next incarnation tries the message again.
    """

    #: How many messages may wait.
    mailbox_bound: ClassVar[int] = 1_000
    #: A handler that takes longer hangs, and is cut off; None: never. Seconds.
    hung_after_s: ClassVar[float | None] = 60.0
    #: How long `abandon` may take, seconds; None: as long as it likes.
    abandon_deadline_s: ClassVar[float | None] = 5.0

    def __init__(self) -> None:
        super().__init__()
        self.actor_stopped = _Ended()  # type: ignore[assignment]  # nobody waits for it in a thread
        self._actor_ref = pykka.ActorRef(self)
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[Any]] = set()
        self._to_drain: set[asyncio.Task[Any]] = set()
        self._spawned_error: BaseException | None = None
        self._error: BaseException | None = None
        self._during = "prepare"
        self._context: MessageContext | None = None
        self._killed_for: BaseException | None = None
        #: Since when it is on its way out in order; None before.
        self.ending_since: float | None = None
        #: Whether this is an orderly stop: what waits is finished, nothing new is begun.
        self.draining = False
        self._idle = False
        #: When the last early `Tick` comes, and how long it waits, seconds.
        self._soon_at, self._soon_s = float("-inf"), SOON_S
        self._leaving = False
        self._post = Post(
            name=f"{type(self).__name__}-{self.actor_urn[-12:]}",
            mailbox=self.actor_inbox,  # type: ignore[arg-type]  # ours: see _create_actor_inbox
            surroundings=Surroundings(clock=LoopClock()),
            ended=_report_unsupervised,
            strikes=1,  # nobody starts it again
        )

    # What an actor writes

    async def prepare(self) -> None:
        """Before the first message. Keep it short: siblings wait for it."""

    async def finish(self) -> None:
        """After the last message of an orderly end."""

    async def abandon(self) -> None:
        """After an error, before the supervisor hears of it. State is lost; let go of resources."""

    def describe(self) -> Mapping[str, Any]:
        """What an operator who looks inside sees: numbers and ids, no secret."""
        return {}

    # What an actor uses

    def tell_observer(self, kind: EventKind, **fields: Any) -> None:
        """Something happened that operators should find in the journal; see `Event`."""
        event = Event(kind=kind, at=self.clock.now(), supervisor="", actor=self.name, **fields)
        observe(self._post.surroundings.observer.event, event)

    @property
    def name(self) -> str:
        """The actor's address in the tree."""
        return self._post.name

    @property
    def clock(self) -> Clock:
        """Monotonic time and timers."""
        return self._post.surroundings.clock

    @property
    def weather(self) -> tuple[type[Exception], ...]:
        """Exceptions of outages: wait and repeat, nothing is wrong with the program."""
        return (Unavailable, *self._post.surroundings.weather)

    def wake_self(self) -> None:
        """Handle a `Tick` after what waits."""
        try:
            self._post.mailbox.put(Envelope(Tick(), None, None, self.clock.now()))
        except Unavailable:
            return

    def wake_self_soon(self) -> None:
        """Handle a `Tick` in a moment: an outage is often one lost connection, and over by then.

        However many ask for it, one comes, and later each time while they go on asking.
        """
        now = self.clock.now()
        if now < self._soon_at:
            return
        quiet = now > self._soon_at + 2 * LONGEST_SOON_S
        self._soon_s = SOON_S if quiet else min(LONGEST_SOON_S, 2 * self._soon_s)
        self._soon_at = now + self._soon_s
        self.clock.call_later(self._soon_s, self.wake_self)

    def spawn(
        self, work: Coroutine[Any, Any, None], name: str, *, drains: bool = False
    ) -> asyncio.Task[None]:
        """Run work beside the messages. Its error is the actor's; it ends with the actor.

        An orderly stop waits for work that `drains`, and cancels the rest.
        """
        # Not the context of the message in hand: its deadline is not that of the work.
        task = asyncio.get_running_loop().create_task(
            work, name=f"{self.name}/{name}", context=self._own_context()
        )
        self._spawned.add(task)
        if drains:
            self._to_drain.add(task)
            task.add_done_callback(self._to_drain.discard)
        task.add_done_callback(self._spawned_ended)
        return task

    # Places in the tree

    def take_post(self, post: Post) -> None:
        """Work under this name and from this inbox; called once, before the loop starts."""
        self._post = post
        self.actor_inbox = post.mailbox  # type: ignore[assignment]  # get() is awaited here
        self._actor_ref = pykka.ActorRef(self)
        self._start_actor_loop()

    def stop(self, *, drain: bool = False) -> None:
        """End after the message in hand, or after all that wait; harmless when it has ended."""
        if not self.actor_stopped.is_set():
            self._post.mailbox.put(Envelope(Stop(drain=drain)))

    def kill(self, reason: BaseException | None = None) -> None:
        """End now, in the middle of a message if need be; what waits stays in the inbox.

        With a reason the end is a crash by that error.
        """
        if self._task is not None:
            self._killed_for = self._killed_for or reason
            self._task.cancel()

    @property
    def busy(self) -> bool:
        """Whether it has something to do, be it a message or work beside the messages."""
        mailbox = self._post.mailbox
        return mailbox.in_hand is not None or bool(self._spawned) or not mailbox.empty()

    @property
    def leaving(self) -> bool:
        """Whether it is letting go of what it has, after which its supervisor hears of its end."""
        return self._leaving

    def leave(self) -> None:
        """End in order, unless there is something to do: the next message starts another."""
        self._idle = not self.busy and not self._post.mailbox.suspended
        if self._idle:
            self._post.mailbox.interrupt()

    async def wait_ended(self) -> None:
        """Until the actor has ended, in whichever way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    # pykka's hooks

    @classmethod
    def _create_actor_inbox(cls) -> Any:
        return Mailbox(cls.__name__, cls.mailbox_bound)

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        self._task = asyncio.get_running_loop().create_task(
            self._live(), name=self.name, context=self._own_context()
        )
        # A callback and not the task's last lines: those never run if the task ends unbegun.
        self._task.add_done_callback(self._gone)

    # The loop

    async def _live(self) -> None:
        try:
            await self._run()
        except asyncio.CancelledError as killed:
            self._error = self._killed_for or killed
        except Exception as error:  # noqa: BLE001 - told in `_gone`
            self._error = error
        if self._spawned_error is not None and not isinstance(self._error, Exception):
            self._error, self._during = self._spawned_error, "spawned work"
        self._leaving = True
        try:
            await self._end_spawned()
            if self._error is not None:
                await self._let_go()
        except Exception as bug:  # noqa: BLE001 - as above
            bug.__context__ = self._error
            self._error = bug

    async def _run(self) -> None:
        await self.prepare()
        self._obey_kill()
        self._settle_started()
        self._during = "waiting"
        while (envelope := await self._next()) is not None:
            if isinstance(envelope.message, Stop):
                envelope.settle(None)
                if not envelope.message.drain:
                    break
                self.draining = True
                self._post.mailbox.close()
                continue
            self._during = type(envelope.message).__name__
            await self._handle(envelope)
            self._during = "waiting"
            self._obey_kill()
        self._during = "finish"
        self.ending_since = self.clock.now()
        while self.draining and self._to_drain:
            await asyncio.wait(self._to_drain)
        await self._end_spawned()
        await self.finish()

    def _obey_kill(self) -> None:
        """End if a kill was swallowed; `asyncio.wait_for` can, when its work is just done."""
        if self._task is not None and self._task.cancelling():
            raise asyncio.CancelledError("killed")

    async def _let_go(self) -> None:
        """`abandon`, within its deadline: the supervisor waits to hear of the end."""
        if self.abandon_deadline_s is None:
            await self.abandon()
            return
        work = asyncio.get_running_loop().create_task(self.abandon(), name=f"{self.name}/abandon")
        cut_off = self.clock.call_later(self.abandon_deadline_s, lambda: _cancel(work))
        try:
            await asyncio.wait([work])
        finally:
            cut_off.cancel()
            work.cancel()
        if work.cancelled():
            log.error("abandon_hung", actor=self.name, after_s=self.abandon_deadline_s)
        else:
            work.result()

    def _gone(self, task: asyncio.Task[None]) -> None:
        """The end of every actor, whether it was orderly, crashed, killed or never ran."""
        error = self._error
        if error is None and task.cancelled():
            error = self._killed_for or asyncio.CancelledError("killed")
        elif not task.cancelled() and task.exception() is not None:
            error = task.exception()
        mailbox = self._post.mailbox
        mailbox.settle_system()
        if isinstance(error, Exception):  # being cut off is no failure of its own
            mailbox.statistics.last_failure = failure_of(error, self._during, self.clock.now())
        self.actor_stopped.set()
        self._settle_started()
        ending = Ending(
            error=error,
            during=self._during,
            context=self._context,
            weather=isinstance(error, self.weather),
        )
        self._post.ended(self, ending)
        if mailbox.in_hand is not None:
            self._strike(mailbox.in_hand, error or asyncio.CancelledError("ended"))

    def _strike(self, envelope: Envelope, error: BaseException) -> None:
        """The actor ended with this message in hand: the next one tries it, or nobody does."""
        mailbox = self._post.mailbox
        mailbox.statistics.failed += 1
        mailbox.done(self.clock.now(), type(error).__name__)
        if isinstance(envelope.message, SYSTEM_MESSAGES):
            envelope.settle(None)
            return
        if isinstance(envelope.message, Tick):
            envelope.fail(ActorFailed(self.name))
            return  # carries no work: every incarnation looks for its rows when it starts
        if not isinstance(error, self.weather):  # an outage says nothing about the message
            envelope.attempts += 1
        # Who asked what hangs has long gone, so there is no later try to count: say it at once.
        hung_alone = isinstance(error, Hung) and envelope.abandoned
        if envelope.attempts >= self._post.strikes or hung_alone:
            self._set_aside(envelope, error)
        elif not envelope.abandoned:
            mailbox.put_back(envelope)

    def _set_aside(self, envelope: Envelope, error: BaseException) -> None:
        envelope.fail(ActorFailed(self.name))
        context = envelope.context or MessageContext.fresh()
        letter = DeadLetter(
            at=self.clock.now(),
            actor=self.name,
            message=envelope.message,
            attempts=envelope.attempts,
            error=error,
            correlation_id=context.correlation_id,
            operation_id=context.operation_id,
        )
        log.error(
            "message_set_aside",
            actor=self.name,
            message=type(envelope.message).__name__,
            attempts=envelope.attempts,
            correlation_id=context.correlation_id,
        )
        observer = self._post.surroundings.observer
        event = Event(
            kind=EventKind.QUARANTINED,
            at=letter.at,
            supervisor="",
            actor=self.name,
            reason=type(error).__name__,
            details={"message": type(envelope.message).__name__, "attempts": letter.attempts},
            correlation_id=context.correlation_id,
        )
        observe(observer.event, event)
        observe(observer.dead_letter, letter)

    def _settle_started(self) -> None:
        if not self.started.done():
            self.started.set_result(None)

    async def _next(self) -> Envelope | None:
        """The next message; None when there is nothing more to do here."""
        mailbox = self._post.mailbox
        while True:
            if self.draining and (mailbox.empty() or mailbox.suspended):
                return None
            envelope = await mailbox.get()
            if envelope is None and self._idle:
                return None
            if envelope is not None and not envelope.abandoned:
                self._idle = False
                return envelope

    def _own_context(self) -> contextvars.Context:
        """An empty context but for the name in logs: no transaction or deadline leaks in."""
        context = contextvars.Context()
        context.run(structlog.contextvars.bind_contextvars, actor=self.name)
        return context

    async def _handle(self, envelope: Envelope) -> None:
        context = envelope.context or MessageContext.fresh()
        self._context = context
        current_context.set(
            MessageContext(
                correlation_id=context.correlation_id,
                operation_id=context.operation_id,
                deadline=context.deadline,
                chain=(*context.chain, self.name),
            )
        )
        structlog.contextvars.bind_contextvars(
            correlation_id=context.correlation_id, operation_id=context.operation_id
        )
        surroundings = self._post.surroundings
        mailbox = self._post.mailbox
        mailbox.take(envelope, self.clock.now())
        try:
            if surroundings.before_message is not None:
                await surroundings.before_message(self.name, envelope.message)
            answer = await self._dispatch(envelope.message)
        except self.weather as outage:
            reason = outage.reason if isinstance(outage, Unavailable) else f"{self.name}: outage"
            log.warning(
                "message_postponed", message=type(envelope.message).__name__, reason=repr(outage)
            )
            envelope.refuse(reason)
            mailbox.done(self.clock.now(), "postponed")
        except self._post.resume_on as bug:
            log.exception("message_failed", message=type(envelope.message).__name__)
            mailbox.statistics.failed += 1
            envelope.fail(ActorFailed(self.name))
            mailbox.done(self.clock.now(), type(bug).__name__)
        else:
            envelope.settle(answer)
            mailbox.done(self.clock.now(), "handled")
        finally:
            current_context.set(None)
            # Whatever the handler has bound was about this message.
            structlog.contextvars.clear_contextvars()
            structlog.contextvars.bind_contextvars(actor=self.name)
        self._context = None

    async def _dispatch(self, message: Any) -> Any:
        handler = getattr(self, handler_name(type(message)), None)
        if handler is None:
            raise TypeError(f"{self.name} does not understand {type(message).__name__}")
        return await handler(message)

    # Spawned work

    def _spawned_ended(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if self._spawned_error is None and not self._leaving:
            self._spawned_error = error
            self.kill()
        else:  # the actor is ending for another reason, which is the one that its supervisor hears
            log.error("spawned_work_failed", work=task.get_name(), exc_info=error)

    async def _end_spawned(self) -> None:
        while self._spawned:  # a cancelled one may spawn another on its way out
            for task in self._spawned:
                task.cancel()
            # And again: one that swallowed it would keep the end from the supervisor for ever.
            await asyncio.wait(self._spawned, timeout=CANCEL_AGAIN_S)


_HANDLER_NAMES: dict[type, str] = {}


def handler_name(message_type: type) -> str:
    """`OpenPurchase` is handled by `on_open_purchase`."""
    name = _HANDLER_NAMES.get(message_type)
    if name is None:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", message_type.__name__)
        name = _HANDLER_NAMES[message_type] = f"on_{words.lower()}"
    return name


def _cancel(work: asyncio.Task[None]) -> None:
    work.cancel()


def _report_unsupervised(actor: AsyncioActor, ending: Ending) -> None:
    if ending.error is not None:
        log.error("actor_failed", actor=actor.name, during=ending.during, exc_info=ending.error)
    pykka.ActorRegistry.unregister(actor.actor_ref)
    actor.actor_inbox.refuse_askers("stopped")  # type: ignore[attr-defined]  # ours
