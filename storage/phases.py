"""Transactions of purchases across aggregates: intent before an outside call, outcome after it.

Each is one function, safe to repeat, and holds no connection when it returns.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from storage import (
    access,
    admin_actions,
    credentials,
    expiry,
    inbox,
    nodes,
    outbox,
    payments,
    placement,
    pollers,
    purchases,
    records,
    refunds,
    subscriptions,
    users,
)
from storage import story as stories
from storage.database import Connection, Database
from storage.errors import RecordedBefore
from storage.expiry import ExpiryStanding, Reminder
from storage.links import LinkCipher
from storage.phase import phases
from storage.rows import (
    AccessChange,
    ActDraft,
    AlertDraft,
    AlertNews,
    CredentialRow,
    Credit,
    Disposition,
    Hold,
    LinkNews,
    NewsDraft,
    OutboxRow,
    PaymentDraft,
    PaymentFlags,
    PaymentRow,
    PersonalNews,
    PollerRow,
    PurchaseDraft,
    PurchaseNews,
    PurchaseRow,
    PurchaseStatus,
    QuoteRow,
    Refund,
    RefundOrder,
    StoryRow,
    SubscriptionStatus,
    UserRecord,
    UserRow,
)

#: A raised generation that waits for its confirmation leaves the link what it was. A move is news
#: when the link works for the first time, and to whoever had one before.
LINK = """
SELECT c.link_enc, c.origin = 'move' AND c.applied_at = c.first_applied_at AND EXISTS (
    SELECT FROM credentials old
    WHERE old.uuid = c.replaces AND old.first_applied_at IS NOT NULL) AS moved
