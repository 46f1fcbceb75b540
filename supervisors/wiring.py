"""The composition root: the one place that chooses the real world, and lets go of it again."""

import random
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import structlog

from actors.expiry.actor import ExpiryActor
from actors.notifier.actor import NotifierActor
from actors.payments.poller import PollerActor
from actors.payments.sweep import SweepActor
from actors.provisioner.actor import ProvisionerActor, ProvisionerLimits
from actors.provisioner.decisions import RetryLimits
from actors.runtime.actor import Surroundings
from actors.runtime.address import Directory
from actors.runtime.clock import Clock, LoopClock
from actors.runtime.messages import Request
from actors.runtime.replies import Unavailable
from actors.user import messages as user_messages
from actors.user.actor import USER, UserActor
from actors.user.decisions.catalogue import Catalogue
from bot.door import TelegramDoor
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway
from bot.gateways.registry import close_gateways, gateways, terms_of
from bot.reports.story import story_line
from bot.session import make_bot
from bot.texts import DEFAULT_LANGUAGE, Texts
from config.keys import MasterKeys, master_keys
from config.plans import load_plans
from config.settings import NodeEntry, ProvisionerSection, Settings
from config.supervision import load_supervision
from storage.database import Database, refuse_in_transaction
from storage.embedded import database_url
from storage.errors import StorageUnavailable
from storage.identity import claim_database
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from storage.operations import OperatorRecords
from storage.phases import (
    ExpiryPhases,
    NodePhases,
    NoticePhases,
    PaymentPhases,
    PostgresQueries,
    UserPhases,
    announce_nodes,
)
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.control import ControlActor
from supervisors.operators.journal import JOURNAL, Journal, JournalActor
from supervisors.operators.operations import LiveOperations
from supervisors.operators.policies import PolicyActor, PolicyBoard
from supervisors.root import CHARTERS, Parts, Tree
from xray_api.client.client import NodeClient

log = structlog.get_logger(__name__)

#: Twice this fits into PostgreSQL's usual 97, for while one back-end takes over from another. All
#: that may work at once is more: 8 each of updates, messages, expiries, credits, refunds, held
#: payments, and 8 of each node and poller. None holds one over an outside call, so who finds none
#: free waits for somebody's transaction, a few milliseconds.
CONNECTIONS = 48

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
    door: TelegramDoor
    database: Database
    clock: Clock
    journal: Journal
    records: OperatorRecords


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
        database = await _database(settings, keys, stack)
        for node_id, stranded in (await announce_nodes(database, node_ids)).items():
            log.error("users_on_unknown_node", node=node_id, users=stranded, setting="nodes")
        directory = Directory()
        records = OperatorRecords(database)
        board = PolicyBoard(policies, await records.overrides())
        clock = LoopClock()
        journal = Journal(clock, settings.telegram.admins)
        surroundings = Surroundings(clock=clock, weather=(StorageUnavailable,), observer=journal)
        source = random.Random()  # noqa: S311 - spreads retries, guards nothing
        queries, texts = PostgresQueries(database), Texts()
        operations = LiveOperations(
            root=lambda: tree.root,
            charters=CHARTERS,
            board=board,
            directory=directory,
            records=records,
            observer=journal,
            messages={
                (USER, name): found
                for name, found in vars(user_messages).items()
                if isinstance(found, type) and issubclass(found, Request)
            },
            stories=queries.story,
            story_line=lambda row: story_line(row, plans, texts, DEFAULT_LANGUAGE),
        )
        # One for the chat and the ways to pay: who waits for Telegram holds up no other request.
        token = settings.telegram.token.get_secret_value()
        bot = make_bot(token, refuse_in_transaction, settings.telegram.api_base)
        ways = gateways(settings, bot, PayloadSigner(keys), refuse_in_transaction)
        stack.push_async_callback(close_gateways, ways)
        door = TelegramDoor(
            settings.telegram,
            guard=refuse_in_transaction,
            users=UserDirectory(directory),
            queries=queries,
            inbox=PostgresInbox(database),
            plans=plans,
            nodes=frozenset(node_ids),
            keys=keys,
            weather=(Unavailable, StorageUnavailable),
            operations=operations,
            gateways=ways,
            http=settings.http,
            bot=bot,
        )
        stack.push_async_callback(door.close)
        cipher = LinkCipher(keys)
        notices = NoticePhases(database, cipher)
        users = UserPhases(database, cipher)
        payments = PaymentPhases(database)
        catalogue = Catalogue(
            plans=plans,
            nodes=tuple(node_ids),
            terms=terms_of(ways),
            owners=settings.telegram.admins,
        )
        parts = Parts(
            journal=lambda: JournalActor(journal, records),
            policies=lambda: PolicyActor(board, records, journal),
            control=lambda: ControlActor(operations, settings.data_dir),
            notifier=lambda: NotifierActor(door.courier(), notices, source),
            provisioners={
                node.id: _provisioner(
                    node, _client(node, stack), database, cipher, settings, directory, source
                )
                for node in settings.nodes
            },
            user=lambda user_id: UserActor(user_id, users, catalogue, directory),
            inbox=door.inbox_worker,
            intake=door.intake,
            expiry=lambda: ExpiryActor(ExpiryPhases(database), directory),
            payments=lambda: SweepActor(
                ways, payments, directory, settings.telegram.admins, source
            ),
            pollers={
                name: _poller(gateway, payments, directory, source)
                for name, gateway in ways.items()
                if gateway.terms.lists_charges
            },
            web=door.web,
        )
        tree = Tree(parts, board, directory, surroundings, source)
        journal.wake = directory.find(JOURNAL).wake
        yield Backend(tree.root, door, database, clock, journal, records)


async def _database(settings: Settings, keys: MasterKeys, stack: AsyncExitStack) -> Database:
    given = database_url(settings.database.url, settings.data_dir)
    url = await stack.enter_async_context(given)
    await apply_migrations(url)
    database = await Database.connect(url, CONNECTIONS)
    stack.push_async_callback(database.close)
    await claim_database(database, settings.telegram.bot_id, keys.fingerprints())
    await database.take_over(uuid.uuid4())
    return database


def _poller(
    gateway: Gateway, phases: PaymentPhases, directory: Directory, source: random.Random
) -> Callable[[], PollerActor]:
    return lambda: PollerActor(gateway, phases, directory, source)


def _client(node: NodeEntry, stack: AsyncExitStack) -> NodeClient:
    keys = [key.get_secret_value() for key in node.api_keys]
    client = NodeClient(node.url, keys, guard=refuse_in_transaction)
    stack.push_async_callback(client.close)
    return client


def _provisioner(
    node: NodeEntry,
    client: NodeClient,
    database: Database,
    cipher: LinkCipher,
    settings: Settings,
    directory: Directory,
    source: random.Random,
) -> Callable[[], ProvisionerActor]:
    phases = NodePhases(database, cipher)
    limits = provisioner_limits(settings.provisioner)
    owners = settings.telegram.admins
    return lambda: ProvisionerActor(node.id, client, phases, limits, directory, source, owners)


def provisioner_limits(section: ProvisionerSection) -> ProvisionerLimits:
    """The settings of node calls as the actor takes them."""
    return ProvisionerLimits(
        attempt_timeout_s=section.attempt_timeout_s,
        concurrency=section.concurrency,
        scan_interval_s=section.scan_interval_s,
        retry=RetryLimits(base_s=section.retry_base_s, cap_s=section.retry_cap_s),
    )
