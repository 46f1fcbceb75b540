"""Orders: an immutable offer, and how far it has come."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.plain import legible
from storage.rows import (
    PurchaseDraft,
    PurchaseRow,
    PurchaseStatus,
    QuoteRow,
    SubscriptionStatus,
    UserStatus,
)

COLUMNS = """id, user_id, kind, plan_id, node_id, price, currency, period_s, provider, status,
    operation_id, chat_id, message_id, invoice_expires_at, fulfilled_at, created_at,
    provider_invoice_id, pay_url, decided_by, decided_at"""

CREATE = f"""
INSERT INTO purchases (id, user_id, kind, plan_id, node_id, price, currency, period_s, provider,
    operation_id, chat_id, invoice_expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, now() + $12)
RETURNING {COLUMNS}
"""  # noqa: S608 - constants of ours
OPEN = f"""
SELECT {COLUMNS} FROM purchases
WHERE user_id = $1 AND status IN ('created', 'awaiting_payment') AND invoice_expires_at > now()
ORDER BY created_at DESC
"""  # noqa: S608
READ = f"SELECT {COLUMNS} FROM purchases WHERE id = $1"  # noqa: S608
REOPEN = """
UPDATE purchases SET operation_id = $2
WHERE id = $1 AND status IN ('created', 'awaiting_payment')
"""
#: An invoice that is there stays, with its page: whoever made a second one pays the same order.
RECORD_INVOICE = """
UPDATE purchases SET status = 'awaiting_payment',
    pay_url = CASE WHEN provider_invoice_id IS NULL THEN $4 ELSE pay_url END,
    provider_invoice_id = coalesce(provider_invoice_id, $3)
WHERE id = $1 AND user_id = $2 AND status IN ('created', 'awaiting_payment')
"""
CANCEL = """
UPDATE purchases SET status = 'cancelled'
WHERE id = $1 AND user_id = $2 AND status IN ('created', 'awaiting_payment')
"""
CLAIM = """
UPDATE purchases SET status = 'awaiting_admin'
WHERE id = $1 AND user_id = $2 AND provider = 'manual'
    AND status IN ('created', 'awaiting_payment')
RETURNING 1
"""
#: Approved, an order stays as it is until its money is credited.
DECIDE = """
UPDATE purchases SET decided_by = $3, decided_at = now(),
    status = CASE WHEN $4 THEN status ELSE 'rejected' END
WHERE id = $1 AND user_id = $2 AND provider = 'manual' AND decided_at IS NULL
    AND (status = 'awaiting_admin' OR ($4 AND status IN ('created', 'awaiting_payment')))
RETURNING 1
"""
#: An order that other money paid for stays paid, and is not refunded while more is on its way back.
REFUND = """
UPDATE purchases SET status = $2 WHERE id = $1 AND status NOT IN ($2, 'refunded')
    AND NOT EXISTS (SELECT FROM payments WHERE purchase_id = $1
        AND (disposition = 'credited' OR ($2 = 'refunded' AND disposition = 'refund_pending')))
"""
#: An hour is more than any provider needs to tell of a payment that came in time.
CLOSE_EXPIRED = """
UPDATE purchases SET status = 'expired'
WHERE status IN ('created', 'awaiting_payment') AND decided_at IS NULL
    AND invoice_expires_at < now() - interval '1 hour'
"""
#: An order that is paid twice waits for access again, if access has ended since.
PAY = """
UPDATE purchases SET status = 'paid', kind = $2,
    fulfilled_at = CASE WHEN $3 THEN coalesce(fulfilled_at, now()) END
WHERE id = $1
"""
QUOTE = f"""
SELECT p.*, u.status AS user_status, coalesce(s.status, 'none') AS subscription_status,
    now() AS now
FROM (SELECT {COLUMNS} FROM purchases WHERE id = $1) p JOIN users u ON u.tg_id = p.user_id
LEFT JOIN subscriptions s ON s.user_id = p.user_id
"""  # noqa: S608
#: One payment of an order at a time: between the approval and the charge a second one could be
#: approved as well. Telegram charges within seconds; after that the first was given up.
APPROVE = """
UPDATE purchases SET approved_query = $2, approved_at = now()
WHERE id = $1 AND status IN ('created', 'awaiting_payment')
    AND (approved_query IS NULL OR approved_query = $2
        OR approved_at < now() - interval '30 seconds')
