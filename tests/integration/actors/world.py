"""The whole tree of actors on a real database; what is outside of it is scripted.

Node, courier and ways to pay live on when the back-end dies, as they do in life.
"""

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid4

import structlog

from actors.expiry.actor import EXPIRY, ExpiryActor
from actors.expiry.decisions import ExpiryLimits
from actors.notifier.actor import NotifierActor
from actors.notifier.pace import PaceLimits
from actors.notifier.ports import (
    Carried,
    CarryOutcome,
    LinkReady,
    Notice,
    Progress,
    PurchaseProgress,
)
from actors.payments.messages import credit_of
from actors.payments.poller import POLLER, PollerActor, PollerPace
from actors.payments.ports import Charge
from actors.payments.sweep import PAYMENTS, SweepActor
from actors.provisioner.actor import ProvisionerActor, ProvisionerLimits
from actors.provisioner.breaker import Verdict
from actors.provisioner.decisions import RetryLimits
from actors.provisioner.health import NodeHealth
from actors.reconciler.actor import RECONCILER, ReconcilerActor
from actors.reconciler.decisions import ReconcilerLimits
from actors.reconciler.messages import Reconcile
from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Directory
from actors.runtime.clock import LoopClock, Timer
from actors.runtime.messages import Request, Tick
from actors.user.actor import USER, UserActor
from actors.user.decisions.catalogue import Catalogue
from actors.user.messages import (
    AccessExpired,
    ChangeStanding,
    CreditPayment,
    CreditPaymentOutcome,
    ExpireAccess,
    GrantAccess,
    GrantOutcome,
    InvoiceDue,
    InvoiceSent,
    NotExpired,
    OpenPurchase,
    RefundOutcome,
    RefundPayment,
    Reissue,
    ReissueOutcome,
    Standing,
    StandingOutcome,
)
from config.plans import Plan, Plans, Title, Trial
from config.providers import RefundWay, Terms
from config.supervision import SupervisionPolicies
from config.tuning import Tunables
from storage.database import Database, refuse_in_transaction
from storage.errors import StorageUnavailable
from storage.links import LinkCipher
from storage.node_phases import NodePhases, ReconcilePhases
from storage.phases import ExpiryPhases, NoticePhases, PaymentPhases, UserPhases, announce_nodes
from storage.rows import ReconcileRun
from supervisors.engine.patrol import supervisors
from supervisors.engine.snapshot import find
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.policies import PolicyBoard
from supervisors.root import Parts, Tree
from tests.integration.actors.providers import FakeGateway
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import MONTH_S, NODE
from tests.invariants import assert_invariants
from tests.patience import patient_health
from xray_api.client.fake import Call, FakeNodeClient

Reply = TypeVar("Reply")

DAY_S = 86_400

OWNERS = (1000, 2000)
PLANS = Plans(
    plans=(
        Plan(
            id="month",
            title=Title(en="Month", ru="Месяц"),
            period_s=MONTH_S,
            price_stars=150,
            prices={"USD": Decimal(3), "RUB": Decimal(300)},
        ),
        Plan(
            id="week",
            title=Title(en="Week", ru="Неделя"),
            period_s=604_800,
            price_stars=50,
            prices={"USD": Decimal(1), "RUB": Decimal(100)},
        ),
    ),
    trial=Trial(plan="week", period_s=DAY_S),
)

TERMS = {
    "stars": Terms(provider="stars", currency="XTR"),
    "cryptopay": Terms(provider="cryptopay", currency="USD"),
    "card": Terms(provider="card", currency="RUB", refund=RefundWay.BY_HAND, lists_charges=False),
    "manual": Terms(
        provider="manual", currency="RUB", refund=RefundWay.BY_HAND, lists_charges=False
    ),
}
#: Long beside how quickly they are woken: what is left alone stays so within a test.
PACE = PollerPace(interval_s=10.0, grace_s=0.0)
#: People are told at once.
AT_ONCE = PaceLimits(chat_interval_s=0.0, chat_burst=1, interval_s=0.0)

#: Restarts are quick and unlimited: no test waits for a back-off.
POLICY = {
    "max_restarts": 1_000,
    "window_s": 60,
    "backoff_base_s": 0.01,
    "backoff_cap_s": 0.05,
    "shutdown_s": 5,
}
POLICIES = Tunables.model_validate(dict.fromkeys(SupervisionPolicies.model_fields, POLICY))
#: A call that a test holds is held until the test lets go.
LIMITS = ProvisionerLimits(
    attempt_timeout_s=60.0,
    scan_interval_s=1.0,
    retry=RetryLimits(base_s=0.01, cap_s=0.05),
)

