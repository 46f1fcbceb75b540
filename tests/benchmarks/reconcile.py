"""What comparing a node with the database costs: time, memory, and how long others wait for it.

A double with the node's contract stands for the node, behind real HTTP and in a process of its own;
the time of its digest is told apart. PostgreSQL is the embedded one. `TOLLGATE_BENCH_USERS=1000000`
makes the figures of a million, in a quarter of an hour.
"""

import asyncio
import logging
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid4

import asyncpg
import structlog
from pydantic import SecretStr

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER, ProvisionerActor, ProvisionerLimits
from actors.provisioner.breaker import BreakerLimits
from actors.provisioner.decisions import RetryLimits
from actors.provisioner.health import NodeHealth
from actors.reconciler.actor import PAGE, ReconcilerActor
from actors.reconciler.decisions import ReconcilerLimits
from actors.reconciler.messages import Reconcile
from actors.runtime.actor import AsyncioActor, Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Envelope, Mailbox
from actors.user.actor import USER
from actors.user.messages import AccessRepaired, RepairAccess
from config.keys import MasterKeys
from storage.database import Database
from storage.embedded import database_url
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from storage.node_phases import NodePhases, ReconcilePhases
from storage.phases import announce_nodes
from storage.rows import ReconcileRun
from supervisors.cli import calm_collector
from tests.benchmarks.node_double import API_KEY, NodeDouble, node_double
from xray_api.client.client import NodeClient

USERS = int(os.environ.get("TOLLGATE_BENCH_USERS", "100000"))
DIFFERENCES = 1_000
NODE = "bench"
#: How often it is looked whether the loop is late, seconds.
BEAT_S = 0.002
#: How often it is looked whether a wiped node is full again, seconds.
LOOK_S = 0.25

FILL = (
    "INSERT INTO users (tg_id, language) SELECT n, 'en' FROM generate_series(1, {users}) n",
    """
    INSERT INTO subscriptions (user_id, plan_id, status, expires_at, version)
    SELECT n, 'month', 'active', now() + interval '30 days', 1 FROM generate_series(1, {users}) n
    """,
    """
    INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
        first_applied_at, applied_at, link_enc)
    SELECT gen_random_uuid(), id, 'bench', 'present', 1, 1, now(), now(), 'x' FROM subscriptions
    """,
    "VACUUM ANALYZE",
)

Actor = TypeVar("Actor", bound=AsyncioActor)


def say(line: str) -> None:
    """For whoever measures."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Lateness:
    """How long the loop kept others waiting, at most, since it was asked last; milliseconds."""

    def __init__(self) -> None:
        self._worst = 0.0

    async def watch(self) -> None:
        """Until cancelled."""
        clock = LoopClock()
        while True:
            began = time.perf_counter()
            await clock.sleep(BEAT_S)
            self._worst = max(self._worst, time.perf_counter() - began - BEAT_S)

    def taken(self) -> float:
        """The longest wait, and begin anew."""
        worst, self._worst = self._worst, 0.0
        return worst * 1_000


def memory_mb() -> float:
    """What this process has in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb() -> float:
    """The most that this process had in memory since `forget_peak`."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


def forget_peak() -> None:
    """Linux counts the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


async def filled(url: str, double: NodeDouble, phases: ReconcilePhases) -> None:
    """All users have access, and the node has all of them."""
    connection = await asyncpg.connect(url)
    for statement in FILL:
        await connection.execute(statement.format(users=USERS))
    await connection.close()
    after = UUID(int=0)
    while page := await phases.wanted(NODE, after, PAGE):
        await double.ask("have", bytes(page))
        after = UUID(bytes=bytes(page[-24:-8]))


