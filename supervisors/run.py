"""A back-end from start to its orderly end, and the exit status that says how it ended."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import structlog

from actors.runtime.clock import Clock
from actors.runtime.events import Event, EventKind
from actors.runtime.watchdog import Blockage, LoopWatchdog, log_blockage
from bot.door import TelegramDoor, TokenRefused
from bot.web.server import AddressTaken, try_address
from config import crashing
from config.loading import SettingsError
from config.settings import Settings
from storage.database import Database
from storage.errors import StorageUnavailable
from supervisors.engine.nursery import Nursery
from supervisors.operators.journal import Journal
from supervisors.wiring import Backend, wire
from supervisors.world import REAL, World

log = structlog.get_logger(__name__)

DONE = 0
FAILED = 1
#: The tree gave up; a service manager may start the program again.
GAVE_UP = 70

#: How often the owner of the database shows that it lives, seconds.
ALIVE_EVERY_S = 2.0
#: How long an orderly stop may take, seconds.
DRAIN_DEADLINE_S = 25.0
#: A database that is away for longer is given up, seconds.
OUTAGE_DEADLINE_S = 600.0


async def run_backend(settings: Settings) -> int:
    """Run until a signal, a take-over by another back-end, or the tree's end.

    Returns:
        The exit status: 0 after a signal, 1 after a take-over, 70 when the tree gave up or the
        database was away for too long.

    Raises:
        SettingsError: a setting, or a file that one names, is wrong.
        StorageSetupError, StorageUnavailable: the database cannot be used.
    """
    crashing.arm(settings.testing.crash_at)
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


async def _serve(settings: Settings, stop: "Stop", world: World = REAL) -> int:
    await _try_address(settings.http.listen)  # before another back-end loses the database to us
    async with wire(settings, world) as backend:
        stop.in_order = True
        backend.root.begin_life("root")
        log.info("backend_ready")
        try:
            with LoopWatchdog(report=blockages_to(backend.journal, backend.clock)):
                return await _until_the_end(backend, stop.requested)
        finally:
            await drain(backend.root, backend.clock)
            with suppress(StorageUnavailable):
                await backend.journal.flush(backend.records)


async def _try_address(listen: str) -> None:
    try:
        await try_address(listen)
    except AddressTaken as taken:
        raise SettingsError([f"http.listen: {listen}: {taken}"]) from None


def blockages_to(journal: Journal, clock: Clock) -> Callable[[Blockage], None]:
    """What the watchdog's thread calls: a line in the log, and an event when it is over."""
    loop = asyncio.get_running_loop()

    def report(blockage: Blockage) -> None:
        log_blockage(blockage)
        if blockage.blocked_s is None:
            return
        event = Event(
            kind=EventKind.LOOP_BLOCKED,
            at=clock.now(),
            supervisor="",
            actor=blockage.actor,
            reason=blockage.stack[-1] if blockage.stack else "",
            details={"for_s": round(blockage.blocked_s, 3), "stack": list(blockage.stack)},
        )
        with suppress(RuntimeError):  # the loop is closed: the end of the program
            loop.call_soon_threadsafe(journal.event, event)

    return report


async def drain(root: Nursery, clock: Clock) -> None:
    """Stop a tree in order, from the door inwards; what is not done by the deadline is cut off.

    Nothing is lost with it: what was accepted is in the database.
    """
    root.stop(drain=True)
    cut_off = clock.call_later(DRAIN_DEADLINE_S, root.hurry)
    try:
        await root.wait_ended()
    finally:
        cut_off.cancel()


async def _until_the_end(backend: Backend, stop: asyncio.Event) -> int:
    ends = {
        asyncio.create_task(stop.wait()): DONE,
        asyncio.create_task(_until_taken_over(backend.database)): FAILED,
        asyncio.create_task(_until_lost(backend.database, backend.clock)): GAVE_UP,
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
    """Return when another back-end owns the database: at its next effect, or at the next look."""
    await database.fenced.wait()


async def _until_lost(database: Database, clock: Clock) -> None:
    """Show that the owner lives; return when the database has not heard it for too long.

    A failover takes seconds, and is waited out. What lasts longer may be this process's own fault.
    """
    heard = clock.now()
    while True:
        try:
            await database.show_alive()
            heard = clock.now()
        except StorageUnavailable as outage:
            log.warning("ownership_unknown", reason=str(outage))
            # Judged after an answer that did not come: who was suspended for long asks first.
            if clock.now() - heard >= OUTAGE_DEADLINE_S:
                break
        await clock.sleep(ALIVE_EVERY_S)
    log.critical("database_lost", after_s=OUTAGE_DEADLINE_S)


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
