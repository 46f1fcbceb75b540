"""Pure: from a tap on a plan to an order, and what an order that is not paid may become."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from actors.user.decisions.catalogue import Catalogue, Fresh
from actors.user.decisions.keys import choose_node, may_be_sold
from actors.user.decisions.paid_time import bound_of, grown
from actors.user.decisions.standing import may_buy, present, standing_of
from actors.user.messages import (
    InvoiceAlreadySent,
    InvoiceDue,
    NotSoldToUser,
    OpenPurchase,
    PlanNotSold,
    SalesPaused,
    TooFarAhead,
    TooManyOrders,
)
from config.plans import Plan
from config.providers import Terms
from storage.rows import (
    LedgerEntry,
    PurchaseDraft,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionStatus,
    UserRecord,
)

#: More orders that wait for their payment, or for an owner's word, are refused: nobody needs so
#: many, a flood does; each claim calls every owner.
MOST_OPEN_ORDERS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenNew:
    """Write this order and show its invoice."""

    draft: PurchaseDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowAgain:
    """The order is there; another tap asks for its invoice once more."""

    purchase: PurchaseRow


OpenDecision = (
    OpenNew
    | ShowAgain
    | InvoiceAlreadySent
    | NotSoldToUser
    | PlanNotSold
    | SalesPaused
    | TooFarAhead
    | TooManyOrders
)


def decide_open(  # noqa: PLR0911 - one for each way it ends
    record: UserRecord, message: OpenPurchase, catalogue: Catalogue, fresh: UUID
) -> OpenDecision:
    """What a tap on a plan leads to; `fresh` is an id for the order, if there is to be one."""
    plan, terms = catalogue.plans.get(message.plan_id), catalogue.terms.get(message.provider)
    if record.user is None or not may_buy(record):
        return NotSoldToUser()
    price = plan.price_in(terms.currency) if plan and terms else None
    if plan is None or terms is None or price is None or not catalogue.nodes_of(plan):
        return PlanNotSold()
    if _stranded(record, catalogue.serving):
        return PlanNotSold()
    node_id = choose_node(record, plan, catalogue)
    if node_id is None or not may_be_sold(record, node_id, catalogue):
        return SalesPaused()
    if (known := _same_order(record, message, plan, price, terms.currency)) is not None:
        return known
    if (far := _too_far(record, plan, catalogue, fresh)) is not None:
        return far
    if len(record.open_purchases) + record.claimed >= MOST_OPEN_ORDERS:
        return TooManyOrders()
    return OpenNew(draft=_draft(record, message, plan, terms, price, node_id, fresh))


def invoice_of(purchase: PurchaseRow) -> InvoiceDue:
    """What is shown of an order."""
    return InvoiceDue(
        purchase_id=purchase.id,
        plan_id=purchase.plan_id,
        price=purchase.price,
        currency=purchase.currency,
        provider=purchase.provider,
        pay_url=purchase.pay_url,
    )


def _same_order(
    record: UserRecord, message: OpenPurchase, plan: Plan, price: int, currency: str
) -> ShowAgain | InvoiceAlreadySent | None:
    for purchase in record.open_purchases:
        if purchase.operation_id == message.operation_id:
            if purchase.status is PurchaseStatus.AWAITING_PAYMENT:
                return InvoiceAlreadySent(purchase_id=purchase.id)
            return ShowAgain(purchase=purchase)
    offered = (plan.id, price, currency, plan.period_s, message.provider)
    for purchase in record.open_purchases:
        money = (purchase.price, purchase.currency)
        if (purchase.plan_id, *money, purchase.period_s, purchase.provider) == offered:
            return ShowAgain(purchase=purchase)
    return None


def _too_far(
    record: UserRecord, plan: Plan, catalogue: Catalogue, fresh: UUID
) -> TooFarAhead | None:
    """Nobody should pay for what would have to be given back: as if it were paid for now."""
    assert record.user is not None  # noqa: S101 - of a user whom we sell to
    entry = LedgerEntry(
        delta_s=plan.period_s, source_kind="payment", source_id="", reason="", actor=""
    )
    ids = Fresh(uuid=fresh, subscription=fresh)
    steps = grown(record, catalogue, entry, user_id=record.user.tg_id, plan_id=plan.id, fresh=ids)
    gained_s = sum(step.entry.delta_s for step in steps)
    if bound_of(steps[-1].after, record, plan, catalogue.plans.limits, gained_s) is None:
        return None
    subscription = record.subscription
    return TooFarAhead(until=(subscription and subscription.expires_at) or record.now)


def _draft(
    record: UserRecord,
    message: OpenPurchase,
    plan: Plan,
    terms: Terms,
    price: int,
    node_id: str,
    fresh: UUID,
) -> PurchaseDraft:
    assert record.user is not None  # noqa: S101 - of a user whom we sell to
    return PurchaseDraft(
        id=fresh,
        user_id=record.user.tg_id,
        kind="renew" if record.subscription else "new",
        plan_id=plan.id,
        node_id=node_id,
        price=price,
        currency=terms.currency,
        period_s=plan.period_s,
        provider=terms.provider,
        operation_id=message.operation_id,
        chat_id=message.chat_id,
        open_for_s=terms.open_for_s,
    )


def _stranded(record: UserRecord, nodes: Sequence[str]) -> bool:
    """Whether running time could not be used: its node is there no more."""
    current = next(iter(present(record)), None)
    running = standing_of(record) is SubscriptionStatus.ACTIVE
    return running and current is not None and current.node_id not in nodes