FROM credentials c
WHERE c.subscription_id = $1 AND c.desired = 'present' AND c.link_enc IS NOT NULL
ORDER BY c.first_applied_at DESC LIMIT 1
"""


#: The name of the sweep that ends access.
EXPIRY_SWEEP = "expiry"
#: An owner who never wrote to the bot cannot be reached before that, and no row says when, seconds.
STRANGER_WAIT_S = 300.0


@phases
class UserPhases:
    """What a user's actor reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def load(self, user_id: int) -> UserRecord:
        """All rows of a user, and the database's clock."""
        async with self._database.read() as connection:
            return await records.of_user(connection, user_id)

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

    async def purchase(self, purchase_id: UUID) -> PurchaseRow | None:
        """An order, whoever's it is."""
        async with self._database.read() as connection:
            return await purchases.read(connection, purchase_id)

    async def alert(self, alerts: Sequence[AlertDraft]) -> None:
        """Tell owners of what changed nothing else."""
        async with self._database.transaction() as connection:
            await outbox.alert(connection, alerts)

    async def record_invoice(
        self,
        purchase_id: UUID,
        user_id: int,
        provider_invoice_id: str | None,
        pay_url: str | None,
    ) -> None:
        """The invoice stands in the chat; a provider's own that is there already stays."""
        async with self._database.transaction() as connection:
            await purchases.record_invoice(
                connection, purchase_id, user_id, provider_invoice_id, pay_url
            )

    async def cancel_order(self, purchase_id: UUID, user_id: int) -> PurchaseRow | None:
        """Nothing is expected for an unpaid order any more.

        Returns:
            The order as it is then; None for an unknown one, or somebody else's.
        """
        async with self._database.transaction() as connection:
            await purchases.cancel(connection, purchase_id, user_id)
            return await purchases.of_buyer(connection, purchase_id, user_id)

    async def claim_paid(
        self, purchase_id: UUID, user_id: int, alerts: Sequence[AlertDraft]
    ) -> PurchaseRow | None:
        """An order was paid outside, says the buyer: owners are asked, once.

        Returns:
            The order as it is then; None for an unknown one, or somebody else's.
        """
        async with self._database.transaction() as connection:
            if await purchases.claim(connection, purchase_id, user_id):
                await outbox.alert(connection, alerts)
            return await purchases.of_buyer(connection, purchase_id, user_id)

    async def receive_payment(self, draft: PaymentDraft) -> tuple[PaymentRow, PurchaseRow | None]:
        """Record a charge before anything is decided about it."""
        async with self._database.transaction() as connection:
            payment = await payments.receive(connection, draft)
            return payment, await _order_of(connection, payment)

    async def payment(
        self, provider: str, provider_payment_id: str
    ) -> tuple[PaymentRow, PurchaseRow | None] | None:
        """A charge and its order; None for an unknown charge."""
        async with self._database.read() as connection:
            payment = await payments.read(connection, provider, provider_payment_id)
            if payment is None:
                return None
            return payment, await _order_of(connection, payment)

    async def record_credit(self, credit: Credit) -> None:
        """Money becomes time, and a uuid to be let in: the intent behind the node call.

        Money that does not stand any more where it was decided about changes nothing.

        Raises:
            VersionConflict: the subscription changed since it was read.
        """
        async with self._database.transaction() as connection:
            if not await payments.settle(
                connection, credit.payment, Disposition.CREDITED, credit.flags
            ):
                return
            await access.change(connection, credit.change)
            after = credit.change.after
            running = after is not None and after.status is SubscriptionStatus.ACTIVE
            await purchases.pay(connection, credit.purchase.id, credit.kind, fulfilled=running)
            await outbox.purchase_news(connection, credit.purchase.id)

    async def record_hold(self, hold: Hold) -> None:
        """Money is kept aside for an owner, or goes back at once."""
        aside = Disposition.REFUND_PENDING if hold.refund else Disposition.MISMATCH
        async with self._database.transaction() as connection:
            if not await payments.settle(
                connection, hold.payment, aside, PaymentFlags(), hold.reason
            ):
                return
            if hold.refund:
                await refunds.enqueue(connection, hold.payment)
                await _move_order(connection, hold.payment, PurchaseStatus.REFUND_PENDING)
            elif hold.purchase is not None:
                await outbox.purchase_news(connection, hold.purchase.id)
            else:  # no order has a message that could say so
                await outbox.news(connection, _of_money("held", hold.payment))
            await outbox.alert(connection, hold.alerts)

    async def record_refund(self, refund: Refund) -> bool:
        """Money goes back, and what it bought ends: the intent behind the provider's call.

        Returns:
            False when that was done before; then nothing is written.

        Raises:
            VersionConflict: the subscription changed since it was read.
        """
        try:
            async with self._database.transaction() as connection:
                await _record_refund(connection, refund)
        except RecordedBefore:
            return False
        return True

    async def waits_for_hand(self, payment: PaymentRow) -> bool:
        """Whether a refund is an owner's to make: the provider is asked no more."""
        async with self._database.read() as connection:
            return await refunds.waits_for_hand(connection, payment)

    async def record_refunded(
        self, provider: str, provider_payment_id: str, act: ActDraft | None
    ) -> bool:
        """The money is back at its payer; False when it was not on its way."""
        try:
            async with self._database.transaction() as connection:
                payment = await payments.read(connection, provider, provider_payment_id)
                if payment is None or payment.disposition is not Disposition.REFUND_PENDING:
                    return False
                await _record_arrival(connection, payment, act)
        except RecordedBefore:
            return False
        return True

    async def record_change(self, change: AccessChange) -> bool:
        """Everything that one command makes of a user's access.

        Returns:
            False when the very same act, or source of time, was recorded before; then nothing is
            written.

        Raises:
            VersionConflict: the subscription changed since it was read.
        """
        try:
            async with self._database.transaction() as connection:
                await access.change(connection, change)
        except RecordedBefore:
            return False
        return True

    async def decide_manual(
        self,
        purchase_id: UUID,
        user_id: int,
        *,
        approve: bool,
        act: ActDraft,
        payment: PaymentDraft | None,
    ) -> PurchaseRow | None:
        """An owner found the money of an order that is paid outside, or did not; the first counts.

        Returns:
            The order as it is then: its `decided_by` is who was first. None for an unknown one, or
            somebody else's.
        """
        try:
            async with self._database.transaction() as connection:
                if await purchases.decide(
                    connection, purchase_id, user_id, act.actor, approve=approve
                ):
                    await admin_actions.act(connection, act)
                    if payment is not None and approve:
                        await payments.receive(connection, payment)
                    if not approve:
                        await outbox.news(connection, _rejected(purchase_id, user_id))
        except RecordedBefore:
            pass
        async with self._database.read() as connection:
            return await purchases.of_buyer(connection, purchase_id, user_id)

    async def given_today(self) -> int:
        """Seconds that the whole shop gave away within a day, by grants and trials."""
        async with self._database.read() as connection:
            return await records.given_today(connection)

    def open_link(self, credential: CredentialRow) -> str:
        """The link that the node gave for a credential."""
        return self._cipher.open(credential.link_enc or b"")


