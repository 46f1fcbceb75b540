"""Twins of `storage.refunds`."""

from datetime import timedelta
from operator import itemgetter

from storage import refunds
from tests.simulation.twin.registry import Answer, Record, statement, tally, value
from tests.simulation.twin.tables import Row, Tables

next_at = itemgetter("next_at")


@statement(refunds.ENQUEUE, "30def8a6")
def enqueue(t: Tables, user_id: int, dedupe_key: str, provider: str, payment_id: str) -> Answer:
    _, fresh = t.outbox.insert_unless(
        "outbox_dedupe",
        kind="refund",
        user_id=user_id,
        dedupe_key=dedupe_key,
        payload={"payment": payment_id, "provider": provider},
    )
    return int(fresh)


@statement(refunds.DUE, "22d2308c")
def due(t: Tables, limit: int) -> Answer:
    found = []
    for row in sorted(t.outbox.by("due", value=True), key=next_at):
        payload = row["payload"]
        payment = t.payments.get((payload.get("provider"), payload.get("payment")))
        if row["next_at"] > t.now or payment is None:
            continue
        if payment["disposition"] == "refund_pending":
            found.append(_order(t, row, payment))
    return found[:limit]


@statement(refunds.BEGIN, "7e065b8f")
def begin(
    t: Tables, dedupe_key: str, provider: str, payment_id: str, busy_for: timedelta
) -> Answer:
    payment, row = t.payments.get((provider, payment_id)), _due(t, dedupe_key)
    if payment is None or payment["disposition"] != "refund_pending" or row is None:
        return []
    t.payments.update(payment, refund_attempts=payment["refund_attempts"] + 1)
    t.outbox.update(row, attempts=row["attempts"] + 1, next_at=t.now + busy_for)
    return tally(1)


@statement(refunds.POSTPONE, "222f9bff")
def postpone(t: Tables, dedupe_key: str, after: timedelta) -> Answer:
    row = _due(t, dedupe_key)
    if row is None:
        return 0
    t.outbox.update(row, next_at=t.now + after)
    return 1


@statement(refunds.BY_HAND, "4c65970b")
def by_hand(t: Tables, dedupe_key: str) -> Answer:
    row = _due(t, dedupe_key)
    if row is None:
        return []
    t.outbox.update(row, state="failed")
    return tally(1)


@statement(refunds.DONE, "ff42457f")
def done(t: Tables, dedupe_key: str) -> Answer:
    row = t.outbox.first("key", dedupe_key)
    if row is None:
        return 0
    t.outbox.update(row, state="sent", sent_at=t.now)
    return 1


@statement(refunds.BY_HAND_NOW, "f7876f95")
def by_hand_now(t: Tables, dedupe_key: str) -> Answer:
    row = t.outbox.first("key", dedupe_key)
    return value("exists", row is not None and row["state"] == "failed")


@statement(refunds.RESUME, "84c7ac63")
def resume(t: Tables) -> Answer:
    later = [row for row in t.outbox.by("due", value=True) if row["next_at"] > t.now]
    for row in later:
        t.outbox.update(row, next_at=t.now)
    return len(later)


def _due(t: Tables, dedupe_key: str) -> Row | None:
    row = t.outbox.first("key", dedupe_key)
    return row if row is not None and row["state"] == "due" else None


def _order(t: Tables, row: Row, payment: Row) -> Record:
    purchase = t.purchases.get(payment["purchase_id"])
    return Record(
        {
            **payment,
            "invoice_id": None if purchase is None else purchase["provider_invoice_id"],
            "age_s": (t.now - row["created_at"]).total_seconds(),
        }
    )