#: Nodes are compared when a test asks.
NEVER = ReconcilerLimits(interval_s=10.0**9)

#: Tracebacks without locals: pretty ones take longer than what is tested.
PLAIN_LOG: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
]

UNFINISHED = """
SELECT (SELECT count(*) FROM credentials WHERE applied_gen < gen AND quarantined_at IS NULL)
    + (SELECT count(*) FROM outbox o JOIN users u ON u.tg_id = o.user_id
        WHERE o.state = 'due' AND u.reachable)
"""
#: Nobody waits for a wait that the database keeps; rows in work are passed over.
HURRY = [
    f"""
    UPDATE {table} SET next_at = now() WHERE {key} IN (
        SELECT {key} FROM {table} WHERE next_at > now() FOR UPDATE SKIP LOCKED)
    """  # noqa: S608 - ours
    for table, key in (("credentials", "uuid"), ("inbox", "seq"), ("outbox", "id"))
]
TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'tollgate'
"""


class QuickClock(LoopClock):
    """Real time, in which intervals of scans are short; `ahead_s` of it have passed already."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now(self) -> float:
        """Seconds, from any beginning."""
        return super().now() + self.ahead_s

    async def sleep(self, delay_s: float) -> None:
        """A fiftieth of the wait."""
        await super().sleep(delay_s / 50)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """As it is: deadlines stay generous."""
        return super().call_later(delay_s, callback)


class FakeCourier:
    """Carries notices into a list; `outcomes` come first, and there is a bug in what `stumbles`."""

    def __init__(self) -> None:
        self.carried: list[Notice] = []
        self.outcomes: deque[CarryOutcome] = deque()
        self.stumbles: Callable[[Notice], bool] = lambda _: False
        self.under_way: set[int] = set()
        self._gate = asyncio.Event()
        self._gate.set()
        self._message_id = 900

    def hold(self) -> None:
        """What is carried waits, until `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Ends `hold`."""
        self._gate.set()

    async def carry(self, notice: Notice) -> CarryOutcome:
        """As prepared."""
        refuse_in_transaction()
        assert notice.chat_id not in self.under_way, "two messages for one person at once"
        self.under_way.add(notice.chat_id)
        try:
            await self._gate.wait()
        finally:
            self.under_way.discard(notice.chat_id)
        if self.stumbles(notice):
            raise KeyError("a text that is not there")
        outcome = self.outcomes.popleft() if self.outcomes else None
        if outcome is not None and not isinstance(outcome, Carried):
            return outcome
        self.carried.append(notice)
        self._message_id += 1
        return outcome or Carried(message_id=self._message_id)

    def progress(self, user_id: int) -> list[Progress]:
        """What a person's live messages said, in order."""
        return [
            notice.progress
            for notice in self.carried
            if isinstance(notice, PurchaseProgress) and notice.chat_id == user_id
        ]

    def links(self, user_id: int) -> list[str]:
        """Links that a person got."""
        return [
            notice.link
            for notice in self.carried
            if isinstance(notice, LinkReady) and notice.chat_id == user_id
        ]


#: Work beside the messages of actors that have nothing to do: their timers.
SCANS = {
    f"provisioner/{NODE}": 2,
    EXPIRY: 2,
    PAYMENTS: 2,
    f"{POLLER}/stars": 1,
    f"{POLLER}/cryptopay": 1,
}


class Idle(AsyncioActor):
    """Stands where a test needs nobody."""

    async def on_tick(self, message: Tick) -> None:
        """Somebody thinks that there is something to do."""


