"""Transactions of purchases across aggregates: intent before an outside call, outcome after it.

Each is one function, safe to repeat, and holds no connection when it returns.
"""

from uuid import UUID

from storage import (
    credentials,
    nodes,
    outbox,
    payments,
    purchases,
    subscriptions,
    users,
)
from storage.database import Connection, Database
from storage.links import LinkCipher
from storage.rows import (
    AlertNews,
    Confirmed,
    CredentialRow,
    Credit,
    Desired,
    Disposition,
    Hold,
    LinkNews,
    NodeRow,
    OutboxRow,
    PaymentDraft,
    PaymentFlags,
    PaymentRow,
    PurchaseDraft,
    PurchaseNews,
    PurchaseRow,
    PurchaseStatus,
    QuoteRow,
    SubscriptionStatus,
    Superseded,
    UserRecord,
    UserRow,
)

NOW = "SELECT now()"
#: A raised generation that waits for its confirmation leaves the link what it was.
LINK = """
SELECT link_enc FROM credentials
WHERE subscription_id = $1 AND desired = 'present' AND link_enc IS NOT NULL
ORDER BY first_applied_at DESC LIMIT 1
"""


#: An owner who never wrote to the bot cannot be reached before that, and no row says when, seconds.
STRANGER_WAIT_S = 300.0


class UserPhases:
    """What a user's actor reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def load(self, user_id: int) -> UserRecord:
        """All rows of a user, and the database's clock."""
        async with self._database.read() as connection:
            return await _record_of(connection, user_id)

    async def introduce(self, user_id: int, language: str) -> UserRow:
        """Someone wrote: make the row if it is not there."""
        async with self._database.transaction() as connection:
            return await users.introduce(connection, user_id, language)

    async def choose_language(self, user_id: int, language: str) -> None:
        """Speak this language from now on."""
        async with self._database.transaction() as connection:
            await users.choose_language(connection, user_id, language)

    async def open_purchase(self, draft: PurchaseDraft) -> PurchaseRow:
        """Write a new order."""
        async with self._database.transaction() as connection:
            return await purchases.create(connection, draft)

    async def reopen_purchase(self, purchase_id: UUID, operation_id: str) -> None:
        """The invoice of an open order is asked for by another tap."""
        async with self._database.transaction() as connection:
            await purchases.reopen(connection, purchase_id, operation_id)

    async def await_payment(self, purchase_id: UUID, user_id: int) -> None:
        """The invoice stands in the chat."""
        async with self._database.transaction() as connection:
            await purchases.await_payment(connection, purchase_id, user_id)

    async def receive_payment(self, draft: PaymentDraft) -> tuple[PaymentRow, PurchaseRow | None]:
        """Record a charge before anything is decided about it."""
        async with self._database.transaction() as connection:
            payment = await payments.receive(connection, draft)
            if payment.purchase_id is None:
                return payment, None
            return payment, await purchases.read(connection, payment.purchase_id)

    async def record_credit(self, credit: Credit) -> None:
        """Money becomes time, and a uuid to be let in: the intent behind the node call.

        Raises:
            VersionConflict: the subscription changed since it was read.
        """
        async with self._database.transaction() as connection:
            if not await payments.settle(
                connection, credit.payment, Disposition.CREDITED, credit.flags
            ):
                return
            await subscriptions.change(connection, credit.before, credit.after, credit.entry)
            if credit.wish is not None:
                await credentials.wish(connection, credit.after.id, credit.wish)
            await purchases.pay(
                connection,
                credit.purchase.id,
                credit.kind,
                fulfilled=credit.after.status is SubscriptionStatus.ACTIVE,
            )
            await outbox.purchase_news(connection, credit.purchase.id)

    async def record_hold(self, hold: Hold) -> None:
        """Money is kept aside for an operator."""
        async with self._database.transaction() as connection:
            settled = await payments.settle(
                connection, hold.payment, Disposition.MISMATCH, PaymentFlags(), hold.reason
            )
            if settled and hold.purchase is not None:
                await outbox.purchase_news(connection, hold.purchase.id)

    def open_link(self, credential: CredentialRow) -> str:
        """The link that the node gave for a credential."""
        return self._cipher.open(credential.link_enc or b"")


