"""Asks everything at once, each within its time; who does not answer keeps no other waiting.

Nothing is changed: the database is read by a session that cannot write, updates are not taken, the
database is not taken over.
"""

import asyncio
import os
import shutil
import stat
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import aiohttp

from actors.runtime.clock import epoch_now
from bot.door import TokenRefused
from bot.examination import NoAnswer, TelegramStanding, ask_cryptopay, telegram_standing
from bot.gateways import crypto_pay
from bot.node_views import BreakerView, ExpiryView
from bot.web.server import HEALTH, AddressTaken, try_address
from config.keys import FILE_NAME, keys_there
from config.loading import SettingsError
from config.plans import load_plans
from config.settings import NodeEntry, Settings
from config.supervision import load_supervision
from storage.embedded import FOLDER, running_url
from storage.errors import StorageSetupError, StorageUnavailable
from storage.looking import DatabaseStanding, looking, standing
from supervisors.console.answers import listed, parsed
from supervisors.console.client import Control
from supervisors.console.errors import ConsoleError, NoBackend
from supervisors.doctor.facts import BackendFacts, Facts, FolderFacts, NodeFacts, Trouble
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError

#: For each question.
DEADLINE_S = 8.0
#: Whom each node should let in is counted, which takes a while in a large shop.
DATABASE_DEADLINE_S = 60.0
#: Where no clock was told.
NO_CLOCK = 0.0

Answer = TypeVar("Answer")


async def ask_everything(settings: Settings, settings_file: Path | None) -> Facts:
    """All facts; what cannot be learnt is a trouble."""
    folder = await asyncio.to_thread(look_at_folder, settings, settings_file)
    backend = await within(ask_backend(settings.data_dir))
    running = backend is not None
    database, telegram, nodes, crypto, door = await asyncio.gather(
        within(ask_database(settings), DATABASE_DEADLINE_S),
        within(ask_telegram(settings)),
        asyncio.gather(*(within(ask_node(node)) for node in settings.nodes)),
        within(ask_providers(settings)),
        within(ask_door(settings, running=running)),
    )
    prints, keys = await asyncio.to_thread(look_at_keys, settings)
    clock_s, standing_ = database if isinstance(database, tuple) else (NO_CLOCK, database)
    return Facts(
        folder=folder,
        database=standing_,
        backend=backend,
        telegram=telegram,
        nodes={node.id: found for node, found in zip(settings.nodes, nodes, strict=True)},
        providers=crypto if isinstance(crypto, dict) else {crypto_pay.PROVIDER: crypto},
        door=door,
        host_clock_s=clock_s,
        fingerprints=prints,
        keys=keys,
    )


async def within(question: Awaitable[Answer], deadline_s: float = DEADLINE_S) -> Answer | Trouble:
    """An answer in time, or what stood in its way. A mistake of ours is one answer less, no end."""
    try:
        async with asyncio.timeout(deadline_s):
            return await question
    except TimeoutError:
        return Trouble("no answer", f"within {deadline_s:g} s")
    except Exception as error:  # noqa: BLE001 - the outermost edge of each question
        return Trouble(type(error).__name__)


def where_database_is(settings: Settings) -> str | Trouble | None:
    """Where it answers; None where there is none yet.

    The embedded one is neither started nor joined: it would be made another user's.
    """
    if settings.database.url is not None:
        return settings.database.url.get_secret_value()
    folder = settings.data_dir / FOLDER
    try:
        url = running_url(folder)
        made = url is not None or folder.exists()
    except OSError as error:
        return Trouble("closed", f"{folder.absolute()}: {error.strerror}")
    if url is None and made:
        return Trouble("stopped")
    return url


async def ask_database(
    settings: Settings,
) -> tuple[float, DatabaseStanding] | Trouble | None:
    """How the database stands, and this machine's clock in the same moment."""
    url = await asyncio.to_thread(where_database_is, settings)
    if not isinstance(url, str):
        return url
    try:
        async with looking(url) as connection:
            return epoch_now(), await standing(connection)
    except StorageSetupError as error:
        return Trouble("setup", str(error))
    except StorageUnavailable as error:
        embedded = settings.database.url is None  # killed, it leaves the note of its place
        return Trouble("stopped" if embedded else "away", str(error))