@phases
class PaymentPhases:
    """What the payment actors read and write."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def uncredited(self, older_than_s: float, limit: int) -> list[PaymentRow]:
        """Charges that nobody decided about for so long, oldest first."""
        async with self._database.read() as connection:
            return await payments.uncredited(connection, older_than_s, limit)

    async def held_too_long(self, after_s: float, limit: int) -> list[PaymentRow]:
        """Money that has been kept aside for so long, oldest first."""
        async with self._database.read() as connection:
            return await payments.held_too_long(connection, after_s, limit)

    async def refunds_due(self, limit: int) -> list[RefundOrder]:
        """What a provider should be asked to give back now."""
        async with self._database.read() as connection:
            return await refunds.due(connection, limit)

    async def begin_refund(self, order: RefundOrder, busy_for_s: float) -> bool:
        """Count an attempt before it is made; False when there is nothing to give back."""
        async with self._database.transaction() as connection:
            return await refunds.begin(connection, order, busy_for_s)

    async def postpone_refund(
        self, order: RefundOrder, after_s: float, alerts: Sequence[AlertDraft] = ()
    ) -> None:
        """Ask the provider again later; `alerts` that were told before are not told again."""
        async with self._database.transaction() as connection:
            await refunds.postpone(connection, order, after_s)
            await outbox.alert(connection, alerts)

    async def refund_by_hand(self, order: RefundOrder, alerts: Sequence[AlertDraft]) -> None:
        """The provider is not asked any more: an owner has to give it back, and hears so once."""
        async with self._database.transaction() as connection:
            await refunds.by_hand(connection, order, alerts)

    async def known(self, provider: str, ids: Sequence[str]) -> set[str]:
        """Those of these charges that were recorded."""
        async with self._database.read() as connection:
            return await payments.known(connection, provider, ids)

    async def returned(self, provider: str, ids: Sequence[str]) -> set[str]:
        """Those of these charges that went back, or are on their way."""
        async with self._database.read() as connection:
            return await payments.returned(connection, provider, ids)

    async def poller(self, provider: str) -> PollerRow:
        """How far the provider's list was read."""
        async with self._database.read() as connection:
            return await pollers.read(connection, provider)

    async def poll_succeeded(self, provider: str, cursor: str | None, repairs: int) -> None:
        """The list was read, and `repairs` charges were found that no push had told."""
        async with self._database.transaction() as connection:
            await pollers.succeed(connection, provider, cursor, repairs)

    async def close_expired(self) -> int:
        """End orders whose invoices ran out an hour ago; how many."""
        async with self._database.transaction() as connection:
            return await purchases.close_expired(connection)

    async def resume(self) -> None:
        """At start: what a dead process left is due at once."""
        async with self._database.transaction() as connection:
            await refunds.resume(connection)


@phases
class ExpiryPhases:
    """What the expiry actor reads, and what it writes for many at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, limit: int) -> list[int]:
        """Users whose time is over and none of whose money waits, longest over first."""
        async with self._database.read() as connection:
            return await subscriptions.lapsed(connection, limit)

    async def end_many(self, limit: int) -> int:
        """End access whose time is over, for so many users at most; how many."""
        async with self._database.transaction() as connection:
            return await expiry.end_many(connection, limit)

    async def standing(self) -> ExpiryStanding:
        """What would end now, by the database's clock."""
        async with self._database.read() as connection:
            return await expiry.standing(connection, EXPIRY_SWEEP)

    async def clock(self) -> float:
        """The database's clock, seconds since 1970."""
        async with self._database.read() as connection:
            return await expiry.clock(connection)

    async def forget_waits(self) -> None:
        """The clock is right again: nobody waits for moments that one gave which was ahead."""
        async with self._database.transaction() as connection:
            await inbox.hasten(connection)
            await outbox.resume(connection)
            await refunds.resume(connection)
            for node in await placement.places(connection):
                await credentials.hasten(connection, node.node_id, [])

    async def looked(self) -> None:
        """Whose time is over was looked at, up to now."""
        async with self._database.transaction() as connection:
            await expiry.looked(connection, EXPIRY_SWEEP)

    async def remind(self, reminder: Reminder) -> int:
        """Tell those whose moment has come, once, page by page; how many.

        What was told before an outage in between is not told again.
        """
        async with self._database.transaction() as connection:
            swept = await expiry.since(connection, reminder.text_id)
            if swept is None:  # those before the first sweep had no reminders; none are made up for
                await expiry.looked(connection, reminder.text_id)
                return 0
        told = 0
        after: tuple[datetime, UUID] | None = expiry.NOBODY
        while after is not None:
            async with self._database.transaction() as connection:
                more, after = await expiry.remind(connection, reminder, swept, after)
            told += more
        async with self._database.transaction() as connection:
            await expiry.looked_upto(connection, reminder.text_id, swept[1])
        return told


