"""The node service as a whole: what cannot work stops it at start, with the setting's name."""

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

import structlog
from aiohttp import web

from config.network import is_loopback, split_address
from config.node_settings import NodeSection, NodeSettings
from xray_api.node.api_socket import refusal
from xray_api.node.apply import Applier, is_user_email
from xray_api.node.config import TemplateError, read_template, render
from xray_api.node.cutting import Cutter
from xray_api.node.engine import engine_of
from xray_api.node.errors import NodeStartError
from xray_api.node.keeper import Keeper
from xray_api.node.keys import ApiKeys
from xray_api.node.links import Links, NoLinkError
from xray_api.node.listing import Listing
from xray_api.node.process import RC_START_ERROR, XrayStartError
from xray_api.node.readiness import Accountant
from xray_api.node.reload import CertificateError, Reloader, tls_context
from xray_api.node.service import Service
from xray_api.node.store import Store, StoreError
from xray_api.node.template import Template

STORE_FILE = "node.sqlite3"
#: What requests under way get at the end; a change takes a millisecond.
DRAIN_S = 5.0
#: Between the failure of background work and its next beginning.
BEGIN_AGAIN_S = 1.0

_log = structlog.get_logger()


async def run_node(
    settings: NodeSettings,
    *,
    settings_file: Path | None = None,
    on_ready: Callable[[], None] | None = None,
) -> None:
    """Run until SIGTERM, SIGINT or cancellation; Xray ends with it.

    Args:
        settings: the node's settings.
        settings_file: where they were read from; its API keys are taken over when it changes.
        on_ready: called once, when the API answers and Xray equals the store.

    Raises:
        NodeStartError: the service cannot start; each of its lines names a setting.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    hangup = asyncio.Event()
    signals = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: hangup}
    for number, event in signals.items():
        loop.add_signal_handler(number, event.set)
    serving = asyncio.create_task(_serve(settings.node, settings_file, hangup, on_ready))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        serving.cancel()
        await asyncio.wait({serving})
        for number in signals:
            loop.remove_signal_handler(number)
    if not serving.cancelled():
        serving.result()


async def _serve(
    node: NodeSection,
    settings_file: Path | None,
    hangup: asyncio.Event,
    on_ready: Callable[[], None] | None,
) -> None:
    check_api_socket(node.state_dir)
    template = read_template_of(node)
    links = links_of(node, template)
    engine = engine_of(node.xray, node.state_dir)
    tls = tls_of(node)
    if node.allow_private_targets:
        _log.warning("private_targets_allowed", setting="node.allow_private_targets")
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(_listener(node.listen))
        store = await _store(node)
        stack.push_async_callback(store.close)
        cutter = Cutter(template.inbound.port, partial(_is_present, store))
        applier = Applier(store, template.flow, cutter.cut_soon)
        configuration = partial(_configuration, node, template, store)
        keeper = Keeper(engine, template, configuration, applier, node.state_dir)
        stack.push_async_callback(keeper.close)
        keys = ApiKeys(key.get_secret_value() for key in node.api_keys)
        # Looks at the files before Xray's start, which may take seconds: no change is missed.
        reloader = Reloader(node, settings_file, keys, tls)
        await _start_xray(keeper, node, template)
        accountant = Accountant(
            store=store,
            applier=applier,
            keeper=keeper,
            template=template,
            links=links,
            allow_private_targets=node.allow_private_targets,
            since=asyncio.get_running_loop().time(),
        )
        service = Service(keys, store, applier, Listing(store, applier), links, cutter, accountant)
        runner = web.AppRunner(service.app(), access_log=None, shutdown_timeout=DRAIN_S)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.SockSite(runner, listener, ssl_context=tls).start()
        _log.info("node_ready", listen=node.listen, users=len(store.present()), engine=str(engine))
        if on_ready is not None:
            on_ready()
        for work in (
            lambda: cutter.run(lambda: applier.hot),
            lambda: reloader.run(hangup),
            lambda: service.end_strangers(
                lambda: runner.server.connections if runner.server else ()
            ),
            store.keep_copies,
        ):
            stack.callback(asyncio.create_task(_kept_up(work)).cancel)
        await keeper.run()


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Work that ends only when cancelled; a bug in it is told, and it begins again."""
    while True:
        try:
            await work()
        except Exception:  # noqa: BLE001 - told, and begun again
            _log.exception("background_work_failed")
        await asyncio.sleep(BEGIN_AGAIN_S)  # noqa: TID251 - no test waits for it


