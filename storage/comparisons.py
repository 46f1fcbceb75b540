"""What the database wants on a node, read in the order of the node's own list, and its mendings.

Rows are read after the node's list, so a row that is missing there was confirmed before it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.rows import (
    ComparisonBasis,
    Desired,
    NodeOverview,
    NodeRow,
    NodeState,
    ReconcileRun,
    WantedRow,
)

BASIS = """
SELECT n.id, n.state, n.epoch, n.writer_seq_acked, n.reason, n.accepted_writer, s.db_id,
    clock_timestamp() AS at
FROM nodes n, system s WHERE n.id = $1
"""
#: Numbers are given out outside of transactions: this one is never behind what a node was sent.
WRITER_SEQ = "SELECT last_value FROM writer_seq"
#: The bytes that are hashed, in one value: the driver makes no objects of a million users.
WANTED = """
SELECT string_agg(uuid_send(uuid) || int8send(gen), ''::bytea ORDER BY uuid) FROM (
    SELECT uuid, gen FROM credentials
    WHERE node_id = $1 AND uuid > $2 AND desired = 'present' ORDER BY uuid LIMIT $3) page
"""
KNOWN = "SELECT EXISTS (SELECT FROM credentials WHERE node_id = $1)"
ROW = """
SELECT c.uuid, c.node_id, s.user_id, c.desired, c.gen, c.applied_gen,
    c.applied_gen = c.gen AND c.quarantined_at IS NULL
        AND coalesce(c.applied_at < $2, true) AS settled
FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
"""
#: The first so many of all these ranges together.
IN_RANGES = f"""
SELECT found.* FROM unnest($3::uuid[], $4::uuid[]) AS part (first, last), LATERAL (
    {ROW} WHERE c.node_id = $1 AND c.uuid BETWEEN part.first AND part.last
    ORDER BY c.uuid LIMIT $5) found
ORDER BY found.uuid LIMIT $5
"""  # noqa: S608 - ours
BY_UUID = ROW + "WHERE c.uuid = ANY($1)"
ADOPTED = "SELECT uuid FROM adopted_users WHERE node_id = $1 AND uuid = ANY($2)"
#: Each only if it is still what was compared.
RAISE = """
UPDATE credentials c SET gen = c.gen + 1, attempts = 0, next_at = now(), last_class = NULL,
    bulk = true
FROM unnest($2::uuid[], $3::bigint[]) AS found (uuid, gen)
WHERE c.uuid = found.uuid AND c.gen = found.gen AND c.applied_gen = c.gen
    AND c.desired = 'present' AND c.node_id = $1
RETURNING 1
"""
REMOVE_AGAIN = """
UPDATE credentials c SET gen = greatest(c.gen, found.gen) + 1, attempts = 0, next_at = now(),
    last_class = NULL, bulk = true
FROM unnest($2::uuid[], $3::bigint[]) AS found (uuid, gen)
WHERE c.uuid = found.uuid AND c.applied_gen = c.gen AND c.desired = 'absent' AND c.node_id = $1
RETURNING 1
"""
#: An operator said that the database is right: its wishes get past what the node has seen.
OUTRUN = """
UPDATE credentials c SET gen = found.gen + 1, attempts = 0, next_at = now(), last_class = NULL,
    bulk = true
