"""Lives of a back-end on one database: real actors that act only when the test lets time pass.

A life ends at a point of a transaction, and the next one starts on what it left. Nothing happens
between two steps of a test, so a story that fails is told again by the same steps.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from actors.expiry.actor import EXPIRY, ExpiryActor
from actors.notifier.actor import NOTIFIER
from actors.payments.poller import POLLER, PollerActor
from actors.payments.sweep import PAYMENTS, SweepActor
from actors.provisioner.actor import PROVISIONER, ProvisionerActor, ProvisionerLimits
from actors.provisioner.decisions import RetryLimits
from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Request
from actors.runtime.replies import Unavailable
from actors.user.actor import USER, UserActor
from actors.user.decisions.catalogue import Catalogue
from config.plans import Limits, Plan, Plans, Title, Trial
from config.providers import RefundWay, Terms
from storage.errors import StorageUnavailable
from storage.links import LinkCipher
from storage.node_phases import NodePhases
from storage.phases import ExpiryPhases, PaymentPhases, UserPhases, announce_nodes
from tests.clock import ManualClock
from tests.integration.database_fixtures import Rows
from tests.patience import ONE, patient_health
from tests.stateful.points import PointedDatabase, Points, Side
from tests.stateful.world import ScriptedGateway, ScriptedNode

if TYPE_CHECKING:
    import asyncpg

Reply = TypeVar("Reply")

DAY_S = 86_400
OWNERS = (1, 2)
NODES = ("node-1", "node-2")
PLANS = Plans(
    plans=(
        Plan(
            id="month",
            title=Title(en="Month", ru="Месяц"),
            period_s=30 * DAY_S,
            price_stars=150,
            prices={"RUB": 300},
            horizon_s=100 * DAY_S,
            nodes=("node-1",),
        ),
        Plan(
            id="week",
            title=Title(en="Week", ru="Неделя"),
            period_s=7 * DAY_S,
            price_stars=50,
            prices={"RUB": 100},
            nodes=("node-1",),
        ),
        Plan(
            id="pro",
            title=Title(en="Pro", ru="Про"),
            period_s=30 * DAY_S,
            price_stars=400,
            prices={"RUB": 900},
            tier="pro",
            nodes=("node-2",),
        ),
    ),
    trial=Trial(plan="week", period_s=DAY_S),
    limits=Limits(grant_s=60 * DAY_S),
)
TERMS = {
    "stars": Terms(provider="stars", currency="XTR"),
    "manual": Terms(
        provider="manual", currency="RUB", refund=RefundWay.BY_HAND, lists_charges=False
    ),
}
CATALOGUE = Catalogue(plans=PLANS, nodes=NODES, terms=TERMS, owners=OWNERS)
LIMITS = ProvisionerLimits(
    attempt_timeout_s=60.0,
    scan_interval_s=1.0,
    retry=RetryLimits(base_s=0.01, cap_s=0.05),
)
#: Longer than any actor waits between two looks, or leaves alone what failed.
LONG_S = 700.0
#: Reached only by a run that hangs.
PATIENCE_S = 60.0

#: Nobody waits for a wait that the database keeps.
HURRY = """
UPDATE credentials SET next_at = now() WHERE next_at > now();
UPDATE outbox SET next_at = now() WHERE next_at > now();
"""
FORGET = """
SET session_replication_role = replica;
DELETE FROM admin_actions; DELETE FROM history; DELETE FROM ledger; DELETE FROM credentials;
DELETE FROM payments; DELETE FROM outbox; DELETE FROM purchases; DELETE FROM subscriptions;
DELETE FROM pollers; DELETE FROM users; DELETE FROM nodes;
SET session_replication_role = DEFAULT;
"""


class StillClock(ManualClock):
    """Time that stands still, and knows who waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeping = 0

    async def sleep(self, delay_s: float) -> None:
        """See `Clock`."""
        self.sleeping += 1
        woken = asyncio.Event()

        def wake() -> None:
            self.sleeping -= 1
            woken.set()

        timer = self.call_later(delay_s, wake)
        try:
            await woken.wait()
        finally:
            if not woken.is_set():
                self.sleeping -= 1
            timer.cancel()


