"""What a node's outage costs: requests in vain while people go on buying, and when all have access.

Real UserActors, a real ProvisionerActor with the product's limits, PostgreSQL, and a double with
the node's contract behind real HTTP. It is away in three ways, one after the other: it answers 503,
it refuses connections, it hangs. Requests are counted where they arrive; those that are refused,
where they are sent. `TOLLGATE_BENCH_OUTAGE_S=60` makes the full figure, `TOLLGATE_BENCH_RATE` sets
the purchases a second.
"""

import asyncio
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import structlog
from pydantic import SecretStr

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER, ProvisionerActor, ProvisionerLimits
from actors.provisioner.breaker import BreakerChange, BreakerLimits
from actors.provisioner.decisions import RetryLimits
from actors.provisioner.health import NodeHealth
from actors.runtime.actor import Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from actors.user.actor import UserActor
from actors.user.decisions.catalogue import Catalogue
from actors.user.messages import CreditPayment
from config.keys import MasterKeys
from config.money import STARS
from config.plans import Limits, Plan, Plans, Title
from config.providers import Terms
from storage.database import Database
from storage.embedded import database_url
from storage.links import LinkCipher
from storage.migrate import apply_migrations
from storage.node_phases import NodePhases
from storage.phases import UserPhases, announce_nodes
from storage.rows import PurchaseDraft
from supervisors.cli import calm_collector
from tests.benchmarks.node_double import API_KEY, NodeDouble, node_double
from tests.benchmarks.serialisation import Family
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeUnreachable
from xray_api.contract import PutReply, Writer

OUTAGE_S = float(os.environ.get("TOLLGATE_BENCH_OUTAGE_S", "20"))
RATE = float(os.environ.get("TOLLGATE_BENCH_RATE", "100"))
#: People buy so long before the outage.
BEFORE_S = 3.0
WAYS = ("503", "refuse", "hang")
#: All have access so long after the heal, or something is wrong, seconds.
BOUND_S = 90.0
LOOK_S = 0.1
#: Purchases under way at most: a machine that cannot keep up with the rate sells fewer a second.
AT_ONCE = 8
NODE = "node-1"
LIMITS = ProvisionerLimits(
    attempt_timeout_s=4.0, scan_interval_s=1.0, retry=RetryLimits(base_s=1.0, cap_s=60.0)
)
PLAN = Plan(id="minute", title=Title(en="Minute", ru="Минута"), period_s=60, price_stars=1)
WAITING = "SELECT count(*) FROM credentials WHERE applied_gen < gen"
WANTED = "SELECT uuid, gen FROM credentials"


def say(line: str) -> None:
    """For whoever measures."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class CountingClient(NodeClient):
    """Counts the changes that no node heard, because it refused the connection."""

    unheard = 0

    async def put(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = 4.0,
        writer: Writer | None = None,
    ) -> PutReply:
        """As it is."""
        try:
            return await super().put(uuid, gen, epoch, deadline_s=deadline_s, writer=writer)
        except NodeUnreachable:
            self.unheard += 1
            raise


class Shop:
    """People who buy, each once, and the node's actor."""

    def __init__(self, database: Database, client: CountingClient, double: NodeDouble) -> None:
        self.client = client
        self.double = double
        self.clock = LoopClock()
        self.changes: list[BreakerChange] = []
        self.bought = 0
        self._room = asyncio.Semaphore(AT_ONCE)
        cipher = LinkCipher(MasterKeys([SecretStr("b" * 40)]))
        self.phases = UserPhases(database, cipher)
        self.directory = Directory()
        source = random.Random(7)  # noqa: S311 - the same in every run
        self.health = NodeHealth.new(BreakerLimits, source.random, self.changes.append)
        self.provisioner = ProvisionerActor(
            NODE,
            client,
            NodePhases(database, cipher),
            lambda: LIMITS,
            self.health,
            self.directory,
            source,
        )
        catalogue = Catalogue(
            plans=Plans(plans=(PLAN,), limits=Limits()),
            nodes=(NODE,),
            terms={"stars": Terms(provider="stars", currency=STARS)},
        )
        self.family = Family(
            lambda user_id: UserActor(user_id, self.phases, catalogue, self.directory)
        )

    async def open(self) -> None:
        """The actors begin."""
        await self.family.open()
        mailbox = Mailbox(f"{PROVISIONER}/{NODE}", 1_000)
        self.provisioner.take_post(
            Post(
                name=f"{PROVISIONER}/{NODE}",
                mailbox=mailbox,
                surroundings=Surroundings(clock=self.clock),
                ended=lambda *_: None,
            )
        )
        address = Address(PROVISIONER, lambda _: self.provisioner.wake_self(), self.clock)
        self.directory.register(PROVISIONER, address, NODE)
        self.directory.register(NOTIFIER, Address(NOTIFIER, lambda _: None, self.clock))

    async def close(self) -> None:
        """They end."""
        self.provisioner.kill()
        await self.provisioner.wait_ended()
        await self.family.close()

    async def sell(self, seconds: float) -> None:
        """People buy at the rate, for so long."""
        end, next_at, buying = time.perf_counter() + seconds, time.perf_counter(), []
        while next_at < end:
            self.bought += 1
            buying.append(asyncio.ensure_future(self._buy(self.bought)))
            next_at += 1 / RATE
            await self.clock.sleep(max(0.0, next_at - time.perf_counter()))
        await asyncio.gather(*buying)

    async def _buy(self, user_id: int) -> None:
        async with self._room:
            await self._bought(user_id)

    async def _bought(self, user_id: int) -> None:
        await self.phases.introduce(user_id, "en")
        draft = PurchaseDraft(
            id=uuid4(),
            user_id=user_id,
            kind="new",
            plan_id="minute",
            node_id=NODE,
            price=1,
            currency=STARS,
            period_s=60,
            provider="stars",
            operation_id=uuid4().hex[:16],
            chat_id=user_id,
            open_for_s=86_400,
        )
        await self.phases.open_purchase(draft)
        charge = CreditPayment(
            operation_id=uuid4().hex,
            provider="stars",
            provider_payment_id=uuid4().hex,
            purchase_id=draft.id,
            amount=1,
            currency=STARS,
            body_sha256=b"\0" * 32,
            language="en",
            chat_id=user_id,
        )
        await self.family.address(user_id).ask(charge, timeout_s=60)