@phases
class NoticePhases:
    """What the notifier reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def due(self, limit: int) -> list[OutboxRow]:
        """What should be told now."""
        async with self._database.read() as connection:
            return await outbox.due(connection, limit)

    async def news(
        self, row: OutboxRow
    ) -> PurchaseNews | LinkNews | PersonalNews | AlertNews | None:
        """The rows behind a message, as they are now; None when there is nothing left to tell."""
        async with self._database.read() as connection:
            if row.payload["notice"] == "alert":
                return await _alert_news(connection, row)
            user = await users.read(connection, row.user_id or 0)
            if user is None:
                return None
            if row.payload["notice"] == "link":
                return await self._link_news(connection, user)
            if row.payload["notice"] == "news":
                return await _personal_news(connection, user, row)
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

    async def stumbled(self, row: OutboxRow, after_s: float) -> None:
        """Telling it ended in a bug of ours; tell it later."""
        async with self._database.transaction() as connection:
            await outbox.stumbled(connection, row, after_s)

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
        stored = await connection.fetchrow(LINK, subscription.id)
        if stored is None:
            return None
        link = self._cipher.open(stored["link_enc"])
        return LinkNews(user=user, subscription=subscription, link=link, moved=stored["moved"])


@phases
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

    async def purchase(self, purchase_id: UUID) -> PurchaseRow | None:
        """An order."""
        async with self._database.read() as connection:
            return await purchases.read(connection, purchase_id)

    async def payment_by_number(self, number: int) -> PaymentRow | None:
        """A charge by what people call it."""
        async with self._database.read() as connection:
            return await payments.by_number(connection, number)

    async def held_payments(self, limit: int) -> list[PaymentRow]:
        """Money kept aside, oldest first."""
        async with self._database.read() as connection:
            return await payments.held(connection, limit)

    async def story(self, user_id: int) -> list[StoryRow]:
        """What became of a user, oldest first; of a very long story its end."""
        async with self._database.read() as connection:
            return await stories.story(connection, user_id)

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


async def _order_of(connection: Connection, payment: PaymentRow) -> PurchaseRow | None:
    if payment.purchase_id is None:
        return None
    return await purchases.read(connection, payment.purchase_id)


async def _move_order(connection: Connection, payment: PaymentRow, status: PurchaseStatus) -> None:
    """Money may name an order of somebody else, which stays as it is."""
    if payment.purchase_id is None:
        return
    order = await purchases.of_buyer(connection, payment.purchase_id, payment.user_id)
    if order is not None:
        await purchases.refund(connection, order.id, status)
        await outbox.purchase_news(connection, order.id)


async def _record_refund(connection: Connection, refund: Refund) -> None:
    """The act first: the same one again has to be told apart from another one that came late.

    Lock order: payment, subscription, order, outbox; a node's answer locks the last three so.
    """
    if refund.act is not None:
        await admin_actions.act(connection, refund.act)
    back = Disposition.REFUNDED if refund.done else Disposition.REFUND_PENDING
    if not await payments.give_back(connection, refund.payment, back, refund.reason):
        raise RecordedBefore
    if refund.change is not None:
        await access.change(connection, refund.change)
    if refund.done:
        await _tell_refunded(connection, refund.payment)
    else:
        await refunds.enqueue(connection, refund.payment)
        await _move_order(connection, refund.payment, PurchaseStatus.REFUND_PENDING)


async def _record_arrival(
    connection: Connection, payment: PaymentRow, act: ActDraft | None
) -> None:
    if act is not None:
        await admin_actions.act(connection, act)
    if not await payments.give_back(connection, payment, Disposition.REFUNDED):
        raise RecordedBefore
    await _tell_refunded(connection, payment)


async def _tell_refunded(connection: Connection, payment: PaymentRow) -> None:
    """Everything that follows from money that is back."""
    await refunds.done(connection, payment)
    await _move_order(connection, payment, PurchaseStatus.REFUNDED)
    await outbox.news(connection, _of_money("refunded", payment))


def _of_money(what: str, payment: PaymentRow) -> NewsDraft:
    return NewsDraft(
        dedupe_key=f"{what}:{payment.provider}:{payment.provider_payment_id}",
        user_id=payment.user_id,
        text_id=f"news-{what}",
        arguments={"amount": payment.amount, "currency": payment.currency},
    )


def _rejected(purchase_id: UUID, user_id: int) -> NewsDraft:
    return NewsDraft(
        dedupe_key=f"rejected:{purchase_id}",
        user_id=user_id,
        text_id="news-rejected",
        arguments={},
    )


async def _alert_news(connection: Connection, row: OutboxRow) -> AlertNews:
    owner = row.payload["owner"]
    return AlertNews(
        owner=owner,
        language=await users.language(connection, owner),
        text_id=row.payload["text_id"],
        arguments=row.payload["arguments"],
    )


async def _personal_news(connection: Connection, user: UserRow, row: OutboxRow) -> PersonalNews:
    return PersonalNews(
        user=user,
        subscription=await subscriptions.read(connection, user.tg_id),
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
    owned = await credentials.of_user(connection, user.tg_id)
    return PurchaseNews(
        user=user,
        purchase=purchase,
        subscription=subscription,
        held=purchase.status is not PurchaseStatus.PAID,
        delayed=any(
            not credential.applied and credential.last_class is not None for credential in owned
        ),
    )
