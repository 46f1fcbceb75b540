"""What an asker waits for, and what it may get instead of an answer."""

import asyncio
import concurrent.futures
import contextlib
import sys
from collections.abc import Generator
from types import TracebackType
from typing import Any, TypeVar

import pykka

Answer = TypeVar("Answer")
ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop of this thread; None where none runs."""
    return asyncio._get_running_loop()  # noqa: SLF001 - documented, and does not raise


class Unavailable(Exception):  # noqa: N818 - weather, not an error of anybody
    """Not now: an outage, a full inbox or a passed deadline. The same request may be repeated."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ActorFailed(Exception):  # noqa: N818 - the asked actor failed, not the asker
    """The actor failed over this message, as often as it is tried; do not repeat it.

    Its supervisor knows, and the message is a dead letter. `actor` is the address.
    """

    def __init__(self, actor: str) -> None:
        super().__init__(f"{actor} failed")
        self.actor = actor


class Hung(Exception):  # noqa: N818 - what happened
    """A message was in hand for so long that its actor was cut off."""


class AskCycle(RuntimeError):  # noqa: N818 - names what was refused
    """An ask would come back to an actor that waits for it. `chain` names all of them."""

    def __init__(self, chain: tuple[str, ...]) -> None:
        super().__init__("ask cycle: " + " -> ".join(chain))
        self.chain = chain


class WouldBlock(RuntimeError):  # noqa: N818 - names what was refused
    """pykka's blocking `get()` was called on the event loop; await the `reply` instead."""

    def __init__(self, reply: "Reply[Any]") -> None:
        super().__init__("await the reply; get() would block the event loop")
        self.reply = reply


class Reply(pykka.Future[Answer]):
    """A pykka future that is awaited, settles once, and can be settled from any thread.

    It belongs to the loop that it was made on; off every loop, to its thread, which may block.
    """

    def __init__(self) -> None:
        super().__init__()
        self._loop = running_loop()
        self._future: asyncio.Future[Any] | concurrent.futures.Future[Any] = (
            self._loop.create_future() if self._loop else concurrent.futures.Future()
        )

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
        """The answer, if it is there; off the loop, wait for it.

        Raises:
            WouldBlock: it is not there, and this is a loop's thread.
            pykka.Timeout: it did not come in time.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if isinstance(self._future, concurrent.futures.Future) and running_loop() is None:
            try:
                return self._future.result(timeout)  # type: ignore[no-any-return]  # as pykka's is
            except concurrent.futures.TimeoutError:
                raise pykka.Timeout(f"no answer within {timeout} s") from None
        if not self._future.done():
            raise WouldBlock(self)
        return self._future.result()  # type: ignore[no-any-return]  # as pykka's is

    def __await__(self) -> Generator[Any, None, Answer]:
        """Wait for the answer; cancelling the wait tells the actor that nobody waits."""
        if self._get_hook is not None:
            return self._hooked().__await__()
        return self._awaitable().__await__()

    async def _hooked(self) -> Answer:
        """A future that pykka derives from others: those are awaited until it can be computed."""
        while True:
            try:
                return self.get()
            except WouldBlock as blocked:
                await asyncio.wait([blocked.reply._awaitable()])  # noqa: SLF001 - one of us

    def _awaitable(self) -> "asyncio.Future[Any]":
        if isinstance(self._future, concurrent.futures.Future):
            return asyncio.wrap_future(self._future)
        return self._future

    def _on_loop(self, settle: Any, outcome: Any) -> None:
        if self._loop is None or running_loop() is self._loop:
            settle(outcome)
            return
        with contextlib.suppress(RuntimeError):  # the asker's loop is closed: nobody waits
            self._loop.call_soon_threadsafe(settle, outcome)

    def _set(self, value: Answer | None) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def _set_error(self, error: BaseException) -> None:
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()  # seen: an asker that gave up leaves no warning behind