class NodePhases:
    """What a node's actor reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def node(self, node_id: str) -> NodeRow | None:
        """What the database knows of a node."""
        async with self._database.read() as connection:
            return await nodes.read(connection, node_id)

    async def database_id(self) -> UUID:
        """Which database this is."""
        async with self._database.read() as connection:
            return await nodes.database_id(connection)

    async def resume(self, node_id: str) -> None:
        """At start: what a dead process left is due at once."""
        async with self._database.transaction() as connection:
            await credentials.resume(connection, node_id)

    async def learn_epoch(self, node_id: str, epoch: UUID) -> bool:
        """Remember which store the node has; a store that took another's place is told all again.

        Returns:
            Whether that was so. On first contact there is nothing to repeat.
        """
        async with self._database.transaction() as connection:
            replaced = await nodes.learn_epoch(connection, node_id, epoch)
            if replaced:
                await credentials.redrive(connection, node_id)
            return replaced

    async def due(self, node_id: str, limit: int, besides: list[UUID]) -> list[CredentialRow]:
        """Wishes that the node has not confirmed."""
        async with self._database.read() as connection:
            return await credentials.due(connection, node_id, limit, besides)

    async def begin(self, row: CredentialRow, busy_for_s: float) -> tuple[int, int] | None:
        """Count an attempt, before it is made."""
        async with self._database.transaction() as connection:
            return await credentials.begin(connection, row, busy_for_s)

    async def record_outcome(
        self, row: CredentialRow, link: str | None, seq: int
    ) -> Confirmed | Superseded:
        """The node did what this wish asked; the first access starts the paid time."""
        stored = self._cipher.close(link) if link is not None else None
        async with self._database.transaction() as connection:
            await nodes.acknowledge(connection, row.node_id, seq)
            return await credentials.confirm(connection, row.uuid, row.gen, stored)

    async def postpone(self, row: CredentialRow, after_s: float, error_class: str) -> None:
        """The node did not do it; whoever waits is told that it takes longer."""
        async with self._database.transaction() as connection:
            await credentials.postpone(connection, row.uuid, row.gen, after_s, error_class)
            await _tell_of_delay(connection, row)

    async def quarantine(self, row: CredentialRow, error_class: str) -> None:
        """The node will never take this wish: whoever waits is told, an operator looks at it."""
        async with self._database.transaction() as connection:
            await credentials.quarantine(connection, row.uuid, row.gen, error_class)
            await _tell_of_delay(connection, row)

    async def generation(self, uuid: UUID) -> int:
        """The present generation of a uuid."""
        async with self._database.read() as connection:
            return await credentials.generation(connection, uuid)


class NoticePhases:
    """What the notifier reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def due(self, limit: int) -> list[OutboxRow]:
        """What should be told now."""
        async with self._database.read() as connection:
            return await outbox.due(connection, limit)

    async def news(self, row: OutboxRow) -> PurchaseNews | LinkNews | AlertNews | None:
        """The rows behind a message, as they are now; None when there is nothing left to tell."""
        async with self._database.read() as connection:
            if row.payload["notice"] == "alert":
                return await _alert_news(connection, row)
            user = await users.read(connection, row.user_id or 0)
            if user is None:
                return None
            if row.payload["notice"] == "link":
                return await self._link_news(connection, user)
            return await _purchase_news(connection, user, UUID(row.payload["purchase_id"]))

    async def begin(self, row: OutboxRow, busy_for_s: float) -> bool:
        """Count an attempt before it is made; False when there is nothing to do about this row."""
        async with self._database.transaction() as connection:
            return await outbox.begin(connection, row, busy_for_s)

    async def resume(self) -> None:
        """At start: what a dead process left is due at once."""
        async with self._database.transaction() as connection:
            await outbox.resume(connection)

    async def sent(self, row: OutboxRow, message_id: int) -> None:
        """Told, by this message of the chat."""
        async with self._database.transaction() as connection:
            if row.payload["notice"] == "purchase":
                purchase_id = UUID(row.payload["purchase_id"])
                await purchases.keep_live_message(connection, purchase_id, message_id)
            await outbox.sent(connection, row)

    async def postpone(self, row: OutboxRow, after_s: float) -> None:
        """Tell it later."""
        async with self._database.transaction() as connection:
            await outbox.postpone(connection, row, after_s)

    async def cannot_reach(self, row: OutboxRow) -> None:
        """The user blocked the bot: everything for that user waits."""
        async with self._database.transaction() as connection:
            known = await users.read(connection, row.listener) is not None
            await users.set_reachable(connection, row.listener, reachable=False)
            await outbox.postpone(connection, row, 0 if known else STRANGER_WAIT_S)

    async def drop(self, row: OutboxRow) -> None:
        """There is nothing left to tell."""
        async with self._database.transaction() as connection:
            await outbox.fail(connection, row)

    async def _link_news(self, connection: Connection, user: UserRow) -> LinkNews | None:
        subscription = await subscriptions.read(connection, user.tg_id)
        if subscription is None:
            return None
        stored: bytes | None = await connection.fetchval(LINK, subscription.id)
        if stored is None:
            return None
        return LinkNews(user=user, subscription=subscription, link=self._cipher.open(stored))


