"""Pure: rows as answers, and commands as the rows that record them."""

import hashlib

from actors.user.messages import (
    AccessGranted,
    ChangeStanding,
    CreditPayment,
    DecidedBefore,
    DecideManual,
    LinkShown,
    ManualRejected,
    NoteRefund,
    OrderNotOpen,
    StandingChanged,
)
from storage.rows import (
    AccessChange,
    ActDraft,
    PaymentDraft,
    PaymentRow,
    PurchaseRow,
    PurchaseStatus,
    SubscriptionRow,
    SubscriptionStatus,
)

#: The provider of what is paid outside; its payment has the order's own id.
MANUAL = "manual"


def payment_draft(message: CreditPayment, user_id: int) -> PaymentDraft:
    """A charge as it is recorded."""
    return PaymentDraft(
        provider=message.provider,
        provider_payment_id=message.provider_payment_id,
        purchase_id=message.purchase_id,
        user_id=user_id,
        amount=message.amount,
        currency=message.currency,
        body_sha256=message.body_sha256,
        provider_ref=message.provider_ref,
    )


def manual_payment(purchase: PurchaseRow) -> PaymentDraft:
    """Money that an owner found: the price, once for each order."""
    return PaymentDraft(
        provider=MANUAL,
        provider_payment_id=str(purchase.id),
        purchase_id=purchase.id,
        user_id=purchase.user_id,
        amount=purchase.price,
        currency=purchase.currency,
        body_sha256=hashlib.sha256(purchase.id.bytes).digest(),
    )


def claim_in_words(purchase: PurchaseRow) -> dict[str, str | int]:
    """What an owner reads of an order that is said to be paid."""
    return {
        "purchase_id": str(purchase.id),
        "user_id": purchase.user_id,
        "plan": purchase.plan_id,
        "amount": purchase.price,
        "currency": purchase.currency,
    }


def act_of_manual(message: DecideManual, purchase: PurchaseRow) -> ActDraft:
    """The record of an owner's word about an order that is paid outside."""
    return ActDraft(
        operation_id=message.operation_id,
        actor=message.who,
        action="approve_order" if message.approve else "reject_order",
        target=str(purchase.user_id),
        reason="",
        details={
            "purchase": str(purchase.id),
            "amount": purchase.price,
            "currency": purchase.currency,
        },
    )


def manual(
    message: DecideManual, decided: PurchaseRow | None
) -> ManualRejected | DecidedBefore | OrderNotOpen | None:
    """What an owner hears of an order that is decided now; None: it is to be credited."""
    if decided is None or decided.decided_by is None or decided.decided_at is None:
        return OrderNotOpen(status=decided.status if decided else None)
    rejected = decided.status is PurchaseStatus.REJECTED
    if decided.decided_by == message.who and rejected is not message.approve:
        return ManualRejected() if rejected else None
    return DecidedBefore(who=decided.decided_by, at=decided.decided_at, approved=not rejected)


def act_of_arrival(message: NoteRefund, payment: PaymentRow) -> ActDraft | None:
    """The record of an owner who gave money back by hand; None where the provider did."""
    if message.who is None:
        return None
    return ActDraft(
        operation_id=message.operation_id,
        actor=message.who,
        action="refunded_by_hand",
        target=str(payment.user_id),
        reason="",
        details={"payment": payment.number},
    )


def act_of_standing(message: ChangeStanding, user_id: int) -> ActDraft:
    """The record of an owner's word about a user's access."""
    return ActDraft(
        operation_id=message.operation_id,
        actor=message.who,
        action=message.standing,
        target=str(user_id),
        reason=message.reason,
        details={},
    )


def granted(change: AccessChange) -> AccessGranted:
    """What an owner hears of a grant."""
    after = change.after
    running = after is not None and after.status is SubscriptionStatus.ACTIVE
    return AccessGranted(
        period_s=change.steps[-1].entry.delta_s,
        expires_at=after.expires_at if after and running else None,
    )


def standing(change: AccessChange) -> StandingChanged:
    """What an owner hears of a pause or its end."""
    return StandingChanged(kept_s=change.after.pending_s if change.after else 0)


def link_shown(link: str, subscription: SubscriptionRow | None) -> LinkShown:
    """A link, with its plan and end."""
    if subscription is None or subscription.expires_at is None:
        raise ValueError("active access without an end")
    return LinkShown(link=link, plan_id=subscription.plan_id, expires_at=subscription.expires_at)
