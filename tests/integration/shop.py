"""Purchases as the actors make them, one transaction at a time, and time that has passed."""

from dataclasses import dataclass
from uuid import UUID, uuid4

from actors.user.decisions.access import (
    decide_expiry,
    decide_grant,
    decide_reissue,
    decide_standing,
)
from actors.user.decisions.catalogue import Catalogue, Fresh
from actors.user.decisions.money import decide_credit, decide_refund
from actors.user.messages import GrantAccess, Reissue, Standing
from config.money import STARS
from config.plans import Plan, Plans, Title
from config.providers import Terms
from storage.database import Database
from storage.links import LinkCipher
from storage.node_phases import NodePhases
from storage.phases import (
    ExpiryPhases,
    NoticePhases,
    PaymentPhases,
    PostgresQueries,
    UserPhases,
    announce_nodes,
)
from storage.rows import (
    AccessChange,
    ActDraft,
    Confirmed,
    CredentialRow,
    Credit,
    PaymentDraft,
    PaymentRow,
    PurchaseDraft,
    PurchaseRow,
    Refund,
    Superseded,
    UserRecord,
)
from tests.integration.database_fixtures import Rows

BUYER = 77
NODE = "node-1"
MONTH_S = 30 * 86_400

#: What the tests' shop sells, as decisions see it.
CATALOGUE = Catalogue(
    plans=Plans(
        plans=(
            Plan(
                id="month", title=Title(en="Month", ru="Месяц"), period_s=MONTH_S, price_stars=150
            ),
        )
    ),
    nodes=(NODE,),
    terms={"stars": Terms(provider="stars", currency=STARS)},
    owners=(1000,),
)

#: Every moment that the database remembers.
MOMENTS = {
    "users": ("created_at",),
    "purchases": ("invoice_expires_at", "fulfilled_at", "decided_at", "created_at"),
    "payments": ("received_at", "settled_at", "refunded_at"),
    "subscriptions": ("expires_at", "created_at"),
    "ledger": ("expires_before", "expires_after", "at"),
    "credentials": ("first_applied_at", "applied_at", "next_at", "quarantined_at", "created_at"),
    "watermarks": ("upto",),
    "nodes": ("changed_at",),
    "reconcile_runs": ("at",),
    "adopted_users": ("at",),
    "outbox": ("next_at", "created_at", "sent_at"),
    "history": ("at",),
    "admin_actions": ("at",),
    "pollers": ("last_success_at",),
    "inbox": ("received_at", "next_at", "done_at", "quarantined_at"),
}

EXPIRE = """
WITH lapsed AS (
    UPDATE subscriptions SET status = 'expired', version = version + 1
    WHERE user_id = $1 AND status = 'active' AND expires_at <= now() RETURNING *
), entered AS (
    INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
        pending_before, pending_after, source_kind, source_id, reason, actor)
    SELECT id, version, 0, expires_at, expires_at, 0, 0, 'expiry', id || ':' || version,
        'time is over', 'expiry' FROM lapsed
)
UPDATE credentials c SET desired = 'absent', gen = c.gen + 1, next_at = now()
FROM lapsed l WHERE c.subscription_id = l.id AND c.desired = 'present' RETURNING 1
"""


