"""Where people are: how nodes stand, how many are there, and who has to go elsewhere."""

from storage.database import Connection
from storage.rows import LeavingRow, NodeState, PlaceRow

PLACES = "SELECT id, state FROM nodes"
USERS = """
SELECT node_id, count(*) AS users FROM credentials WHERE desired = 'present' GROUP BY node_id
"""
#: Who is let in by a node that goes, or was put there as it was removed, and has no key of another
#: one on its way.
LEAVING = """
SELECT s.user_id, c.node_id FROM credentials c
    JOIN nodes n ON n.id = c.node_id
    JOIN subscriptions s ON s.id = c.subscription_id
WHERE n.state IN ('draining', 'lost', 'removed') AND c.desired = 'present' AND NOT EXISTS (
    SELECT FROM credentials r JOIN nodes m ON m.id = r.node_id
    WHERE r.subscription_id = c.subscription_id AND r.replaces = c.uuid
        AND r.desired = 'present' AND NOT m.state IN ('draining', 'lost', 'removed'))
LIMIT $1
"""


async def places(connection: Connection) -> list[PlaceRow]:
    """What operators made of each node."""
    return [
        PlaceRow(node_id=row["id"], state=NodeState(row["state"]))
        for row in await connection.fetch(PLACES)
    ]


async def users(connection: Connection) -> dict[str, int]:
    """How many should be let in on each node that has any."""
    return {row["node_id"]: row["users"] for row in await connection.fetch(USERS)}


async def leaving(connection: Connection, limit: int) -> list[LeavingRow]:
    """Users who have to leave their node, so many at most."""
    return [LeavingRow(**dict(row)) for row in await connection.fetch(LEAVING, limit)]
