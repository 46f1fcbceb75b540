"""What others feel while one user queues two hundred commands: `make bench`.

The same work three ways on one PostgreSQL: an actor for each user; a small build of the legacy way,
an advisory lock held over the node call; and the product's own UserActor crediting payments. Ratios
within one run count; it judges nothing.
"""

import asyncio
import logging
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import structlog
from pydantic import SecretStr

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER
from actors.runtime.actor import AsyncioActor, Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from actors.runtime.messages import Request
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
from storage.phases import UserPhases, announce_nodes
from storage.rows import PurchaseDraft
from supervisors.cli import calm_collector
from supervisors.engine.dynamic import DynamicSupervisor, Partitions
from supervisors.engine.policy import Exceeded, Policy, Scope, SupervisorSpec

ROUNDS = 5
#: As the design measured it: one user queues so many commands, others come one every 5 ms.
QUEUED = 200
OTHERS = 100
GAP_S = 0.005
#: A node's answer in the legacy way, over which its lock and its connection are held.
NODE_CALL_S = 0.020
#: The pool of the legacy bot had 15, its audit measured 10; here both ways have the same.
POOL = 10
PARTITIONS = 16
NODE = "node-1"
HOT = 1
POLICY = Policy(max_restarts=6, window_s=60, backoff_base_s=0.1, backoff_cap_s=5, idle_after_s=60)

MAKE = """
CREATE TABLE IF NOT EXISTS bench_users (id bigint PRIMARY KEY, version bigint NOT NULL DEFAULT 0);
INSERT INTO bench_users SELECT generate_series(1, 200) ON CONFLICT DO NOTHING
"""
LOOK = "SELECT version FROM bench_users WHERE id = $1"
CHANGE = "UPDATE bench_users SET version = version + 1 WHERE id = $1"

