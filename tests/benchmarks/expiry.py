"""What people who buy feel while very many others' time ends at once.

The product's own ExpiryActor sweeps rows that are due, and UserActors credit payments beside it, on
one PostgreSQL and one loop; the same purchases are measured alone before, in the same run. How long
reminders take is told too, and that they find theirs by an index. `TOLLGATE_BENCH_DUE=1000000`
makes the figures of a million.
"""

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import structlog

from actors.expiry.actor import ExpiryActor
from actors.expiry.decisions import REMINDERS
from actors.notifier.actor import NOTIFIER
from actors.runtime.actor import Post, Surroundings
from actors.runtime.address import Address, Directory
from actors.runtime.clock import LoopClock
from actors.runtime.mailbox import Mailbox
from storage.database import Database
from storage.embedded import database_url
from storage.expiry import NOBODY, REMIND, REMINDED_AT_ONCE
from storage.migrate import apply_migrations
from storage.phases import ExpiryPhases
from supervisors.cli import calm_collector
from tests.benchmarks.serialisation import OTHERS, Command, credited

DUE = int(os.environ.get("TOLLGATE_BENCH_DUE", "50000"))
#: Users of these numbers buy; those above are due.
FIRST_DUE = 1_000_001
#: Purchases come so far apart, seconds.
GAP_S = 0.02
ALONE_S = 10.0
NODE = "node-1"

FILL = (
    """
    INSERT INTO users (tg_id, language)
    SELECT n, 'en' FROM generate_series({first}, {last}) n
    """,
    """
    INSERT INTO subscriptions (user_id, plan_id, status, expires_at, version)
    SELECT n, 'minute', 'active', now() - interval '1 s', 1 FROM generate_series({first}, {last}) n
    """,
    """
    INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
        pending_before, pending_after, source_kind, source_id, reason, actor, at)
    SELECT id, 1, 60, NULL, expires_at, 0, 0, 'payment', id::text, 'bench', 'bench',
        now() - interval '30 days' FROM subscriptions WHERE user_id >= {first}
    """,
    """
    INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
        first_applied_at, applied_at, link_enc)
    SELECT gen_random_uuid(), id, 'node-1', 'present', 1, 1, now(), now(), 'x'
    FROM subscriptions WHERE user_id >= {first}
    """,
    "VACUUM ANALYZE",
)
LEFT = "SELECT count(*) FROM subscriptions WHERE status = 'active' AND expires_at <= now()"


def say(line: str) -> None:
    """For whoever measures."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Buyers:
    """One after the other pays, whatever the others wait for."""

    def __init__(self, command: Command) -> None:
        self.times: list[float] = []
        self._command = command
        self._clock = LoopClock()

    async def come(self, until: "asyncio.Future[None] | asyncio.Task[None]") -> list[float]:
        """Milliseconds that each one waited, until something has ended."""
        self.times = []
        paying = []
        number = 0
        while not until.done():
            paying.append(asyncio.ensure_future(self._one(1 + number % OTHERS)))
            number += 1
            await self._clock.sleep(GAP_S)
        await asyncio.gather(*paying)
        return self.times

    async def _one(self, user_id: int) -> None:
        began = time.perf_counter()
        await self._command(user_id)
        self.times.append((time.perf_counter() - began) * 1_000)


def percentile(times: Sequence[float], share: float) -> float:
    """The wait that so large a share had at most."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def compared(alone: Sequence[float], beside: Sequence[float]) -> None:
    """Print what buyers waited alone and beside the work, and the ratio."""
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        a, b = percentile(alone, share), percentile(beside, share)
        say(f"purchases {name}: {a:8.1f} ms alone, {b:8.1f} ms beside it: {b / a:.1f} times")


async def expired(database: Database, buyers: Buyers) -> list[float]:
    """All who are due expire, by the actor; what those who buy meanwhile waited."""
    directory, clock = Directory(), LoopClock()
    directory.register(NOTIFIER, Address(NOTIFIER, lambda _: None, clock))
    actor = ExpiryActor(ExpiryPhases(database), directory)
    actor.take_post(
        Post(
            name="bench",
            mailbox=Mailbox("bench", 100),
            surroundings=Surroundings(clock=clock),
            ended=lambda *_: None,
        )
    )
    began = time.perf_counter()

    async def all_over() -> None:
        while actor.ended < DUE:
            await clock.sleep(0.05)

    beside = await buyers.come(asyncio.ensure_future(all_over()))
    took = time.perf_counter() - began
    assert actor.ended == DUE, "somebody's time did not end, or ended twice"
    say(f"{DUE:,} rows expired in {took:.1f} s: {DUE / took:,.0f} a second")
    actor.kill()
    await actor.wait_ended()
    return beside


async def reminded(connection: "asyncpg.Connection[asyncpg.Record]", database: Database) -> None:
    """What it takes to see whom to remind among all of them, when a minute's worth is due."""
    await connection.execute(
        """
        UPDATE subscriptions SET status = 'active',
            expires_at = now() + interval '1 s' * (user_id - $1) * (4 * 86400.0 / $2)
        WHERE user_id >= $1
        """,
        FIRST_DUE,
        DUE,
    )
    await connection.execute("VACUUM ANALYZE subscriptions, ledger")
    phases = ExpiryPhases(database)
    for reminder in REMINDERS:
        await phases.remind(reminder)
        await connection.execute(
            "UPDATE watermarks SET upto = now() - interval '1 minute' WHERE name = $1",
            reminder.text_id,
        )
        began = time.perf_counter()
        told = await phases.remind(reminder)
        took = (time.perf_counter() - began) * 1_000
        say(f"reminder {reminder.text_id:<20} {took:8.1f} ms for {told:,} of {DUE:,}")
    now = await connection.fetchval("SELECT now()")
    plan = await connection.fetch(
        "EXPLAIN " + REMIND, "bench", now, now, 3_600.0, 0.0, REMINDED_AT_ONCE, *NOBODY
    )
    lines = [str(line[0]).strip() for line in plan]
    say("reminders look by: " + "; ".join(line for line in lines if "Scan" in line))


async def measure() -> None:
    """Purchases alone, then beside the expiry; then reminders."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        url = await stack.enter_async_context(database_url(None, folder))
        await apply_migrations(url)
        connection = await asyncpg.connect(url)
        stack.push_async_callback(connection.close)
        family, command, database = await credited(url)
        stack.push_async_callback(database.close)
        stack.push_async_callback(family.close)
        for statement in FILL:
            first, last = FIRST_DUE, FIRST_DUE + DUE - 1
            await connection.execute(statement.format(first=first, last=last))
        buyers = Buyers(command)
        await buyers.come(asyncio.ensure_future(LoopClock().sleep(2)))
        alone = await buyers.come(asyncio.ensure_future(LoopClock().sleep(ALONE_S)))
        beside = await expired(database, buyers)
        assert await connection.fetchval(LEFT) == 0
        # Before and after: a machine is not as fast at every moment.
        alone += await buyers.come(asyncio.ensure_future(LoopClock().sleep(ALONE_S)))
        say(f"{len(alone):,} purchases alone, {len(beside):,} beside the expiry")
        compared(alone, beside)
        await reminded(connection, database)


def main() -> None:
    """Measure everything."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    calm_collector()
    asyncio.run(measure())


if __name__ == "__main__":
    main()
