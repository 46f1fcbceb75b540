"""The mirror of the SQL that the model check rests on makes of any rows what PostgreSQL makes."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from storage import credentials, subscriptions
from storage.database import Connection
from storage.rows import NewCredential, RaisedCredential, RemovedCredential, SubscriptionStatus
from tests.integration.database_fixtures import Rows
from tests.model import statements
from tests.model.statements import Owned

BUYER, NODE = 77, "node-1"
ROUNDS = 150
ENDS = (timedelta(days=-3), timedelta(0), timedelta(days=3))
INSERT = """
INSERT INTO credentials (uuid, subscription_id, node_id, desired, gen, applied_gen,
    first_applied_at, replaces)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""

#: A statement on the database, and what its mirror makes of the same rows.
Act = Callable[[Connection, Owned, random.Random], Awaitable[Owned]]


@pytest.fixture
async def connection(rows: Rows) -> Connection:
    """A database with one user and one node."""
    await rows.execute("INSERT INTO nodes (id) VALUES ($1)", NODE)
    await rows.execute("INSERT INTO users (tg_id, language) VALUES ($1, 'en')", BUYER)
    return rows


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[datetime]:
    """A transaction that leaves nothing, at its moment."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield await connection.fetchval("SELECT now()")
    finally:
        await transaction.rollback()


async def put(connection: Connection, source: random.Random, now: datetime) -> None:
    """Any rows that the constraints allow, likely or not."""
    status = source.choice(list(SubscriptionStatus))
    active = status is SubscriptionStatus.ACTIVE
    ends = now + source.choice(ENDS) if active or source.random() < 0.5 else None
    subscription_id: UUID = await connection.fetchval(
        "INSERT INTO subscriptions (user_id, plan_id, status, expires_at, pending_s, version)"
        " VALUES ($1, 'month', $2, $3, $4, $5) RETURNING id",
        BUYER,
        status,
        ends,
        0 if active else source.choice((0, 60, 2_592_000)),
        source.randrange(5),
    )
    before: UUID | None = None
    for _ in range(source.randrange(1, 3)):
        gen, uuid = source.randrange(1, 4), uuid4()
        await connection.execute(
            INSERT,
            uuid,
            subscription_id,
            NODE,
            source.choice(("present", "absent")),
            gen,
            source.choice((gen, source.randrange(gen + 1), 0)),
            source.choice((None, now - timedelta(days=9))),
            source.choice((None, before)),
        )
        before = uuid


async def owned(connection: Connection, now: datetime) -> Owned:
    """The rows of the user."""
    subscription = await subscriptions.read(connection, BUYER)
    assert subscription is not None
    found = await connection.fetch(
        f"SELECT {credentials.COLUMNS} FROM credentials"  # noqa: S608 - a constant of ours
    )
    return Owned(now, subscription, tuple(credentials.credential_row(row) for row in found))


def settled(rows: Owned) -> Owned:
    """Without what no decision of access depends on."""
    told = (
        replace(row, attempts=0, last_class=None, link_enc=None, bulk=False)
        for row in rows.credentials
    )
    return replace(rows, credentials=tuple(sorted(told, key=lambda row: row.uuid)))


async def confirm_any(connection: Connection, before: Owned, source: random.Random) -> Owned:
    """CONFIRM of the present generation, or of another one."""
    row = source.choice(before.credentials)
    gen = row.gen + source.choice((0, 0, 0, -1, 1))
    await credentials.confirm(connection, row.uuid, gen, None)
    return statements.confirm(before, row.uuid, gen)


async def confirm_all(connection: Connection, before: Owned, source: random.Random) -> Owned:
    """CONFIRM of every credential, twice, in any order."""
    after = before
    for row in source.sample(before.credentials * 2, 2 * len(before.credentials)):
        await credentials.confirm(connection, row.uuid, row.gen, None)
        after = statements.confirm(after, row.uuid, row.gen)
    return after


async def redrive(connection: Connection, before: Owned, source: random.Random) -> Owned:
    """REDRIVE."""
    del source
    assert await credentials.redrive(connection, NODE, UUID(int=0), 1_000) is not None
    return statements.redrive(before)


async def wish(connection: Connection, before: Owned, source: random.Random) -> Owned:
    """ADD, RAISE or REMOVE."""
    uuid = source.choice(before.credentials).uuid
    wanted = source.choice(
        (
            NewCredential(uuid=uuid4(), node_id=NODE),
            RaisedCredential(uuid=uuid, node_id=NODE),
            RemovedCredential(uuid=uuid, node_id=NODE),
        )
    )
    await credentials.wish(connection, before.subscription.id, wanted)
    return statements.wish(before, wanted)


@pytest.mark.parametrize("act", [confirm_any, confirm_all, redrive, wish])
async def test_the_mirror_does_what_postgresql_does(connection: Connection, act: Act) -> None:
    source, changed = random.Random(act.__name__), 0  # noqa: S311 - the same rows in every run
    for _ in range(ROUNDS):
        async with undone(connection) as now:
            await put(connection, source, now)
            before = await owned(connection, now)

            expected = await act(connection, before, source)

            assert settled(await owned(connection, now)) == settled(expected), before
            changed += expected != before
    assert changed > ROUNDS / 10, "the rows leave it something to do"


async def test_without_the_comparison_the_mirror_differs(connection: Connection) -> None:
    """The comparison above can fail."""
    source, differs = random.Random(1), 0  # noqa: S311 - the same rows in every run
    for _ in range(ROUNDS):
        async with undone(connection) as now:
            await put(connection, source, now)
            before = await owned(connection, now)
            row = source.choice(before.credentials)
            await credentials.confirm(connection, row.uuid, row.gen + 1, None)
            ablated = statements.confirm(before, row.uuid, row.gen + 1, compare_and_set=False)
            differs += settled(await owned(connection, now)) != settled(ablated)
    assert differs > 0