@dataclass
class World:
    """A running back-end without Telegram."""

    database: Database
    rows: Rows
    cipher: LinkCipher
    node: FakeNodeClient
    courier: FakeCourier
    gateways: dict[str, FakeGateway]
    #: Parts of the tree that a test has of its own.
    own_parts: dict[str, Any]
    #: Whether its node is compared with the database, whenever somebody asks.
    reconciling: bool = False
    clock: QuickClock = field(default_factory=QuickClock)
    health: NodeHealth = field(default_factory=patient_health)
    #: What operators tune.
    limits: ProvisionerLimits = LIMITS
    comparing: ReconcilerLimits = NEVER
    ending: ExpiryLimits = field(default_factory=ExpiryLimits)
    directory: Directory = field(init=False)
    root: Supervisor = field(init=False)

    async def begin(self) -> None:
        """Start a back-end."""
        await announce_nodes(self.database, [NODE])
        self.directory = Directory()
        source = random.Random(7)  # noqa: S311 - the same in every run
        parts = Parts(**(self._parts(source) | self.own_parts))
        surroundings = Surroundings(clock=self.clock, weather=(StorageUnavailable,))
        board = PolicyBoard(POLICIES)
        self.root = Tree(parts, board, self.directory, surroundings, source).root
        self.root.begin_life("root")
        await self.root.started

    async def end(self) -> None:
        """Stop it in good order."""
        self.root.stop()
        await self.root.wait_ended()

    async def crash(self) -> None:
        """As kill -9: all ends where it stands. What is outside, and the database, stay."""
        for supervisor in list(supervisors(self.root)):
            for child in list(supervisor.children.values()):
                if child.actor is not None:
                    child.actor.kill()
        self.root.kill()
        await self.root.wait_ended()

    async def restart(self) -> None:
        """The next process, after a crash: it owns the database now."""
        await self.database.take_over(uuid4())
        self.health.looked = False
        await self.begin()

    def _parts(self, source: random.Random) -> dict[str, Any]:
        database, cipher, directory = self.database, self.cipher, self.directory
        catalogue = Catalogue(plans=PLANS, nodes=(NODE,), terms=TERMS, owners=OWNERS)
        payments = PaymentPhases(database)

        def poller(gateway: FakeGateway) -> Callable[[], PollerActor]:
            return lambda: PollerActor(gateway, payments, directory, source, PACE)

        return {
            "notifier": lambda: NotifierActor(
                self.courier, NoticePhases(database, cipher), source, AT_ONCE
            ),
            "provisioners": {
                NODE: lambda: ProvisionerActor(
                    NODE,
                    self.node,
                    NodePhases(database, cipher),
                    lambda: self.limits,
                    self.health,
                    directory,
                    source,
                    OWNERS,
                )
            },
            "user": lambda user_id: UserActor(
                user_id, UserPhases(database, cipher), catalogue, directory
            ),
            "journal": Idle,
            "policies": Idle,
            "control": Idle,
            "inbox": Idle,
            "intake": lambda _: Idle(),
            "placement": Idle,
            "expiry": lambda: ExpiryActor(
                ExpiryPhases(database), directory, limits=lambda: self.ending
            ),
            "reconcilers": {NODE: self._reconciler} if self.reconciling else {},
            "payments": lambda: SweepActor(self.gateways, payments, directory, OWNERS, source),
            "pollers": {
                name: poller(gateway)
                for name, gateway in self.gateways.items()
                if gateway.terms.lists_charges
            },
        }

    def _reconciler(self) -> ReconcilerActor:
        phases = ReconcilePhases(self.database)
        return ReconcilerActor(
            NODE, self.node, phases, self.health, self.directory, OWNERS, lambda: self.comparing
        )

    async def reconcile(
        self, *, dry_run: bool = False, allow_removals: int | None = None
    ) -> ReconcileRun:
        """Compare the node with the database now."""
        order = Reconcile(dry_run=dry_run, allow_removals=allow_removals)
        return await self.directory.find(RECONCILER, NODE).ask(order)

    # What people do

    async def ask(self, user_id: int, message: Request[Reply]) -> Reply:
        """Ask a user's actor."""
        return await self.directory.find(USER, str(user_id)).ask(message)

    async def order(self, user_id: int, plan_id: str = "month", provider: str = "stars") -> UUID:
        """A tap on a plan, and its invoice in the chat."""
        operation_id = uuid4().hex
        due = await self.ask(
            user_id,
            OpenPurchase(
                operation_id=operation_id,
                plan_id=plan_id,
                language="en",
                chat_id=user_id,
                provider=provider,
            ),
        )
        assert isinstance(due, InvoiceDue)
        await self.ask(user_id, InvoiceSent(operation_id=operation_id, purchase_id=due.purchase_id))
        return due.purchase_id

    async def pay(self, user_id: int, purchase_id: UUID, **changes: Any) -> CreditPaymentOutcome:
        """The provider says that the user paid."""
        return await self.ask(user_id, charge(user_id, purchase_id, **changes))

    async def buy(self, user_id: int, plan_id: str = "month") -> UUID:
        """An order, paid."""
        purchase_id = await self.order(user_id, plan_id)
        price = {plan.id: plan.price_stars for plan in PLANS.plans}[plan_id]
        await self.pay(user_id, purchase_id, amount=price)
        return purchase_id

    async def charged(
        self,
        user_id: int,
        plan_id: str = "month",
        provider: str = "stars",
        amount: int | None = None,
    ) -> Charge:
        """An order whose money the provider took; no push says so."""
        purchase_id = await self.order(user_id, plan_id, provider)
        plan, terms = PLANS.get(plan_id), TERMS[provider]
        assert plan is not None
        price = plan.price_in(terms.currency) if amount is None else amount
        assert price is not None
        return self.gateways[provider].take(user_id, purchase_id, price)

    async def push(self, taken: Charge, provider: str = "stars") -> CreditPaymentOutcome:
        """The provider says what it took."""
        return await self.ask(taken.user_id, credit_of(provider, taken))

    async def refund(self, taken: Charge, provider: str = "stars") -> RefundOutcome:
        """An owner gives money back."""
        return await self.ask(
            taken.user_id,
            RefundPayment(
                operation_id=uuid4().hex,
                provider=provider,
                provider_payment_id=taken.provider_payment_id,
                who="tg:1000",
                reason="asked for",
            ),
        )

    async def grant(self, user_id: int, period_s: int) -> GrantOutcome:
        """An owner gives time away."""
        message = GrantAccess(
            operation_id=uuid4().hex, plan_id=None, period_s=period_s, who="tg:1000", reason="kind"
        )
        return await self.ask(user_id, message)

    async def standing(self, user_id: int, standing: Standing) -> StandingOutcome:
        """An owner pauses or bans somebody, or ends that."""
        message = ChangeStanding(
            operation_id=uuid4().hex, standing=standing, who="tg:1000", reason="asked for"
        )
        return await self.ask(user_id, message)

    async def reissue(self, user_id: int, *, leaked: bool = False) -> ReissueOutcome:
        """Somebody wants a new link."""
        return await self.ask(user_id, Reissue(operation_id=uuid4().hex, leaked=leaked))

    async def expire(self, user_id: int) -> AccessExpired | NotExpired:
        """Somebody saw that the time may be over."""
        return await self.ask(user_id, ExpireAccess(operation_id=uuid4().hex))

    # What is waited for

    async def meet_node(self) -> None:
        """The database knows the node: the next call to it is a change."""
        await NodePhases(self.database, self.cipher).learn_epoch(NODE, self.node.epoch)

    def trust_node(self) -> None:
        """The node has served so many calls that it is given as many at a time as it may have."""
        breaker, now = self.health.breaker, self.clock.now()
        for _ in range(100):
            permit = breaker.call(now)
            assert permit is not None
            breaker.ended(permit, Verdict.SUCCESS, now)

    async def call_under_way(self) -> None:
        """Until a change has reached a node that holds calls."""

        async def arrived() -> bool:
            return bool(self.changes())

        await eventually(arrived)

    async def settle(self) -> None:
        """Until nothing is left to do, then the closing check."""
        await self.until(self._settled)
        await self.check()

    async def check(self, *, healed: bool = True) -> None:
        """Database, node and chats agree."""
        runs = [(uuid, self.node.wishes[uuid].gen) for uuid in self.node.running]
        await assert_invariants(
            self.rows,
            self.cipher,
            healed=healed,
            working=True,
            owners=True,
            seen=self.wishes(),
            lists={NODE: runs},
        )
        if healed:
            wanted = await self.rows.fetch(
                "SELECT uuid FROM credentials WHERE desired = 'present' AND quarantined_at IS NULL"
            )
            assert {uuid for (uuid,) in wanted} == self.node.running

    async def until(self, done: Callable[[], Any]) -> None:
        """Until a condition holds, whichever waits the database keeps."""

        async def hurried() -> bool:
            await self.hurry()
            return bool(await done())

        await eventually(hurried)

    async def hurry(self) -> None:
        """Let everything that waits in the database be due."""
        for statement in HURRY:
            await self.rows.execute(statement)

    def changes(self) -> list[Call]:
        """Calls that wanted to change the node, in order."""
        return [call for call in self.node.calls if call.kind in {"put", "remove"}]

    def wishes(self) -> list[tuple[UUID, int]]:
        """The uuid and generation of each change, in order."""
        return [(call.uuid, call.gen) for call in self.changes() if call.uuid and call.gen]

    def puts(self) -> list[Call]:
        """Calls that let somebody in, in order."""
        return [call for call in self.node.calls if call.kind == "put"]

    def actor(self, name: str) -> AsyncioActor:
        """The object that stands behind a name just now."""
        found = find(self.root, name)
        assert found is not None, f"there is no {name}"
        _, child = found
        assert child.actor is not None, f"{name} is not running"
        return child.actor

    async def succeeded(self, name: str, before: AsyncioActor) -> None:
        """Until another one stands behind a name than `before`."""

        async def another() -> bool:
            found = find(self.root, name)
            return found is not None and found[1].actor not in {None, before}

        await eventually(another)

    async def looked(self, kind: str, times: int = 2) -> None:
        """Until an actor has looked for work so often from now on, and has done what it found."""
        actor = self.actor(kind)
        child = find(self.root, kind)
        assert child is not None
        mailbox = child[1].mailbox
        wanted = mailbox.statistics.handled + times

        async def enough() -> bool:
            self._wake(kind)
            return mailbox.statistics.handled >= wanted and len(actor._spawned) <= SCANS[kind]

        await eventually(enough)

    async def waiting(self, user_id: int) -> None:
        """Until a message waits behind the one that a user's actor has in hand."""
        child = find(self.root, f"{USER}/{user_id}")
        assert child is not None
        mailbox = child[1].mailbox

        async def queued() -> bool:
            return mailbox.in_hand is not None and not mailbox.empty()

        await eventually(queued)

    def _wake(self, kind: str) -> None:
        name, _, key = kind.partition("/")
        self.directory.find(name, key).wake() if key else self.directory.find(name).wake()

    def provisioner(self) -> AsyncioActor:
        """The node's actor."""
        return self.actor(f"provisioner/{NODE}")

    def user(self, user_id: int) -> AsyncioActor:
        """A user's actor, which must have been written to."""
        return self.actor(f"user/{user_id}")

    async def cut_connections(self) -> None:
        """End all sessions of the back-end, whatever they do."""
        await self.rows.fetchval(TERMINATE)

    async def _settled(self) -> bool:
        unfinished: int = await self.rows.fetchval(UNFINISHED)
        return unfinished == 0 and not self.courier.under_way