class PostgresQueries:
    """Reads of the bot that need no order among a user's commands."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def language(self, user_id: int) -> str | None:
        """The language that a user chose; None for a stranger."""
        async with self._database.read() as connection:
            return await users.language(connection, user_id)

    async def quote(self, purchase_id: UUID) -> QuoteRow | None:
        """An order as it stands now."""
        async with self._database.read() as connection:
            return await purchases.quote(connection, purchase_id)

    async def approve(self, purchase_id: UUID, query_id: str) -> bool:
        """Let a payment happen, unless another one of the same order is under way."""
        async with self._database.transaction() as connection:
            return await purchases.approve(connection, purchase_id, query_id)

    async def reachable(self, user_id: int, *, reachable: bool) -> None:
        """Note that a user blocked the bot, or came back."""
        async with self._database.transaction() as connection:
            await users.set_reachable(connection, user_id, reachable=reachable)


async def announce_nodes(database: Database, node_ids: list[str]) -> dict[str, int]:
    """Make the rows of configured nodes.

    Returns:
        Nodes that are not configured any more, and how many users they should let in.
    """
    async with database.transaction() as connection:
        await nodes.announce(connection, node_ids)
        return await nodes.forgotten(connection, node_ids)


async def _record_of(connection: Connection, user_id: int) -> UserRecord:
    subscription = await subscriptions.read(connection, user_id)
    return UserRecord(
        user=await users.read(connection, user_id),
        subscription=subscription,
        credentials=(
            await credentials.of_subscription(connection, subscription.id) if subscription else ()
        ),
        open_purchases=await purchases.open_ones(connection, user_id),
        now=await connection.fetchval(NOW),
    )


async def _tell_of_delay(connection: Connection, row: CredentialRow) -> None:
    """Once, at the first failure: the news of a delay does not change with its length."""
    if row.last_class is None and row.desired is Desired.PRESENT:
        for purchase_id in await outbox.unfulfilled(connection, row.subscription_id):
            await outbox.purchase_news(connection, purchase_id)


async def _alert_news(connection: Connection, row: OutboxRow) -> AlertNews:
    owner = row.payload["owner"]
    return AlertNews(
        owner=owner,
        language=await users.language(connection, owner),
        text_id=row.payload["text_id"],
        arguments=row.payload["arguments"],
    )


async def _purchase_news(
    connection: Connection, user: UserRow, purchase_id: UUID
) -> PurchaseNews | None:
    purchase = await purchases.read(connection, purchase_id)
    if purchase is None:
        return None
    subscription = await subscriptions.read(connection, user.tg_id)
    owned = await credentials.of_subscription(connection, subscription.id) if subscription else ()
    return PurchaseNews(
        user=user,
        purchase=purchase,
        subscription=subscription,
        held=purchase.status is not PurchaseStatus.PAID,
        delayed=any(
            not credential.applied and credential.last_class is not None for credential in owned
        ),
    )
