"""Looks at a database without disturbing who works with it: read-only, and owning nothing."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.database import SHARD, Connection, outages, prepare
from storage.invariants.rules import Row
from storage.migrate import connect, pending_migrations
from storage.outbox import TOLD_NOW

#: PostgreSQL itself sees to it that nothing is written.
SESSION = {
    "timezone": "UTC",
    "application_name": "tollgate doctor",
    "default_transaction_read_only": "on",
    "statement_timeout": "120000",
    "idle_in_transaction_session_timeout": "5000",
}
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
IDENTITY = "SELECT bot_id, keys_fingerprint FROM system"
#: The connection that took it over may be long gone: a pool renews its connections. The server
#: may have been away since, and with it all work.
OWNER = """
SELECT extract(epoch FROM clock_timestamp() - s.seen_at)::float8 AS seen_s,
    extract(epoch FROM clock_timestamp()
        - greatest(s.backend_start, pg_postmaster_start_time()))::float8 AS since_s
FROM shards s WHERE s.id = $1
"""
NODES = "SELECT * FROM nodes ORDER BY id"
PRESENT = """
SELECT node_id, count(*) AS users FROM credentials WHERE desired = 'present' GROUP BY node_id
"""
#: What waits for a person, or for too long: a name, how many, and the age of the oldest in seconds.
BACKLOG = f"""
SELECT 'updates and pushes' AS what, count(*) AS many, min(received_at) AS since FROM inbox
    WHERE done_at IS NULL AND quarantined_at IS NULL AND received_at < now() - interval '1 minute'
UNION ALL SELECT 'updates set aside', count(*), min(quarantined_at) FROM inbox
    WHERE done_at IS NULL AND quarantined_at IS NOT NULL
UNION ALL SELECT 'dead letters', count(*), min(created_at) FROM dead_letters
    WHERE state = 'waiting'
UNION ALL SELECT 'messages', count(*), min(o.next_at) FROM outbox o
    LEFT JOIN users u ON u.tg_id = coalesce(o.user_id, (o.payload->>'owner')::bigint)
    WHERE {TOLD_NOW} AND o.next_at < now() - interval '1 minute'
UNION ALL SELECT 'refunds', count(*), min(next_at) FROM outbox
    WHERE state = 'due' AND kind = 'refund' AND next_at < now() - interval '1 minute'
UNION ALL SELECT 'refunds by hand', count(*), min(p.settled_at) FROM outbox o
    JOIN payments p ON o.dedupe_key = 'refund:' || p.provider || ':' || p.provider_payment_id
    WHERE o.kind = 'refund' AND o.state = 'failed' AND p.disposition = 'refund_pending'
UNION ALL SELECT 'payments', count(*), min(received_at) FROM payments
    WHERE disposition = 'received' AND received_at < now() - interval '30 seconds'
UNION ALL SELECT 'held payments', count(*), min(received_at) FROM payments
    WHERE disposition = 'mismatch'
UNION ALL SELECT 'keys set aside', count(*), min(quarantined_at) FROM credentials
    WHERE applied_gen < gen AND quarantined_at IS NOT NULL
UNION ALL SELECT 'ends of access', count(*), min(s.expires_at) FROM subscriptions s
    WHERE s.status = 'active' AND s.expires_at < now() - interval '90 seconds'
        AND NOT EXISTS (SELECT FROM payments p
            WHERE p.user_id = s.user_id AND p.disposition = 'received')
"""  # noqa: S608 - a constant of ours
#: Of this node in a range of uuids, and whosever else is asked for.
KEYS = """
SELECT * FROM credentials WHERE node_id = $1 AND uuid BETWEEN $2 AND $3
UNION SELECT * FROM credentials WHERE uuid = ANY($4)
"""
ADOPTED = "SELECT uuid FROM adopted_users WHERE node_id = $1"
NOW = "SELECT clock_timestamp()"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who owns the database: when it was seen, and since when it can work in it, seconds ago."""

    seen_s: float | None
    since_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStanding:
    """A database as it stands.

    Attributes:
        version: of PostgreSQL.
        clock_s: its clock, seconds since 1970.
        pending: migrations that this program would apply; None where a newer one made the schema.
        bot_id: whose it is; None before the first start.
        fingerprint: of the keys that closed what it holds.
        owner: None before the first start.
        nodes: their rows.
        users: how many each node should let in.
    """

    version: str
    clock_s: float
    pending: list[str] | None
    bot_id: int | None = None
    fingerprint: str | None = None
    owner: Owner | None = None
    nodes: tuple[Row, ...] = ()
    users: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits, how many of it, and since when."""

    what: str
    many: int
    since: datetime | None


@asynccontextmanager
async def looking(url: str) -> AsyncIterator[Connection]:
    """A connection that can only read.

    Raises:
        StorageUnavailable: the server does not answer.
        StorageSetupError: it never will, with this URL.
    """
    with outages():
        connection = await connect(url, patience_s=0, session=SESSION)
        try:
            await prepare(connection)
            yield connection
        finally:
            await connection.close(timeout=5)


async def standing(connection: Connection) -> DatabaseStanding:
    """How a database stands; of one whose schema is not this program's only that."""
    version: str = await connection.fetchval("SHOW server_version")
    clock_s: float = await connection.fetchval(CLOCK)
    pending = await pending_migrations(connection)
    if pending != []:
        return DatabaseStanding(version=version, clock_s=clock_s, pending=pending)
    identity: Any = await connection.fetchrow(IDENTITY)
    owner: Any = await connection.fetchrow(OWNER, SHARD)
    return DatabaseStanding(
        version=version,
        clock_s=clock_s,
        pending=pending,
        bot_id=identity and identity["bot_id"],
        fingerprint=identity and identity["keys_fingerprint"],
        owner=Owner(**owner) if owner else None,
        nodes=tuple(await connection.fetch(NODES)),
        users=tuple((r["node_id"], r["users"]) for r in await connection.fetch(PRESENT)),
    )


async def backlog(connection: Connection) -> list[Waiting]:
    """What waits for a person, or for too long."""
    return [Waiting(**dict(row)) for row in await connection.fetch(BACKLOG)]


async def now(connection: Connection) -> datetime:
    """The database's clock."""
    found: datetime = await connection.fetchval(NOW)
    return found


async def keys_of(
    connection: Connection, node_id: str, first: UUID, last: UUID, listed: Sequence[UUID]
) -> dict[UUID, Row]:
    """Credentials of a node in a range, and those of everybody who is listed there."""
    found = await connection.fetch(KEYS, node_id, first, last, list(listed))
    return {row["uuid"]: row for row in found}


async def adopted_on(connection: Connection, node_id: str) -> Collection[UUID]:
    """Strangers of a node who stay."""
    return {row["uuid"] for row in await connection.fetch(ADOPTED, node_id)}
