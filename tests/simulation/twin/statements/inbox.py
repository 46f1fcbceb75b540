"""Twins of `storage.inbox`."""

from datetime import timedelta
from typing import Any

from storage import inbox
from tests.simulation.twin.registry import Answer, picker, statement, tally, value
from tests.simulation.twin.tables import Row, Tables

pick = picker(inbox.COLUMNS)

KEPT = timedelta(days=3)
#: A new start for what was set aside.
AFRESH: dict[str, Any] = {"quarantined_at": None, "attempts": 0, "refusals": 0}


@statement(inbox.ACCEPT, "76a7ca57")
def accept(t: Tables, source: str, source_id: str, payload: str, lane: int | None) -> Answer:
    row, fresh = t.inbox.insert_unless(
        "inbox_pkey", source=source, source_id=source_id, payload=payload, lane=lane
    )
    return value("seq", row["seq"]) if fresh else []


@statement(inbox.STORED, "cacc161e")
def stored(t: Tables, source: str, source_id: str) -> Answer:
    row = t.inbox.get((source, source_id))
    return [] if row is None else value("payload", row["payload"])


@statement(inbox.WAITING, "0b0b512b")
def waiting(t: Tables, limit: int, besides_lanes: list[int], besides: list[int]) -> Answer:
    lanes, hands = set(besides_lanes), set(besides)
    found = [
        row
        for row in t.inbox.by("waiting", value=True)
        if row["next_at"] <= t.now
        and row["seq"] not in hands
        and (row["lane"] is None or row["lane"] not in lanes)
        and not _held_back(t, row)
    ]
    found.sort(key=lambda row: (row["lane"] is not None, row["seq"]))
    return [pick(row) for row in found[:limit]]


def _held_back(t: Tables, row: Row) -> bool:
    if row["lane"] is None:
        return False
    return any(
        earlier["seq"] < row["seq"] and earlier["next_at"] > t.now
        for earlier in t.inbox.by("lane", row["lane"])
    )


@statement(inbox.BEGIN, "934d24b7")
def begin(t: Tables, source: str, source_id: str, attempts: int) -> Answer:
    row = t.inbox.get((source, source_id))
    if row is None:
        return 0
    t.inbox.update(row, attempts=attempts)
    return 1


@statement(inbox.DONE, "ba0a7c2f")
def done(t: Tables, source: str, source_id: str, reply: str) -> Answer:
    row = t.inbox.get((source, source_id))
    if row is None:
        return 0
    t.inbox.update(row, done_at=t.now, reply=reply)
    return 1


@statement(inbox.RELEASE, "64ecd137")
def release(t: Tables, source: str, source_id: str, after: timedelta, attempts: int) -> Answer:
    row = t.inbox.get((source, source_id))
    if row is None:
        return 0
    t.inbox.update(row, next_at=t.now + after, attempts=attempts)
    return 1


@statement(inbox.REFUSED, "e62c8948")
def refused(t: Tables, source: str, source_id: str, after: timedelta, attempts: int) -> Answer:
    row = t.inbox.get((source, source_id))
    if row is None:
        return 0
    t.inbox.update(
        row,
        next_at=t.now + after,
        attempts=attempts,
        refusals=row["refusals"] + 1,
    )
    return 1


@statement(inbox.QUARANTINE, "a812b3df")
def quarantine(t: Tables, source: str, source_id: str, reason: str) -> Answer:
    row = t.inbox.get((source, source_id))
    if row is None:
        return 0
    t.inbox.update(row, quarantined_at=t.now, reply=reason)
    return 1


def _set_aside(t: Tables) -> list[Row]:
    return [
        row
        for row in t.inbox.rows.values()
        if row["quarantined_at"] is not None and row["done_at"] is None and row["lane"] is None
    ]


@statement(inbox.HASTEN, "199c6369")
def hasten(t: Tables) -> Answer:
    found = [
        row
        for row in t.inbox.rows.values()
        if row["done_at"] is None and row["quarantined_at"] is None and row["next_at"] > t.now
    ]
    for row in found:
        t.inbox.update(row, next_at=t.now)
    return len(found)


@statement(inbox.RESUME, "e4403ecb")
def resume(t: Tables) -> Answer:
    found = _set_aside(t)
    for row in found:
        t.inbox.update(row, **AFRESH, next_at=t.now)
    return len(found)


@statement(inbox.RESUME_LETTERS, "6b78fb38")
def resume_letters(t: Tables) -> Answer:
    journeys = {f"{row['source']}:{row['source_id']}" for row in _set_aside(t)}
    found = [
        letter
        for letter in t.dead_letters.rows.values()
        if letter["state"] == "waiting" and letter["correlation_id"] in journeys
    ]
    for letter in found:
        t.dead_letters.update(letter, state="retried", decided_by="start", decided_at=t.now)
    return len(found)


@statement(inbox.FREE, "29cb67d8")
def free(t: Tables, correlation_id: str) -> Answer:
    found = t.inbox.by("set_aside", correlation_id)
    for row in found:
        t.inbox.update(row, **AFRESH, next_at=t.now)
    return tally(len(found))


@statement(inbox.DROP, "72c71c5c")
def drop(t: Tables, correlation_id: str) -> Answer:
    found = t.inbox.by("set_aside", correlation_id)
    for row in found:
        t.inbox.update(row, done_at=t.now, reply="dropped")
    return len(found)


@statement(inbox.PRUNE, "5670c56e")
def prune(t: Tables) -> Answer:
    old = [
        row
        for row in t.inbox.rows.values()
        if row["done_at"] is not None
        and row["done_at"] < t.now - KEPT
        and (row["quarantined_at"] is None or row["lane"] is not None)
    ]
    for row in old:
        t.inbox.delete(row)
    return len(old)
