"""Credentials: work to do is `applied_gen < gen`, and nothing else is a list of work."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from storage.database import Connection
from storage.errors import RecordedBefore, VersionConflict
from storage.rows import (
    Confirmed,
    CredentialRow,
    Desired,
    NewCredential,
    Origin,
    RaisedCredential,
    RemovedCredential,
    Superseded,
    Wish,
)

COLUMNS = """uuid, subscription_id, node_id, desired, gen, applied_gen, first_applied_at, replaces,
    link_enc, attempts, last_class, quarantined_at IS NOT NULL AS quarantined,
    created_at, origin, bulk"""

ONE_REPLACEMENT = "credentials_one_replacement"
ONE_OPERATION = "credentials_operation_once"

OF_USER = f"""
SELECT {COLUMNS} FROM credentials
WHERE subscription_id = (SELECT id FROM subscriptions WHERE user_id = $1)
ORDER BY created_at DESC
"""  # noqa: S608 - a constant of ours
ADD = """
INSERT INTO credentials (uuid, subscription_id, node_id, desired, replaces, origin, operation_id)
VALUES ($1, $2, $3, 'present', $4, $5, $6)
"""
#: A quarantine was of the wish before this one.
RAISE = """
UPDATE credentials SET desired = 'present', gen = gen + 1, attempts = 0, next_at = now(),
    last_class = NULL, quarantined_at = NULL, bulk = false
WHERE uuid = $1
"""
REMOVE = """
UPDATE credentials SET desired = 'absent', gen = gen + 1, attempts = 0, next_at = now(),
    last_class = NULL, quarantined_at = NULL, bulk = false
WHERE uuid = $1 AND desired = 'present'
"""
#: Wishes of single people come first. Nobody is removed from a frozen node. One that was given up
#: and answers after all is told whom to shut out.
DUE = f"""
SELECT {COLUMNS} FROM credentials c
WHERE node_id = $1 AND desired = $4 AND applied_gen < gen AND quarantined_at IS NULL
    AND next_at <= now() AND NOT uuid = ANY($3) AND (attempts = 0 OR $5)
    AND (SELECT n.state <> CASE WHEN c.desired = 'present' THEN 'removed' ELSE 'frozen' END
        FROM nodes n WHERE n.id = $1)
ORDER BY bulk, next_at LIMIT $2
"""  # noqa: S608
#: Counted before the call, so that one which kills the process counts too. Nobody else takes the
#: row while the call may still run. Its node may have been frozen since the row was found.
BEGIN = """
UPDATE credentials c SET attempts = attempts + 1, next_at = now() + $3
WHERE uuid = $1 AND gen = $2 AND applied_gen < gen AND (desired = 'present'
    OR NOT EXISTS (SELECT FROM nodes n WHERE n.id = c.node_id AND n.state = 'frozen'))
RETURNING attempts, nextval('writer_seq') AS seq
"""
BEGIN_MANY = """
WITH number AS MATERIALIZED (SELECT nextval('writer_seq') AS seq), begun AS (
    UPDATE credentials c SET attempts = c.attempts + 1, next_at = now() + $3
    FROM unnest($1::uuid[], $2::bigint[]) AS wish (uuid, gen)
    WHERE c.uuid = wish.uuid AND c.gen = wish.gen AND c.applied_gen < c.gen
        AND (c.desired = 'present'
            OR NOT EXISTS (SELECT FROM nodes n WHERE n.id = c.node_id AND n.state = 'frozen'))
    RETURNING c.uuid, c.attempts
)
SELECT begun.uuid, begun.attempts, number.seq FROM begun, number
"""
POSTPONE = """
UPDATE credentials SET next_at = now() + $3, last_class = $4
WHERE uuid = $1 AND gen = $2 AND applied_gen < gen
"""
QUARANTINE = """
UPDATE credentials SET quarantined_at = now(), last_class = $3
WHERE uuid = $1 AND gen = $2 AND applied_gen < gen
RETURNING (SELECT user_id FROM subscriptions s WHERE s.id = credentials.subscription_id)
"""
#: What was set aside is tried again too: a new release, or a mended node, may take it.
RESUME = """
UPDATE credentials SET next_at = now(), quarantined_at = NULL
WHERE node_id = $1 AND applied_gen < gen AND (quarantined_at IS NOT NULL OR next_at > now())
"""
#: What an outage of ours cut off, and nothing else: what the node failed keeps its wait.
TAKE_UP = """
UPDATE credentials SET next_at = now()
WHERE uuid = ANY($1) AND applied_gen < gen AND quarantined_at IS NULL AND next_at > now()
"""
#: After a node is back nobody waits for the timer of when it was away, and the next attempt is as
#: good as a first one: it costs nothing of the budget for repeats, which would be spent at once.
HASTEN = """
UPDATE credentials SET next_at = now(), attempts = 0
WHERE node_id = $1 AND applied_gen < gen AND quarantined_at IS NULL
    AND (next_at > now() OR attempts > 0) AND NOT uuid = ANY($2)
