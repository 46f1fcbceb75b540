"""What comparing a node with the database costs at a million users: time and memory.

A node double with the real digest stands for the node; its own part is told apart. PostgreSQL is
the embedded one. `TOLLGATE_BENCH_USERS` sets another number of users.
"""

import asyncio
import os
import random
import resource
import sys
import tempfile
import time
from bisect import bisect_right
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from actors.provisioner.actor import PROVISIONER
from actors.provisioner.breaker import BreakerLimits
from actors.provisioner.health import NodeHealth
from actors.reconciler.actor import ReconcilerActor
from actors.reconciler.decisions import ReconcilerLimits
from actors.reconciler.messages import Reconcile
from actors.runtime.actor import Ending, Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Envelope, Mailbox
from actors.user.actor import USER
from actors.user.messages import AccessRepaired
from storage.database import Database
from storage.embedded import database_url
from storage.migrate import apply_migrations
from storage.node_phases import ReconcilePhases
from storage.phases import announce_nodes
from storage.rows import ReconcileRun
from xray_api.client.fake import FakeNodeClient
from xray_api.contract import DigestReply, ListedUser, UserPage
from xray_api.digest import digest

USERS = int(os.environ.get("TOLLGATE_BENCH_USERS", "1000000"))
DIFFERENCES = 1_000
NODE = "bench"

FILL = """
INSERT INTO users (tg_id, language) SELECT n, 'en' FROM generate_series(1, $1::bigint) n;
"""
FILL_SUBSCRIPTIONS = """
INSERT INTO subscriptions (user_id, plan_id, status, expires_at, version)
SELECT n, 'month', 'active', now() + interval '30 days', 1 FROM generate_series(1, $1::bigint) n
"""
FILL_CREDENTIALS = """
INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
    first_applied_at, applied_at, link_enc)
SELECT gen_random_uuid(), id, 'bench', 'present', 1, 1, now(), now(), 'x' FROM subscriptions
"""


class LargeNode(FakeNodeClient):
    """A node of very many users, whose own time is told apart."""

    def __init__(self, epoch: UUID) -> None:
        super().__init__(epoch=epoch)
        self.gens: dict[UUID, int] = {}
        self.ordered: list[UUID] = []
        self.own_s = 0.0

    def have(self, users: dict[UUID, int]) -> None:
        """Let these users in, and nobody else."""
        self.gens, self.ordered = users, sorted(users)

    async def digest(self, *, buckets: int = 4096, deadline_s: float = 30.0) -> DigestReply:
        """As the real one."""
        del deadline_s
        began = time.perf_counter()
        found = digest(self.gens.items(), buckets)
        self.own_s += time.perf_counter() - began
        return DigestReply(
            epoch=self.epoch,
            count=found.count,
            root=found.root,
            buckets=found.buckets,
            writer=None,
        )

    async def list_users(
        self, *, after: UUID | None = None, limit: int = 10_000, deadline_s: float = 4.0
    ) -> UserPage:
        """As the real one."""
        del deadline_s
        start = bisect_right(self.ordered, after) if after is not None else 0
        page = self.ordered[start : start + limit]
        more = start + limit < len(self.ordered)
        return UserPage(
            epoch=self.epoch,
            users=tuple(ListedUser(uuid=uuid, gen=self.gens[uuid]) for uuid in page),
            next=page[-1] if more else None,
        )


def say(line: str) -> None:
    """For whoever measures."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def _filled(url: str) -> dict[UUID, int]:
    connection = await asyncpg.connect(url)
    for statement in (FILL, FILL_SUBSCRIPTIONS, FILL_CREDENTIALS):
        await connection.execute(statement.replace("$1::bigint", str(USERS)))
    await connection.execute("VACUUM ANALYZE")
    found = {}
    async with connection.transaction():
        async for row in connection.cursor("SELECT uuid, gen FROM credentials", prefetch=10_000):
            found[UUID(int=row["uuid"].int)] = row["gen"]
    await connection.close()
    return found


def _reconciler(node: LargeNode, database: Database, directory: Directory) -> ReconcilerActor:
    health = NodeHealth.new(BreakerLimits, random.Random(7).random)  # noqa: S311 - spreads
    return ReconcilerActor(
        NODE,
        node,
        ReconcilePhases(database),
        health,
        directory,
        limits=lambda: ReconcilerLimits(interval_s=1e9),
    )


async def _run(node: LargeNode, actor: ReconcilerActor, what: str) -> ReconcileRun:
    node.own_s = 0.0
    began = time.perf_counter()
    run = await actor.on_reconcile(Reconcile())
    took = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(
        f"{what:<28} {took - node.own_s:6.2f} s here, {node.own_s:5.2f} s the node's digest; "
        f"{run.outcome}, missing {run.missing}, orphans {run.orphans}; peak so far {peak:,.0f} MB"
    )
    return run


async def main() -> None:
    """Compare with no difference, a thousand, and a node that lost everybody."""
    with tempfile.TemporaryDirectory() as folder:
        async with database_url(None, Path(folder)) as url:
            await apply_migrations(url)
            database = await Database.connect(url, 8)
            await database.take_over(uuid4())
            await announce_nodes(database, [NODE])
            users = await _filled(url)
            node = LargeNode(uuid4())
            await ReconcilePhases(database).learn_epoch(NODE, node.epoch)
            directory, clock = Directory(), LoopClock()
            directory.register(PROVISIONER, Address(PROVISIONER, lambda _: None, clock), NODE)
            directory.register_family(USER, lambda _: Address(USER, _repaired, clock))
            actor = _reconciler(node, database, directory)
            actor.take_post(
                Post(
                    name="bench",
                    mailbox=Mailbox("bench", 10),
                    surroundings=Surroundings(clock=clock),
                    ended=_ended,
                )
            )
            await _measured(node, actor, users)
            actor.kill()
            await actor.wait_ended()
            await database.close()


async def _measured(node: LargeNode, actor: ReconcilerActor, users: dict[UUID, int]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(f"{USERS:,} users; before, the double's own users included: {peak:,.0f} MB")
    node.have(users)
    await _run(node, actor, "no difference, first run")
    await _run(node, actor, "no difference")
    source = random.Random(7)  # noqa: S311 - the same in every run
    lost = source.sample(sorted(users), DIFFERENCES)
    node.have({uuid: gen for uuid, gen in users.items() if uuid not in set(lost)})
    await _run(node, actor, f"{DIFFERENCES:,} differences")
    node.have({})
    await _run(node, actor, "everybody is missing")
    node.epoch = uuid4()
    await _run(node, actor, "another store: all anew")


def _repaired(envelope: Envelope) -> None:
    envelope.settle(AccessRepaired())


def _ended(actor: Any, ending: Ending) -> None:
    del actor, ending


if __name__ == "__main__":
    asyncio.run(main())
