"""Twins of `storage.payments`."""

from datetime import timedelta
from operator import itemgetter
from uuid import UUID

from storage import payments
from tests.simulation.twin.registry import Answer, Record, picker, statement, tally
from tests.simulation.twin.tables import Tables

pick = picker(payments.COLUMNS)
received_at = itemgetter("received_at")


@statement(payments.RECEIVE, "e3d19516")
def receive(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    provider: str,
    payment_id: str,
    purchase_id: UUID | None,
    user_id: int,
    amount: int,
    currency: str,
    body_sha256: bytes,
    provider_ref: str | None,
) -> Answer:
    _, fresh = t.payments.insert_unless(
        "payments_pkey",
        provider=provider,
        provider_payment_id=payment_id,
        purchase_id=purchase_id if purchase_id in t.purchases.rows else None,
        user_id=user_id,
        amount=amount,
        currency=currency,
        body_sha256=body_sha256,
        provider_ref=provider_ref,
    )
    return int(fresh)


@statement(payments.READ, "726f0c9d")
def read(t: Tables, provider: str, payment_id: str) -> Answer:
    row = t.payments.get((provider, payment_id))
    return [] if row is None else [pick(row)]


@statement(payments.BY_NUMBER, "3679048f")
def by_number(t: Tables, number: int) -> Answer:
    row = t.payments.first("number", number)
    return [] if row is None else [pick(row)]


@statement(payments.UNCREDITED, "b194d909")
def uncredited(t: Tables, older_than: timedelta, limit: int) -> Answer:
    found = [
        row
        for row in t.payments.by("disposition", "received")
        if row["received_at"] < t.now - older_than
    ]
    found.sort(key=received_at)
    return [pick(row) for row in found[:limit]]


@statement(payments.HELD, "f8225548")
def held(t: Tables, limit: int) -> Answer:
    found = sorted(t.payments.by("disposition", "mismatch"), key=received_at)
    return [pick(row) for row in found[:limit]]


@statement(payments.HELD_TOO_LONG, "ae1d699e")
def held_too_long(t: Tables, after: timedelta, limit: int) -> Answer:
    found = [
        row
        for row in t.payments.by("disposition", "mismatch")
        if (row["settled_at"] or row["received_at"]) < t.now - after
    ]
    found.sort(key=received_at)
    return [pick(row) for row in found[:limit]]


@statement(payments.KNOWN, "404143cb")
def known(t: Tables, provider: str, ids: list[str]) -> Answer:
    return [
        Record(provider_payment_id=payment_id)
        for payment_id in dict.fromkeys(ids)
        if (provider, payment_id) in t.payments.rows
    ]


@statement(payments.RETURNED, "07ad3d11")
def returned(t: Tables, provider: str, ids: list[str]) -> Answer:
    found = (t.payments.get((provider, payment_id)) for payment_id in dict.fromkeys(ids))
    return [
        Record(provider_payment_id=row["provider_payment_id"])
        for row in found
        if row is not None and row["disposition"] in {"refund_pending", "refunded"}
    ]


@statement(payments.SETTLE, "2cfde877")
def settle(  # noqa: PLR0913, PLR0917 - the statement's
    t: Tables,
    provider: str,
    payment_id: str,
    stands: str,
    disposition: str,
    reason: str | None,
    late: bool,
    over: bool,
    duplicate_invoice: bool,
) -> Answer:
    row = t.payments.get((provider, payment_id))
    if row is None or row["disposition"] != stands or stands not in {"received", "mismatch"}:
        return []
    t.payments.update(
        row,
        disposition=disposition,
        reason=reason,
        late=late,
        over=over,
        duplicate_invoice=duplicate_invoice,
        settled_at=t.now,
        refunded_at=t.now if disposition == "refunded" else None,
    )
    return tally(1)


@statement(payments.GIVE_BACK, "61bf8a10")
def give_back(
    t: Tables, provider: str, payment_id: str, stands: str, disposition: str, reason: str | None
) -> Answer:
    row = t.payments.get((provider, payment_id))
    if row is None or row["disposition"] != stands:
        return []
    t.payments.update(
        row,
        disposition=disposition,
        reason=row["reason"] if reason is None else reason,
        refunded_at=t.now if disposition == "refunded" else None,
    )
    return tally(1)