FROM unnest($2::uuid[], $3::bigint[]) AS found (uuid, gen)
WHERE c.uuid = found.uuid AND c.gen <= found.gen AND c.node_id = $1
RETURNING 1
"""
FORGET_MARK = "UPDATE nodes SET writer_seq_acked = 0 WHERE id = $1"
NOTE = """
INSERT INTO reconcile_runs (node_id, took_s, outcome, dry_run, on_node, wanted, missing, orphans,
    raised, removed, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
#: Counted since somebody last changed the node's state: they have looked.
REMOVED_LATELY = """
SELECT DISTINCT gone::uuid AS uuid FROM nodes n JOIN reconcile_runs r ON r.node_id = n.id,
    jsonb_array_elements_text(r.details->'sample') AS gone
WHERE n.id = $1 AND r.outcome = 'removing'
    AND r.at > greatest(now() - interval '1 day', n.changed_at)
"""
#: Access without a key is made by no code of ours.
KEYLESS = """
SELECT count(*) FROM subscriptions s
WHERE s.status IN ('active', 'activating') AND NOT EXISTS (
    SELECT FROM credentials c WHERE c.subscription_id = s.id AND c.desired = 'present')
"""
PRUNE = "DELETE FROM reconcile_runs WHERE at < now() - interval '30 days'"
ACCEPT = """
UPDATE nodes SET accepted_writer = $2 WHERE id = $1
"""
FORGET_ACCEPTED = "UPDATE nodes SET accepted_writer = NULL WHERE id = $1"
HAS_ACCEPTED = "SELECT accepted_writer IS NOT NULL FROM nodes WHERE id = $1"
#: Our next number is above every one that the node has seen.
OVERTAKE = "SELECT setval('writer_seq', greatest($1::bigint, last_value) + 1) FROM writer_seq"
ADOPT = """
INSERT INTO adopted_users (node_id, uuid, adopted_by) SELECT $1, unnest($2::uuid[]), $3
ON CONFLICT DO NOTHING
"""
OVERVIEW = """
SELECT n.id, n.state, n.reason, n.changed_at, n.changed_by,
    (SELECT count(*) FROM credentials c WHERE c.node_id = n.id AND c.desired = 'present') AS users,
    (SELECT count(*) FROM credentials c WHERE c.node_id = n.id AND c.applied_gen < c.gen
        AND c.quarantined_at IS NULL) AS waiting,
    (SELECT count(*) FROM credentials c WHERE c.node_id = n.id
        AND c.quarantined_at IS NOT NULL) AS set_aside,
    r.outcome, r.took_s, r.on_node, r.wanted, r.missing, r.orphans, r.raised, r.removed, r.dry_run,
    r.details
FROM nodes n LEFT JOIN LATERAL (
    SELECT * FROM reconcile_runs r WHERE r.node_id = n.id ORDER BY id DESC LIMIT 1) r ON true
ORDER BY n.id
"""


async def basis(connection: Connection, node_id: str) -> ComparisonBasis | None:
    """What is known before the node is asked."""
    found = await connection.fetchrow(BASIS, node_id)
    if found is None:
        return None
    return ComparisonBasis(
        node=NodeRow(
            id=found["id"],
            state=NodeState(found["state"]),
            epoch=found["epoch"],
            writer_seq=found["writer_seq_acked"],
            reason=found["reason"],
        ),
        database_id=found["db_id"],
        at=found["at"],
        accepted_writer=found["accepted_writer"],
    )


async def writer_seq(connection: Connection) -> int:
    """The highest number that was ever given to a request."""
    found: int = await connection.fetchval(WRITER_SEQ)
    return found


async def wanted(connection: Connection, node_id: str, after: UUID, limit: int) -> bytes:
    """A page of those whom a node should let in, in order.

    Returns:
        24 bytes each: the uuid, and the generation as unsigned 64-bit big-endian.
    """
    page: bytes | None = await connection.fetchval(WANTED, node_id, after, limit)
    return page or b""


async def known(connection: Connection, node_id: str) -> bool:
    """Whether anybody was ever wished for on this node."""
    return bool(await connection.fetchval(KNOWN, node_id))


async def keyless(connection: Connection) -> int:
    """How many have access and no key: their rows were lost."""
    found: int = await connection.fetchval(KEYLESS)
    return found


async def removed_lately(connection: Connection, node_id: str) -> set[UUID]:
    """Who was removed within a day although nobody confirmed it, or was about to be."""
    return {row["uuid"] for row in await connection.fetch(REMOVED_LATELY, node_id)}


async def in_ranges(
    connection: Connection,
    node_id: str,
    listed_at: datetime,
    parts: Sequence[tuple[UUID, UUID]],
    limit: int,
) -> list[WantedRow]:
    """The first rows of a node whose uuids are in some ranges, by uuid, absent ones too."""
    firsts, lasts = [first for first, _ in parts], [last for _, last in parts]
    found = await connection.fetch(IN_RANGES, node_id, listed_at, firsts, lasts, limit)
    return [_wanted(row) for row in found]


async def by_uuid(
    connection: Connection, uuids: Sequence[UUID], listed_at: datetime
) -> list[WantedRow]:
    """Rows of these uuids, whichever node they are of."""
    return [_wanted(row) for row in await connection.fetch(BY_UUID, list(uuids), listed_at)]


async def adopted(connection: Connection, node_id: str, uuids: Sequence[UUID]) -> set[UUID]:
    """Those whom an operator wants to stay."""
    return {row["uuid"] for row in await connection.fetch(ADOPTED, node_id, list(uuids))}


async def raise_missing(
    connection: Connection, node_id: str, found: Sequence[tuple[UUID, int]]
) -> int:
    """Wish anew for those who are missing; how many still should be there."""
    return await _many(connection, RAISE, node_id, found)


async def remove_again(
    connection: Connection, node_id: str, found: Sequence[tuple[UUID, int]]
) -> int:
    """Wish anew that these go, past the generation that the node has."""
    return await _many(connection, REMOVE_AGAIN, node_id, found)


async def outrun(connection: Connection, node_id: str, found: Sequence[tuple[UUID, int]]) -> int:
    """Let our wishes get past what the node has seen."""
    return await _many(connection, OUTRUN, node_id, found)


async def forget_mark(connection: Connection, node_id: str) -> None:
    """The node does not know any more how far our writing had come."""
    await connection.execute(FORGET_MARK, node_id)


async def note(connection: Connection, run: ReconcileRun) -> None:
    """Keep what a comparison found."""
    await connection.execute(
        NOTE,
        run.node_id,
        run.took_s,
        run.outcome,
        run.dry_run,
        run.on_node,
        run.wanted,
        run.missing,
        run.orphans,
        run.raised,
        run.removed,
        {"why": run.why, "sample": list(run.sample)},
    )
    await connection.execute(PRUNE)


async def accept_writer(connection: Connection, node_id: str, mark: str | None, seq: int) -> None:
    """An operator accepts what a node has seen; we go on above it."""
    await connection.execute(ACCEPT, node_id, mark)
    await connection.execute(OVERTAKE, seq)


async def forget_accepted(connection: Connection, node_id: str) -> None:
    """There is a new sign that a person has to look at."""
    await connection.execute(FORGET_ACCEPTED, node_id)


async def has_accepted(connection: Connection, node_id: str) -> bool:
    """Whether an operator has said that the database is right about this node."""
    return bool(await connection.fetchval(HAS_ACCEPTED, node_id))


async def adopt(connection: Connection, node_id: str, uuids: Sequence[UUID], who: str) -> None:
    """These users of a node stay, although no row knows them."""
    await connection.execute(ADOPT, node_id, list(uuids), who)


async def overview(connection: Connection) -> list[NodeOverview]:
    """All nodes, for operators."""
    return [_overview(row) for row in await connection.fetch(OVERVIEW)]


async def _many(
    connection: Connection, statement: str, node_id: str, found: Sequence[tuple[UUID, int]]
) -> int:
    uuids, gens = [uuid for uuid, _ in found], [gen for _, gen in found]
    return len(await connection.fetch(statement, node_id, uuids, gens))


def _wanted(record: Any) -> WantedRow:
    return WantedRow(
        uuid=record["uuid"],
        node_id=record["node_id"],
        user_id=record["user_id"],
        desired=Desired(record["desired"]),
        gen=record["gen"],
        applied_gen=record["applied_gen"],
        settled=record["settled"],
    )


def _overview(record: Any) -> NodeOverview:
    last = None
    if record["outcome"] is not None:
        last = ReconcileRun(
            node_id=record["id"],
            outcome=record["outcome"],
            took_s=record["took_s"],
            on_node=record["on_node"],
            wanted=record["wanted"],
            missing=record["missing"],
            orphans=record["orphans"],
            raised=record["raised"],
            removed=record["removed"],
            dry_run=record["dry_run"],
            why=record["details"].get("why", ""),
            sample=tuple(record["details"].get("sample", ())),
        )
    return NodeOverview(
        id=record["id"],
        state=NodeState(record["state"]),
        reason=record["reason"],
        changed_at=record["changed_at"],
        changed_by=record["changed_by"],
        users=record["users"],
        waiting=record["waiting"],
        set_aside=record["set_aside"],
        last_run=last,
    )
