"""Twins of `storage.comparisons`."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from storage import comparisons
from tests.simulation.twin.registry import Answer, Record, statement, tally, value
from tests.simulation.twin.schema import jsonb
from tests.simulation.twin.statements.nodes import wished_for
from tests.simulation.twin.tables import Row, Tables

DAY = timedelta(days=1)
KEPT = timedelta(days=30)
by_uuid = itemgetter("uuid")

#: What the last run of a node shows in the overview.
LAST = (
    "outcome",
    "took_s",
    "on_node",
    "wanted",
    "missing",
    "orphans",
    "raised",
    "removed",
    "dry_run",
    "details",
)


@statement(comparisons.BASIS, "7f972c2e")
def basis(t: Tables, node_id: str) -> Answer:
    node = t.nodes.get(node_id)
    if node is None:
        return []
    return [
        Record(
            id=node["id"],
            state=node["state"],
            epoch=node["epoch"],
            writer_seq_acked=node["writer_seq_acked"],
            reason=node["reason"],
            accepted_writer=node["accepted_writer"],
            db_id=db_id,
            at=t.clock(),
        )
        for db_id in t.system.rows
    ]


@statement(comparisons.WRITER_SEQ, "333c319b")
def writer_seq(t: Tables) -> Answer:
    return value(
        "last_value", max(t.writer_seq, 1)
    )  # of a sequence that was never asked, its start


@statement(comparisons.WANTED, "4123e27d")
def wanted(t: Tables, node_id: str, after: UUID, limit: int) -> Answer:
    page = sorted(
        (
            row
            for row in t.credentials.by("of_node", node_id)
            if row["desired"] == "present" and row["uuid"] > after
        ),
        key=by_uuid,
    )[:limit]
    packed = b"".join(row["uuid"].bytes + row["gen"].to_bytes(8, "big") for row in page)
    return value("string_agg", packed or None)


@statement(comparisons.KNOWN, "73d97851")
def known(t: Tables, node_id: str) -> Answer:
    return value("exists", bool(t.credentials.by("of_node", node_id)))


def _row(t: Tables, row: Row, listed_at: datetime) -> Record:
    applied = row["applied_gen"] == row["gen"]
    at = row["applied_at"]
    return Record(
        uuid=row["uuid"],
        node_id=row["node_id"],
        user_id=t.subscriptions.rows[row["subscription_id"]]["user_id"],
        desired=row["desired"],
        gen=row["gen"],
        applied_gen=row["applied_gen"],
        settled=applied and row["quarantined_at"] is None and (at is None or at < listed_at),
    )


@statement(comparisons.IN_RANGES, "37d36ab0")
def in_ranges(
    t: Tables,
    node_id: str,
    listed_at: datetime,
    firsts: list[UUID],
    lasts: list[UUID],
    limit: int,
) -> Answer:
    of_node = sorted(t.credentials.by("of_node", node_id), key=by_uuid)
    found: list[Row] = []
    for first, last in zip(firsts, lasts, strict=True):
        found += [row for row in of_node if first <= row["uuid"] <= last][:limit]
    found.sort(key=by_uuid)
    return [_row(t, row, listed_at) for row in found[:limit]]


@statement(comparisons.BY_UUID, "f3871b7f")
def by_uuids(t: Tables, uuids: list[UUID], listed_at: datetime) -> Answer:
    found = (t.credentials.get(uuid) for uuid in dict.fromkeys(uuids))
    return [_row(t, row, listed_at) for row in found if row is not None]


@statement(comparisons.ADOPTED, "20575433")
def adopted(t: Tables, node_id: str, uuids: list[UUID]) -> Answer:
    return [
        Record(uuid=uuid)
        for uuid in dict.fromkeys(uuids)
        if (node_id, uuid) in t.adopted_users.rows
    ]


def _of_node(
    t: Tables, node_id: str, uuids: list[UUID], gens: list[int]
) -> Iterable[tuple[Row, int]]:
    for uuid, gen in dict(zip(uuids, gens, strict=True)).items():
        row = t.credentials.get(uuid)
        if row is not None and row["node_id"] == node_id:
            yield row, gen


def _wish_anew(t: Tables, row: Row, gen: int) -> None:
    t.credentials.update(row, gen=gen, attempts=0, next_at=t.now, last_class=None, bulk=True)


@statement(comparisons.RAISE, "601b42f1")
def raise_missing(t: Tables, node_id: str, uuids: list[UUID], gens: list[int]) -> Answer:
    raised = [
        row
        for row, gen in _of_node(t, node_id, uuids, gens)
        if row["gen"] == gen == row["applied_gen"] and row["desired"] == "present"
    ]
    for row in raised:
        _wish_anew(t, row, row["gen"] + 1)
    return tally(len(raised))


@statement(comparisons.REMOVE_AGAIN, "beca86fd")
def remove_again(t: Tables, node_id: str, uuids: list[UUID], gens: list[int]) -> Answer:
    removed = [
        (row, gen)
        for row, gen in _of_node(t, node_id, uuids, gens)
        if row["applied_gen"] == row["gen"] and row["desired"] == "absent"
    ]
    for row, gen in removed:
        _wish_anew(t, row, max(row["gen"], gen) + 1)
    return tally(len(removed))


@statement(comparisons.OUTRUN, "68c5d6a7")
def outrun(t: Tables, node_id: str, uuids: list[UUID], gens: list[int]) -> Answer:
    behind = [(row, gen) for row, gen in _of_node(t, node_id, uuids, gens) if row["gen"] <= gen]
    for row, gen in behind:
        _wish_anew(t, row, gen + 1)
    return tally(len(behind))


def _set(t: Tables, node_id: str, **changes: Any) -> int:
    row = t.nodes.get(node_id)
    if row is None:
        return 0
    t.nodes.update(row, **changes)
    return 1


@statement(comparisons.FORGET_MARK, "3733928f")
def forget_mark(t: Tables, node_id: str) -> Answer:
    return _set(t, node_id, writer_seq_acked=0)


@statement(comparisons.NOTE, "9d389d6e")
def note(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    node_id: str,
    took_s: float,
    outcome: str,
    dry_run: bool,
    on_node: int,
    wanted_there: int,
    missing: int,
    orphans: int,
    raised: int,
    removed: int,
    details: Any,
) -> Answer:
    t.reconcile_runs.insert(
        node_id=node_id,
        took_s=float(took_s),
        outcome=outcome,
        dry_run=dry_run,
        on_node=on_node,
        wanted=wanted_there,
        missing=missing,
        orphans=orphans,
        raised=raised,
        removed=removed,
        details=jsonb(details),
    )
    return 1


@statement(comparisons.REMOVED_LATELY, "6a90751e")
def removed_lately(t: Tables, node_id: str) -> Answer:
    node = t.nodes.get(node_id)
    if node is None:
        return []
    since = max(t.now - DAY, node["changed_at"])
    gone = {
        UUID(uuid): None
        for run in t.reconcile_runs.by("of_node", node_id)
        if run["outcome"] == "removing" and run["at"] > since
        for uuid in run["details"].get("sample") or ()
    }
    return [Record(uuid=uuid) for uuid in gone]


@statement(comparisons.KEYLESS, "05262794")
def keyless(t: Tables) -> Answer:
    on = t.subscriptions.by("status", "active") + t.subscriptions.by("status", "activating")
    return value(
        "count",
        sum(
            not any(
                key["desired"] == "present"
                for key in t.credentials.by("of_subscription", row["id"])
            )
            for row in on
        ),
    )


@statement(comparisons.PRUNE, "0e9a8873")
def prune(t: Tables) -> Answer:
    old = [row for row in t.reconcile_runs.rows.values() if row["at"] < t.now - KEPT]
    for row in old:
        t.reconcile_runs.delete(row)
    return len(old)


@statement(comparisons.ACCEPT, "f5ff5af6")
def accept(t: Tables, node_id: str, mark: str | None) -> Answer:
    return _set(t, node_id, accepted_writer=mark)


@statement(comparisons.FORGET_ACCEPTED, "818e9990")
def forget_accepted(t: Tables, node_id: str) -> Answer:
    return _set(t, node_id, accepted_writer=None)


@statement(comparisons.HAS_ACCEPTED, "586e194a")
def has_accepted(t: Tables, node_id: str) -> Answer:
    node = t.nodes.get(node_id)
    return [] if node is None else value("?column?", node["accepted_writer"] is not None)


@statement(comparisons.OVERTAKE, "774bbd1c")
def overtake(t: Tables, seq: int) -> Answer:
    t.writer_seq = max(seq, t.writer_seq, 1) + 1
    return value("setval", t.writer_seq)


@statement(comparisons.ADOPT, "2c3597cb")
def adopt(t: Tables, node_id: str, uuids: list[UUID], who: str) -> Answer:
    return sum(
        t.adopted_users.insert_unless(
            "adopted_users_pkey", node_id=node_id, uuid=uuid, adopted_by=who
        )[1]
        for uuid in uuids
    )


@statement(comparisons.OVERVIEW, "d32083cc")
def overview(t: Tables) -> Answer:
    return [_overview(t, t.nodes.rows[node_id]) for node_id in sorted(t.nodes.rows)]


def _overview(t: Tables, node: Row) -> Record:
    keys = t.credentials.by("of_node", node["id"])
    runs = t.reconcile_runs.by("of_node", node["id"])
    last = max(runs, key=itemgetter("id")) if runs else dict.fromkeys(LAST)
    return Record(
        id=node["id"],
        state=node["state"],
        reason=node["reason"],
        changed_at=node["changed_at"],
        changed_by=node["changed_by"],
        users=wished_for(t, node["id"]),
        waiting=sum(
            key["applied_gen"] < key["gen"] and key["quarantined_at"] is None for key in keys
        ),
        set_aside=sum(key["quarantined_at"] is not None for key in keys),
        **{name: last[name] for name in LAST},
    )
