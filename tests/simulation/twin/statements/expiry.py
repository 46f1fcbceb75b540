"""Twins of `storage.expiry`."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from storage import expiry
from tests.simulation.twin.registry import Answer, Record, statement, value
from tests.simulation.twin.statements.credentials import remove
from tests.simulation.twin.statements.subscriptions import lapsed_ones
from tests.simulation.twin.tables import EPOCH, Row, Tables

LONGEST_SWEEP = timedelta(days=2)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


@statement(expiry.END_MANY, "1e6cb6d1")
def end_many(t: Tables, limit: int) -> Answer:
    due = lapsed_ones(t)[:limit]
    for was in due:
        row = t.subscriptions.update(was, status="expired", version=was["version"] + 1)
        _enter(t, row)
        for key in t.credentials.by("of_subscription", row["id"]):
            if key["desired"] == "present":
                remove(t, key, bulk=True)
        payload = {"notice": "news", "text_id": "news-expired", "arguments": {}}
        _tell(t, row, f"expired:{row['id']}:{row['version']}", payload)
    return value("count", len(due))


def _enter(t: Tables, row: Row) -> None:
    t.ledger.insert(
        subscription_id=row["id"],
        version=row["version"],
        delta_s=0,
        expires_before=row["expires_at"],
        expires_after=row["expires_at"],
        pending_before=row["pending_s"],
        pending_after=row["pending_s"],
        source_kind="expiry",
        source_id=f"{row['id']}:{row['version']}",
        reason="time is over",
        actor="expiry",
    )


def _tell(t: Tables, row: Row, dedupe_key: str, payload: dict[str, Any]) -> bool:
    _, fresh = t.outbox.insert_unless(
        "outbox_dedupe",
        kind="notify",
        user_id=row["user_id"],
        dedupe_key=dedupe_key,
        payload=payload,
        created_at=t.clock(),
    )
    return fresh


@statement(expiry.SWEPT, "84d992fc")
def swept(t: Tables, name: str) -> Answer:
    row, fresh = t.watermarks.insert_unless("watermarks_pkey", name=name, upto=t.now)
    since = None if fresh else row["upto"]
    if not fresh:
        row = t.watermarks.update(row, upto=max(row["upto"], t.now))
    return [Record(since=since, upto=row["upto"])]


@statement(expiry.SWEPT_UPTO, "3aaa17cb")
def swept_upto(t: Tables, name: str, upto: datetime) -> Answer:
    row = t.watermarks.get(name)
    if row is None:
        return 0
    t.watermarks.update(row, upto=max(row["upto"], upto))
    return 1


@statement(expiry.SINCE, "6881db47")
def since_when(t: Tables, name: str) -> Answer:
    row = t.watermarks.get(name)
    return [] if row is None else [Record(since=row["upto"], upto=t.now)]


@statement(expiry.REMIND, "23b36697")
def remind(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    text_id: str,
    since: datetime,
    upto: datetime,
    lead_s: float,
    next_lead_s: float,
    limit: int,
    after: datetime,
    after_id: UUID,
) -> Answer:
    lead = timedelta(seconds=lead_s)
    page = _page(t, "active", since, upto, lead, limit, (after, after_id))
    fit = [
        row
        for row in page
        if row["expires_at"] > t.now + timedelta(seconds=next_lead_s)
        and not any(
            entry["at"] > row["expires_at"] - lead - HOUR
            for entry in t.ledger.by("of_subscription", row["id"])
        )
    ]
    return _told(t, text_id, page, fit, limit)


@statement(expiry.MISS, "df06574d")
def miss(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    text_id: str,
    since: datetime,
    upto: datetime,
    lead_s: float,
    next_lead_s: float,
    limit: int,
    after: datetime,
    after_id: UUID,
) -> Answer:
    lead = timedelta(seconds=lead_s)
    page = _page(t, "expired", since, upto, lead, limit, (after, after_id))
    fit = [
        row
        for row in page
        if row["pending_s"] == 0
        and t.users.rows[row["user_id"]]["status"] == "active"
        and row["expires_at"] <= t.now - timedelta(seconds=next_lead_s)
    ]
    return _told(t, text_id, page, fit, limit)


def _page(
    t: Tables,
    status: str,
    since: datetime,
    upto: datetime,
    lead: timedelta,
    limit: int,
    after: tuple[datetime, UUID],
) -> list[Row]:
    begin = max(since, t.now - LONGEST_SWEEP) + lead
    found = [
        row
        for row in t.subscriptions.by("status", status)
        if row["expires_at"] is not None
        and begin < row["expires_at"] <= upto + lead
        and (row["expires_at"], row["id"]) > after
    ]
    found.sort(key=lambda row: (row["expires_at"], row["id"]))
    return found[:limit]


def _told(t: Tables, text_id: str, page: list[Row], fit: list[Row], limit: int) -> Answer:
    told = sum(
        _tell(
            t,
            row,
            f"{text_id}:{row['id']}:{epoch(row['expires_at'])}",
            {
                "notice": "news",
                "text_id": text_id,
                "arguments": {"version": row["version"]},
            },
        )
        for row in fit
    )
    last = page[-1] if len(page) == limit else {"expires_at": None, "id": None}
    return [Record(told=told, expires_at=last["expires_at"], id=last["id"])]


def epoch(moment: datetime) -> str:
    """extract(epoch FROM ...) as text: seconds, with six places."""
    seconds, rest = divmod((moment - EPOCH) // MICROSECOND, 1_000_000)
    return f"{seconds}.{rest:06}"


@statement(expiry.STANDING, "1410c58c")
def standing(t: Tables, name: str) -> Answer:
    active = t.subscriptions.by("status", "active")
    row = t.watermarks.get(name)
    return [
        Record(
            now_s=t.clock().timestamp(),
            due=sum(row["expires_at"] <= t.now for row in active),
            active=len(active),
            pause_s=None if row is None else (t.now - row["upto"]).total_seconds(),
        )
    ]


@statement(expiry.CLOCK, "a3f4a990")
def clock(t: Tables) -> Answer:
    return value("extract", t.clock().timestamp())