class Life:
    """One process: its actors, its clock, its epoch."""

    def __init__(self, stage: "Stage") -> None:
        self.points = Points()
        self.database = PointedDatabase(stage.pool, self.points)
        self.clock = StillClock()
        self.directory = Directory()
        self.bugs: list[BaseException] = []
        #: Wakes of the nodes' actors are lost, as any message may be.
        self.deaf = False
        self._dead = False
        self._stage = stage
        self._actors: dict[str, tuple[AsyncioActor, Mailbox, Address]] = {}

    async def begin(self) -> None:
        """Own the database and start what is always there."""
        await self.database.take_over(uuid4())
        await announce_nodes(self.database, list(NODES))
        stage, database, directory = self._stage, self.database, self.directory
        nobody = Address("notifier", lambda _: None, self.clock)
        directory.register(NOTIFIER, nobody)
        directory.register_family(USER, self._user)
        source = random.Random(7)  # noqa: S311 - the same in every run
        for node_id, node in stage.nodes.items():
            phases = NodePhases(database, stage.cipher)
            actor = ProvisionerActor(
                node_id, node, phases, lambda: LIMITS, patient_health(ONE), directory, source
            )
            address = self._enter(f"{PROVISIONER}/{node_id}", actor)
            directory.register(PROVISIONER, self._hard_of_hearing(address), node_id)
        payments = PaymentPhases(database)
        sweep = SweepActor(stage.gateways, payments, directory, OWNERS, source)
        self._enter(PAYMENTS, sweep)
        self._enter(EXPIRY, ExpiryActor(ExpiryPhases(database), directory))

    def poll(self) -> None:
        """Ask the providers for their lists, from now on."""
        if f"{POLLER}/stars" not in self._actors:
            gateway, source = self._stage.gateways["stars"], random.Random(7)  # noqa: S311
            phases = PaymentPhases(self.database)
            self._enter(f"{POLLER}/stars", PollerActor(gateway, phases, self.directory, source))

    def wake(self, name: str) -> None:
        """Let one of the actors look for work."""
        if name in self._actors:
            self._actors[name][2].wake()

    @property
    def quiet(self) -> bool:
        """Whether everybody waits for time, for a node, or at a point where this life stopped."""
        if any(mailbox.in_hand or not mailbox.empty() for _, mailbox, _ in self._actors.values()):
            # Whoever stands at a point may have a message in hand.
            return self.points.waiting > 0
        working = sum(len(actor._spawned) for actor, _, _ in self._actors.values())
        return working - len(self.held) <= self.clock.sleeping + self.points.waiting

    @property
    def held(self) -> set[asyncio.Task[Any]]:
        """Its calls whose replies take their time."""
        spawned = set().union(*(actor._spawned for actor, _, _ in self._actors.values()))
        return spawned & set().union(*(node.held for node in self._stage.nodes.values()))

    async def kill(self) -> None:
        """The process is gone."""
        self._dead = True
        actors = [actor for actor, _, _ in self._actors.values()]
        for actor in actors:
            actor.kill()
        for actor in actors:
            await actor.wait_ended()

    def _user(self, key: str) -> Address:
        name = f"{USER}/{key}"
        if self._dead:
            raise Unavailable("dead")
        if name not in self._actors:
            phases = UserPhases(self.database, self._stage.cipher)
            self._enter(name, UserActor(int(key), phases, CATALOGUE, self.directory))
        return self._actors[name][2]

    def _enter(self, name: str, actor: AsyncioActor) -> Address:
        mailbox = Mailbox(name, actor.mailbox_bound)
        mailbox.open()
        address = Address(name, mailbox.put, self.clock)
        surroundings = Surroundings(clock=self.clock, weather=(StorageUnavailable,))
        self._actors[name] = (actor, mailbox, address)
        actor.take_post(
            Post(
                name=name,
                mailbox=mailbox,
                surroundings=surroundings,
                ended=self._ended,
                strikes=1,
            )
        )
        return address

    def _ended(self, _: AsyncioActor, ending: Ending) -> None:
        if isinstance(ending.error, Exception):
            self.bugs.append(ending.error)

    def _hard_of_hearing(self, address: Address) -> Address:
        def deliver(envelope: Any) -> None:
            if not self.deaf:
                address._deliver(envelope)

        return Address(address.name, deliver, self.clock)