class Bench:
    """The two actors of one node, real but for the users' own."""

    def __init__(self, database: Database, client: NodeClient, double: NodeDouble) -> None:
        self.database = database
        self.double = double
        self.lateness = Lateness()
        self._repairs: list[asyncio.Future[None]] = []
        self.clock = LoopClock()
        self.directory = Directory()
        source = random.Random(7)  # noqa: S311 - the same in every run
        health = NodeHealth.new(BreakerLimits, source.random)
        self.reconciler = ReconcilerActor(
            NODE,
            client,
            ReconcilePhases(database),
            health,
            self.directory,
            limits=lambda: ReconcilerLimits(interval_s=1e9),
        )
        self.provisioner = ProvisionerActor(
            NODE,
            client,
            NodePhases(database, LinkCipher(MasterKeys([SecretStr("b" * 40)]))),
            lambda: ProvisionerLimits(
                attempt_timeout_s=4.0,
                scan_interval_s=1.0,
                retry=RetryLimits(base_s=1.0, cap_s=60.0),
            ),
            health,
            self.directory,
            source,
        )
        deaf = Address("nobody", lambda _: None, self.clock)
        self.directory.register(NOTIFIER, deaf)
        self.directory.register(PROVISIONER, deaf, NODE)
        self.directory.register_family(USER, lambda _: Address(USER, self._repair, self.clock))

    @asynccontextmanager
    async def alive(self, actor: Actor) -> AsyncIterator[Actor]:
        """An actor with an inbox, as long as the context."""
        mailbox = Mailbox(NODE, 1_000)
        actor.take_post(
            Post(
                name=NODE,
                mailbox=mailbox,
                surroundings=Surroundings(clock=self.clock),
                ended=lambda *_: None,
            )
        )
        await actor.started
        yield actor
        actor.kill()
        await actor.wait_ended()

    async def compare(self, what: str) -> ReconcileRun:
        """One comparison, and what it cost."""
        await self.double.ask("own_s")
        forget_peak()
        before = memory_mb()
        self.lateness.taken()
        began = time.perf_counter()
        run = await self.reconciler.on_reconcile(Reconcile())
        took = time.perf_counter() - began
        own_s = await self.double.ask("own_s")
        say(
            f"{what:<24} {took - own_s:7.2f} s and {own_s:5.2f} s of the node's digest; "
            f"{run.outcome}, missing {run.missing:,}; {peak_mb() - before:+,.0f} MB; "
            f"others waited {self.lateness.taken():,.0f} ms at most"
        )
        return run

    async def until_full(self, what: str) -> None:
        """The provisioner tells the node all that waits."""
        waiting = await self._waiting()
        forget_peak()
        before = memory_mb()
        self.lateness.taken()
        began = time.perf_counter()
        async with self.alive(self.provisioner):
            while await self.double.ask("users") < USERS or await self._waiting():
                self.provisioner.wake_self()
                await self.clock.sleep(LOOK_S)
        took = time.perf_counter() - began
        say(
            f"{what:<24} {took:7.2f} s, {waiting / took:,.0f} users a second; "
            f"{peak_mb() - before:+,.0f} MB; others waited {self.lateness.taken():,.0f} ms at most"
        )

    def _repair(self, envelope: Envelope) -> None:
        """In the place of a user's actor."""
        self._repairs.append(asyncio.ensure_future(self._repaired(envelope)))

    async def _repaired(self, envelope: Envelope) -> None:
        message = envelope.message
        assert isinstance(message, RepairAccess)
        await self.reconciler.phases.raise_missing(NODE, [(message.uuid, message.gen)])
        envelope.settle(AccessRepaired())

    async def _waiting(self) -> int:
        async with self.database.read() as connection:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM credentials WHERE applied_gen < gen"
            )
        return found


async def main() -> None:
    """Compare with no difference, with a thousand, and with a node that lost everybody."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        url = await stack.enter_async_context(database_url(None, folder))
        await apply_migrations(url)
        database = await Database.connect(url, 8)
        stack.push_async_callback(database.close)
        await database.take_over(uuid4())
        await announce_nodes(database, [NODE])
        double = await stack.enter_async_context(node_double())
        client = await stack.enter_async_context(NodeClient(double.url, [API_KEY]))
        phases = ReconcilePhases(database)
        await phases.learn_epoch(NODE, double.epoch)
        await filled(url, double, phases)
        bench = Bench(database, client, double)
        watch = asyncio.ensure_future(bench.lateness.watch())
        stack.callback(watch.cancel)
        await measured(bench)


async def measured(bench: Bench) -> None:
    """Every figure, on one database."""
    say(f"{USERS:,} users on the node; {memory_mb():,.0f} MB before")
    async with bench.alive(bench.reconciler):
        await bench.compare("no difference, first run")
        await bench.compare("no difference")
        async with bench.database.read() as connection:
            rows = await connection.fetch(
                "SELECT uuid FROM credentials ORDER BY md5(uuid::text) LIMIT $1", DIFFERENCES
            )
        await bench.double.ask("lose", [UUID(int=row["uuid"].int) for row in rows])
        await bench.compare(f"{DIFFERENCES:,} differences")
        await bench.until_full("and until they are back")
        await bench.double.ask("lose")
        await bench.compare("everybody is missing")
        await bench.until_full("and until they are back")
        await bench.compare("no difference")


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    calm_collector()
    asyncio.run(main())
