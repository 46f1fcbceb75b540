"""A real node with a real Xray behind a local camouflage target, and a page to reach through it."""

import asyncio
import os
import secrets
import socket
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from config.node_settings import NodeSettings, load_node_settings
from xray_api.camouflage import SERVER_NAME, camouflage_target
from xray_api.client.client import NodeClient
from xray_api.node import api_socket, child
from xray_api.node.init import SETTINGS_FILE, TEMPLATE_FILE, InitOptions, init_node
from xray_api.node.run import run_node
from xray_api.node.store import Store

#: A generous bound on everything that tests wait for; no test depends on how long it takes.
PATIENCE_S = 60.0

#: Between two looks at what is waited for.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.2

#: Below those that Linux hands out by itself: what is found here is given to nobody else, in this
#: process or in that of other tests, before it is used.
PORTS = range(10_000, 32_000)

#: A node in a process of its own, as the command runs it.
NODE_PROGRAM = """
import asyncio, sys
from pathlib import Path
from config.node_settings import load_node_settings
from xray_api.node.run import run_node
settings = load_node_settings(Path(sys.argv[1]))
asyncio.run(run_node(settings, on_ready=lambda: print("ready", flush=True)))
"""


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = secrets.choice(PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Wait until a state is reached that announces itself to nobody.

    Looks less often the longer it takes: a look at a database is a connection, which slows down
    what is waited for.
    """
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    async with asyncio.timeout(PATIENCE_S):
        while not await check():
            pause = asyncio.Event()
            loop.call_later(pause_s, pause.set)
            await pause.wait()
            pause_s = min(LONGEST_PAUSE_S, pause_s * 1.25)


def xray_children(parent: int | None = None, program: Path = Path(child.__file__)) -> set[int]:
    """The ids of the Xray processes that a process started; without one, this process.

    A binary is found by its path.
    """
    parent = parent or os.getpid()
    found = set()
    for entry in Path("/proc").iterdir():
        if (
            entry.name.isdigit()
            and _parent(entry) == parent
            and _runs(entry, {program, Path(child.__file__)})
        ):
            found.add(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return _state(Path("/proc") / str(pid))[0] != "Z"
    except FileNotFoundError:
        return False


def _state(process: Path) -> list[str]:
    return (process / "stat").read_text().rpartition(")")[2].split()


def _parent(process: Path) -> int | None:
    try:
        return int(_state(process)[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def _runs(process: Path, programs: set[Path]) -> bool:
    try:
        command = (process / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return any(str(program).encode() in command for program in programs)


async def refuse_writes(store: Store, *, refuse: bool = True) -> None:
    """Have a store fail as on a full disk, or not any more."""
    await asyncio.get_running_loop().run_in_executor(
        store._thread,
        store._connection.execute,
        f"PRAGMA query_only = {'ON' if refuse else 'OFF'}",
    )


@dataclass
class Files:
    """A node's files, as `node init` makes them, and what it told the back-end."""

    folder: Path
    url: str
    api_key: str

    @property
    def settings_file(self) -> Path:
        """`node.toml`."""
        return self.folder / SETTINGS_FILE

    @property
    def template_file(self) -> Path:
        """The operator's template."""
        return self.folder / TEMPLATE_FILE

    @property
    def api_socket(self) -> Path:
        """Where the API of the running Xray listens."""
        folder = self.settings().node.state_dir / api_socket.FOLDER
        (found,) = (entry for entry in folder.iterdir() if entry.is_socket())
        return found

    def settings(self, **changes: Any) -> NodeSettings:
        """The settings, read from the file, with some changed."""
        settings = load_node_settings(self.settings_file)
        node = settings.node.model_copy(update=changes)
        return settings.model_copy(update={"node": node})

    def client(self) -> NodeClient:
        """A client with the key that `node init` gave."""
        return NodeClient(self.url, [self.api_key])


def make_files(folder: Path, dest: str) -> Files:
    """`node init` for this machine alone."""
    options = InitOptions(
        directory=folder,
        listen=f"127.0.0.1:{free_port()}",
        public_host="127.0.0.1",
        port=free_port(),
        dest=dest,
        server_name=SERVER_NAME,
    )
    (node,) = tomllib.loads(init_node(options))["nodes"]
    return Files(folder, node["url"], node["api_keys"][0])


@asynccontextmanager
async def running(settings: NodeSettings, settings_file: Path | None = None) -> AsyncIterator[None]:
    """The node service in this process, ready; ended by cancellation."""
    ready = asyncio.Event()
    service = asyncio.create_task(
        run_node(settings, settings_file=settings_file, on_ready=ready.set)
    )
    waiting = asyncio.create_task(ready.wait())
    first: set[asyncio.Task[Any]] = {service, waiting}
    await asyncio.wait(first, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if service.done():
        service.result()
    try:
        yield
    finally:
        service.cancel()
        await asyncio.wait({service})


@asynccontextmanager
async def node_process(files: Files) -> AsyncIterator[asyncio.subprocess.Process]:
    """The node service in a process of its own, ready; killed at the end if it still runs."""
    command = [sys.executable, "-c", NODE_PROGRAM, str(files.settings_file)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while b"ready" not in (line := await process.stdout.readline()):
                assert line, "the node ended before it was ready"
        heard = asyncio.create_task(process.stdout.read())  # a full pipe would hold it up
        yield process
        heard.cancel()
        await asyncio.wait({heard})
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@dataclass
class Page:
    """A page on loopback; `hits` counts who reached it."""

    url: str
    text: str = "the page behind the node"
    hits: list[str] = field(default_factory=list)


@asynccontextmanager
async def serving_page() -> AsyncIterator[Page]:
    """Serve a page on a free port."""
    page = Page(url="")

    async def show(request: web.Request) -> web.Response:
        page.hits.append(request.path)
        return web.Response(text=page.text)

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    page.url = f"http://127.0.0.1:{port}/"
    try:
        yield page
    finally:
        await runner.cleanup()


@asynccontextmanager
async def fresh_files(folder: Path) -> AsyncIterator[Files]:
    """The files of a node that hides behind a local camouflage target, which runs."""
    async with camouflage_target() as dest:
        yield make_files(folder, dest)
