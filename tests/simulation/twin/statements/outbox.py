"""Twins of `storage.outbox`."""

from datetime import timedelta
from operator import itemgetter
from typing import Any
from uuid import UUID

from storage import outbox
from tests.simulation.twin.registry import Answer, Record, picker, statement, tally
from tests.simulation.twin.schema import jsonb
from tests.simulation.twin.tables import Row, Tables

pick = picker(outbox.COLUMNS)
created_at = itemgetter("created_at")

DAY = timedelta(days=1)


def tell_purchase(t: Tables, purchase: Row) -> None:
    """What PURCHASE_NEWS does, and the `cards` of a confirmation."""
    purchase_id = str(purchase["id"])
    row, fresh = t.outbox.insert_unless(
        "outbox_dedupe",
        kind="notify",
        user_id=purchase["user_id"],
        dedupe_key=f"purchase:{purchase_id}",
        payload={"notice": "purchase", "purchase_id": purchase_id},
    )
    if not fresh:
        t.outbox.update(
            row, state="due", next_at=t.now, attempts=0, bugs=0, version=row["version"] + 1
        )


@statement(outbox.PURCHASE_NEWS, "dd248dba")
def purchase_news(t: Tables, purchase_id: UUID) -> Answer:
    purchase = t.purchases.get(purchase_id)
    if purchase is None:
        return 0
    tell_purchase(t, purchase)
    return 1


@statement(outbox.ALERT, "85e45b7b")
def alert(t: Tables, dedupe_key: str, payload: Any) -> Answer:
    _, fresh = t.outbox.insert_unless(
        "outbox_dedupe",
        kind="alert",
        dedupe_key=dedupe_key,
        payload=jsonb(payload),
        created_at=t.clock(),
    )
    return int(fresh)


@statement(outbox.NEWS, "2c2388aa")
def news(t: Tables, user_id: int, dedupe_key: str, payload: Any) -> Answer:
    _, fresh = t.outbox.insert_unless(
        "outbox_dedupe",
        kind="notify",
        user_id=user_id,
        dedupe_key=dedupe_key,
        payload=jsonb(payload),
        created_at=t.clock(),
    )
    return int(fresh)


@statement(outbox.UNFULFILLED, "ba69b77e")
def unfulfilled(t: Tables, subscription_id: UUID) -> Answer:
    subscription = t.subscriptions.get(subscription_id)
    if subscription is None:
        return []
    return [
        Record(id=row["id"])
        for row in t.purchases.by("of_user", subscription["user_id"])
        if row["status"] == "paid" and row["fulfilled_at"] is None
    ]


@statement(outbox.DUE, "0287d98e")
def due(t: Tables, limit: int) -> Answer:
    told = t.outbox.by("due", value=False)
    waiting = {row["user_id"] for row in told if row["next_at"] > t.now}
    found = [
        row
        for row in told
        if row["next_at"] <= t.now
        and _reachable(t, row)
        and (row["kind"] != "alert" or _fresh(t, row))
        and (row["user_id"] is None or row["user_id"] not in waiting)
    ]
    found.sort(key=lambda row: row["payload"].get("notice") or "\U0010ffff", reverse=True)
    found.sort(key=created_at)
    return [pick(row) for row in found[:limit]]


@statement(outbox.BEGIN, "3c93c98f")
def begin(t: Tables, row_id: UUID, version: int, busy_for: timedelta) -> Answer:
    row = _standing(t, row_id, version)
    if row is None or row["state"] != "due":
        return []
    t.outbox.update(row, attempts=row["attempts"] + 1, next_at=t.now + busy_for)
    return tally(1)


@statement(outbox.RESUME, "ef93a5e5")
def resume(t: Tables) -> Answer:
    later = [row for row in t.outbox.by("due", value=False) if row["next_at"] > t.now]
    for row in later:
        t.outbox.update(row, next_at=t.now)
    return len(later)


@statement(outbox.SENT, "7ec6cc10")
def sent(t: Tables, row_id: UUID, version: int) -> Answer:
    row = _standing(t, row_id, version)
    if row is None:
        return 0
    t.outbox.update(row, state="sent", sent_at=t.now)
    return 1


@statement(outbox.POSTPONE, "2a833593")
def postpone(t: Tables, row_id: UUID, version: int, after: timedelta) -> Answer:
    row = _standing(t, row_id, version)
    if row is None:
        return 0
    t.outbox.update(row, next_at=t.now + after)
    return 1


@statement(outbox.STUMBLE, "4bc03184")
def stumble(t: Tables, row_id: UUID, version: int, after: timedelta) -> Answer:
    row = _standing(t, row_id, version)
    if row is None:
        return 0
    t.outbox.update(row, next_at=t.now + after, bugs=row["bugs"] + 1)
    return 1


@statement(outbox.FAIL, "5db2df60")
def fail(t: Tables, row_id: UUID, version: int) -> Answer:
    row = _standing(t, row_id, version)
    if row is None:
        return 0
    t.outbox.update(row, state="failed")
    return 1


def _standing(t: Tables, row_id: UUID, version: int) -> Row | None:
    row = t.outbox.get(row_id)
    return row if row is not None and row["version"] == version else None


def _reachable(t: Tables, row: Row) -> bool:
    listener = row["user_id"]
    if listener is None and (owner := row["payload"].get("owner")) is not None:
        listener = int(owner)
    user = t.users.get(listener)
    return user is None or user["reachable"]


def _fresh(t: Tables, row: Row) -> bool:
    return row["created_at"] > t.now - DAY or row["payload"].get("text_id") in outbox.TASKS
