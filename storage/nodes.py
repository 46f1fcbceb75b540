"""Nodes as the database knows them: state, and the epoch of the store that they last showed."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.plain import legible
from storage.rows import NodeRow, NodeState

ANNOUNCE = "INSERT INTO nodes (id) VALUES ($1) ON CONFLICT (id) DO NOTHING"
FORGOTTEN = """
SELECT node_id, count(*) AS users FROM credentials
WHERE desired = 'present' AND NOT node_id = ANY($1) GROUP BY node_id
"""
READ = "SELECT id, state, epoch, writer_seq_acked, reason FROM nodes WHERE id = $1"
#: Whoever set a state first is not overruled by who saw an older one.
SET_STATE = """
UPDATE nodes SET state = $2, reason = $3, changed_by = $4, changed_at = now(), state_before = state
WHERE id = $1 AND state = ANY($5) RETURNING 1
"""
#: What it was before: one that was drained is drained on.
UNFREEZE = """
UPDATE nodes SET state = coalesce(state_before, 'active'), reason = $2, changed_by = $3,
    changed_at = now(), state_before = NULL
WHERE id = $1 AND state = 'frozen' RETURNING state
"""
#: Nobody is let in there, or is about to be.
REMOVE = """
UPDATE nodes n SET state = 'removed', reason = $2, changed_by = $3, changed_at = now()
WHERE n.id = $1 AND n.state <> 'removed' AND NOT EXISTS (
    SELECT FROM credentials c WHERE c.node_id = n.id AND c.desired = 'present') RETURNING 1
"""
#: Tells whether this is news, and what was known before.
LEARN_EPOCH = """
UPDATE nodes n SET epoch = $2 FROM (SELECT id, epoch FROM nodes WHERE id = $1 FOR UPDATE) was
WHERE n.id = was.id AND was.epoch IS DISTINCT FROM $2
RETURNING was.epoch IS NOT NULL
"""
ACKNOWLEDGE = "UPDATE nodes SET writer_seq_acked = greatest(writer_seq_acked, $2) WHERE id = $1"
NEXT_SEQ = "SELECT nextval('writer_seq')"
DATABASE_ID = "SELECT db_id FROM system"


async def announce(connection: Connection, node_ids: list[str]) -> None:
    """Make the rows of configured nodes."""
    await connection.executemany(ANNOUNCE, [(node_id,) for node_id in node_ids])


async def forgotten(connection: Connection, node_ids: list[str]) -> dict[str, int]:
    """How many users should be let in by nodes that are not among these."""
    found = await connection.fetch(FORGOTTEN, node_ids)
    return {row["node_id"]: row["users"] for row in found}


async def read(connection: Connection, node_id: str) -> NodeRow | None:
    """A node's row, if it was announced."""
    found: Any = await connection.fetchrow(READ, node_id)
    if found is None:
        return None
    return NodeRow(
        id=found["id"],
        state=NodeState(found["state"]),
        epoch=found["epoch"],
        writer_seq=found["writer_seq_acked"],
        reason=found["reason"],
    )


async def set_state(
    connection: Connection,
    node_id: str,
    state: NodeState,
    reason: str,
    who: str,
    of: Sequence[NodeState],
) -> bool:
    """Give a node that is in one of these states another one; False when it is in none of them."""
    changed = await connection.fetchval(SET_STATE, node_id, state, legible(reason), who, list(of))
    return changed is not None


async def unfreeze(connection: Connection, node_id: str, reason: str, who: str) -> NodeState | None:
    """Work with a frozen node as before; the state that it has now, None if it is not frozen."""
    state = await connection.fetchval(UNFREEZE, node_id, legible(reason), who)
    return None if state is None else NodeState(state)


async def remove(connection: Connection, node_id: str, reason: str, who: str) -> bool:
    """Be done with a node on which nobody is; False if somebody is, or there is none."""
    return await connection.fetchval(REMOVE, node_id, legible(reason), who) is not None


async def learn_epoch(connection: Connection, node_id: str, epoch: UUID) -> bool:
    """Remember which store the node has; True when it took the place of another one."""
    return bool(await connection.fetchval(LEARN_EPOCH, node_id, epoch))


async def acknowledge(connection: Connection, node_id: str, seq: int) -> None:
    """The node has seen this much of our writing."""
    await connection.execute(ACKNOWLEDGE, node_id, seq)


async def database_id(connection: Connection) -> UUID:
    """Which database this is; another one has another id."""
    found: UUID = await connection.fetchval(DATABASE_ID)
    return found


async def next_seq(connection: Connection) -> int:
    """A number that no request has had."""
    found: int = await connection.fetchval(NEXT_SEQ)
    return found
