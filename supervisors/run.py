"""A back-end from start to its orderly end, and the exit status that says how it ended."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from bot.door import TelegramDoor, TokenRefused
from config.loading import SettingsError
from config.settings import Settings
from storage.database import Database
from storage.errors import StorageUnavailable
from supervisors.wiring import Backend, wire

log = structlog.get_logger(__name__)

DONE = 0
FAILED = 1
#: The tree gave up; a service manager may start the program again.
GAVE_UP = 70

#: How often the owner of the database shows that it lives, seconds.
ALIVE_EVERY_S = 2.0


async def run_backend(settings: Settings) -> int:
    """Run until a signal, a take-over by another back-end, or the tree's end.

    Returns:
        The exit status: 0 after a signal, 1 after a take-over, 70 when the tree gave up.

    Raises:
        SettingsError: a setting, or a file that one names, is wrong.
        StorageSetupError, StorageUnavailable: the database cannot be used.
    """
    with _stop_signals() as stop:
        serving = asyncio.create_task(_serve(settings, stop))
        stopping = asyncio.create_task(stop.requested.wait())
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not stop.in_order:
            serving.cancel()  # still waiting for a database, say: nothing has begun
        try:
            return await serving
        except asyncio.CancelledError:
            return DONE


async def _serve(settings: Settings, stop: "Stop") -> int:
    async with wire(settings) as backend:
        stop.in_order = True
        backend.root.begin_life("root")
        log.info("backend_ready")
        try:
            return await _until_the_end(backend, stop.requested)
        finally:
            backend.root.stop()
            await backend.root.wait_ended()


async def _until_the_end(backend: Backend, stop: asyncio.Event) -> int:
    ends = {
        asyncio.create_task(stop.wait()): DONE,
        asyncio.create_task(_until_taken_over(backend.database)): FAILED,
        asyncio.create_task(backend.root.wait_ended()): GAVE_UP,
        asyncio.create_task(_until_refused(backend.door)): FAILED,
    }
    done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    for task in done:
        task.result()
    status = max(ends[task] for task in done)
    log.info("backend_stops", status=status, taken_over=backend.database.fenced.is_set())
    return status


async def _until_refused(door: TelegramDoor) -> None:
    """Beside the tree: a Telegram that does not answer keeps nothing else waiting."""
    try:
        await door.introduce()
    except TokenRefused:
        raise SettingsError(["telegram.token: Telegram does not know it"]) from None
    await asyncio.Event().wait()


async def _until_taken_over(database: Database) -> None:
    """Return when another back-end owns the database: at the next effect, or at the next look."""
    while not database.fenced.is_set():
        try:
            await database.show_alive()
        except StorageUnavailable as outage:
            log.warning("ownership_unknown", reason=str(outage))
        with suppress(TimeoutError):
            async with asyncio.timeout(ALIVE_EVERY_S):
                await database.fenced.wait()


@dataclass(slots=True)
class Stop:
    """A wish to end. `in_order` once there is something to be stopped in order."""

    requested: asyncio.Event
    in_order: bool = False


@contextmanager
def _stop_signals() -> Iterator[Stop]:
    """Heard at SIGTERM or SIGINT; a second signal ends the program at once."""
    stop = Stop(asyncio.Event())
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def heard() -> None:
        stop.requested.set()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, heard)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