"""
#: What waits for a node that is not called; people are told once.
DELAY = """
UPDATE credentials SET last_class = 'away' WHERE uuid IN (
    SELECT uuid FROM credentials
    WHERE node_id = $1 AND desired = 'present' AND applied_gen < gen AND quarantined_at IS NULL
        AND last_class IS NULL AND NOT bulk
    LIMIT $2 FOR UPDATE SKIP LOCKED)
RETURNING subscription_id
"""
GENERATION = "SELECT gen FROM credentials WHERE uuid = $1"
#: A node that lost its store is told everything again, under generations it cannot have seen; one
#: that went back in time also whom it should not have. Page by page, in the order of uuids: one
#: statement over a million rows would hold up all who buy meanwhile.
REDRIVE = """
WITH page AS (
    SELECT uuid FROM credentials WHERE node_id = $1 AND uuid > $2 ORDER BY uuid LIMIT $3
), raised AS (
    UPDATE credentials c SET gen = c.gen + 1, attempts = 0, next_at = now(), quarantined_at = NULL,
        bulk = c.bulk OR c.applied_gen = c.gen
    FROM page WHERE c.uuid = page.uuid AND (c.desired = 'present' OR $4)
)
SELECT uuid FROM page ORDER BY uuid DESC LIMIT 1
"""

#: A statement sees what was committed before it began, so the wait for whoever changes the time or
#: the orders of this user comes before CONFIRM.
HOLD = """
SELECT FROM subscriptions s JOIN credentials c ON c.subscription_id = s.id
WHERE c.uuid = $1 FOR UPDATE OF s
"""
#: The answer of a node, recorded in one statement. A wish that changed meanwhile is not confirmed.
#: The first confirmed access starts the paid time; the credential that this one replaces goes.
#: A link is told when access begins, and when a new one works beside running time; never for a
#: link that people have.
#: Lock order: subscription, credential.
CONFIRM = """
WITH was AS (
    SELECT s.*, c.first_applied_at
    FROM subscriptions s JOIN credentials c ON c.subscription_id = s.id
    WHERE c.uuid = $1 FOR UPDATE OF s
), acked AS (
    UPDATE credentials c SET applied_gen = c.gen, link_enc = coalesce($3, c.link_enc),
        first_applied_at =
            coalesce(c.first_applied_at, CASE c.desired WHEN 'present' THEN now() END),
        applied_at = now(), attempts = 0, last_class = NULL, quarantined_at = NULL, bulk = false
    FROM was WHERE c.uuid = $1 AND c.gen = $2::bigint AND c.applied_gen < c.gen
    RETURNING c.uuid, c.gen, c.desired, c.replaces
), retired AS (
    UPDATE credentials c SET desired = 'absent', gen = c.gen + 1, attempts = 0, next_at = now(),
        last_class = NULL, quarantined_at = NULL, bulk = false
    FROM acked a
    WHERE c.uuid = a.replaces AND a.desired = 'present' AND c.desired = 'present'
), begun AS (
    UPDATE subscriptions s SET status = 'active', pending_s = 0, version = was.version + 1,
        expires_at = greatest(now(), was.expires_at) + make_interval(secs => was.pending_s)
    FROM was, acked a
    WHERE s.id = was.id AND a.desired = 'present' AND was.status = 'activating'
    RETURNING s.*
), entered AS (
    INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
        pending_before, pending_after, source_kind, source_id, reason, actor)
    SELECT b.id, b.version, 0, was.expires_at, b.expires_at, was.pending_s, 0,
        'activation', $1::uuid::text || ':' || $2::bigint::text,
        'access works: paid time starts', 'provisioner'
    FROM begun b, was
), fulfilled AS (
    UPDATE purchases p SET fulfilled_at = now() FROM begun b
    WHERE p.user_id = b.user_id AND p.status = 'paid' AND p.fulfilled_at IS NULL
    RETURNING p.id, p.user_id
), cards AS (
    INSERT INTO outbox (kind, user_id, dedupe_key, payload)
    SELECT 'notify', f.user_id, 'purchase:' || f.id,
        jsonb_build_object('notice', 'purchase', 'purchase_id', f.id)
    FROM fulfilled f
    ON CONFLICT (dedupe_key) DO UPDATE
        SET state = 'due', next_at = now(), attempts = 0, bugs = 0, version = outbox.version + 1
), links AS (
    INSERT INTO outbox (kind, user_id, dedupe_key, payload)
    SELECT 'notify', was.user_id, 'link:' || $1::uuid::text || ':' || $2::bigint::text,
        jsonb_build_object('notice', 'link', 'uuid', $1::uuid)
    FROM was, acked a
    WHERE a.desired = 'present' AND (was.status = 'activating'
        OR (was.status = 'active' AND was.first_applied_at IS NULL))
    ON CONFLICT (dedupe_key) DO NOTHING
)
SELECT was.user_id, EXISTS (SELECT FROM begun) AS activated FROM was, acked
"""

#: The same for many, where nothing follows from it: a removal, or a user who was let in before and
#: whose time runs. The rest is left to CONFIRM.
CONFIRM_MANY = """
UPDATE credentials c SET applied_gen = c.gen, link_enc = coalesce(done.link_enc, c.link_enc),
    applied_at = now(), attempts = 0, last_class = NULL, quarantined_at = NULL, bulk = false