Command = Callable[[int], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Work(Request[int]):
    """Look, change, ask the node, change."""


class Worker(AsyncioActor):
    """One user's commands, one after the other; a connection only while it is used."""

    mailbox_bound = 2 * QUEUED

    def __init__(self, user_id: int, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        super().__init__()
        self.user_id = user_id
        self.pool = pool

    async def on_work(self, message: Work) -> int:
        """The work of the legacy command, between connections."""
        del message
        await self.pool.fetchval(LOOK, self.user_id)
        await self.pool.execute(CHANGE, self.user_id)
        await self.clock.sleep(NODE_CALL_S)
        await self.pool.execute(CHANGE, self.user_id)
        return self.user_id


class QueueingUserActor(UserActor):
    """The product's own, with room for the whole queue."""

    mailbox_bound = 2 * QUEUED


class Family:
    """Actors by user, started by their first message, as the product has them."""

    def __init__(self, make: Callable[[int], AsyncioActor]) -> None:
        surroundings = Surroundings(clock=LoopClock())
        self.partitions = Partitions("bench", PARTITIONS, surroundings)
        spec = SupervisorSpec(policy=lambda: POLICY, exceeded=Exceeded.PARK, scope=Scope.EACH)
        self.supervisors = [
            DynamicSupervisor(
                cells,
                lambda key: make(int(key)),
                2 * QUEUED,
                spec,
                surroundings,
                random.Random(number),  # noqa: S311 - spreads restarts, guards nothing
            )
            for number, cells in enumerate(self.partitions.cells)
        ]

    async def open(self) -> "Family":
        """Take messages."""
        for number, supervisor in enumerate(self.supervisors):
            supervisor.take_post(
                Post(
                    name=f"bench/{number:02}",
                    mailbox=Mailbox(f"bench/{number:02}", 1_000),
                    surroundings=supervisor.surroundings,
                    ended=lambda *_: None,
                )
            )
            await supervisor.started
        return self

    async def close(self) -> None:
        """Stop everybody."""
        for supervisor in self.supervisors:
            supervisor.hurry()
            await supervisor.wait_ended()

    def address(self, user_id: int) -> Address:
        """Where a user's actor is reached."""
        return self.partitions.of(str(user_id)).address(str(user_id))


async def others(command: Command, *, hot: bool) -> list[float]:
    """Latencies of the others in milliseconds, with or without a queue of one user's commands."""
    queue = [asyncio.ensure_future(command(HOT)) for _ in range(QUEUED if hot else 0)]
    times: list[float] = []

    async def one(user_id: int) -> None:
        began = time.perf_counter()
        await command(user_id)
        times.append((time.perf_counter() - began) * 1_000)

    clock, arrivals = LoopClock(), []
    for user_id in range(HOT + 1, HOT + 1 + OTHERS):
        arrivals.append(asyncio.ensure_future(one(user_id)))
        await clock.sleep(GAP_S)
    await asyncio.gather(*arrivals, *queue)
    return times


async def compare(name: str, command: Command) -> None:
    """Print what the others feel, and its ratio to what they feel without the queue."""
    await others(command, hot=True)
    idle, busy = [], []
    for _ in range(ROUNDS):
        idle.append(statistics.median(await others(command, hot=False)))
        busy.append(statistics.median(await others(command, hot=True)))
    _line(f"{name}: others' median alone, ms", idle)
    _line(f"{name}: others' median beside the queue, ms", busy)
    _line(f"{name}: ratio", [b / i for b, i in zip(busy, idle, strict=True)])


def locked(pool: "asyncpg.Pool[asyncpg.Record]") -> Command:
    """The legacy way: a connection is held from before the lock until after the node's answer."""
    clock = LoopClock()

    async def command(user_id: int) -> None:
        async with pool.acquire() as connection:
            await connection.execute("SELECT pg_advisory_lock($1)", user_id)
            try:
                await connection.fetchval(LOOK, user_id)
                await connection.execute(CHANGE, user_id)
                await clock.sleep(NODE_CALL_S)
                await connection.execute(CHANGE, user_id)
            finally:
                await connection.execute("SELECT pg_advisory_unlock($1)", user_id)

    return command


async def credited(url: str) -> tuple[Family, Command, Database]:
    """The product's UserActor: each command is one more payment, recorded, decided, credited."""
    database = await Database.connect(url, POOL)
    await database.take_over(uuid4())
    await announce_nodes(database, [NODE])
    plan = Plan(id="minute", title=Title(en="Minute", ru="Минута"), period_s=60, price_stars=1)
    catalogue = Catalogue(
        plans=Plans(plans=(plan,), limits=Limits()),
        nodes=(NODE,),
        terms={"stars": Terms(provider="stars", currency=STARS)},
    )
    phases = UserPhases(database, LinkCipher(MasterKeys([SecretStr("b" * 40)])))
    directory = _deaf_directory()
    orders = {user_id: await _order(phases, user_id) for user_id in range(1, OTHERS + 2)}
    family = await Family(
        lambda user_id: QueueingUserActor(user_id, phases, catalogue, directory)
    ).open()

    async def command(user_id: int) -> object:
        charge = CreditPayment(
            operation_id=uuid4().hex,
            provider="stars",
            provider_payment_id=uuid4().hex,
            purchase_id=orders[user_id],
            amount=1,
            currency=STARS,
            body_sha256=b"\0" * 32,
            language="en",
            chat_id=user_id,
        )
        return await family.address(user_id).ask(charge, timeout_s=60)

    return family, command, database


def _deaf_directory() -> Directory:
    """Nobody behind the addresses that a credit wakes: they would find their rows anyway."""
    directory, clock = Directory(), LoopClock()
    deaf = Address("nobody", lambda _: None, clock)
    directory.register(NOTIFIER, deaf)
    directory.register(PROVISIONER, deaf, NODE)
    return directory


async def _order(phases: UserPhases, user_id: int) -> UUID:
    await phases.introduce(user_id, "en")
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
    await phases.open_purchase(draft)
    return draft.id


async def measure() -> None:
    """All three, on one server of their own."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        url = await stack.enter_async_context(database_url(None, folder))
        await apply_migrations(url)
        pool = await asyncpg.create_pool(url, min_size=POOL, max_size=POOL)
        stack.push_async_callback(pool.close)
        await pool.execute(MAKE)

        workers = await Family(lambda user_id: Worker(user_id, pool)).open()
        await compare(
            "actor a user", lambda user_id: workers.address(user_id).ask(Work(), timeout_s=60)
        )
        await workers.close()
        await compare("advisory lock", locked(pool))

        family, command, database = await credited(url)
        stack.push_async_callback(database.close)
        await compare("UserActor crediting", command)
        await family.close()


def _line(what: str, found: list[float]) -> None:
    middle, least, most = statistics.median(found), min(found), max(found)
    print(  # noqa: T201
        f"{what:<62} {middle:>10,.2f}  ({least:,.2f} to {most:,.2f})", flush=True
    )


def main() -> None:
    """Measure everything."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    calm_collector()
    print(f"Python {sys.version.split()[0]}, {ROUNDS} rounds, median (least to most)")  # noqa: T201
    asyncio.run(measure())


if __name__ == "__main__":
    main()
