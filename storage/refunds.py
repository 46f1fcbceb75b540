"""Money on its way back: one outbox row a payment, due until the provider says that it is there."""

from collections.abc import Sequence
from datetime import timedelta

from storage import outbox, payments
from storage.database import Connection
from storage.rows import AlertDraft, PaymentRow, RefundOrder

ENQUEUE = """
INSERT INTO outbox (kind, user_id, dedupe_key, payload)
VALUES ('refund', $1, $2, jsonb_build_object('provider', $3::text, 'payment', $4::text))
ON CONFLICT (dedupe_key) DO NOTHING
"""
DUE = """
SELECT p.*, o.provider_invoice_id AS invoice_id,
    extract(epoch FROM now() - b.created_at)::float8 AS age_s
FROM outbox b
    JOIN payments p ON p.provider = b.payload->>'provider'
        AND p.provider_payment_id = b.payload->>'payment'
    LEFT JOIN purchases o ON o.id = p.purchase_id
WHERE b.kind = 'refund' AND b.state = 'due' AND b.next_at <= now()
    AND p.disposition = 'refund_pending'
ORDER BY b.next_at LIMIT $1
"""
#: Counted before the call, so that one which kills the process counts too. Lock order: payment,
#: outbox, as when the money is back.
BEGIN = """
WITH counted AS (
    UPDATE payments SET refund_attempts = refund_attempts + 1
    WHERE provider = $2 AND provider_payment_id = $3 AND disposition = 'refund_pending'
        AND EXISTS (SELECT FROM outbox WHERE dedupe_key = $1 AND state = 'due')
    RETURNING 1
)
UPDATE outbox b SET attempts = b.attempts + 1, next_at = now() + $4
FROM counted WHERE b.dedupe_key = $1 AND b.state = 'due'
RETURNING 1
"""
POSTPONE = "UPDATE outbox SET next_at = now() + $2 WHERE dedupe_key = $1 AND state = 'due'"
BY_HAND = "UPDATE outbox SET state = 'failed' WHERE dedupe_key = $1 AND state = 'due' RETURNING 1"
DONE = "UPDATE outbox SET state = 'sent', sent_at = now() WHERE dedupe_key = $1"
BY_HAND_NOW = "SELECT EXISTS (SELECT FROM outbox WHERE dedupe_key = $1 AND state = 'failed')"
RESUME = """
UPDATE outbox SET next_at = now() WHERE kind = 'refund' AND state = 'due' AND next_at > now()
"""


async def enqueue(connection: Connection, payment: PaymentRow) -> None:
    """The provider is to be asked to give this money back."""
    await connection.execute(
        ENQUEUE, payment.user_id, _key(payment), payment.provider, payment.provider_payment_id
    )


async def due(connection: Connection, limit: int) -> list[RefundOrder]:
    """What a provider should be asked to give back now, longest waiting first."""
    return [
        RefundOrder(
            payment=payments.payment_row(found),
            invoice_id=found["invoice_id"],
            age_s=found["age_s"],
        )
        for found in await connection.fetch(DUE, limit)
    ]


async def begin(connection: Connection, order: RefundOrder, busy_for_s: float) -> bool:
    """Count an attempt before it is made; False when there is nothing to give back any more."""
    payment = order.payment
    begun = await connection.fetchval(
        BEGIN,
        _key(payment),
        payment.provider,
        payment.provider_payment_id,
        timedelta(seconds=busy_for_s),
    )
    return begun is not None


async def postpone(connection: Connection, order: RefundOrder, after_s: float) -> None:
    """Ask again later."""
    await connection.execute(POSTPONE, _key(order.payment), timedelta(seconds=after_s))


async def by_hand(connection: Connection, order: RefundOrder, alerts: Sequence[AlertDraft]) -> None:
    """The provider is not asked any more: an owner has to do it, and hears so once."""
    if await connection.fetchval(BY_HAND, _key(order.payment)) is not None:
        await outbox.alert(connection, alerts)


async def waits_for_hand(connection: Connection, payment: PaymentRow) -> bool:
    """Whether the provider is asked no more, so that only an owner can give the money back."""
    waits: bool = await connection.fetchval(BY_HAND_NOW, _key(payment))
    return waits


async def done(connection: Connection, payment: PaymentRow) -> None:
    """The money is back."""
    await connection.execute(DONE, _key(payment))


async def resume(connection: Connection) -> None:
    """Nobody waits for the timer of a process that is gone."""
    await connection.execute(RESUME)


def _key(payment: PaymentRow) -> str:
    return f"refund:{payment.provider}:{payment.provider_payment_id}"
