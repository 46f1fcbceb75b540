"""Twins of `storage.nodes` and `storage.placement`."""

from collections import Counter
from itertools import islice
from uuid import UUID

from storage import nodes, placement
from tests.simulation.twin.registry import Answer, Record, picker, statement, tally, value
from tests.simulation.twin.tables import Row, Tables

pick = picker("id, state, epoch, writer_seq_acked, reason")

#: People leave such a node.
LEFT = frozenset({"draining", "lost", "removed"})


def wished_for(t: Tables, node_id: str) -> int:
    """How many a node should let in."""
    return sum(row["desired"] == "present" for row in t.credentials.by("of_node", node_id))


@statement(nodes.ANNOUNCE, "a485ae3a")
def announce(t: Tables, node_id: str) -> Answer:
    _, fresh = t.nodes.insert_unless("nodes_pkey", id=node_id)
    return int(fresh)


@statement(nodes.FORGOTTEN, "cf3420fe")
def forgotten(t: Tables, node_ids: list[str]) -> Answer:
    counts = {
        node_id: wished_for(t, node_id) for node_id in t.nodes.rows if node_id not in node_ids
    }
    return [Record(node_id=node_id, users=users) for node_id, users in counts.items() if users]


@statement(nodes.READ, "ec5d998b")
def read(t: Tables, node_id: str) -> Answer:
    row = t.nodes.get(node_id)
    return [] if row is None else [pick(row)]


@statement(nodes.SET_STATE, "d8b2d208")
def set_state(t: Tables, node_id: str, state: str, reason: str, who: str, of: list[str]) -> Answer:
    row = t.nodes.get(node_id)
    if row is None or row["state"] not in of:
        return []
    t.nodes.update(
        row,
        state=state,
        reason=reason,
        changed_by=who,
        changed_at=t.now,
        state_before=row["state"],
    )
    return tally(1)


@statement(nodes.UNFREEZE, "fcd2d99b")
def unfreeze(t: Tables, node_id: str, reason: str, who: str) -> Answer:
    row = t.nodes.get(node_id)
    if row is None or row["state"] != "frozen":
        return []
    state = row["state_before"] or "active"
    t.nodes.update(
        row, state=state, reason=reason, changed_by=who, changed_at=t.now, state_before=None
    )
    return value("state", state)


@statement(nodes.REMOVE, "2c68c6ed")
def remove(t: Tables, node_id: str, reason: str, who: str) -> Answer:
    row = t.nodes.get(node_id)
    if row is None or row["state"] == "removed" or wished_for(t, node_id):
        return []
    t.nodes.update(row, state="removed", reason=reason, changed_by=who, changed_at=t.now)
    return tally(1)


@statement(nodes.LEARN_EPOCH, "6b8e84d8")
def learn_epoch(t: Tables, node_id: str, epoch: UUID) -> Answer:
    row = t.nodes.get(node_id)
    if row is None or row["epoch"] == epoch:
        return []
    t.nodes.update(row, epoch=epoch)
    return value("?column?", row["epoch"] is not None)


@statement(nodes.ACKNOWLEDGE, "76698baf")
def acknowledge(t: Tables, node_id: str, seq: int) -> Answer:
    row = t.nodes.get(node_id)
    if row is None:
        return 0
    t.nodes.update(row, writer_seq_acked=max(row["writer_seq_acked"], seq))
    return 1


@statement(nodes.NEXT_SEQ, "13c6e207")
def next_seq(t: Tables) -> Answer:
    return value("nextval", t.next_seq())


@statement(nodes.DATABASE_ID, "3516bf04")
def database_id(t: Tables) -> Answer:
    return [Record(db_id=row["db_id"]) for row in t.system.rows.values()]


@statement(placement.PLACES, "60203da2")
def places(t: Tables) -> Answer:
    return [Record(id=row["id"], state=row["state"]) for row in t.nodes.rows.values()]


@statement(placement.USERS, "765f66ac")
def users(t: Tables) -> Answer:
    counts = Counter(
        row["node_id"] for row in t.credentials.rows.values() if row["desired"] == "present"
    )
    return [Record(node_id=node_id, users=users) for node_id, users in counts.items()]


@statement(placement.LEAVING, "7ac3c7ef")
def leaving(t: Tables, limit: int) -> Answer:
    left = [node["id"] for node in t.nodes.rows.values() if node["state"] in LEFT]
    return [
        Record(
            user_id=t.subscriptions.rows[row["subscription_id"]]["user_id"],
            node_id=row["node_id"],
        )
        for row in islice(
            (
                row
                for node_id in left
                for row in t.credentials.by("of_node", node_id)
                if row["desired"] == "present" and not _moves(t, row)
            ),
            limit,
        )
    ]


def _moves(t: Tables, row: Row) -> bool:
    return any(
        other["replaces"] == row["uuid"]
        and other["desired"] == "present"
        and t.nodes.rows[other["node_id"]]["state"] not in LEFT
        for other in t.credentials.by("of_subscription", row["subscription_id"])
    )
