"""Actors that do what a test tells them to, and a stage to put them on."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address
from actors.runtime.events import DeadLetter, Event
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Request, Tick
from tests.clock import ManualClock

Answer = TypeVar("Answer")
Work = Callable[["Puppet"], Awaitable[Answer]]


class Outage(Exception):  # noqa: N818 - weather
    """Weather of these tests."""


class Bug(Exception):  # noqa: N818 - what it is
    """A mistake in an actor of these tests."""


@dataclass(frozen=True, slots=True)
class Note(Request[int]):
    """Remember a text; the answer is how many are remembered."""

    text: str


@dataclass(frozen=True, slots=True)
class Do(Request[Answer]):
    """Run this inside the handler; its result is the answer."""

    work: Work[Answer]
    operation_id: str | None = None


class Puppet(AsyncioActor):
    """Does what its messages carry. What it notes goes into a list that outlives it."""

    mailbox_bound = 3

    def __init__(
        self,
        seen: list[str] | None = None,
        *,
        prepare: Work[Any] | None = None,
        finish: Work[Any] | None = None,
        abandon: Work[Any] | None = None,
    ) -> None:
        super().__init__()
        self.seen: list[str] = [] if seen is None else seen
        self.hooks = {"prepare": prepare, "finish": finish, "abandon": abandon}

    async def prepare(self) -> None:
        """As the test says."""
        await self._hook("prepare")

    async def finish(self) -> None:
        """As the test says."""
        await self._hook("finish")

    async def abandon(self) -> None:
        """As the test says."""
        await self._hook("abandon")

    async def on_note(self, message: Note) -> int:
        """Remember."""
        self.seen.append(message.text)
        return len(self.seen)

    async def on_tick(self, message: Tick) -> None:
        """Remember that it came."""
        del message
        self.seen.append("tick")

    async def on_do(self, message: Do[Answer]) -> Answer:
        """Obey."""
        return await message.work(self)

    async def _hook(self, name: str) -> None:
        hook = self.hooks[name]
        if hook is not None:
            await hook(self)


class Gate:
    """Where an actor waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, _: Any = None) -> None:
        """Say that it is reached, and wait."""
        self.reached.set()
        await self.open.wait()


async def fail(_: Puppet) -> None:
    """Work that is a mistake."""
    raise Bug


def failing(error: BaseException) -> Work[None]:
    """Work that ends by this error."""

    async def work(_: Puppet) -> None:
        raise error

    return work


async def nothing(_: Puppet) -> None:
    """Work that is done at once."""


@dataclass
class Stage:
    """A place for actors without a supervisor: the test hears of their ends itself.

    It is an `Observer` too, and remembers what it hears.
    """

    clock: ManualClock = field(default_factory=ManualClock)
    endings: list[Ending] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    #: See `Surroundings`.
    before_message: Callable[[str, Any], Awaitable[None]] | None = None

    @property
    def surroundings(self) -> Surroundings:
        """A manual clock and one kind of weather."""
        return Surroundings(
            clock=self.clock,
            weather=(Outage,),
            observer=self,
            before_message=self.before_message,
        )

    def event(self, event: Event) -> None:
        """See `Observer`."""
        self.events.append(event)

    def dead_letter(self, letter: DeadLetter) -> None:
        """See `Observer`."""
        self.letters.append(letter)

    def mailbox(self, name: str = "puppet", bound: int = Puppet.mailbox_bound) -> Mailbox:
        """An inbox that nobody reads yet."""
        return Mailbox(name, bound)

    def address(self, mailbox: Mailbox) -> Address:
        """Where an inbox is reached."""
        return Address(mailbox.owner, mailbox.put, self.clock)

    def enter(
        self,
        actor: AsyncioActor,
        mailbox: Mailbox,
        *,
        strikes: int = 1,
        resume_on: tuple[type[Exception], ...] = (),
    ) -> None:
        """Let an actor read an inbox. With one strike a message that fails is not tried again."""
        mailbox.open()
        actor.take_post(
            Post(
                name=mailbox.owner,
                mailbox=mailbox,
                surroundings=self.surroundings,
                ended=lambda _, ending: self.endings.append(ending),
                strikes=strikes,
                resume_on=resume_on,
            )
        )

    def play(
        self,
        actor: AsyncioActor,
        name: str = "puppet",
        *,
        bound: int = 3,
        strikes: int = 1,
        resume_on: tuple[type[Exception], ...] = (),
    ) -> Address:
        """Start an actor on an inbox of its own."""
        mailbox = self.mailbox(name, bound)
        self.enter(actor, mailbox, strikes=strikes, resume_on=resume_on)
        return self.address(mailbox)
