"""Pure: what a user's rows, a message and the database's clock lead to."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from actors.user.messages import (
    LinkNotReady,
    NoAccess,
    OpenPurchase,
    StatusShown,
)
from config.plans import Plan
from storage.rows import (
    CredentialRow,
    Credit,
    Desired,
    Hold,
    LedgerEntry,
    NewCredential,
    PaymentFlags,
    PaymentRow,
    PurchaseDraft,
    PurchaseRow,
    PurchaseStatus,
    RaisedCredential,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
)

STARS = "stars"
STARS_CURRENCY = "XTR"
#: How long an invoice can be paid. Telegram sets no limit; the price is promised that long.
INVOICE_OPEN_S = 24 * 3600

NO_ORDER = "no such order"
#: Orders in these states expect no money any more.
CLOSED = frozenset({PurchaseStatus.CANCELLED, PurchaseStatus.EXPIRED, PurchaseStatus.REJECTED})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNew:
    """Write this order and show its invoice."""

    draft: PurchaseDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowAgain:
    """The order is there; another tap asks for its invoice once more."""

    purchase: PurchaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class SameTap:
    """The invoice of this very tap was sent."""

    purchase: PurchaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class RefuseUser:
    """We do not sell to this user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusePlan:
    """The plan is not sold, or no node takes its buyers."""


def decide_status(record: UserRecord) -> StatusShown:
    """Where a user stands. The user's row must be there."""
    if record.user is None:
        raise ValueError("the user was not introduced")
    subscription = record.subscription
    return StatusShown(
        language=record.user.language,
        now=record.now,
        status=_standing(record),
        plan_id=subscription.plan_id if subscription else None,
        expires_at=subscription.expires_at if subscription else None,
        pending_s=subscription.pending_s if subscription else 0,
        has_link=isinstance(decide_link(record), CredentialRow),
    )


def decide_open(
    record: UserRecord, message: OpenPurchase, plan: Plan | None, nodes: Sequence[str], fresh: UUID
) -> OpenNew | ShowAgain | SameTap | RefuseUser | RefusePlan:
    """What a tap on a plan leads to.

    Args:
        record: the user's rows.
        message: the tap.
        plan: what is sold under the id in it.
        nodes: ids of the nodes that take buyers.
        fresh: an id for the order, if there is to be a new one.
    """
    if record.user is None or not _may_buy(record):
        return RefuseUser()
    node_id = choose_node(record, plan, nodes) if plan is not None else None
    if plan is None or node_id is None or _stranded(record, nodes):
        return RefusePlan()
    for purchase in record.open_purchases:
        if purchase.operation_id == message.operation_id:
            sent = purchase.status is PurchaseStatus.AWAITING_PAYMENT
            return SameTap(purchase=purchase) if sent else ShowAgain(purchase=purchase)
    for purchase in record.open_purchases:
        if _offers(purchase, plan):
            return ShowAgain(purchase=purchase)
    draft = PurchaseDraft(
        id=fresh,
        user_id=record.user.tg_id,
        kind="renew" if record.subscription else "new",
        plan_id=plan.id,
        node_id=node_id,
        price=plan.price_stars,
        currency=STARS_CURRENCY,
        period_s=plan.period_s,
        provider=STARS,
        operation_id=message.operation_id,
        chat_id=message.chat_id,
        open_for_s=INVOICE_OPEN_S,
    )
    return OpenNew(draft=draft)


def choose_node(record: UserRecord, plan: Plan, nodes: Sequence[str]) -> str | None:
    """Where a buyer goes: the node that serves or served the user, else the plan's first."""
    allowed = [node for node in nodes if not plan.nodes or node in plan.nodes]
    served = _present_credential(record) or next(iter(record.credentials), None)
    if served is not None and served.node_id in allowed:
        return served.node_id
    return allowed[0] if allowed else None


def decide_credit(
    record: UserRecord,
    payment: PaymentRow,
    purchase: PurchaseRow | None,
    nodes: Sequence[str],
    *,
    fresh: UUID,
    fresh_subscription: UUID,
) -> Credit | Hold:
    """What a charge buys: time, or nothing until an operator has looked.

    Args:
        record: the payer's rows.
        payment: the charge, as recorded.
        purchase: the order that it names, if there is one.
        nodes: ids of the nodes that there are, at least one.
        fresh: a uuid, if the user has none yet. It opens the door: it names nothing else.
        fresh_subscription: an id for the subscription, if there is none yet.
    """
    reason = _why_held(record, payment, purchase)
    if reason is not None or purchase is None:
        return Hold(payment=payment, purchase=_own(purchase, payment), reason=reason or NO_ORDER)
    before = record.subscription
    after = _with_time(before, purchase, record.now, fresh_subscription)
    active = after.status is SubscriptionStatus.ACTIVE
    return Credit(
        payment=payment,
        purchase=purchase,
        kind="renew" if before else "new",
        flags=PaymentFlags(
            late=purchase.status in CLOSED or purchase.invoice_expires_at <= record.now,
            over=payment.amount > purchase.price,
            duplicate_invoice=purchase.status is PurchaseStatus.PAID,
        ),
        before=before,
        after=after,
        entry=LedgerEntry(
            delta_s=purchase.period_s,
            source_kind="payment",
            source_id=f"{payment.provider}:{payment.provider_payment_id}",
            reason=f"plan {purchase.plan_id}",
            actor=f"user/{payment.user_id}",
        ),
        wish=None if active else _wish(record, purchase, nodes, fresh),
    )