RETURNING 1
"""
LIVE_MESSAGE = "UPDATE purchases SET message_id = $2 WHERE id = $1"


async def create(connection: Connection, draft: PurchaseDraft) -> PurchaseRow:
    """Write a new order."""
    return purchase_row(
        await connection.fetchrow(
            CREATE,
            draft.id,
            draft.user_id,
            draft.kind,
            draft.plan_id,
            draft.node_id,
            draft.price,
            draft.currency,
            draft.period_s,
            draft.provider,
            draft.operation_id,
            draft.chat_id,
            timedelta(seconds=draft.open_for_s),
        )
    )


async def open_ones(connection: Connection, user_id: int) -> tuple[PurchaseRow, ...]:
    """Orders that may still be paid, newest first."""
    return tuple(purchase_row(found) for found in await connection.fetch(OPEN, user_id))


async def read(connection: Connection, purchase_id: UUID) -> PurchaseRow | None:
    """An order."""
    found = await connection.fetchrow(READ, purchase_id)
    return None if found is None else purchase_row(found)


async def reopen(connection: Connection, purchase_id: UUID, operation_id: str) -> None:
    """Remember the tap that last asked for the invoice."""
    await connection.execute(REOPEN, purchase_id, operation_id)


async def of_buyer(connection: Connection, purchase_id: UUID, user_id: int) -> PurchaseRow | None:
    """An order of this user; None for an unknown one, or somebody else's."""
    found = await read(connection, purchase_id)
    return found if found is not None and found.user_id == user_id else None


async def record_invoice(
    connection: Connection,
    purchase_id: UUID,
    user_id: int,
    provider_invoice_id: str | None,
    pay_url: str | None,
) -> None:
    """The invoice stands in the chat."""
    await connection.execute(RECORD_INVOICE, purchase_id, user_id, provider_invoice_id, pay_url)


async def cancel(connection: Connection, purchase_id: UUID, user_id: int) -> None:
    """Nothing is expected for an unpaid order any more."""
    await connection.execute(CANCEL, purchase_id, user_id)


async def claim(connection: Connection, purchase_id: UUID, user_id: int) -> bool:
    """The buyer says that an order was paid outside; False when it does not wait for that."""
    return await connection.fetchval(CLAIM, purchase_id, user_id) is not None


async def decide(
    connection: Connection, purchase_id: UUID, user_id: int, who: str, *, approve: bool
) -> bool:
    """An owner looked for the money; False when there is nothing left to decide."""
    decided = await connection.fetchval(DECIDE, purchase_id, user_id, legible(who), approve)
    return decided is not None


async def refund(connection: Connection, purchase_id: UUID, status: PurchaseStatus) -> None:
    """The order's money goes back, or is back; other money that paid it keeps it paid."""
    await connection.execute(REFUND, purchase_id, status)


async def close_expired(connection: Connection) -> int:
    """End orders whose invoices cannot be paid any more; how many."""
    return int((await connection.execute(CLOSE_EXPIRED)).split()[-1])


async def pay(connection: Connection, purchase_id: UUID, kind: str, *, fulfilled: bool) -> None:
    """The order's money counts; `fulfilled` when access was on already."""
    await connection.execute(PAY, purchase_id, kind, fulfilled)


async def quote(connection: Connection, purchase_id: UUID) -> QuoteRow | None:
    """What a pre-checkout question is answered from."""
    found = await connection.fetchrow(QUOTE, purchase_id)
    if found is None:
        return None
    return QuoteRow(
        now=found["now"],
        purchase=purchase_row(found),
        user_status=UserStatus(found["user_status"]),
        subscription_status=SubscriptionStatus(found["subscription_status"]),
    )


async def approve(connection: Connection, purchase_id: UUID, query_id: str) -> bool:
    """Let this pre-checkout question's payment happen, unless another one's is under way."""
    return await connection.fetchval(APPROVE, purchase_id, query_id) is not None


async def keep_live_message(connection: Connection, purchase_id: UUID, message_id: int) -> None:
    """Which message of the chat tells this order's progress."""
    await connection.execute(LIVE_MESSAGE, purchase_id, message_id)


def purchase_row(record: Any) -> PurchaseRow:
    """A row of `COLUMNS`."""
    return PurchaseRow(
        id=record["id"],
        user_id=record["user_id"],
        kind=record["kind"],
        plan_id=record["plan_id"],
        node_id=record["node_id"],
        price=record["price"],
        currency=record["currency"],
        period_s=record["period_s"],
        provider=record["provider"],
        status=PurchaseStatus(record["status"]),
        operation_id=record["operation_id"],
        chat_id=record["chat_id"],
        message_id=record["message_id"],
        invoice_expires_at=record["invoice_expires_at"],
        fulfilled_at=record["fulfilled_at"],
        created_at=record["created_at"],
        provider_invoice_id=record["provider_invoice_id"],
        pay_url=record["pay_url"],
        decided_by=record["decided_by"],
        decided_at=record["decided_at"],
    )