FROM unnest($1::uuid[], $2::bigint[], $3::bytea[]) AS done (uuid, gen, link_enc)
WHERE c.uuid = done.uuid AND c.gen = done.gen AND c.applied_gen < c.gen
    AND (c.desired = 'absent' OR (c.first_applied_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM subscriptions s WHERE s.id = c.subscription_id AND s.status = 'activating')))
RETURNING c.uuid
"""


async def of_user(connection: Connection, user_id: int) -> tuple[CredentialRow, ...]:
    """All credentials that a user's subscription ever had, newest first."""
    return tuple(credential_row(record) for record in await connection.fetch(OF_USER, user_id))


async def wish(connection: Connection, subscription_id: UUID, wanted: Wish) -> None:
    """Ask for a uuid to be let in, or to be shut out.

    Raises:
        VersionConflict: another credential is about to take a place already.
        RecordedBefore: this command made a credential before.
    """
    match wanted:
        case NewCredential():
            await _add(connection, subscription_id, wanted)
        case RaisedCredential():
            await connection.execute(RAISE, wanted.uuid)
        case RemovedCredential():
            await connection.execute(REMOVE, wanted.uuid)


async def _add(connection: Connection, subscription_id: UUID, wanted: NewCredential) -> None:
    try:
        await connection.execute(
            ADD,
            wanted.uuid,
            subscription_id,
            wanted.node_id,
            wanted.replaces,
            wanted.origin,
            wanted.operation_id,
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == ONE_OPERATION:
            raise RecordedBefore from error
        if error.constraint_name != ONE_REPLACEMENT:
            raise
        raise VersionConflict from error


async def due(
    connection: Connection,
    node_id: str,
    desired: Desired,
    limit: int,
    besides: list[UUID],
    *,
    repeats: bool,
) -> list[CredentialRow]:
    """What a node should be told now, in order, `besides` those in hand.

    Without `repeats`, only what it was not told before.
    """
    found = await connection.fetch(DUE, node_id, limit, besides, desired, repeats)
    return [credential_row(record) for record in found]


async def begin(
    connection: Connection, row: CredentialRow, busy_for_s: float
) -> tuple[int, int] | None:
    """Count an attempt before it is made.

    Returns:
        The number of this attempt and the writer's sequence number, or None when the wish changed.
    """
    found = await connection.fetchrow(BEGIN, row.uuid, row.gen, timedelta(seconds=busy_for_s))
    return None if found is None else (found["attempts"], found["seq"])


async def begin_many(
    connection: Connection, rows: Sequence[CredentialRow], busy_for_s: float
) -> tuple[dict[UUID, int], int]:
    """As `begin`, for many: the number of each one's attempt, and one sequence number."""
    uuids, gens = [row.uuid for row in rows], [row.gen for row in rows]
    found = await connection.fetch(BEGIN_MANY, uuids, gens, timedelta(seconds=busy_for_s))
    return {row["uuid"]: row["attempts"] for row in found}, found[0]["seq"] if found else 0


async def confirm(
    connection: Connection, uuid: UUID, gen: int, link_enc: bytes | None
) -> Confirmed | Superseded:
    """Record that the node did what generation `gen` asked."""
    await connection.execute(HOLD, uuid)
    found = await connection.fetchrow(CONFIRM, uuid, gen, link_enc)
    if found is None:
        return Superseded()
    return Confirmed(user_id=found["user_id"], activated=found["activated"])


async def confirm_many(
    connection: Connection, done: Sequence[tuple[UUID, int, bytes | None]]
) -> set[UUID]:
    """Record that the node did what these generations asked; those that need no more than that."""
    uuids, gens, links = zip(*done, strict=True)
    found = await connection.fetch(CONFIRM_MANY, list(uuids), list(gens), list(links))
    return {row["uuid"] for row in found}


async def postpone(
    connection: Connection, uuid: UUID, gen: int, after_s: float, error_class: str
) -> None:
    """Try this wish again after a while."""
    await connection.execute(POSTPONE, uuid, gen, timedelta(seconds=after_s), error_class)


async def quarantine(connection: Connection, uuid: UUID, gen: int, error_class: str) -> int | None:
    """Set aside a wish that the node will never take; an operator looks at it.

    Returns:
        Whose it is, or None when the wish changed meanwhile.
    """
    user_id: int | None = await connection.fetchval(QUARANTINE, uuid, gen, error_class)
    return user_id


async def resume(connection: Connection, node_id: str) -> None:
    """Nobody waits for the timer of a process that is gone."""
    await connection.execute(RESUME, node_id)


async def hasten(connection: Connection, node_id: str, besides: list[UUID]) -> None:
    """What waits for a node's next try is due now, `besides` those in hand."""
    await connection.execute(HASTEN, node_id, besides)


async def take_up(connection: Connection, uuids: list[UUID]) -> None:
    """Wishes in whose middle an outage came are due now."""
    await connection.execute(TAKE_UP, uuids)


async def delay(connection: Connection, node_id: str, limit: int) -> list[UUID]:
    """Note that wishes wait for a node that is not called; whose, by subscription."""
    return [found["subscription_id"] for found in await connection.fetch(DELAY, node_id, limit)]


async def redrive(
    connection: Connection, node_id: str, after: UUID, limit: int, *, absent: bool = False
) -> UUID | None:
    """Tell a node a page of everything again; the page's last uuid, None after the last page.

    With `absent` also whom it should not have.
    """
    last: UUID | None = await connection.fetchval(REDRIVE, node_id, after, limit, absent)
    return last


async def generation(connection: Connection, uuid: UUID) -> int:
    """The present generation of a uuid, 0 for an unknown one."""
    found: int | None = await connection.fetchval(GENERATION, uuid)
    return found or 0


def credential_row(record: Any) -> CredentialRow:
    """A row of `COLUMNS`."""
    return CredentialRow(
        uuid=record["uuid"],
        subscription_id=record["subscription_id"],
        node_id=record["node_id"],
        desired=Desired(record["desired"]),
        gen=record["gen"],
        applied_gen=record["applied_gen"],
        first_applied_at=record["first_applied_at"],
        replaces=record["replaces"],
        link_enc=record["link_enc"],
        attempts=record["attempts"],
        last_class=record["last_class"],
        quarantined=record["quarantined"],
        created_at=record["created_at"],
        origin=Origin(record["origin"]),
        bulk=record["bulk"],
    )