async def ask_backend(data_dir: Path) -> BackendFacts | Trouble | None:
    """What a running back-end says; None where none runs on this folder."""
    control = Control(data_dir, timeout_s=DEADLINE_S)
    try:
        breakers = listed(BreakerView, await control.look("/breakers"), "breakers")
        expiry = parsed(ExpiryView, await control.look("/expiry"))
        policies = (await control.look("/policy"))["policies"]
    except NoBackend:
        return None
    except ConsoleError as error:
        return Trouble("unanswered", str(error))
    off = any(one["key"] == "provisioner.enabled" and one["value"] == "off" for one in policies)
    return BackendFacts(breakers=tuple(breakers), expiry=expiry, calls_nodes=not off)


async def ask_telegram(settings: Settings) -> TelegramStanding | Trouble:
    """How the bot's account stands."""
    try:
        return await telegram_standing(settings.telegram)
    except TokenRefused:
        return Trouble("token")
    except NoAnswer as error:
        return Trouble("away", str(error))


async def ask_node(node: NodeEntry) -> NodeFacts | Trouble:
    """A node's account of itself."""
    keys = [key.get_secret_value() for key in node.api_keys]
    async with NodeClient(node.url, keys) as client:
        try:
            readiness = await client.ready(deadline_s=DEADLINE_S / 2)
        except NodeCallError as error:
            return Trouble(error.fault, str(error))
        return NodeFacts(readiness=readiness, clock_ahead_s=client.clock_ahead_s)


async def ask_providers(settings: Settings) -> dict[str, Trouble | None]:
    """Trouble with each way to pay that can be asked; Telegram's own stand with the bot."""
    section = settings.payments.cryptopay
    if section.token is None:
        return {}
    try:
        await ask_cryptopay(section)
    except NoAnswer as error:
        return {crypto_pay.PROVIDER: Trouble("away", str(error))}
    return {crypto_pay.PROVIDER: None}


async def ask_door(settings: Settings, *, running: bool) -> Trouble | None:
    """Whether the address of webhooks is served by the back-end, or free for it."""
    listen = settings.http.listen
    if not running:
        try:
            await try_address(listen)
        except AddressTaken as taken:
            return Trouble("taken", str(taken))
        return None
    host, _, port = listen.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    if port == "0":
        return None  # any free one; nobody but the back-end knows which
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://{here}:{port}{HEALTH}", allow_redirects=False) as answer,
        ):
            return None if answer.ok else Trouble("status", str(answer.status))
    except aiohttp.ClientError as error:
        return Trouble("away", type(error).__name__)


def look_at_keys(settings: Settings) -> tuple[tuple[str, ...], Trouble | None]:
    """Fingerprints of the master keys, none where a start would make them; or why not."""
    try:
        keys = keys_there(settings.security.keys, settings.data_dir)
    except SettingsError as error:
        return (), Trouble("keys", str(error))
    return (keys.fingerprints() if keys else ()), None


def look_at_folder(settings: Settings, settings_file: Path | None) -> FolderFacts:
    """The data folder, the files with secrets, and the files that settings name."""
    folder = settings.data_dir
    files = [folder / FILE_NAME, *([settings_file] if settings_file else [])]
    problems: list[str] = []
    for load in (
        lambda: load_plans(settings.plans_file, [node.id for node in settings.nodes]),
        lambda: load_supervision(settings.supervision_file),
    ):
        try:
            load()
        except SettingsError as error:
            problems += error.problems
    secrets: dict[str, int] = {}
    try:
        for file in files:
            if file.exists():
                secrets[str(file)] = stat.S_IMODE(file.stat().st_mode)
        if not folder.is_dir():
            return FolderFacts(exists=False, secrets=secrets, plain_files=tuple(problems))
        return FolderFacts(
            exists=True,
            writable=os.access(folder, os.W_OK | os.X_OK),
            mode=stat.S_IMODE(folder.stat().st_mode),
            free_bytes=shutil.disk_usage(folder).free,
            secrets=secrets,
            plain_files=tuple(problems),
        )
    except OSError as error:
        closed = f"{error.filename}: {error.strerror}"
        return FolderFacts(exists=True, closed=closed, secrets=secrets, plain_files=tuple(problems))
