"""AsyncioActor: one message at a time on the event loop, and no end that nobody hears of."""

import asyncio
import contextvars
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

import pykka
import structlog

from actors.runtime.clock import Clock, LoopClock
from actors.runtime.mailbox import Envelope, Mailbox, MessageContext, current_context
from actors.runtime.messages import Stop, Tick
from actors.runtime.replies import ActorFailed, Reply, Unavailable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every actor of a program shares. `weather` are exceptions of outages, not of bugs."""

    clock: Clock
    weather: tuple[type[Exception], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an actor ended.

    `error` is None for an orderly end, a CancelledError after a kill. `during` names what the actor
    did, `context` is that of the message in hand.
    """

    error: BaseException | None
    during: str
    context: MessageContext | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """An actor's place in the tree: its name and inbox, and who hears of its end.

    `may_leave` says that an actor with nothing to do may end: the next message starts another.
    """

    name: str
    mailbox: Mailbox
    surroundings: Surroundings
    ended: Callable[["AsyncioActor", Ending], None]
    may_leave: bool = False


class AsyncioActor(pykka.Actor):
    """An actor whose handlers are `async def on_<message>`.

    An expected outcome is an answer. An exception listed as weather becomes `Unavailable` for the
    asker and the actor lives on; any other exception ends this actor and reaches its supervisor.
    """

    #: How many messages may wait.
    mailbox_bound: ClassVar[int] = 1_000
    #: Seconds with nothing to do after which the actor may leave its place; None: never.
    idle_after_s: ClassVar[float | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[Any]] = set()
        self._spawned_error: BaseException | None = None
        self._error: BaseException | None = None
        self._during = "prepare"
        self._context: MessageContext | None = None
        self._idle = False
        self._leaving = False
        self._post = Post(
            name=f"{type(self).__name__}-{self.actor_urn[-12:]}",
            mailbox=self.actor_inbox,  # type: ignore[arg-type]  # ours: see _create_actor_inbox
            surroundings=Surroundings(clock=LoopClock()),
            ended=_report_unsupervised,
        )

    # What an actor writes

    async def prepare(self) -> None:
        """Before the first message. Keep it short: siblings wait for it."""

    async def finish(self) -> None:
        """After the last message of an orderly end."""

    async def abandon(self) -> None:
        """After an error, before the supervisor hears of it. State is lost; let go of resources."""

    # What an actor uses

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
            self._post.mailbox.put(Envelope(Tick()))
        except Unavailable:
            return

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run work beside the messages. Its error is the actor's; it ends with the actor."""
        # Not the context of the message in hand: its deadline is not that of the work.
        task = asyncio.get_running_loop().create_task(
            work, name=f"{self.name}/{name}", context=self._own_context()
        )
        self._spawned.add(task)
        task.add_done_callback(self._spawned_ended)
        return task

    # Places in the tree

    def take_post(self, post: Post) -> None:
        """Work under this name and from this inbox; called once, before the loop starts."""
        self._post = post
        self.actor_inbox = post.mailbox  # type: ignore[assignment]  # get() is awaited here
        self._actor_ref = pykka.ActorRef(self)
        self._start_actor_loop()

    def stop(self) -> None:
        """End after the message in hand; harmless when that has already happened."""
        if not self.actor_stopped.is_set():
            self._post.mailbox.put(Envelope(Stop()))

    def kill(self) -> None:
        """End now, in the middle of a message if need be; what waits stays in the inbox."""
        if self._task is not None:
            self._task.cancel()

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
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - told in `_gone`
            self._error = error
        if self._spawned_error is not None and not isinstance(self._error, Exception):
            self._error, self._during = self._spawned_error, "spawned work"
        self._leaving = True
        try:
            await self._end_spawned()
            if self._error is not None:
                await self.abandon()
        except Exception as bug:  # noqa: BLE001 - as above
            bug.__context__ = self._error
            self._error = bug

    async def _run(self) -> None:
        await self.prepare()
        self._settle_started()
        while (envelope := await self._next()) is not None:
            if isinstance(envelope.message, Stop):
                envelope.settle(None)
                break
            self._during = type(envelope.message).__name__
            await self._handle(envelope)
            self._during = "waiting"
        self._during = "finish"
        await self._end_spawned()
        await self.finish()

    def _gone(self, task: asyncio.Task[None]) -> None:
        """The end of every actor, whether it was orderly, crashed, killed or never ran."""
        error = self._error
        if error is None and task.cancelled():
            error = asyncio.CancelledError("killed")
        elif not task.cancelled() and task.exception() is not None:
            error = task.exception()
        self._post.mailbox.settle_system()
        self.actor_stopped.set()
        self._settle_started()
        self._post.ended(self, Ending(error=error, during=self._during, context=self._context))

    def _settle_started(self) -> None:
        if not self.started.done():
            self.started.set_result(None)

    async def _next(self) -> Envelope | None:
        """The next message; None when there is nothing to do and the actor may leave."""
        mailbox = self._post.mailbox
        while True:
            timer = None
            if self.idle_after_s is not None and self._post.may_leave and mailbox.empty():
                timer = self.clock.call_later(self.idle_after_s, self._go_idle)
            try:
                envelope = await mailbox.get()
            finally:
                if timer is not None:
                    timer.cancel()
            if envelope is None and self._idle:
                return None
            if envelope is not None and not envelope.abandoned:
                return envelope

    def _go_idle(self) -> None:
        self._idle = not self._spawned  # work beside the messages is something to do
        self._post.mailbox.interrupt()

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
        try:
            envelope.settle(await self._dispatch(envelope.message))
        except self.weather as outage:
            reason = outage.reason if isinstance(outage, Unavailable) else f"{self.name}: outage"
            log.warning(
                "message_postponed", message=type(envelope.message).__name__, reason=repr(outage)
            )
            envelope.refuse(reason)
        except BaseException:
            envelope.fail(ActorFailed(self.name))
            raise
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
            await asyncio.wait(self._spawned)


_HANDLER_NAMES: dict[type, str] = {}


def handler_name(message_type: type) -> str:
    """`OpenPurchase` is handled by `on_open_purchase`."""
    name = _HANDLER_NAMES.get(message_type)
    if name is None:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", message_type.__name__)
        name = _HANDLER_NAMES[message_type] = f"on_{words.lower()}"
    return name


def _report_unsupervised(actor: AsyncioActor, ending: Ending) -> None:
    if ending.error is not None:
        log.error("actor_failed", actor=actor.name, during=ending.during, exc_info=ending.error)
    pykka.ActorRegistry.unregister(actor.actor_ref)
    actor.actor_inbox.refuse_askers("stopped")  # type: ignore[attr-defined]  # ours
