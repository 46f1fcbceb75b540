"""The composition root: the one place that chooses the real world, and lets go of it again."""

import random
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from actors.expiry.actor import ExpiryActor
from actors.expiry.decisions import ExpiryLimits
from actors.notifier.actor import NotifierActor
from actors.payments.poller import PollerActor
from actors.payments.sweep import SweepActor
from actors.placement.actor import PlacementActor
from actors.placement.board import PlaceBoard
from actors.provisioner.actor import PROVISIONER, ProvisionerActor, ProvisionerLimits
from actors.provisioner.breaker import BreakerChange, BreakerLimits
from actors.provisioner.decisions import RetryLimits
from actors.provisioner.health import NodeHealth
from actors.reconciler.actor import ReconcilerActor
from actors.reconciler.decisions import ReconcilerLimits
from actors.runtime.actor import Surroundings
from actors.runtime.address import Directory
from actors.runtime.clock import Clock, HostTime
from actors.runtime.events import Event, EventKind, Observer, observe
from actors.runtime.messages import Request
from actors.runtime.replies import Unavailable
from actors.user import messages as user_messages
from actors.user.actor import USER, UserActor
from actors.user.decisions.catalogue import Catalogue
from bot.checkout import NodesNow
from bot.door import TelegramDoor
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway
from bot.gateways.registry import close_gateways, terms_of
from bot.reports.story import story_line
from bot.texts import DEFAULT_LANGUAGE
from config.keys import MasterKeys, master_keys
from config.network import is_loopback
from config.nodes import ProvisionerSection, Tuned
from config.plans import load_plans
from config.settings import NodeEntry, Settings
from config.supervision import load_supervision
from config.tuning import Tunables
from storage.database import Database, refuse_in_transaction
from storage.errors import StorageUnavailable
from storage.identity import claim_database
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.node_phases import NodePhases, PlacementPhases, ReconcilePhases
from storage.operations import OperatorRecords
from storage.phases import (
    ExpiryPhases,
    NoticePhases,
    PaymentPhases,
    PostgresQueries,
    UserPhases,
    announce_nodes,
)
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.journal import JOURNAL, Journal, JournalActor
from supervisors.operators.nodes import NodeOperations
from supervisors.operators.operations import LiveOperations
from supervisors.operators.policies import PolicyActor, PolicyBoard
from supervisors.root import CHARTERS, Parts, Tree
from supervisors.world import REAL, NodeConnection, World

log = structlog.get_logger(__name__)

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
async def wire(settings: Settings, world: World = REAL) -> AsyncIterator[Backend]:
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
        database = await stack.enter_async_context(_owned(settings, keys, world))
        for node_id, stranded in (await announce_nodes(database, node_ids)).items():
            log.error("users_on_unknown_node", node=node_id, users=stranded, setting="nodes")
        directory = Directory()
        records = OperatorRecords(database)
        tunables = Tunables.of(
            policies,
            provisioner=settings.provisioner,
            breaker=settings.breaker,
            reconciler=settings.reconciler,
            expiry=settings.expiry,
        )
        board = PolicyBoard(tunables, await records.overrides())
        clock = world.clock()
        journal = Journal(clock, settings.telegram.admins)
        surroundings = Surroundings(clock=clock, weather=(StorageUnavailable,), observer=journal)
        source = world.source()
        queries, texts = PostgresQueries(database), world.texts()
        clients = {node.id: _client(node, world, stack) for node in settings.nodes}
        healths = {
            node.id: _health(node.id, board, source, journal, clock) for node in settings.nodes
        }
        capacities = {node.id: node.capacity for node in settings.nodes}
        places = PlaceBoard(
            capacities,
            healths,
            lambda: board.current.provisioner.sales_pause_s,
            clock.now,
            lambda: board.current.provisioner.enabled == "on",
        )
        placement = PlacementPhases(database)
        places.note_states(await placement.places())
        places.note_users(await placement.users())
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
            of_nodes=NodeOperations(
                directory=directory,
                phases=ReconcilePhases(database),
                records=records,
                healths=healths,
                clock=clock,
                capacities=capacities,
            ),
        )
        # One for the chat and the ways to pay: who waits for Telegram holds up no other request.
        bot = world.bot(settings)
        ways = world.ways(settings, bot, PayloadSigner(keys))
        stack.push_async_callback(close_gateways, ways)
        door = world.door(
            settings.telegram,
            guard=refuse_in_transaction,
            users=UserDirectory(directory),
            queries=queries,
            inbox=PostgresInbox(database),
            plans=plans,
            nodes=lambda: _nodes_now(node_ids, places),
            keys=keys,
            weather=(Unavailable, StorageUnavailable),
            operations=operations,
            gateways=ways,
            http=settings.http,
            bot=bot,
        )
        stack.push_async_callback(door.close)
        cipher = LinkCipher(keys)
        notices, phases = NoticePhases(database, cipher), NodePhases(database, cipher)
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
            control=lambda: world.control(operations, settings.data_dir),
            notifier=lambda: NotifierActor(door.courier(), notices, source),
            provisioners={
                node.id: _provisioner(
                    node,
                    clients[node.id],
                    phases,
                    healths[node.id],
                    board,
                    settings.telegram.admins,
                    directory,
                    source,
                )
                for node in settings.nodes
            },
            user=lambda user_id: UserActor(
                user_id, users, catalogue, directory, places.places, places.placing
            ),
            inbox=door.inbox_worker,
            intake=door.intake,
            placement=lambda: PlacementActor(places, placement, directory),
            expiry=lambda: ExpiryActor(
                ExpiryPhases(database),
                directory,
                lambda: _clocks_elsewhere(settings, clients, world.host),
                lambda: ExpiryLimits(**switched(board.current.expiry)),
                world.host,
            ),
            payments=lambda: SweepActor(
                ways, payments, directory, settings.telegram.admins, source
            ),
            pollers={
                name: _poller(gateway, payments, directory, source)
                for name, gateway in ways.items()
                if gateway.terms.lists_charges
            },
            reconcilers={
                node.id: _reconciler(
                    node,
                    clients[node.id],
                    database,
                    healths[node.id],
                    board,
                    settings.telegram.admins,
                    directory,
                )
                for node in settings.nodes
            },
            web=door.web,
        )
        tree = Tree(parts, board, directory, surroundings, source)
        journal.wake = directory.find(JOURNAL).wake
        yield Backend(tree.root, door, database, clock, journal, records)