class Stage:
    """The database and the world around it, over all lives of the back-end."""

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        rows: Rows,
        cipher: LinkCipher,
        *,
        fenced: bool = True,
    ) -> None:
        self.pool = pool
        self.rows = rows
        self.cipher = cipher
        self.nodes = {node_id: ScriptedNode(node_id, fenced=fenced) for node_id in NODES}
        self.gateways = {name: ScriptedGateway(terms) for name, terms in TERMS.items()}
        self.ghosts: list[tuple[Life, asyncio.Task[Any]]] = []
        self.lives = 0
        self.life = Life(self)
        self.heard: Counter[str] = Counter()
        self._haunting = False

    async def open(self) -> None:
        """Begin on an empty database."""
        await self.rows.execute(FORGET)
        await self._begin()

    async def close(self) -> None:
        """End everything."""
        await self.lay_ghosts()
        await self.life.kill()

    def arm(self, side: Side, number: int, *, haunts: bool) -> None:
        """The back-end dies at the so-manieth such point from now."""
        self._haunting = haunts and side is Side.AFTER
        self.life.points.arm(side, number, haunts=self._haunting)

    def amid(self, number: int) -> None:
        """At the so-manieth point from now, replies that took their time are recorded."""
        life, left = self.life, number

        async def visit(side: Side) -> None:
            nonlocal left
            if side is Side.BEFORE:  # whoever stands there holds the rows
                return
            left -= 1
            if left == 0:
                life.points.visit = None
                held = life.held - {asyncio.current_task()}
                for node in self.nodes.values():
                    node.let_go()
                if held:
                    await asyncio.wait(held)

        life.points.visit = visit

    async def perform(self, work: Callable[[], Coroutine[Any, Any, Reply]]) -> Reply | None:
        """Do something, and wait until nobody has anything left to do.

        Returns:
            The result; None if the back-end died meanwhile, or could not just now.
        """
        task: asyncio.Task[Reply] = asyncio.ensure_future(work())
        await self._until_quiet(task)
        if self.life.points.stopped.is_set():
            await self._die(task)
            return None
        if self.life.bugs:
            task.cancel()
            await asyncio.wait([task])
            self._no_bugs()
        try:
            return await task
        except Unavailable:
            return None

    async def ask(self, user_id: int, message: Request[Reply]) -> Reply | None:
        """Ask a user's actor; None if no answer came."""
        answer = await self.perform(
            lambda: self.life.directory.find(USER, str(user_id)).ask(message)
        )
        self.heard[type(answer).__name__] += 1
        return answer

    async def let_time_pass(self, seconds: float = LONG_S) -> None:
        """The actors' own time passes, and what is due in it is done."""

        async def advance() -> None:
            self.life.clock.advance(seconds)

        await self.perform(advance)

    async def wake(self, *names: str) -> None:
        """Let actors look for work, and do it."""

        async def wake() -> None:
            for name in names:
                self.life.wake(name)

        await self.perform(wake)

    async def restart(self) -> None:
        """The process is ended and started."""
        self.life.points.disarm()
        await self.life.kill()
        await self._begin()

    async def lay_ghosts(self) -> None:
        """Lives that were taken for dead go on, and are shut out at what they do next."""
        ghosts, self.ghosts = self.ghosts, []
        for life, task in ghosts:
            life.points.haunt()
            await _turn()
            async with asyncio.timeout(PATIENCE_S):
                while not (task.done() and life.quiet):
                    await _turn()
                    for node in self.nodes.values():
                        node.let_go()
            await life.kill()
            task.cancel()
            await asyncio.wait([task])
            assert life.bugs == [], life.bugs

    async def _begin(self) -> None:
        self.lives += 1
        self.life = Life(self)
        await self.life.begin()

        async def nothing() -> None:
            return

        await self._until_quiet(asyncio.ensure_future(nothing()))
        self._no_bugs()

    async def _die(self, task: "asyncio.Task[Any]") -> None:
        self._no_bugs()
        if self._haunting:
            self.ghosts.append((self.life, task))
        else:
            await self.life.kill()
            task.cancel()
            await asyncio.wait([task])
        await self._begin()

    async def _until_quiet(self, task: "asyncio.Task[Any]") -> None:
        life = self.life
        async with asyncio.timeout(PATIENCE_S):
            while not (life.points.stopped.is_set() or (task.done() and life.quiet) or life.bugs):
                await _turn()

    def _no_bugs(self) -> None:
        if self.life.bugs:
            raise AssertionError(f"an actor crashed: {self.life.bugs[0]!r}") from self.life.bugs[0]


async def _turn() -> None:
    """Let the others work; how long this takes decides nothing."""
    await LoopClock().sleep(0.0002)
