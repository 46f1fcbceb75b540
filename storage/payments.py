"""Money that came in: one row for each charge of a provider, whatever becomes of it."""

from typing import Any

from storage.database import Connection
from storage.rows import Disposition, PaymentDraft, PaymentFlags, PaymentRow

COLUMNS = """provider, provider_payment_id, purchase_id, user_id, amount, currency, disposition,
    reason, received_at"""

RECEIVE = """
INSERT INTO payments (provider, provider_payment_id, purchase_id, user_id, amount, currency,
    body_sha256)
VALUES ($1, $2, (SELECT id FROM purchases WHERE id = $3), $4, $5, $6, $7)
ON CONFLICT (provider, provider_payment_id) DO NOTHING
"""
READ = f"SELECT {COLUMNS} FROM payments WHERE provider = $1 AND provider_payment_id = $2"  # noqa: S608 - a constant of ours
SETTLE = """
UPDATE payments SET disposition = $3, reason = $4, late = $5, over = $6, duplicate_invoice = $7
WHERE provider = $1 AND provider_payment_id = $2 AND disposition = 'received'
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
    )
    found = await connection.fetchrow(READ, draft.provider, draft.provider_payment_id)
    return payment_row(found)


async def settle(
    connection: Connection,
    payment: PaymentRow,
    disposition: Disposition,
    flags: PaymentFlags,
    reason: str | None = None,
) -> bool:
    """Decide what becomes of a charge; False when that was decided before."""
    settled = await connection.fetchval(
        SETTLE,
        payment.provider,
        payment.provider_payment_id,
        disposition,
        reason,
        flags.late,
        flags.over,
        flags.duplicate_invoice,
    )
    return settled is not None


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
    )
