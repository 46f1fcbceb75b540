"""Twins of `storage.settings_history`."""

from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from storage import settings_history
from tests.simulation.twin.registry import Answer, Record, picker, statement, value
from tests.simulation.twin.schema import jsonb
from tests.simulation.twin.tables import Row, Tables

pick = picker(settings_history.COLUMNS)
number = itemgetter("id")


def _latest(t: Tables, key: str) -> Row | None:
    return max(t.settings_history.by("of_key", key), key=number, default=None)


@statement(settings_history.QUEUE_UP, "2767d9b3")
def queue_up(t: Tables) -> Answer:
    del t  # one transaction runs at a time
    return 0


@statement(settings_history.OVERRIDES, "8a8e7fd2")
def overrides(t: Tables) -> Answer:
    latest = {row["key"]: row["new"] for row in t.settings_history.rows.values()}
    return [Record(key=key, new=latest[key]) for key in sorted(latest) if latest[key] is not None]


@statement(settings_history.VALUE_AT, "f0af9eed")
def value_at(t: Tables, key: str, at: datetime) -> Answer:
    found = [row for row in t.settings_history.by("of_key", key) if row["at"] <= at]
    return value("new", max(found, key=number)["new"]) if found else []


@statement(settings_history.CURRENT, "c32e7190")
def current(t: Tables, key: str, expected: Any) -> Answer:
    latest = _latest(t, key)
    new = None if latest is None else latest["new"]
    return [Record(value=new, expected=_same(new, expected))]


def _same(one: Any, other: Any) -> bool:
    """Whether two values are one as JSON: true is no number, and 1 is 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


@statement(settings_history.ADD, "538bef7a")
def add(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    key: str,
    old: Any,
    new: Any,
    actor: str,
    reason: str,
    revert_at: datetime | None,
    undoes: int | None,
    restores: int | None,
) -> Answer:
    row = t.settings_history.insert(
        key=key,
        old=None if old is None else jsonb(old),
        new=None if new is None else jsonb(new),
        actor=actor,
        reason=reason,
        revert_at=revert_at,
        undoes=undoes,
        restores=restores,
    )
    return [Record({**pick(row), "pg_notify": ""})]


@statement(settings_history.IN_TIME, "6305d61a")
def in_time(t: Tables, after_s: float) -> Answer:
    return value("?column?", t.clock() + timedelta(seconds=after_s))


@statement(settings_history.READ, "dfd9ae67")
def read(t: Tables, change_id: int) -> Answer:
    row = t.settings_history.get(change_id)
    return [] if row is None else [pick(row)]


@statement(settings_history.LATEST, "0227e7ec")
def latest_of(t: Tables, key: str) -> Answer:
    row = _latest(t, key)
    return [] if row is None else [pick(row)]


@statement(settings_history.UNDONE, "82252240")
def undone(t: Tables, change_id: int) -> Answer:
    return [
        Record({"?column?": 1})
        for row in t.settings_history.rows.values()
        if row["undoes"] == change_id
    ]


@statement(settings_history.STOOD_BEFORE, "4ef778ca")
def stood_before(t: Tables, key: str, change_id: int) -> Answer:
    earlier = [row for row in t.settings_history.by("of_key", key) if row["id"] < change_id]
    if not earlier:
        return []
    last = max(earlier, key=number)
    stands = last["id"] if last["restores"] is None else last["restores"]
    return [pick(t.settings_history.rows[stands])]


@statement(settings_history.OVER, "c6771379")
def over(t: Tables) -> Answer:
    return [
        pick(row)
        for row in sorted(t.settings_history.rows.values(), key=number)
        if row["revert_at"] is not None
        and row["revert_at"] <= t.now
        and _latest(t, row["key"]) is row
    ]


@statement(settings_history.NEWEST, "f85e72dc")
def newest(t: Tables, limit: int, key: str | None) -> Answer:
    found = [row for row in t.settings_history.rows.values() if key is None or row["key"] == key]
    found.sort(key=number, reverse=True)
    return [pick(row) for row in found[:limit]]