async def outage(shop: Shop, way: str, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The node is away in one way while people buy, and comes back."""
    while await connection.fetchval(WAITING):
        await shop.clock.sleep(LOOK_S)
    await shop.double.ask("count")
    known = {(row["uuid"], row["gen"]) for row in await connection.fetch(WANTED)}
    shop.client.unheard, shop.changes[:] = 0, []
    await shop.sell(BEFORE_S)
    await shop.double.ask("away", way)
    await shop.sell(OUTAGE_S)
    await shop.double.ask("away", "")
    healed = time.perf_counter()
    while await connection.fetchval(WAITING) and time.perf_counter() - healed < 2 * BOUND_S:
        await shop.clock.sleep(LOOK_S)
    took = time.perf_counter() - healed
    wanted = {(row["uuid"], row["gen"]) for row in await connection.fetch(WANTED)} - known
    kinds, wishes = await shop.double.ask("seen")
    sent = sum(wishes.values()) + shop.client.unheard
    requests = kinds.get("PUT", 0) + kinds.get("/v1/users:batch", 0) + shop.client.unheard
    left = await connection.fetchval(WAITING)
    say(
        f"{way:<7} {requests / len(wanted):6.3f} requests a change ({requests:,} for "
        f"{len(wanted):,}, {shop.client.unheard} of them refused), each change sent "
        f"{sent / len(wanted):.3f} times, in batches too; all applied {took:.1f} s after the heal "
        f"(bound {BOUND_S:.0f} s)"
    )
    steps = Counter(f"{change.before} to {change.after}" for change in shop.changes)
    say("        breaker: " + ", ".join(f"{step} {times}" for step, times in steps.items()))
    say("        HTTP requests: " + ", ".join(f"{k} {v}" for k, v in sorted(kinds.items())))
    assert left == 0, "somebody who paid has no access"
    assert wanted <= set(wishes)


async def measure() -> None:
    """One outage after the other."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        url = await stack.enter_async_context(database_url(None, folder))
        await apply_migrations(url)
        connection = await asyncpg.connect(url)
        stack.push_async_callback(connection.close)
        database = await Database.connect(url, 10)
        stack.push_async_callback(database.close)
        await database.take_over(uuid4())
        await announce_nodes(database, [NODE])
        double = await stack.enter_async_context(node_double())
        client = await stack.enter_async_context(CountingClient(double.url, [API_KEY]))
        shop = Shop(database, client, double)
        await shop.open()
        stack.push_async_callback(shop.close)
        say(f"{RATE:.0f} purchases a second, {OUTAGE_S:.0f} s away")
        for way in WAYS:
            await outage(shop, way, connection)


def main() -> None:
    """Measure everything."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    calm_collector()
    asyncio.run(measure())


if __name__ == "__main__":
    main()
