"""The demo's two programs, started at once: their imports take longer than everything else."""

import asyncio
import fcntl
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from config.network import split_address
from config.settings import DEMO_FOLDER, DemoSettings
from storage.embedded import FOLDER as POSTGRES_FOLDER
from storage.embedded import stop_left_behind
from supervisors.demo.children import ChildProgram
from supervisors.demo.errors import DemoError
from supervisors.demo.files import SERVER_NAME, DemoFiles, prepare_files
from xray_api.camouflage import camouflage_target
from xray_api.node.init import InitError

#: Two programs start, one of them a database for the first time; slow machines take their time.
START_DEADLINE_S = 120.0
LOOK_EVERY_S = 0.05
#: The sandbox's own number for its admin.
ADMIN_ID = 1000


@dataclass(frozen=True, slots=True)
class Programs:
    """What was started, and is not ready yet."""

    listen: str
    files: DemoFiles
    node: ChildProgram
    backend: ChildProgram


@asynccontextmanager
async def demo_programs(settings: DemoSettings) -> AsyncIterator[Programs]:
    """Start the node and the back-end, and stop them in reverse.

    Raises:
        DemoError: a port is in use, or the data folder cannot be.
    """
    data_dir = settings.data_dir.resolve()
    listen = settings.demo.listen
    _refuse_real_data(data_dir)
    _refuse_taken_port(listen)
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_demo_of(data_dir))
        files = _files(data_dir, listen)
        stack.push_async_callback(asyncio.to_thread, stop_left_behind, data_dir / POSTGRES_FOLDER)
        await _camouflage(files, stack)
        node = ChildProgram(
            "the node service",
            ["--config", str(files.node_file), "node", "run"],
            files.folder / "node.log",
        )
        backend = ChildProgram(
            "the back-end",
            ["--config", str(files.backend_file), "run"],
            files.folder / "backend.log",
        )
        for program in (node, backend):
            await program.start()
            stack.push_async_callback(program.stop)
        yield Programs(listen, files, node, backend)


async def until_ready(program: ChildProgram, ready: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a program does its work.

    Raises:
        DemoError: it ended, or does not get ready.
    """
    ended = asyncio.create_task(program.ended())
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not await ready():
                if ended.done():
                    raise ended.result()
                await asyncio.sleep(LOOK_EVERY_S)  # noqa: TID251 - waits for another process
    except TimeoutError:
        raise DemoError(f"{program.name} is not ready; see {program.log_file}") from None
    finally:
        ended.cancel()


def _refuse_real_data(data_dir: Path) -> None:
    """A demo must never open the database of a shop."""
    if (data_dir / POSTGRES_FOLDER).exists() and not (data_dir / DEMO_FOLDER).exists():
        raise DemoError(
            f"data_dir: {data_dir} holds the data of a real back-end; "
            "choose another: TOLLGATE_DATA_DIR=./demo-data tollgate demo"
        )


@contextmanager
def _only_demo_of(data_dir: Path) -> Iterator[None]:
    """Two demos would write each other's files; the lock goes with the process."""
    folder = data_dir / DEMO_FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DemoError(f"data_dir: {folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"data_dir: another demo runs in {data_dir}") from None
        yield


def _refuse_taken_port(listen: str) -> None:
    try:
        socket.create_server(split_address(listen)).close()
    except OSError as error:
        raise DemoError(
            f"demo.listen: {listen}: {error.strerror}; "
            "choose another: TOLLGATE_DEMO__LISTEN=127.0.0.1:8089 tollgate demo"
        ) from None


def _files(data_dir: Path, listen: str) -> DemoFiles:
    try:
        return prepare_files(data_dir, f"http://{listen}", ADMIN_ID)
    except InitError as error:
        raise DemoError(f"data_dir: {error}") from None
    except (OSError, ValueError, KeyError) as error:
        raise DemoError(f"data_dir: {data_dir / DEMO_FOLDER} cannot be used: {error}") from None


async def _camouflage(files: DemoFiles, stack: AsyncExitStack) -> None:
    port = files.camouflage_port
    try:
        await stack.enter_async_context(camouflage_target(SERVER_NAME, port=port))
    except OSError as error:
        raise DemoError(
            f"port {port} of an earlier demo: {error.strerror}; "
            f"end what uses it, or delete {files.folder} for new ports"
        ) from None
