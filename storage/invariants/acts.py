"""Owners' acts are recorded, removals stay within their guard, and no connection idles."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from config.nodes import ReconcilerSection
from storage.invariants.rules import (
    Broken,
    Found,
    Life,
    Row,
    Tables,
    always,
    broken_by,
    told_of,
)

#: The widest guard; operators can only make it narrower.
GUARD = ReconcilerSection()
#: A transaction in which nothing is asked for so long waits for the outside.
IDLE_WITHIN = timedelta(milliseconds=200)
#: Time that only owners change.
ASKED = ("grant", "suspend", "restore")
#: Who changes nodes unasked.
OURSELVES = ("", "tollgate")
#: A release that may read a letter retries it at its start.
UNASKED = "start"


@always("I13", "time that owners give, stop or let go on has their act")
def time_has_its_act(life: Life) -> Found:
    """In the transaction of the act, which has the same operation."""
    operations = {act["operation_id"] for act in life.acts}
    for row in life.ledger:
        if row["source_kind"] in ASKED and row["source_id"] not in operations:
            yield {"entry": row["id"], "kind": row["source_kind"], "operation": row["source_id"]}


@always("I13", "whoever is banned was banned by somebody")
def ban_has_its_act(life: Life) -> Found:
    """The last word about it is a ban."""
    words = [act for act in life.acts if act["action"] in {"ban", "unban"}]
    last = max(words, key=lambda act: act["id"], default=None)
    banned = life.user["status"] == "banned"
    if banned != (last is not None and last["action"] == "ban"):
        yield {"status": life.user["status"], "last": last["action"] if last else None}


@always("I13", "an order that an owner decided has the owner's act")
def order_has_its_act(life: Life) -> Found:
    """Approved or rejected, by whom the order says."""
    decided = {
        (act["details"].get("purchase"), act["actor"])
        for act in life.acts
        if act["action"] in {"approve_order", "reject_order"}
    }
    for order in life.purchases:
        who = order["decided_by"]
        if who is not None and (str(order["id"]), who) not in decided:
            yield {"order": order["id"], "decided_by": who}


RULES = (time_has_its_act, ban_has_its_act, order_has_its_act)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What is of no one user: rows of nodes, their comparisons, settings, letters, and acts.

    Attributes:
        told: what owners were told of; see `Scene.alerts`.
        owners: whether there are any who could be told.
    """

    nodes: Sequence[Row]
    runs: Sequence[Row]
    settings: Sequence[Row]
    letters: Sequence[Row]
    acts: Sequence[Row]
    told: Collection[tuple[str, str]] = frozenset()
    owners: bool = False

    @classmethod
    def of(cls, tables: Tables, *, owners: bool) -> "Records":
        """From rows by table; a table that is not kept has none."""
        return cls(
            told=told_of(tables.get("outbox", ())),
            owners=owners,
            nodes=list(tables.get("nodes", ())),
            runs=sorted(tables.get("reconcile_runs", ()), key=lambda row: row["id"]),
            settings=list(tables.get("settings_history", ())),
            letters=list(tables.get("dead_letters", ())),
            acts=list(tables.get("admin_actions", ())),
        )


@always("I13", "what owners make of nodes, settings and letters has their act")
def changes_have_acts(records: Records) -> Found:
    """The last one of each node, every one of a setting, and each decision about a letter."""
    acts = {(act["target"], act["actor"]) for act in records.acts}
    changes = {
        act["details"].get("change")
        for act in records.acts
        if act["action"] in {"policy_set", "policy_undo"}
    }
    for node in records.nodes:
        who = node["changed_by"]
        if who not in OURSELVES and (node["id"], who) not in acts:
            yield {"node": node["id"], "changed_by": who}
    for change in records.settings:
        if change["id"] not in changes:
            yield {"setting": change["key"], "change": change["id"]}
    for letter in records.letters:
        who = letter["decided_by"]
        if who not in {None, UNASKED} and (str(letter["id"]), who) not in acts:
            yield {"letter": letter["id"], "decided_by": who}


@always("I15", "a comparison removes no more than its guard")
def within_guard(records: Records) -> Found:
    """Neither at once, nor within a day since somebody looked; more only by an owner's number."""
    changed = {node["id"]: node["changed_at"] for node in records.nodes}
    confirmed = {act["target"] for act in records.acts if act["action"] == "node_confirm"}
    for run in records.runs:
        most = guard(run)
        if run["removed"] > most and run["node_id"] not in confirmed:
            yield {"node": run["node_id"], "run": run["id"], "removed": run["removed"]}
        if run["outcome"] != "removing":
            continue
        going = _within_a_day(records.runs, run, changed)
        if len(going) > most:
            yield {"node": run["node_id"], "run": run["id"], "within_a_day": len(going)}


@always("I12", "owners know of each node that was frozen without them")
def frozen_is_told(records: Records) -> Found:
    """Its removals wait for them."""
    for node in records.nodes:
        unasked = node["state"] == "frozen" and node["changed_by"] in OURSELVES
        if records.owners and unasked and ("alert-node-frozen", node["id"]) not in records.told:
            yield {"node": node["id"], "reason": node["reason"]}


RECORD_RULES = (changes_have_acts, within_guard, frozen_is_told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A transaction in which nothing was asked for so long, and the last that was.

    `stalled` is for how long the asking process itself did not run meanwhile.
    """

    lasted: timedelta
    query: str
    stalled: timedelta = timedelta(0)


@always("I11", "nothing from outside is waited for inside a transaction")
def no_wait_inside(idle: Idle) -> Found:
    """Whatever the process itself did not run is no waiting."""
    if idle.lasted - idle.stalled > IDLE_WITHIN:
        yield {"idle_ms": round(idle.lasted / timedelta(milliseconds=1)), "after": idle.query}


def broken_records(records: Records) -> list[Broken]:
    """What is broken that is of no one user."""
    return broken_by(records, "records", RECORD_RULES)


def broken_idle(idle: Iterable[Idle]) -> list[Broken]:
    """Transactions that waited."""
    return [found for one in idle for found in broken_by(one, "transaction", (no_wait_inside,))]


def guard(run: Row) -> int:
    """How many may go at most from a node of this size."""
    share = int(min(run["on_node"], run["wanted"]) * GUARD.guard_share)
    return min(GUARD.guard_most, max(GUARD.guard_users, share))


def _within_a_day(runs: Sequence[Row], last: Row, changed: Mapping[str, object]) -> set[str]:
    """Whom a run and those before it removed, by its own time; since somebody changed the node."""
    since = max(last["at"] - timedelta(days=1), changed.get(last["node_id"], last["at"]))
    return {
        gone
        for run in runs
        if run["outcome"] == "removing"
        and run["node_id"] == last["node_id"]
        and since < run["at"] <= last["at"]
        for gone in run["details"]["sample"]
    }
