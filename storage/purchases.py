"""Orders: an immutable offer, and how far it has come."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from storage.database import Connection
from storage.rows import (
    PurchaseDraft,
    PurchaseRow,
    PurchaseStatus,
    QuoteRow,
    SubscriptionStatus,
    UserStatus,
)

COLUMNS = """id, user_id, kind, plan_id, node_id, price, currency, period_s, provider, status,
    operation_id, chat_id, message_id, invoice_expires_at, fulfilled_at, created_at"""

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
AWAIT_PAYMENT = """
UPDATE purchases SET status = 'awaiting_payment' WHERE id = $1 AND user_id = $2
    AND status = 'created'
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


async def await_payment(connection: Connection, purchase_id: UUID, user_id: int) -> None:
    """The invoice stands in the chat."""
    await connection.execute(AWAIT_PAYMENT, purchase_id, user_id)


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
    )
