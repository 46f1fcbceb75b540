"""Nodes let in whom the rows say, and nobody else."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from storage.invariants.rules import Broken, Details, Found, Row, always, broken_by, eventually

#: A tunnel of somebody who was removed ends within this.
TUNNEL_ENDS_WITHIN = timedelta(seconds=60)
#: Nodes that are not held to be equal.
NOT_COMPARED = ("lost", "removed")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCase:
    """What one node has, or a range of it, beside the rows.

    Attributes:
        node: its row.
        listed: what runs there: uuid and generation, in any order.
        rows: credentials by uuid: all of this node in that range, and those of whoever is listed.
        listed_at: PostgreSQL's time before the list was asked for; None where nothing happened
            since. Rows that were confirmed later say nothing.
        adopted: strangers who stay by an owner's word.
        received: each wish that the node ever got: uuid and generation.
        let_in: what real connections showed: whether a uuid got in.
        tunnels: uuids that were removed, and how long ago, and whose tunnels are open; of a node
            that can end them.
    """

    node: Row
    listed: Sequence[tuple[UUID, int]]
    rows: Mapping[UUID, Row]
    listed_at: datetime | None = None
    adopted: Collection[UUID] = frozenset()
    received: Iterable[tuple[UUID, int]] = ()
    let_in: Mapping[UUID, bool] = field(default_factory=dict)
    tunnels: Iterable[tuple[UUID, timedelta]] = ()


@always("I1", "each wish that a node received has a row, of that generation or a later one")
def committed_first(case: NodeCase) -> Found:
    """What is told to a node was committed before."""
    for uuid, gen in case.received:
        row = case.rows.get(uuid)
        if row is None or row["gen"] < gen:
            yield {"key": uuid, "received": gen, "gen": row["gen"] if row else None}


@eventually("I1b", "a node knows nobody of whom there is no row")
def no_strangers(case: NodeCase) -> Found:
    """But those who were adopted; a frozen node waits for an owner."""
    if case.node["state"] == "frozen":
        return
    for uuid, gen in case.listed:
        if uuid not in case.rows and uuid not in case.adopted:
            yield {"key": uuid, "gen": gen}


@always("I2", "whose removal is confirmed does not get in")
def shut_out(case: NodeCase) -> Found:
    """By real connections."""
    for uuid, got_in in case.let_in.items():
        row = case.rows.get(uuid)
        if got_in and row is not None and row["desired"] == "absent" and _settled(row, case):
            yield {"key": uuid, "gen": row["gen"]}


@eventually("I2", "whose access is confirmed gets in, and no stranger")
def let_in(case: NodeCase) -> Found:
    """By real connections; somebody else's work on the node is undone within a minute."""
    for uuid, got_in in case.let_in.items():
        row = case.rows.get(uuid)
        if row is None:
            wrong = got_in and uuid not in case.adopted
        else:
            wrong = not got_in and row["desired"] == "present" and _settled(row, case)
        if wrong:
            yield {"key": uuid, "got_in": got_in}


@eventually("I3", "a node lets in just those whom the rows say, each once")
def equal(case: NodeCase) -> Found:
    """Uuids and generations; of a frozen node only who is missing, for removals wait."""
    state = case.node["state"]
    if state in NOT_COMPARED:
        return
    listed = dict(case.listed)
    yield from _twice(case)
    for uuid, row in case.rows.items():
        here = row["node_id"] == case.node["id"]
        if not here or row["desired"] == "absent":
            left = uuid in listed and state != "frozen" and uuid not in case.adopted
            if left and (not here or _settled(row, case)):
                yield {"key": uuid, "wish": row["desired"], "node": row["node_id"], "runs": True}
        elif _settled(row, case) and listed.get(uuid) != row["gen"]:
            yield {"key": uuid, "gen": row["gen"], "runs": listed.get(uuid)}


@eventually("I14", "tunnels of whoever was removed end")
def tunnels_end(case: NodeCase) -> Found:
    """Where the node can end them."""
    for uuid, ago in case.tunnels:
        if ago > TUNNEL_ENDS_WITHIN:
            yield {"key": uuid, "open_s": round(ago.total_seconds())}


RULES = (committed_first, no_strangers, shut_out, let_in, equal, tunnels_end)


def broken_on(case: NodeCase, *, healed: bool = True) -> list[Broken]:
    """What a node breaks."""
    return broken_by(case, f"node {case.node['id']}", RULES, healed=healed)


def _settled(row: Row, case: NodeCase) -> bool:
    """Whether the node confirmed the wish before it was asked for its list."""
    if row["applied_gen"] != row["gen"] or row["quarantined_at"] is not None:
        return False
    return case.listed_at is None or row["applied_at"] is None or row["applied_at"] < case.listed_at


def _twice(case: NodeCase) -> Iterable[Details]:
    for uuid, times in Counter(uuid for uuid, _ in case.listed).items():
        if times > 1:
            yield {"key": uuid, "times": times}