def decide_link(record: UserRecord) -> CredentialRow | LinkNotReady | NoAccess:
    """The credential whose link may be shown, or why there is none."""
    status = _standing(record)
    if status is SubscriptionStatus.ACTIVATING:
        return LinkNotReady()
    if status is not SubscriptionStatus.ACTIVE:
        return NoAccess(status=status)
    for credential in record.credentials:
        # A raised generation that waits for its confirmation leaves the link what it was.
        if credential.desired is Desired.PRESENT and credential.link_enc is not None:
            return credential
    return LinkNotReady()


def _standing(record: UserRecord) -> SubscriptionStatus:
    """The status that time makes of the one that is written."""
    subscription = record.subscription
    if subscription is None:
        return SubscriptionStatus.NONE
    ended = subscription.expires_at is not None and subscription.expires_at <= record.now
    if subscription.status is SubscriptionStatus.ACTIVE and ended:
        return SubscriptionStatus.EXPIRED
    return subscription.status


def _may_buy(record: UserRecord) -> bool:
    suspended = (
        record.subscription is not None
        and record.subscription.status is SubscriptionStatus.SUSPENDED
    )
    return record.user is not None and record.user.status is UserStatus.ACTIVE and not suspended


def _offers(purchase: PurchaseRow, plan: Plan) -> bool:
    offered = (purchase.plan_id, purchase.price, purchase.period_s)
    return offered == (plan.id, plan.price_stars, plan.period_s)


def _own(purchase: PurchaseRow | None, payment: PaymentRow) -> PurchaseRow | None:
    """The payer's own order: a stranger's money is no news in its owner's chat."""
    return purchase if purchase and purchase.user_id == payment.user_id else None


def _why_held(record: UserRecord, payment: PaymentRow, purchase: PurchaseRow | None) -> str | None:
    if purchase is None:
        return NO_ORDER
    if purchase.user_id != payment.user_id:
        return "the order is another user's"
    if payment.currency != purchase.currency:
        return f"paid in {payment.currency}, ordered in {purchase.currency}"
    if payment.amount < purchase.price:
        return f"paid {payment.amount}, ordered for {purchase.price}"
    if not _may_buy(record):
        return "the user is banned or suspended"
    return None


def _with_time(
    before: SubscriptionRow | None, purchase: PurchaseRow, now: datetime, fresh: UUID
) -> SubscriptionRow:
    """The subscription after a purchase: running time is extended, other time waits for access."""
    if before is None:
        return SubscriptionRow(
            id=fresh,
            user_id=purchase.user_id,
            plan_id=purchase.plan_id,
            status=SubscriptionStatus.ACTIVATING,
            expires_at=None,
            pending_s=purchase.period_s,
            version=1,
        )
    changed = replace(before, plan_id=purchase.plan_id, version=before.version + 1)
    if before.status is SubscriptionStatus.ACTIVE and before.expires_at is not None:
        until = max(now, before.expires_at) + timedelta(seconds=purchase.period_s)
        return replace(changed, expires_at=until)
    return replace(
        changed,
        status=SubscriptionStatus.ACTIVATING,
        pending_s=before.pending_s + purchase.period_s,
    )


def _wish(
    record: UserRecord, purchase: PurchaseRow, nodes: Sequence[str], fresh: UUID
) -> NewCredential | RaisedCredential | None:
    """What a node must be asked for, so that paid time can start."""
    # An order may be older than the settings, which name the nodes that there are.
    node_id = purchase.node_id if purchase.node_id in nodes else nodes[0]
    current = _present_credential(record)
    if current is not None and current.node_id not in nodes:
        return NewCredential(uuid=fresh, node_id=node_id, replaces=current.uuid)
    if current is not None:
        # Access is being made already; the one confirmation starts all the time that waits.
        under_way = not current.applied and not current.quarantined
        return None if under_way else _raised(current)
    for ended in record.credentials:
        if ended.node_id == node_id:
            # The link that the user saved works again.
            return _raised(ended)
    return NewCredential(uuid=fresh, node_id=node_id)


def _stranded(record: UserRecord, nodes: Sequence[str]) -> bool:
    """Whether running time could not be used: its node is there no more."""
    current = _present_credential(record)
    running = _standing(record) is SubscriptionStatus.ACTIVE
    return running and current is not None and current.node_id not in nodes


def _raised(credential: CredentialRow) -> RaisedCredential:
    return RaisedCredential(uuid=credential.uuid, node_id=credential.node_id)


def _present_credential(record: UserRecord) -> CredentialRow | None:
    return next((c for c in record.credentials if c.desired is Desired.PRESENT), None)