def charge(user_id: int, purchase_id: UUID | None, **changes: Any) -> CreditPayment:
    """A successful payment of a month, with details changed."""
    usual: dict[str, Any] = {
        "operation_id": uuid4().hex,
        "provider": "stars",
        "provider_payment_id": uuid4().hex,
        "purchase_id": purchase_id,
        "amount": 150,
        "currency": "XTR",
        "body_sha256": b"\0" * 32,
        "language": "en",
        "chat_id": user_id,
    }
    return CreditPayment(**(usual | changes))


class Gate:
    """Holds a step of an actor's phases before it is done, or what it found."""

    def __init__(self, actor: AsyncioActor, step: str, *, after: bool = False) -> None:
        self.reached = asyncio.Event()
        self._open = asyncio.Event()
        phases: Any = actor.phases  # type: ignore[attr-defined]  # of whoever has some
        real = getattr(phases, step)

        async def held(*args: Any, **named: Any) -> Any:
            found = await real(*args, **named) if after else None
            self.reached.set()
            await self._open.wait()
            return found if after else await real(*args, **named)

        setattr(phases, step, held)

    def open(self) -> None:
        """Let it be done."""
        self._open.set()


@asynccontextmanager
async def running(
    database: Database,
    rows: Rows,
    cipher: LinkCipher,
    *,
    reconciling: bool = False,
    **changes: Any,
) -> AsyncIterator[World]:
    """A back-end that runs as long as the context; `changes` are of its parts."""
    structlog.configure(processors=PLAIN_LOG)
    gateways = {
        name: FakeGateway(terms, newest_first=name == "cryptopay") for name, terms in TERMS.items()
    }
    node = FakeNodeClient(guard=refuse_in_transaction)
    world = World(database, rows, cipher, node, FakeCourier(), gateways, changes, reconciling)
    await world.begin()
    try:
        yield world
    finally:
        await world.end()
        structlog.reset_defaults()
