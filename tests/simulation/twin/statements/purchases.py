"""Twins of `storage.purchases`."""

from datetime import timedelta
from uuid import UUID

from storage import purchases
from tests.simulation.twin.registry import (
    Answer,
    Record,
    newest_first,
    picker,
    statement,
    tally,
)
from tests.simulation.twin.schema import OPEN_ORDER
from tests.simulation.twin.tables import Row, Tables

pick = picker(purchases.COLUMNS)

HOUR = timedelta(hours=1)
APPROVAL = timedelta(seconds=30)


@statement(purchases.CREATE, "545ddbfe")
def create(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    purchase_id: UUID,
    user_id: int,
    kind: str,
    plan_id: str,
    node_id: str,
    price: int,
    currency: str,
    period_s: int,
    provider: str,
    operation_id: str,
    chat_id: int,
    open_for: timedelta,
) -> Answer:
    row = t.purchases.insert(
        id=purchase_id,
        user_id=user_id,
        kind=kind,
        plan_id=plan_id,
        node_id=node_id,
        price=price,
        currency=currency,
        period_s=period_s,
        provider=provider,
        operation_id=operation_id,
        chat_id=chat_id,
        invoice_expires_at=t.now + open_for,
    )
    return [pick(row)]


@statement(purchases.OPEN, "6c8378a0")
def open_ones(t: Tables, user_id: int) -> Answer:
    found = [
        row
        for row in t.purchases.by("of_user", user_id)
        if row["status"] in OPEN_ORDER and row["invoice_expires_at"] > t.now
    ]
    return [pick(row) for row in newest_first(found, "created_at")]


@statement(purchases.READ, "4a186117")
def read(t: Tables, purchase_id: UUID) -> Answer:
    row = t.purchases.get(purchase_id)
    return [] if row is None else [pick(row)]


@statement(purchases.REOPEN, "4f4bebae")
def reopen(t: Tables, purchase_id: UUID, operation_id: str) -> Answer:
    row = _open(t, purchase_id)
    if row is None:
        return 0
    t.purchases.update(row, operation_id=operation_id)
    return 1


@statement(purchases.RECORD_INVOICE, "ebc737f5")
def record_invoice(
    t: Tables, purchase_id: UUID, user_id: int, invoice_id: str | None, pay_url: str | None
) -> Answer:
    row = _open(t, purchase_id, user_id)
    if row is None:
        return 0
    there = row["provider_invoice_id"]
    t.purchases.update(
        row,
        status="awaiting_payment",
        pay_url=pay_url if there is None else row["pay_url"],
        provider_invoice_id=invoice_id if there is None else there,
    )
    return 1


@statement(purchases.CANCEL, "33790db7")
def cancel(t: Tables, purchase_id: UUID, user_id: int) -> Answer:
    row = _open(t, purchase_id, user_id)
    if row is None:
        return 0
    t.purchases.update(row, status="cancelled")
    return 1


@statement(purchases.CLAIM, "54e06d83")
def claim(t: Tables, purchase_id: UUID, user_id: int) -> Answer:
    row = _open(t, purchase_id, user_id)
    if row is None or row["provider"] != "manual":
        return []
    t.purchases.update(row, status="awaiting_admin")
    return tally(1)


@statement(purchases.DECIDE, "15710cfe")
def decide(t: Tables, purchase_id: UUID, user_id: int, who: str, approve: bool) -> Answer:
    row = t.purchases.get(purchase_id)
    if row is None or row["user_id"] != user_id or row["provider"] != "manual":
        return []
    if row["decided_at"] is not None:
        return []
    if row["status"] != "awaiting_admin" and not (approve and row["status"] in OPEN_ORDER):
        return []
    status = row["status"] if approve else "rejected"
    t.purchases.update(row, decided_by=who, decided_at=t.now, status=status)
    return tally(1)


@statement(purchases.REFUND, "4b8fc63b")
def refund(t: Tables, purchase_id: UUID, status: str) -> Answer:
    row = t.purchases.get(purchase_id)
    if row is None or row["status"] in {status, "refunded"}:
        return 0
    keep = {"credited", "refund_pending"} if status == "refunded" else {"credited"}
    if any(paid["disposition"] in keep for paid in t.payments.by("of_purchase", purchase_id)):
        return 0
    t.purchases.update(row, status=status)
    return 1


@statement(purchases.CLOSE_EXPIRED, "47e319e4")
def close_expired(t: Tables) -> Answer:
    over = [
        row
        for row in t.purchases.by("open", value=True)
        if row["decided_at"] is None and row["invoice_expires_at"] < t.now - HOUR
    ]
    for row in over:
        t.purchases.update(row, status="expired")
    return len(over)


@statement(purchases.PAY, "efdfa117")
def pay(t: Tables, purchase_id: UUID, kind: str, fulfilled: bool) -> Answer:
    row = t.purchases.get(purchase_id)
    if row is None:
        return 0
    at = (row["fulfilled_at"] or t.now) if fulfilled else None
    t.purchases.update(row, status="paid", kind=kind, fulfilled_at=at)
    return 1


@statement(purchases.QUOTE, "91704527")
def quote(t: Tables, purchase_id: UUID) -> Answer:
    row = t.purchases.get(purchase_id)
    if row is None:
        return []
    user = t.users.rows[row["user_id"]]
    subscription = t.subscriptions.first("of_user", row["user_id"])
    return [
        Record(
            {
                **pick(row),
                "user_status": user["status"],
                "subscription_status": "none" if subscription is None else subscription["status"],
                "now": t.now,
            }
        )
    ]


@statement(purchases.APPROVE, "5097c1db")
def approve_query(t: Tables, purchase_id: UUID, query_id: str) -> Answer:
    row = _open(t, purchase_id)
    if row is None:
        return []
    if row["approved_query"] not in {None, query_id} and not (
        row["approved_at"] < t.now - APPROVAL
    ):
        return []
    t.purchases.update(row, approved_query=query_id, approved_at=t.now)
    return tally(1)


@statement(purchases.LIVE_MESSAGE, "1d5995a1")
def live_message(t: Tables, purchase_id: UUID, message_id: int) -> Answer:
    row = t.purchases.get(purchase_id)
    if row is None:
        return 0
    t.purchases.update(row, message_id=message_id)
    return 1


def _open(t: Tables, purchase_id: UUID, user_id: int | None = None) -> Row | None:
    row = t.purchases.get(purchase_id)
    if row is None or row["status"] not in OPEN_ORDER:
        return None
    return row if user_id is None or row["user_id"] == user_id else None