def check_api_socket(state_dir: Path) -> None:
    """Whether Xray's API can have its socket there.

    Raises:
        NodeStartError: it cannot.
    """
    if reason := refusal(state_dir):
        raise NodeStartError(f"node.state_dir: {reason}; choose another folder")


def read_template_of(node: NodeSection) -> Template:
    """The operator's template, checked.

    Raises:
        NodeStartError: it cannot be used.
    """
    try:
        text = node.xray_config.read_text(encoding="utf-8")
        return read_template(text, allow_private_targets=node.allow_private_targets)
    except (OSError, UnicodeDecodeError) as error:
        raise NodeStartError(f"node.xray_config: {error}") from None
    except TemplateError as error:
        where = f"node.xray_config: {node.xray_config}"
        raise NodeStartError(*(f"{where}: {problem}" for problem in error.problems)) from None


def links_of(node: NodeSection, template: Template) -> Links:
    """What makes the links.

    Raises:
        NodeStartError: the public host cannot stand in one.
    """
    try:
        return Links(template, node.public_host, node.public_port)
    except NoLinkError as error:
        raise NodeStartError(f"node.public_host: {error}") from None


def tls_of(node: NodeSection) -> ssl.SSLContext | None:
    """What the API's listener shows.

    Raises:
        NodeStartError: the certificate cannot be used, or others would be answered without one.
    """
    try:
        context = tls_context(node)
    except CertificateError as error:
        raise NodeStartError(str(error)) from None
    if context is None:
        _check_plain_http(node)
    return context


def _check_plain_http(node: NodeSection) -> None:
    if is_loopback(split_address(node.listen)[0]):
        return
    if not node.allow_plain_http:
        raise NodeStartError(
            f"node.listen: {node.listen}: others than this machine would be answered without "
            "TLS; set node.tls_cert and node.tls_key, or node.allow_plain_http = true if a TLS "
            "proxy is in front of the node"
        )
    _log.warning("plain_http_allowed", setting="node.allow_plain_http", listen=node.listen)


def _listener(address: str) -> socket.socket:
    try:
        return _bound(*split_address(address))
    except OSError as error:
        raise NodeStartError(f"node.listen: {address}: {_why(error)}") from None


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=512)


async def _store(node: NodeSection) -> Store:
    try:
        return await Store.open(node.state_dir / STORE_FILE)
    except StoreError as error:
        raise NodeStartError(f"node.state_dir: {error}") from None


def _is_present(store: Store, email: str) -> bool:
    wish = store.wishes.get(UUID(email)) if is_user_email(email) else None
    return wish is not None and wish.present


def _configuration(
    node: NodeSection, template: Template, store: Store, api_socket: Path
) -> dict[str, object]:
    return render(
        template,
        store.present(),
        api_socket=api_socket,
        allow_private_targets=node.allow_private_targets,
    )


async def _start_xray(keeper: Keeper, node: NodeSection, template: Template) -> None:
    try:
        await keeper.start()
    except XrayStartError as error:
        if error.status == RC_START_ERROR:
            _check_inbound_port(node, template)
        raise NodeStartError(f"node.xray: {node.xray}: {error}") from None


def _check_inbound_port(node: NodeSection, template: Template) -> None:
    """Xray does not say which port it could not have."""
    inbound = template.inbound
    try:
        _bound(inbound.listen, inbound.port).close()
    except OSError as error:
        place = f"{node.xray_config}: inbounds[0].port: {inbound.port}"
        raise NodeStartError(f"node.xray_config: {place}: {_why(error)}") from None


def _why(error: OSError) -> str | None:
    """The plain reason; asyncio and socket put the address into theirs."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
