"""AsyncioActor: one message at a time on the event loop, and no end that nobody hears of."""

import asyncio
import contextvars
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
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
    """How an actor ended. `error` is None for an orderly end; `during` names what it did."""

    error: BaseException | None
    during: str
    idle: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """An actor's place in the tree: its name and inbox, and who hears of its end.

    `vacate` gives the name up when the actor has nothing to do; it must not wait.
    """

    name: str
    mailbox: Mailbox
    surroundings: Surroundings
    ended: Callable[["AsyncioActor", Ending], None]
    vacate: Callable[[], None] | None = None


class AsyncioActor(pykka.Actor):
    """An actor whose handlers are `async def on_<message>`.

    An expected outcome is an answer. An exception listed as weather becomes `Unavailable` for the
    asker and the actor lives on; any other exception ends this actor and reaches its supervisor.
    """

    #: How many messages may wait.
    mailbox_bound: ClassVar[int] = 1_000
    #: Seconds without a message after which the actor gives up its place; None: never.
    idle_after_s: ClassVar[float | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self._spawned: set[asyncio.Task[Any]] = set()
        self._spawned_error: BaseException | None = None
        self._idle = False
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
        # An empty context: the deadline of the message in hand is not that of the work.
        task = asyncio.get_running_loop().create_task(
            work, name=f"{self.name}/{name}", context=contextvars.Context()
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

    def kill(self) -> None:
        """End now, in the middle of a message if need be; what waits stays in the inbox."""
        if self._task is not None:
            self._task.cancel()

    async def wait_ended(self) -> None:
        """Until the actor has ended, in whichever way."""
        if self._task is not None:
            await asyncio.wait([self._task])

    # pykka's hooks

    @staticmethod
    def _create_actor_inbox() -> Any:
        return Mailbox("actor", AsyncioActor.mailbox_bound)

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    def _start_actor_loop(self) -> None:
        # An empty context: nothing of the starter's, least of all an open transaction, leaks in.
        self._task = asyncio.get_running_loop().create_task(
            self._live(), name=self.name, context=contextvars.Context()
        )

    # The loop

    async def _live(self) -> None:
        during = "prepare"
        error: BaseException | None = None
        try:
            await self.prepare()
            self.started.set_result(None)
            while (envelope := await self._next()) is not None:
                if isinstance(envelope.message, Stop):
                    _settle(envelope, None)
                    break
                during = type(envelope.message).__name__
                await self._handle(envelope)
            during = "finish"
            await self._end_spawned()
            await self.finish()
        except asyncio.CancelledError:
            error = self._spawned_error
            during = "spawned work" if error else "killed"
        except Exception as bug:  # noqa: BLE001 - the runtime reports every end to the supervisor
            error = bug
        await self._leave(error, during)

    async def _leave(self, error: BaseException | None, during: str) -> None:
        await self._end_spawned()
        if error is not None or during == "killed":
            try:
                await self.abandon()
            except Exception as bug:  # noqa: BLE001 - as above
                error = error or bug
        self.actor_stopped.set()
        if not self.started.done():
            self.started.set_result(None)
        self._post.ended(self, Ending(error=error, during=during, idle=self._idle))

    async def _next(self) -> Envelope | None:
        """The next message; None when the actor has given up its place."""
        mailbox = self._post.mailbox
        while True:
            timer = None
            if self.idle_after_s is not None and self._post.vacate and mailbox.empty():
                timer = self.clock.call_later(self.idle_after_s, self._go_idle)
            try:
                envelope = await mailbox.get()
            finally:
                if timer is not None:
                    timer.cancel()
            if self._idle and envelope is None:
                return None
            if envelope is not None and not envelope.abandoned:
                return envelope

    def _go_idle(self) -> None:
        # No await between the look into the inbox and the end of the name: nothing can slip in.
        if self._post.mailbox.empty() and self._post.vacate is not None:
            self._idle = True
            self._post.vacate()
            self._post.mailbox.interrupt()

    async def _handle(self, envelope: Envelope) -> None:
        context = envelope.context or MessageContext(correlation_id="", operation_id="")
        token = current_context.set(replace(context, chain=(*context.chain, self.name)))
        bound = structlog.contextvars.bind_contextvars(
            actor=self.name,
            correlation_id=context.correlation_id,
            operation_id=context.operation_id,
        )
        try:
            _settle(envelope, await self._dispatch(envelope.message))
        except self._post.surroundings.weather as outage:
            log.warning(
                "message_postponed", message=type(envelope.message).__name__, reason=repr(outage)
            )
            envelope.refuse(f"{self.name}: outage")
        except Unavailable as later:
            log.warning(
                "message_postponed", message=type(envelope.message).__name__, reason=later.reason
            )
            envelope.refuse(later.reason)
        except BaseException:
            if envelope.reply_to is not None:
                envelope.reply_to.fail(ActorFailed(self.name))
            raise
        finally:
            structlog.contextvars.reset_contextvars(**bound)
            current_context.reset(token)

    async def _dispatch(self, message: Any) -> Any:
        handler = getattr(self, handler_name(type(message)), None)
        if handler is None:
            raise TypeError(f"{self.name} does not understand {type(message).__name__}")
        return await handler(message)

    # Spawned work

    def _spawned_ended(self, task: asyncio.Task[Any]) -> None:
        self._spawned.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        if self._spawned_error is None:
            self._spawned_error = task.exception()
        self.kill()

    async def _end_spawned(self) -> None:
        for task in self._spawned:
            task.cancel()
        if self._spawned:
            await asyncio.gather(*self._spawned, return_exceptions=True)


_HANDLER_NAMES: dict[type, str] = {}


def handler_name(message_type: type) -> str:
    """`OpenPurchase` is handled by `on_open_purchase`."""
    name = _HANDLER_NAMES.get(message_type)
    if name is None:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", message_type.__name__)
        name = _HANDLER_NAMES[message_type] = f"on_{words.lower()}"
    return name


def _settle(envelope: Envelope, answer: Any) -> None:
    if envelope.reply_to is not None:
        envelope.reply_to.set(answer)


def _report_unsupervised(actor: AsyncioActor, ending: Ending) -> None:
    if ending.error is not None:
        log.error("actor_failed", actor=actor.name, during=ending.during, exc_info=ending.error)
    actor.actor_inbox.refuse_all("stopped")  # type: ignore[attr-defined]  # ours
