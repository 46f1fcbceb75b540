"""What an asker waits for, and what it may get instead of an answer."""

import asyncio
import sys
from collections.abc import Generator
from types import TracebackType
from typing import Any, TypeVar

import pykka

Answer = TypeVar("Answer")
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Unavailable(Exception):  # noqa: N818 - weather, not an error of anybody
    """Not now: an outage, a full inbox or a passed deadline. The same request may be repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ActorFailed(Exception):  # noqa: N818 - the asked actor failed, not the asker
    """The actor crashed on this message; its supervisor knows. `actor` is its address."""

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} failed")
        self.actor = actor


class AskCycle(RuntimeError):  # noqa: N818 - names what was refused
    """An ask would come back to an actor that waits for it. `chain` names all of them."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__("ask cycle: " + " -> ".join(chain))
        self.chain = chain


class WouldBlock(RuntimeError):  # noqa: N818 - names what was refused
    """pykka's blocking `get()` was called on the event loop; await the reply instead."""


class Reply(pykka.Future[Answer]):
    """A pykka future that is awaited, settles once, and can be settled from any thread."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[Answer | None] = self._loop.create_future()

    @property
    def settled(self) -> bool:
        """Whether the answer is there, or nobody waits for it any more."""
        return self._future.done()

    def set(self, value: Answer | None = None) -> None:
        """Give the answer; the first one counts."""
        self._on_loop(self._set, value)

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Give an exception in place of an answer; pykka's triple, or the one being handled."""
        error = (exc_info or sys.exc_info())[1]
        self.fail(error or RuntimeError("set_exception() was called without an exception"))

    def fail(self, error: BaseException) -> None:
        """Give this exception in place of an answer."""
        self._on_loop(self._set_error, error)

    def get(self, *, timeout: float | None = None) -> Answer:
        """The answer, if it is there.

        Raises:
            WouldBlock: it is not; nothing here ever blocks a thread.
        """
        del timeout
        if not self._future.done():
            raise WouldBlock("await the reply; get() would block")
        return self._future.result()  # type: ignore[return-value]  # pykka types set(None) loosely

    def __await__(self) -> Generator[Any, None, Answer]:
        """Wait for the answer; cancelling the wait tells the actor that nobody waits."""
        return self._future.__await__()  # type: ignore[return-value]  # as in get()

    def _on_loop(self, settle: Any, outcome: Any) -> None:
        if asyncio._get_running_loop() is self._loop:  # noqa: SLF001 - None off the loop, no raise
            settle(outcome)
        else:
            self._loop.call_soon_threadsafe(settle, outcome)

    def _set(self, value: Answer | None) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def _set_error(self, error: BaseException) -> None:
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # seen: an asker that gave up leaves no warning behind
