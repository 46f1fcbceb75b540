"""What is outside the program: the real world, unless a simulation or a test gives another one."""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from actors.runtime.actor import AsyncioActor
from actors.runtime.clock import HOST, Clock, HostTime, LoopClock
from bot.door import TelegramDoor
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway
from bot.gateways.registry import gateways
from bot.session import TelegramBot, make_bot
from bot.texts import Texts
from config.settings import NodeEntry, Settings
from storage.database import Database, refuse_in_transaction
from storage.embedded import database_url
from storage.migrate import apply_migrations
from supervisors.operators.control import ControlActor
from supervisors.operators.operations import LiveOperations
from xray_api.client.client import NodeClient
from xray_api.client.port import NodePort

#: Twice this fits into PostgreSQL's usual 97, for while one back-end takes over from another. All
#: that may work at once is more: 8 each of updates, messages, expiries, credits, refunds, held
#: payments, and 8 of each node and poller. None holds one over an outside call, so who finds none
#: free waits for somebody's transaction, a few milliseconds.
CONNECTIONS = 48


class NodeConnection(NodePort, Protocol):
    """A way to one node, kept while the program runs."""

    #: How far the node's clock is ahead of ours, seconds; None before its first answer.
    clock_ahead_s: float | None

    async def close(self) -> None:
        """Drop the connections."""
        ...


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """The database of the settings, brought up to date; its own server runs as long as it is open.

    Raises:
        StorageSetupError, StorageUnavailable: it cannot be used.
    """
    async with database_url(settings.database.url, settings.data_dir) as url:
        await apply_migrations(url)
        database = await Database.connect(url, CONNECTIONS)
        try:
            yield database
        finally:
            await database.close()


def node_client(node: NodeEntry) -> NodeClient:
    """Calls a node by HTTP."""
    keys = [key.get_secret_value() for key in node.api_keys]
    return NodeClient(node.url, keys, guard=refuse_in_transaction)


def telegram_bot(settings: Settings) -> TelegramBot:
    """The bot of the settings, at the server that they name."""
    token = settings.telegram.token.get_secret_value()
    return make_bot(token, refuse_in_transaction, settings.telegram.api_base)


def ways_to_pay(
    settings: Settings, bot: TelegramBot, signer: PayloadSigner
) -> Mapping[str, Gateway]:
    """Those that the settings switch on."""
    return gateways(settings, bot, signer, refuse_in_transaction)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How each part of the outside is made; every one of them once for each wiring.

    `source` spreads retries and guards nothing.
    """

    clock: Callable[[], Clock] = LoopClock
    host: HostTime = HOST
    source: Callable[[], random.Random] = random.Random
    database: Callable[[Settings], AbstractAsyncContextManager[Database]] = open_database
    node: Callable[[NodeEntry], NodeConnection] = node_client
    bot: Callable[[Settings], TelegramBot] = telegram_bot
    ways: Callable[[Settings, TelegramBot, PayloadSigner], Mapping[str, Gateway]] = ways_to_pay
    door: Callable[..., TelegramDoor] = TelegramDoor
    texts: Callable[[], Texts] = Texts
    control: Callable[[LiveOperations, Path], AsyncioActor] = ControlActor


REAL = World()
