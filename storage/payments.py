"""Money that came in: one row for each charge of a provider, whatever becomes of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from storage.database import Connection
from storage.rows import Disposition, PaymentDraft, PaymentFlags, PaymentRow

COLUMNS = """provider, provider_payment_id, purchase_id, user_id, amount, currency, disposition,
    reason, received_at, number, provider_ref, refund_attempts"""

RECEIVE = """
INSERT INTO payments (provider, provider_payment_id, purchase_id, user_id, amount, currency,
    body_sha256, provider_ref)
VALUES ($1, $2, (SELECT id FROM purchases WHERE id = $3), $4, $5, $6, $7, $8)
ON CONFLICT (provider, provider_payment_id) DO NOTHING
"""
READ = f"SELECT {COLUMNS} FROM payments WHERE provider = $1 AND provider_payment_id = $2"  # noqa: S608 - a constant of ours
BY_NUMBER = f"SELECT {COLUMNS} FROM payments WHERE number = $1"  # noqa: S608
UNCREDITED = f"""
SELECT {COLUMNS} FROM payments
WHERE disposition = 'received' AND received_at < now() - $1::interval
ORDER BY received_at LIMIT $2
"""  # noqa: S608
HELD = f"""
SELECT {COLUMNS} FROM payments WHERE disposition = 'mismatch' ORDER BY received_at LIMIT $1
"""  # noqa: S608
HELD_TOO_LONG = f"""
SELECT {COLUMNS} FROM payments
WHERE disposition = 'mismatch' AND coalesce(settled_at, received_at) < now() - $1::interval
ORDER BY received_at LIMIT $2
"""  # noqa: S608
KNOWN = """
SELECT provider_payment_id FROM payments WHERE provider = $1 AND provider_payment_id = ANY($2)
"""
RETURNED = f"{KNOWN} AND disposition IN ('refund_pending', 'refunded')"
#: Only what still stands as it was decided from; money that went back never comes back.
SETTLE = """
UPDATE payments SET disposition = $4, reason = $5, late = $6, over = $7, duplicate_invoice = $8,
    settled_at = now(), refunded_at = CASE WHEN $4 = 'refunded' THEN now() END
WHERE provider = $1 AND provider_payment_id = $2 AND disposition = $3
    AND disposition IN ('received', 'mismatch')
RETURNING 1
"""
GIVE_BACK = """
UPDATE payments SET disposition = $4, reason = coalesce($5, reason),
    refunded_at = CASE WHEN $4 = 'refunded' THEN now() END
WHERE provider = $1 AND provider_payment_id = $2 AND disposition = $3
RETURNING 1
"""


async def receive(connection: Connection, draft: PaymentDraft) -> PaymentRow:
    """Record a charge, or find the record that it already has."""
    await connection.execute(
        RECEIVE,
        draft.provider,
        draft.provider_payment_id,
        draft.purchase_id,
        draft.user_id,
        draft.amount,
        draft.currency,
        draft.body_sha256,
        draft.provider_ref,
    )
    found = await connection.fetchrow(READ, draft.provider, draft.provider_payment_id)
    return payment_row(found)


async def read(
    connection: Connection, provider: str, provider_payment_id: str
) -> PaymentRow | None:
    """A charge, if it was recorded."""
    found = await connection.fetchrow(READ, provider, provider_payment_id)
    return None if found is None else payment_row(found)


async def by_number(connection: Connection, number: int) -> PaymentRow | None:
    """A charge by what people call it."""
    found = await connection.fetchrow(BY_NUMBER, number)
    return None if found is None else payment_row(found)


async def uncredited(connection: Connection, older_than_s: float, limit: int) -> list[PaymentRow]:
    """Charges that nobody has decided about, oldest first."""
    older_than = timedelta(seconds=older_than_s)
    return [payment_row(found) for found in await connection.fetch(UNCREDITED, older_than, limit)]


async def held(connection: Connection, limit: int) -> list[PaymentRow]:
    """Money kept aside, oldest first."""
    return [payment_row(found) for found in await connection.fetch(HELD, limit)]


async def held_too_long(connection: Connection, after_s: float, limit: int) -> list[PaymentRow]:
    """Money that has been kept aside for so long, oldest first."""
    after = timedelta(seconds=after_s)
    return [payment_row(found) for found in await connection.fetch(HELD_TOO_LONG, after, limit)]


async def known(connection: Connection, provider: str, ids: Sequence[str]) -> set[str]:
    """Those of these charges that were recorded."""
    return {found[0] for found in await connection.fetch(KNOWN, provider, list(ids))}


async def returned(connection: Connection, provider: str, ids: Sequence[str]) -> set[str]:
    """Those of these charges that went back, or are on their way."""
    return {found[0] for found in await connection.fetch(RETURNED, provider, list(ids))}


async def settle(
    connection: Connection,
    payment: PaymentRow,
    disposition: Disposition,
    flags: PaymentFlags,
    reason: str | None = None,
) -> bool:
    """Decide what becomes of a charge; False when it does not stand as `payment` says any more."""
    settled = await connection.fetchval(
        SETTLE,
        payment.provider,
        payment.provider_payment_id,
        payment.disposition,
        disposition,
        reason,
        flags.late,
        flags.over,
        flags.duplicate_invoice,
    )
    return settled is not None


async def give_back(
    connection: Connection,
    payment: PaymentRow,
    disposition: Disposition,
    reason: str | None = None,
) -> bool:
    """Money goes back, or is back; False when it does not stand as `payment` says any more."""
    moved = await connection.fetchval(
        GIVE_BACK,
        payment.provider,
        payment.provider_payment_id,
        payment.disposition,
        disposition,
        reason,
    )
    return moved is not None


def payment_row(record: Any) -> PaymentRow:
    """A row of `COLUMNS`."""
    return PaymentRow(
        provider=record["provider"],
        provider_payment_id=record["provider_payment_id"],
        purchase_id=record["purchase_id"],
        user_id=record["user_id"],
        amount=record["amount"],
        currency=record["currency"],
        disposition=Disposition(record["disposition"]),
        reason=record["reason"],
        received_at=record["received_at"],
        number=record["number"],
        provider_ref=record["provider_ref"],
        refund_attempts=record["refund_attempts"],
    )
