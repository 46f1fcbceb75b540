"""Whether a buyer may pay an invoice now: a pure decision, made before any money moves."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from bot.gateways.payload import InvoiceClaim
from bot.gateways.telegram_invoice import provider_of
from config.plans import Plan, Plans
from storage.rows import PurchaseRow, PurchaseStatus, QuoteRow, SubscriptionStatus, UserStatus

PAYABLE = frozenset({PurchaseStatus.CREATED, PurchaseStatus.AWAITING_PAYMENT})
#: Whoever has a node already waits for none.
AT_HOME = frozenset({SubscriptionStatus.ACTIVE, SubscriptionStatus.ACTIVATING})


class Refusal(StrEnum):
    """Why not; each value is the text that tells the buyer."""

    # One text for a forged, a foreign and an unknown order, so that none can be told apart.
    NOT_YOURS = "checkout-not-yours"
    NOT_SOLD_TO_YOU = "checkout-not-sold-to-you"
    ALREADY_PAID = "checkout-already-paid"
    CLOSED = "checkout-closed"
    PRICE_CHANGED = "checkout-price-changed"
    WAY_CLOSED = "checkout-way-closed"
    UNDER_WAY = "checkout-under-way"
    PAUSED = "checkout-paused"
    TRY_AGAIN = "checkout-try-again"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesNow:
    """Ids of the nodes that serve whoever is there, that newcomers are sold, and that take back."""

    serving: frozenset[str]
    selling: frozenset[str]
    returning: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approve:
    """Let the payment happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """No charge is made."""

    reason: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What Telegram is about to charge, and whom."""

    payer_id: int
    currency: str
    total: int


def decide_checkout(
    claim: InvoiceClaim | None,
    quote: QuoteRow | None,
    offer: Offer,
    plans: Plans,
    nodes: NodesNow,
    ways: Mapping[str, str],
) -> Approve | Refuse:
    """Answer a pre-checkout question.

    Args:
        claim: the invoice's payload, None when its signature is not ours.
        quote: the order as it stands now, None when there is none.
        offer: what Telegram is about to charge.
        plans: what is sold today.
        nodes: how the nodes stand now.
        ways: the ways to pay that are switched on today, with their currencies.
    """
    if claim is None or quote is None or not _same_order(claim, quote, offer):
        return Refuse(reason=Refusal.NOT_YOURS)
    refusal = _refusal(quote, offer, plans, nodes) or _closed(quote.purchase, ways)
    return Approve() if refusal is None else Refuse(reason=refusal)


def _same_order(claim: InvoiceClaim, quote: QuoteRow, offer: Offer) -> bool:
    order = quote.purchase
    return (
        claim.purchase_id == order.id
        and claim.plan_id == order.plan_id
        and claim.user_id == order.user_id == offer.payer_id
    )


def _refusal(quote: QuoteRow, offer: Offer, plans: Plans, nodes: NodesNow) -> Refusal | None:
    order = quote.purchase
    if _shut_out(quote):
        return Refusal.NOT_SOLD_TO_YOU
    if order.status is PurchaseStatus.PAID:
        return Refusal.ALREADY_PAID
    if order.status not in PAYABLE or quote.now >= order.invoice_expires_at:
        return Refusal.CLOSED
    asked = (order.provider, order.currency, order.price)
    if (provider_of(offer.currency), offer.currency, offer.total) != asked:
        return Refusal.PRICE_CHANGED
    if not _still_sold(order, plans, nodes.serving):
        return Refusal.PRICE_CHANGED
    return Refusal.PAUSED if _paused(quote, plans, nodes) else None


def _closed(order: PurchaseRow, ways: Mapping[str, str]) -> Refusal | None:
    """Money that could be taken and not be given back is not taken."""
    return None if ways.get(order.provider) == order.currency else Refusal.WAY_CLOSED


def _shut_out(quote: QuoteRow) -> bool:
    suspended = quote.subscription_status is SubscriptionStatus.SUSPENDED
    return suspended or quote.user_status is not UserStatus.ACTIVE


def _paused(quote: QuoteRow, plans: Plans, nodes: NodesNow) -> bool:
    """Whether what a newcomer pays for would be long in coming. Who has access may extend it.

    Who comes back needs no room: their key was never given to somebody else.
    """
    if quote.subscription_status in AT_HOME:
        return False
    lapsed = quote.subscription_status is SubscriptionStatus.EXPIRED
    if lapsed and quote.purchase.node_id in nodes.returning:
        return False
    return not _of_plan(plans.get(quote.purchase.plan_id), nodes.selling)


def _still_sold(order: PurchaseRow, plans: Plans, serving: frozenset[str]) -> bool:
    """By the nodes of today: what is paid is credited there if the order's own is gone by then."""
    plan = plans.get(order.plan_id)
    if plan is None or not _of_plan(plan, serving):
        return False
    return plan.price_in(order.currency) == order.price


def _of_plan(plan: Plan | None, nodes: frozenset[str]) -> frozenset[str]:
    return nodes & set(plan.nodes) if plan and plan.nodes else nodes
