"""The demo's world: a Telegram, a site to hide behind, a page to fetch, a node and a back-end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.sandbox import ADMIN_ID, Sandbox, VpnCheck
from config.network import split_address
from config.settings import DemoSettings
from supervisors.demo.children import ChildProgram
from supervisors.demo.files import FOLDER, SERVER_NAME, DemoFiles, prepare_files
from supervisors.demo.page import TargetPage, target_page
from xray_api.camouflage import camouflage_target
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.node.init import InitError
from xray_api.probe import ProbeResult, probe_link

#: Two programs start, one of them a database for the first time; slow machines take their time.
START_DEADLINE_S = 120.0
LOOK_EVERY_S = 0.05


class DemoError(Exception):
    """The demo cannot run; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that runs."""

    url: str
    sandbox: Sandbox
    page: TargetPage
    node: NodeClient
    programs: tuple[ChildProgram, ChildProgram]

    async def probe(self, link: str) -> ProbeResult:
        """Fetch the page through the tunnel that a link describes."""
        return await probe_link(link, self.page.url)


@asynccontextmanager
async def demo_world(
    settings: DemoSettings, step: Callable[[str], None]
) -> AsyncIterator[DemoWorld]:
    """Start everything, and stop it in reverse.

    Args:
        settings: where it listens and keeps its data.
        step: told about each thing that runs.

    Raises:
        DemoError: a port is in use, or a program does not start.
    """
    data_dir = settings.data_dir.resolve()
    _refuse_real_data(data_dir)
    async with AsyncExitStack() as stack:
        page = await stack.enter_async_context(target_page())

        async def check_vpn(link: str) -> VpnCheck:
            return _checked(await probe_link(link, page.url))

        sandbox, url, files = await _telegram(settings, data_dir, check_vpn, stack)
        step(f"Telegram sandbox and chat page at {url}")
        await _camouflage(files, stack)
        client = await stack.enter_async_context(NodeClient(files.node_url, [files.node_key]))
        node = ChildProgram(
            "the node service",
            ["--config", str(files.node_file), "node", "run"],
            files.folder / "node.log",
        )
        await _started(node, lambda: _node_ready(client), stack)
        step("node service with a real Xray is ready")
        backend = ChildProgram(
            "the back-end",
            ["--config", str(files.backend_file), "run"],
            files.folder / "backend.log",
        )
        await _started(backend, lambda: _polls(sandbox), stack)
        step("back-end with a real PostgreSQL listens to Telegram")
        yield DemoWorld(url, sandbox, page, client, (node, backend))


def _refuse_real_data(data_dir: Path) -> None:
    """A demo must never open the database of a shop."""
    if (data_dir / "postgres").exists() and not (data_dir / FOLDER).exists():
        raise DemoError(
            f"data_dir: {data_dir} holds the data of a real back-end; "
            "choose another: TOLLGATE_DATA_DIR=./demo-data tollgate demo"
        )


async def _telegram(
    settings: DemoSettings,
    data_dir: Path,
    check_vpn: Callable[[str], Awaitable[VpnCheck]],
    stack: AsyncExitStack,
) -> tuple[Sandbox, str, DemoFiles]:
    host, port = split_address(settings.demo.listen)
    try:
        files = prepare_files(data_dir, f"http://{settings.demo.listen}", ADMIN_ID)
    except InitError as error:
        raise DemoError(f"data_dir: {error}") from None
    except (OSError, ValueError, KeyError) as error:
        raise DemoError(f"data_dir: {data_dir / FOLDER} cannot be used: {error}") from None
    sandbox = Sandbox(files.token, vpn_check=check_vpn, admin_id=ADMIN_ID)
    try:
        address = await stack.enter_async_context(sandbox.serve(host, port))
    except OSError as error:
        raise DemoError(
            f"demo.listen: {settings.demo.listen}: {error.strerror}; "
            "choose another: TOLLGATE_DEMO__LISTEN=127.0.0.1:8089 tollgate demo"
        ) from None
    return sandbox, address.url, files


async def _camouflage(files: DemoFiles, stack: AsyncExitStack) -> None:
    try:
        await stack.enter_async_context(camouflage_target(SERVER_NAME, port=files.camouflage_port))
    except OSError as error:
        raise DemoError(
            f"port {files.camouflage_port} of an earlier demo: {error.strerror}; "
            f"end what uses it, or delete {files.folder} for new ports"
        ) from None


async def _started(
    program: ChildProgram, ready: Callable[[], Awaitable[bool]], stack: AsyncExitStack
) -> None:
    await program.start()
    stack.push_async_callback(program.stop)
    ended = asyncio.create_task(program.ended())
    try:
        async with asyncio.timeout(START_DEADLINE_S):
            while not await ready():
                if ended.done():
                    raise DemoError(str(ended.result()))
                await asyncio.sleep(LOOK_EVERY_S)  # noqa: TID251 - waits for another process
    except TimeoutError:
        raise DemoError(f"{program.name} is not ready; see {program.log_file}") from None
    finally:
        ended.cancel()


async def _node_ready(client: NodeClient) -> bool:
    try:
        return (await client.ready()).ready
    except NodeCallError:
        return False


async def _polls(sandbox: Sandbox) -> bool:
    return any(call.method == "getUpdates" for call in sandbox.calls)


def _checked(result: ProbeResult) -> VpnCheck:
    if result.ok:
        detail = f"A page came through the tunnel in {result.latency_ms:.0f} ms."
        return VpnCheck(ok=True, latency_ms=result.latency_ms, detail=detail)
    return VpnCheck(ok=False, latency_ms=None, detail=f"No page came: {result.detail}.")
