"""Twins of `storage.subscriptions` and `storage.records`: paid time, and what is decided from."""

from datetime import datetime, timedelta
from operator import itemgetter
from uuid import UUID

from storage import records, subscriptions
from tests.simulation.twin.registry import Answer, Record, picker, statement, tally, value
from tests.simulation.twin.tables import Row, Tables

pick = picker(subscriptions.COLUMNS)
expires_at = itemgetter("expires_at")

DAY = timedelta(days=1)


def lapsed_ones(t: Tables) -> list[Row]:
    """Whose time is over and none of whose money waits, longest over first."""
    found = [
        row
        for row in t.subscriptions.by("status", "active")
        if row["expires_at"] <= t.now and not t.payments.by("uncredited_of", row["user_id"])
    ]
    found.sort(key=expires_at)
    return found


@statement(subscriptions.READ, "c4f0cb18")
def read(t: Tables, user_id: int) -> Answer:
    return [pick(row) for row in t.subscriptions.by("of_user", user_id)]


@statement(subscriptions.HOLD, "44a88c7b")
def hold(t: Tables, user_id: int) -> Answer:
    return [Record(version=row["version"]) for row in t.subscriptions.by("of_user", user_id)]


@statement(subscriptions.LAPSED, "d5c08783")
def lapsed(t: Tables, limit: int) -> Answer:
    return [Record(user_id=row["user_id"]) for row in lapsed_ones(t)[:limit]]


@statement(subscriptions.INSERT, "b6853e7b")
def insert(
    t: Tables,
    subscription_id: UUID,
    user_id: int,
    plan_id: str,
    status: str,
    ends: datetime | None,
    pending_s: int,
    version: int,
) -> Answer:
    t.subscriptions.insert(
        id=subscription_id,
        user_id=user_id,
        plan_id=plan_id,
        status=status,
        expires_at=ends,
        pending_s=pending_s,
        version=version,
    )
    return 1


@statement(subscriptions.UPDATE, "78793718")
def update(
    t: Tables,
    subscription_id: UUID,
    plan_id: str,
    status: str,
    ends: datetime | None,
    pending_s: int,
    version: int,
) -> Answer:
    row = t.subscriptions.get(subscription_id)
    if row is None or row["version"] != version - 1:
        return []
    t.subscriptions.update(
        row, plan_id=plan_id, status=status, expires_at=ends, pending_s=pending_s, version=version
    )
    return tally(1)


@statement(subscriptions.APPEND, "7f39eb4d")
def append(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    subscription_id: UUID,
    version: int,
    delta_s: int,
    expires_before: datetime | None,
    expires_after: datetime | None,
    pending_before: int,
    pending_after: int,
    source_kind: str,
    source_id: str,
    reason: str,
    actor: str,
) -> Answer:
    _, fresh = t.ledger.insert_unless(
        "ledger_source_once",
        subscription_id=subscription_id,
        version=version,
        delta_s=delta_s,
        expires_before=expires_before,
        expires_after=expires_after,
        pending_before=pending_before,
        pending_after=pending_after,
        source_kind=source_kind,
        source_id=source_id,
        reason=reason,
        actor=actor,
    )
    return tally(fresh)


@statement(records.STANDING, "1c3bee83")
def standing(t: Tables, user_id: int) -> Answer:
    user = t.users.get(user_id) or {}
    row = t.subscriptions.first("of_user", user_id) or {}
    entries = t.ledger.by("of_subscription", row["id"]) if row else []
    return [
        Record(
            now=t.now,
            tg_id=user.get("tg_id"),
            status=user.get("status"),
            language=user.get("language"),
            reachable=user.get("reachable"),
            created_at=user.get("created_at"),
            id=row.get("id"),
            user_id=row.get("user_id"),
            plan_id=row.get("plan_id"),
            subscription_status=row.get("status"),
            expires_at=row.get("expires_at"),
            pending_s=row.get("pending_s"),
            version=row.get("version"),
            uncredited=bool(t.payments.by("uncredited_of", user_id)),
            tried=t.ledger.first("source", ("trial", str(user_id))) is not None,
            claimed=sum(
                order["status"] == "awaiting_admin" for order in t.purchases.by("of_user", user_id)
            ),
            gained_today_s=sum(
                entry["delta_s"]
                for entry in entries
                if entry["delta_s"] > 0 and entry["at"] > t.now - DAY
            ),
        )
    ]


@statement(records.GIVEN_TODAY, "b185df24")
def given_today(t: Tables) -> Answer:
    given = t.ledger.by("given", value=True)
    return value("coalesce", sum(e["delta_s"] for e in given if e["at"] > t.now - DAY))