@asynccontextmanager
async def _owned(settings: Settings, keys: MasterKeys, world: World) -> AsyncIterator[Database]:
    async with world.database(settings) as database:
        await claim_database(database, settings.telegram.bot_id, keys.fingerprints())
        await database.take_over(uuid.uuid4())
        yield database


def _poller(
    gateway: Gateway, phases: PaymentPhases, directory: Directory, source: random.Random
) -> Callable[[], PollerActor]:
    return lambda: PollerActor(gateway, phases, directory, source)


def _client(node: NodeEntry, world: World, stack: AsyncExitStack) -> NodeConnection:
    client = world.node(node)
    stack.push_async_callback(client.close)
    return client


def _provisioner(
    node: NodeEntry,
    client: NodeConnection,
    phases: NodePhases,
    health: NodeHealth,
    board: PolicyBoard,
    owners: Sequence[int],
    directory: Directory,
    source: random.Random,
) -> Callable[[], ProvisionerActor]:
    def limits() -> ProvisionerLimits:
        return provisioner_limits(board.current.provisioner)

    return lambda: ProvisionerActor(
        node.id, client, phases, limits, health, directory, source, owners
    )


def _reconciler(
    node: NodeEntry,
    client: NodeConnection,
    database: Database,
    health: NodeHealth,
    board: PolicyBoard,
    owners: Sequence[int],
    directory: Directory,
) -> Callable[[], ReconcilerActor]:
    phases = ReconcilePhases(database)

    def limits() -> ReconcilerLimits:
        return ReconcilerLimits(**switched(board.current.reconciler))

    return lambda: ReconcilerActor(node.id, client, phases, health, directory, owners, limits)


def _clocks_elsewhere(
    settings: Settings, clients: Mapping[str, NodeConnection], host: HostTime
) -> list[float]:
    """What the clocks of nodes on other machines say, seconds since 1970."""
    elsewhere = [n.id for n in settings.nodes if not is_loopback(urlsplit(n.url).hostname or "")]
    ahead = [clients[node_id].clock_ahead_s for node_id in elsewhere]
    return [host.epoch() + one for one in ahead if one is not None]


def _nodes_now(node_ids: Sequence[str], board: PlaceBoard) -> NodesNow:
    """What a question before a payment is answered by."""
    places = board.places()
    return NodesNow(
        serving=frozenset(n for n in node_ids if places[n].serves),
        selling=frozenset(n for n in node_ids if places[n].takes and places[n].sells),
        returning=frozenset(n for n in node_ids if places[n].welcomes and places[n].sells),
    )


def _health(
    node_id: str, board: PolicyBoard, source: random.Random, observer: Observer, clock: Clock
) -> NodeHealth:
    """What is known of a node; changes of its breaker are events of its actor's."""

    def tell(change: BreakerChange) -> None:
        log.warning("breaker_changed", node=node_id, state=change.after, reason=change.reason)
        event = Event(
            kind=EventKind.BREAKER_CHANGED,
            at=clock.now(),
            supervisor="provisioners",
            actor=f"{PROVISIONER}/{node_id}",
            reason=change.reason,
            details={"before": change.before, "after": change.after},
        )
        observe(observer.event, event)

    return NodeHealth.new(lambda: breaker_limits(board.current), source.random, tell)


def provisioner_limits(section: ProvisionerSection) -> ProvisionerLimits:
    """The settings of node calls as the actor takes them."""
    return ProvisionerLimits(
        attempt_timeout_s=section.attempt_timeout_s,
        scan_interval_s=section.scan_interval_s,
        enabled=section.enabled == "on",
        retry=RetryLimits(base_s=section.retry_base_s, cap_s=section.retry_cap_s),
    )


def breaker_limits(current: Tunables) -> BreakerLimits:
    """The settings of breakers as they take them."""
    return BreakerLimits(
        **current.breaker.model_dump(), concurrency=current.provisioner.concurrency
    )


def switched(section: Tuned) -> dict[str, Any]:
    """A table's values, with its switches as what is true of them."""
    return {
        name: value == "on" if value in {"on", "off"} else value
        for name, value in section.model_dump().items()
    }
