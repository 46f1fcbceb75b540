"""The demo's world: a Telegram, a page behind the tunnel, a node and a back-end."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.sandbox import Sandbox, VpnCheck
from bot.sandbox.crypto_pay import CryptoPayDouble
from config.network import split_address
from supervisors.demo.children import ChildProgram
from supervisors.demo.errors import DemoError
from supervisors.demo.page import TargetPage, target_page
from supervisors.demo.programs import ADMIN_ID, Programs, until_ready
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.probe import ProbeResult, probe_link


@dataclass(frozen=True, slots=True)
class DemoWorld:
    """Everything that runs."""

    url: str
    sandbox: Sandbox
    page: TargetPage
    node: NodeClient
    programs: tuple[ChildProgram, ...]

    async def probe(self, link: str) -> ProbeResult:
        """Fetch the page through the tunnel that a link describes."""
        return await probe_link(link, self.page.url)


@asynccontextmanager
async def demo_world(programs: Programs, step: Callable[[str], None]) -> AsyncIterator[DemoWorld]:
    """Put the world around the programs, and wait until they work.

    Args:
        programs: the node and the back-end, started.
        step: told about each thing that runs.

    Raises:
        DemoError: a program does not get ready.
    """
    async with target_page() as page:

        async def check_vpn(link: str) -> VpnCheck:
            return _checked(await probe_link(link, page.url))

        files = programs.files
        sandbox = Sandbox(files.token, vpn_check=check_vpn, admin_id=ADMIN_ID)
        crypto_pay = CryptoPayDouble(files.crypto_token)
        crypto_pay.push_to(files.push_url)
        async with (
            _served(sandbox, programs.listen) as url,
            crypto_pay.serve(port=files.crypto_port),
            NodeClient(files.node_url, [files.node_key]) as node,
        ):
            step(f"Telegram sandbox and chat page at {url}")
            await until_ready(programs.node, lambda: _answers(node))
            step("node service with a real Xray is ready")
            await until_ready(programs.backend, lambda: _polls(sandbox))
            step("back-end with a real PostgreSQL listens to Telegram")
            yield DemoWorld(url, sandbox, page, node, (programs.node, programs.backend))


@asynccontextmanager
async def _served(sandbox: Sandbox, listen: str) -> AsyncIterator[str]:
    try:
        async with sandbox.serve(*split_address(listen)) as address:
            yield address.url
    except OSError as error:
        raise DemoError(f"demo.listen: {listen}: {error.strerror}") from None


async def _answers(node: NodeClient) -> bool:
    try:
        return (await node.ready()).ready
    except NodeCallError:
        return False


async def _polls(sandbox: Sandbox) -> bool:
    return any(call.method == "getUpdates" for call in sandbox.calls)


def _checked(result: ProbeResult) -> VpnCheck:
    if result.ok:
        detail = f"A page came through the tunnel in {result.latency_ms:.0f} ms."
        return VpnCheck(ok=True, latency_ms=result.latency_ms, detail=detail)
    return VpnCheck(ok=False, latency_ms=None, detail=f"No page came: {result.detail}.")
