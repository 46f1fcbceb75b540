"""How long `tollgate doctor --deep` takes over many users, and how much memory.

    python -m tests.benchmarks.checking [USERS]

One user is served by the transactions of the shop, then copied as often as is asked for, each with
keys, orders, payments and a history of its own.
"""

import asyncio
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from pydantic import SecretStr

from config.keys import MasterKeys
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.invariants.judging import Judge
from storage.invariants.reading import broken_pages
from storage.links import LinkCipher
from storage.looking import looking
from storage.migrate import apply_migrations
from tests.integration.shop import BUYER, Shop, link_of

USERS = 100_000
#: Numbers of copies begin above everybody's.
FIRST = 1_000_000_000
MB = 1 << 20

#: Each row of the one user, once more for `n`; ids are made of `n`, so that they fit together.
COPIES = (
    "SET session_replication_role = replica",
    """INSERT INTO users (tg_id, status, language, created_at)
    SELECT n, u.status, u.language, u.created_at FROM users u, generate_series($1::bigint, $2) n
    WHERE u.tg_id = $3""",
    """INSERT INTO subscriptions (id, user_id, plan_id, status, expires_at, pending_s, version)
    SELECT md5('s' || n)::uuid, n, plan_id, status, expires_at, pending_s, version
    FROM subscriptions, generate_series($1::bigint, $2) n WHERE user_id = $3""",
    """INSERT INTO purchases (id, user_id, kind, plan_id, node_id, price, currency, period_s,
        provider, status, operation_id, chat_id, invoice_expires_at, fulfilled_at)
    SELECT md5(p.id::text || n)::uuid, n, kind, plan_id, node_id, price, currency, period_s,
        provider, status, operation_id, n, invoice_expires_at, fulfilled_at
    FROM purchases p, generate_series($1::bigint, $2) n WHERE user_id = $3""",
    """INSERT INTO payments (provider, provider_payment_id, purchase_id, user_id, amount, currency,
        body_sha256, received_at, disposition, settled_at)
    SELECT provider, provider_payment_id || n, md5(purchase_id::text || n)::uuid, n, amount,
        currency, body_sha256, received_at, disposition, settled_at
    FROM payments, generate_series($1::bigint, $2) n WHERE user_id = $3""",
    """INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
        pending_before, pending_after, source_kind, source_id, reason, actor, at)
    SELECT md5('s' || n)::uuid, l.version, delta_s, expires_before, expires_after, pending_before,
        pending_after, source_kind, CASE source_kind
            WHEN 'activation' THEN md5('k' || n)::uuid::text || ':1' ELSE source_id || n END,
        reason, actor, at
    FROM ledger l, generate_series($1::bigint, $2) n""",
    """INSERT INTO history (user_id, at, kind, subject, event, details)
    SELECT n, h.at, h.kind, CASE h.kind
        WHEN 'purchase' THEN md5(h.subject || n)::uuid::text
        WHEN 'payment' THEN (SELECT number FROM payments p WHERE p.user_id = n)::text
        WHEN 'key' THEN left(md5('k' || n), 8) ELSE n::text END, h.event, h.details
    FROM history h, generate_series($1::bigint, $2) n WHERE h.user_id = $3 ORDER BY 1, h.id""",
    "VACUUM ANALYZE",
)
KEY = "SELECT n, md5('s' || n)::uuid, md5('k' || n)::uuid FROM generate_series($1::bigint, $2) n"
KEYS_OF = ("uuid", "subscription_id", "node_id", "desired", "gen", "applied_gen")
MOMENTS = ("first_applied_at", "applied_at", "link_enc")


def say(line: str) -> None:
    """For whoever measures."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def fill(url: str, cipher: LinkCipher, many: int) -> None:
    """Serve one, and copy."""
    database = await Database.connect(url)
    await database.take_over(uuid4())
    shop = Shop(database, cipher)
    served = await shop.served()
    await database.close()
    connection = await asyncpg.connect(url)
    try:
        span = (FIRST, FIRST + many - 2, BUYER)
        for statement in COPIES[:-1]:
            given = max((number for number in (1, 2, 3) if f"${number}" in statement), default=0)
            await connection.execute(statement, *span[:given])
        applied: Any = await connection.fetchval("SELECT max(first_applied_at) FROM credentials")
        records = [
            (
                uuid,
                subscription,
                served.node_id,
                "present",
                1,
                1,
                applied,
                applied,
                sealed(cipher, uuid),
            )
            for _, subscription, uuid in await connection.fetch(KEY, *span[:2])
        ]
        await connection.copy_records_to_table(
            "credentials", records=records, columns=[*KEYS_OF, *MOMENTS]
        )
        await connection.execute(COPIES[-1])
    finally:
        await connection.close()


def sealed(cipher: LinkCipher, uuid: UUID) -> bytes:
    """A link as the database keeps it."""
    return cipher.close(link_of(uuid))


async def check(url: str, cipher: LinkCipher) -> None:
    """Judge all, and tell what it took."""
    judge = Judge(open_link=cipher.open, owners=True, ends_held=True)
    began, worked = time.perf_counter(), time.process_time()
    before = most = memory_mb()
    judged, broken = 0, 0
    async with looking(url) as connection:
        async for count, found in broken_pages(connection, judge):
            judged, most = count, max(most, memory_mb())
            for one in found[:3]:
                say(f"  broken: {one}")
            broken += len(found)
    took, worked = time.perf_counter() - began, time.process_time() - worked
    say(
        f"{judged:,} users in {took:.1f} s ({worked:.1f} s of a core here, the rest PostgreSQL or "
        f"waiting), {broken} findings, {most - before:.0f} MB"
    )


def memory_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / MB


async def main(many: int) -> None:
    """Fill, then judge."""
    cipher = LinkCipher(MasterKeys([SecretStr("a master secret for tests, long enough")]))
    with TemporaryDirectory(prefix="tollgate-bench-") as folder:
        server = EmbeddedPostgres.start(Path(folder) / "postgres")
        try:
            await apply_migrations(server.url)
            began = time.perf_counter()
            await fill(server.url, cipher, many)
            say(f"{many:,} users made in {time.perf_counter() - began:.0f} s")
            await check(server.url, cipher)
        finally:
            server.stop()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else USERS))