@dataclass(frozen=True)
class Shop:
    """The transactions of a purchase over a real database."""

    database: Database
    cipher: LinkCipher

    @property
    def users(self) -> UserPhases:
        """As users' actors have them."""
        return UserPhases(self.database, self.cipher)

    @property
    def nodes(self) -> NodePhases:
        """As nodes' actors have them."""
        return NodePhases(self.database, self.cipher)

    @property
    def notices(self) -> NoticePhases:
        """As the notifier has them."""
        return NoticePhases(self.database, self.cipher)

    @property
    def money(self) -> PaymentPhases:
        """As the payment actors have them."""
        return PaymentPhases(self.database)

    @property
    def lapses(self) -> ExpiryPhases:
        """As the expiry actor has them."""
        return ExpiryPhases(self.database)

    @property
    def queries(self) -> PostgresQueries:
        """As the bot reads past the actors."""
        return PostgresQueries(self.database)

    async def order(
        self,
        user_id: int = BUYER,
        *,
        period_s: int = MONTH_S,
        price: int = 150,
        provider: str = "stars",
    ) -> PurchaseRow:
        """An order whose invoice stands in the chat."""
        await announce_nodes(self.database, [NODE])
        await self.users.introduce(user_id, "en")
        draft = PurchaseDraft(
            id=uuid4(),
            user_id=user_id,
            kind="new",
            plan_id="month",
            node_id=NODE,
            price=price,
            currency="XTR",
            period_s=period_s,
            provider=provider,
            operation_id=uuid4().hex[:16],
            chat_id=user_id,
            open_for_s=86_400,
        )
        await self.users.open_purchase(draft)
        await self.users.record_invoice(draft.id, user_id, None, None)
        (created, *_) = (await self.users.load(user_id)).open_purchases
        return created

    async def charge(
        self, order: PurchaseRow, charge_id: str | None = None
    ) -> tuple[PaymentRow, PurchaseRow]:
        """Money for an order, recorded and not decided."""
        draft = PaymentDraft(
            provider=order.provider,
            provider_payment_id=charge_id or uuid4().hex,
            purchase_id=order.id,
            user_id=order.user_id,
            amount=order.price,
            currency=order.currency,
            body_sha256=b"\0" * 32,
        )
        payment, purchase = await self.users.receive_payment(draft)
        assert purchase is not None
        return payment, purchase

    async def decided(self, payment: PaymentRow, purchase: PurchaseRow) -> Credit:
        """The credit of a charge, decided and not recorded."""
        record = await self.users.load(purchase.user_id)
        credit = decide_credit(record, payment, purchase, CATALOGUE, fresh())
        assert isinstance(credit, Credit)
        return credit

    async def pay(self, order: PurchaseRow) -> Credit:
        """Money for an order, credited."""
        credit = await self.decided(*await self.charge(order))
        await self.users.record_credit(credit)
        return credit

    async def bought(self, user_id: int = BUYER, *, period_s: int = MONTH_S) -> CredentialRow:
        """A user who paid and whose access is being made: the wish."""
        await self.pay(await self.order(user_id, period_s=period_s))
        return await self.credential(user_id)

    async def served(self, user_id: int = BUYER, *, period_s: int = MONTH_S) -> CredentialRow:
        """A user with access."""
        await self.confirm(await self.bought(user_id, period_s=period_s))
        return await self.credential(user_id)

    async def refund_of(
        self, payment: PaymentRow, *, done: bool = False, act: ActDraft | None = None
    ) -> Refund:
        """Money back, decided and not recorded."""
        found = await self.users.payment(payment.provider, payment.provider_payment_id)
        assert found is not None
        refund = decide_refund(
            await self.users.load(payment.user_id),
            *found,
            CATALOGUE,
            reason="asked for",
            actor="tg:1000",
            act=act,
            done=done,
        )
        assert isinstance(refund, Refund)
        return refund

    async def reissue_of(self, user_id: int = BUYER, *, leaked: bool = False) -> AccessChange:
        """A new link, decided and not recorded."""
        message = Reissue(operation_id=uuid4().hex[:16], leaked=leaked)
        change = decide_reissue(await self.users.load(user_id), message, CATALOGUE, fresh())
        assert isinstance(change, AccessChange)
        return change

    async def standing_of(
        self, standing: Standing, user_id: int = BUYER, *, act: ActDraft | None = None
    ) -> AccessChange:
        """A pause, a ban or its end, decided and not recorded."""
        done = act or act_of(standing, user_id)
        change = decide_standing(await self.users.load(user_id), standing, done, CATALOGUE, fresh())
        assert isinstance(change, AccessChange)
        return change

    async def grant_of(self, period_s: int, user_id: int = BUYER) -> AccessChange:
        """Time given away, decided and not recorded."""
        await announce_nodes(self.database, [NODE])
        await self.users.introduce(user_id, "en")
        message = GrantAccess(
            operation_id=uuid4().hex[:16], plan_id=None, period_s=period_s, who="tg:1000", reason=""
        )
        change = decide_grant(await self.users.load(user_id), message, CATALOGUE, fresh(), 0)
        assert isinstance(change, AccessChange)
        return change

    async def expiry_of(self, user_id: int = BUYER) -> AccessChange:
        """The end of time that is over, decided and not recorded."""
        change = decide_expiry(await self.users.load(user_id))
        assert isinstance(change, AccessChange)
        return change

    async def record(self, user_id: int = BUYER) -> UserRecord:
        """All rows of a user."""
        return await self.users.load(user_id)

    async def credential(self, user_id: int = BUYER) -> CredentialRow:
        """The only credential of a user."""
        (owned,) = (await self.users.load(user_id)).credentials
        return owned

    async def confirm(self, row: CredentialRow) -> Confirmed | Superseded:
        """The node's answer to a wish, recorded."""
        return await self.nodes.record_outcome(row, link_of(row.uuid), seq=1)


def fresh() -> Fresh:
    """New ids for a decision."""
    return Fresh(uuid=uuid4(), subscription=uuid4())


def act_of(action: str, user_id: int = BUYER) -> ActDraft:
    """An owner's act about a user."""
    return ActDraft(
        operation_id=uuid4().hex[:16],
        actor="tg:1000",
        action=action,
        target=str(user_id),
        reason="asked for",
        details={},
    )


def link_of(uuid: UUID) -> str:
    """A link as the node would give it."""
    return f"vless://{uuid}@node.example.com:443?security=reality#node"


async def pass_time(rows: Rows, seconds: float) -> None:
    """Make everything that happened so many seconds older, the ledger too."""
    async with rows.transaction():
        # As a take-over does: while a transaction is under way this could be a deadlock.
        await rows.execute("LOCK TABLE shards IN EXCLUSIVE MODE")
        await rows.execute("SET LOCAL session_replication_role = replica")
        for table, columns in MOMENTS.items():
            shifts = ", ".join(f"{c} = {c} - make_interval(secs => $1)" for c in columns)
            await rows.execute(f"UPDATE {table} SET {shifts}", seconds)  # noqa: S608 - ours


async def expire(rows: Rows, user_id: int = BUYER) -> None:
    """The user's time is over, as the expiry batch would record it."""
    assert await rows.fetchval(EXPIRE, user_id), "there was nothing to expire"
