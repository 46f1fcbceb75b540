"""Rows as PostgreSQL would give them, each with one detail changed by the test that asks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from actors.user.decisions.catalogue import Catalogue, Fresh
from config.money import STARS
from config.plans import Plan, Plans, Title
from config.providers import Terms
from storage.rows import (
    CredentialRow,
    Desired,
    Disposition,
    PaymentRow,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserRow,
    UserStatus,
)

NOW = datetime(2026, 12, 24, 15, 4, tzinfo=UTC)
MONTH_S = 30 * 86_400
MONTH = timedelta(seconds=MONTH_S)
BUYER = 77
NODE = "node-1"
PLAN = Plan(id="month", title=Title(en="1 month", ru="1 месяц"), period_s=MONTH_S, price_stars=150)
WEEK = Plan(id="week", title=Title(en="1 week", ru="1 неделя"), period_s=604_800, price_stars=50)

PURCHASE_ID = UUID("00000000-0000-4000-8000-000000000001")
SUBSCRIPTION_ID = UUID("00000000-0000-4000-8000-000000000002")
FIRST = UUID("00000000-0000-4000-8000-00000000000a")
SECOND = UUID("00000000-0000-4000-8000-00000000000b")
FRESH = UUID("00000000-0000-4000-8000-00000000000f")
IDS = Fresh(uuid=FRESH, subscription=SUBSCRIPTION_ID)
OWNER = 1000


def catalogue(*plans: Plan, **changes: Any) -> Catalogue:
    """A shop that sells the month, or these plans, for Stars, on one node."""
    usual: dict[str, Any] = {
        "plans": Plans(plans=plans or (PLAN,)),
        "nodes": (NODE,),
        "terms": {"stars": Terms(provider="stars", currency=STARS)},
        "owners": (OWNER,),
    }
    return Catalogue(**(usual | changes))


def user(**changes: Any) -> UserRow:
    known = UserRow(
        tg_id=BUYER, status=UserStatus.ACTIVE, language="en", reachable=True, created_at=NOW
    )
    return replace(known, **changes)


def purchase(**changes: Any) -> PurchaseRow:
    """An order whose invoice stands in the chat."""
    awaiting = PurchaseRow(
        id=PURCHASE_ID,
        user_id=BUYER,
        kind="new",
        plan_id=PLAN.id,
        node_id=NODE,
        price=PLAN.price_stars,
        currency="XTR",
        period_s=PLAN.period_s,
        provider="stars",
        status=PurchaseStatus.AWAITING_PAYMENT,
        operation_id="tap-1",
        chat_id=BUYER,
        message_id=None,
        invoice_expires_at=NOW + timedelta(hours=24),
        fulfilled_at=None,
        created_at=NOW,
    )
    return replace(awaiting, **changes)


def payment(**changes: Any) -> PaymentRow:
    """A charge that matches `purchase()`."""
    received = PaymentRow(
        provider="stars",
        provider_payment_id="charge-1",
        purchase_id=PURCHASE_ID,
        user_id=BUYER,
        amount=PLAN.price_stars,
        currency="XTR",
        disposition=Disposition.RECEIVED,
        reason=None,
        received_at=NOW,
        number=17,
    )
    return replace(received, **changes)


def subscription(status: SubscriptionStatus, **changes: Any) -> SubscriptionRow:
    """A subscription in its usual shape for a status."""
    shape = {
        SubscriptionStatus.NONE: (None, 0),
        SubscriptionStatus.ACTIVATING: (None, MONTH_S),
        SubscriptionStatus.ACTIVE: (NOW + MONTH, 0),
        SubscriptionStatus.EXPIRED: (NOW - timedelta(days=1), 0),
        SubscriptionStatus.SUSPENDED: (NOW + MONTH, 0),
    }
    expires_at, pending_s = shape[status]
    usual = SubscriptionRow(
        id=SUBSCRIPTION_ID,
        user_id=BUYER,
        plan_id=PLAN.id,
        status=status,
        expires_at=expires_at,
        pending_s=pending_s,
        version=4,
    )
    return replace(usual, **changes)


def credential(**changes: Any) -> CredentialRow:
    """A credential that the node let in."""
    applied = CredentialRow(
        uuid=FIRST,
        subscription_id=SUBSCRIPTION_ID,
        node_id=NODE,
        desired=Desired.PRESENT,
        gen=1,
        applied_gen=1,
        first_applied_at=NOW,
        replaces=None,
        link_enc=b"closed",
        attempts=0,
        last_class=None,
        quarantined=False,
        created_at=NOW,
    )
    return replace(applied, **changes)


def unapplied(**changes: Any) -> CredentialRow:
    """A credential whose first wish the node has not confirmed."""
    fresh = {"applied_gen": 0, "first_applied_at": None, "link_enc": None}
    return credential(**(fresh | changes))


def removed(**changes: Any) -> CredentialRow:
    """A credential that was let in once and is shut out now."""
    return credential(**({"desired": Desired.ABSENT, "gen": 2, "applied_gen": 2} | changes))


def record(**changes: Any) -> UserRecord:
    """A user who is known and has bought nothing."""
    newcomer = UserRecord(
        now=NOW, user=user(), subscription=None, credentials=(), open_purchases=()
    )
    return replace(newcomer, **changes)
