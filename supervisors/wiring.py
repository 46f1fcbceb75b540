"""The composition root: the one place that chooses the real world, and lets go of it again."""

import json
import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from aiogram import Bot

from actors.notifier.actor import NotifierActor
from actors.provisioner.actor import ProvisionerActor, ProvisionerLimits
from actors.provisioner.decisions import RetryLimits
from actors.runtime.actor import Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.messages import Request
from actors.runtime.replies import Unavailable
from actors.user.actor import USER, UserActor
from bot.courier import TelegramCourier
from bot.dispatcher import build_dispatcher
from bot.gateways.payload import PayloadSigner
from bot.intake import InboxWorker, TelegramIntake
from bot.session import make_bot
from bot.texts import Texts
from config.keys import MasterKeys, master_keys
from config.plans import Plans, load_plans
from config.settings import ProvisionerSection, Settings
from config.supervision import load_supervision
from storage.database import Database, refuse_in_transaction
from storage.embedded import database_url
from storage.errors import StorageUnavailable
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from storage.phases import (
    NodePhases,
    NoticePhases,
    PostgresQueries,
    UserPhases,
    announce_nodes,
)
from storage.rows import InboxRow
from supervisors.engine.supervisor import Supervisor
from supervisors.root import Parts, Tree
from xray_api.client.client import NodeClient

Reply = TypeVar("Reply")


@dataclass(frozen=True, slots=True)
class UserDirectory:
    """What the bot sees of users' actors."""

    directory: Directory

    async def ask(self, user_id: int, message: Request[Reply]) -> Reply:
        """Ask one user's actor, started on demand."""
        return await self.directory.find(USER, str(user_id)).ask(message)


@dataclass(frozen=True, slots=True)
class Backend:
    """A back-end that is wired and not started."""

    root: Supervisor
    bot: Bot
    texts: Texts
    database: Database


@asynccontextmanager
async def wire(settings: Settings) -> AsyncIterator[Backend]:
    """Open everything that the back-end needs, and close it at the end.

    Raises:
        SettingsError: a file that the settings name is wrong.
        StorageSetupError, StorageUnavailable: the database cannot be used.
    """
    node_ids = [node.id for node in settings.nodes]
    plans = load_plans(settings.plans_file, node_ids)
    policies = load_supervision(settings.supervision_file)
    keys = master_keys(settings.security.keys, settings.data_dir)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(
            database_url(settings.database.url, settings.data_dir)
        )
        await apply_migrations(url)
        database = await Database.connect(url)
        stack.push_async_callback(database.close)
        await database.take_over(uuid.uuid4())
        await announce_nodes(database, node_ids)
        token = settings.telegram.token.get_secret_value()
        bot = make_bot(token, refuse_in_transaction, settings.telegram.api_base)
        stack.push_async_callback(bot.session.close)
        texts = Texts()
        surroundings = Surroundings(clock=LoopClock(), weather=(StorageUnavailable,))
        directory = Directory()
        source = random.Random()  # noqa: S311 - spreads retries, guards nothing
        parts = Parts(
            provisioners=_provisioners(settings, stack, database, keys, directory, source),
            **_bot_parts(settings, database, keys, plans, bot, texts, directory, source),
        )
        tree = Tree(parts, policies, directory, surroundings, source)
        yield Backend(tree.root(), bot, texts, database)


def _provisioners(
    settings: Settings,
    stack: AsyncExitStack,
    database: Database,
    keys: MasterKeys,
    directory: Directory,
    source: random.Random,
) -> dict[str, Callable[[], ProvisionerActor]]:
    phases = NodePhases(database, LinkCipher(keys))
    limits = provisioner_limits(settings.provisioner)
    starts = {}
    for entry in settings.nodes:
        api_keys = [key.get_secret_value() for key in entry.api_keys]
        client = NodeClient(entry.url, api_keys, guard=refuse_in_transaction)
        stack.push_async_callback(client.close)
        starts[entry.id] = _starter(entry.id, client, phases, limits, directory, source)
    return starts


def _starter(
    node_id: str,
    client: NodeClient,
    phases: NodePhases,
    limits: ProvisionerLimits,
    directory: Directory,
    source: random.Random,
) -> Callable[[], ProvisionerActor]:
    return lambda: ProvisionerActor(node_id, client, phases, limits, directory, source)


def _bot_parts(
    settings: Settings,
    database: Database,
    keys: MasterKeys,
    plans: Plans,
    bot: Bot,
    texts: Texts,
    directory: Directory,
    source: random.Random,
) -> dict[str, Any]:
    cipher = LinkCipher(keys)
    inbox = PostgresInbox(database)
    user_phases = UserPhases(database, cipher)
    notice_phases = NoticePhases(database, cipher)
    node_ids = [node.id for node in settings.nodes]
    dispatcher = build_dispatcher(
        users=UserDirectory(directory),
        queries=PostgresQueries(database),
        plans=plans,
        texts=texts,
        signer=PayloadSigner(keys),
        admins=settings.telegram.admins,
        weather=(Unavailable, StorageUnavailable),
    )
    allowed = dispatcher.resolve_used_update_types()

    async def dispatch(row: InboxRow) -> None:
        await dispatcher.feed_raw_update(
            bot,
            json.loads(row.payload),
            raw_update=row.payload,
            operation_id=f"{row.source}:{row.source_id}",
        )

    def intake(worker: Address) -> TelegramIntake:
        return TelegramIntake(bot, inbox, allowed, worker)

    return {
        "notifier": lambda: NotifierActor(
            TelegramCourier(bot, texts, plans), notice_phases, source
        ),
        "user": lambda user_id: UserActor(user_id, user_phases, plans, node_ids, directory),
        "inbox": lambda: InboxWorker(inbox, dispatch),
        "intake": intake,
    }


def provisioner_limits(section: ProvisionerSection) -> ProvisionerLimits:
    """The settings of node calls as the actor takes them."""
    return ProvisionerLimits(
        attempt_timeout_s=section.attempt_timeout_s,
        concurrency=section.concurrency,
        scan_interval_s=section.scan_interval_s,
        retry=RetryLimits(base_s=section.retry_base_s, cap_s=section.retry_cap_s),
    )
