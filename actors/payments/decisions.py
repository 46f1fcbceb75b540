"""Pure: what becomes of a provider's word, and how long what failed is left alone."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GiveBackOutcome,
    GivenBack,
    ReturnedCharge,
)
from actors.user.messages import CreditPayment
from storage.rows import AlertDraft, PaymentRow, RefundOrder

#: A refund is repeated with full jitter over this, doubling, up to the cap; seconds.
REFUND_BASE_S = 5.0
REFUND_CAP_S = 600.0
#: Owners are told of a refund that takes longer (design/state-machine.md), seconds.
REFUND_ALERT_S = 3_600.0
#: A user's actor that cannot just now is asked again soon; one that fails, seldom. Seconds.
BUSY_BASE_S, BUSY_CAP_S = 2.0, 60.0
FAILED_BASE_S, FAILED_CAP_S = 60.0, 3_600.0
#: Far above any cap; after some thousand attempts a float would overflow.
MOST_DOUBLINGS = 64
#: After so many rounds in which a user's actor failed on it, a charge is left to its dead letter.
ROUNDS_UNTIL_LEFT = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The money is back: its user's actor has to know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postponed:
    """The same call again after a while. `alerts`: it takes longer than anybody should wait."""

    after_s: float
    alerts: tuple[AlertDraft, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftToOwners:
    """No call gives it back: an owner has to."""

    alerts: tuple[AlertDraft, ...]


def decide_refund(
    order: RefundOrder, outcome: GiveBackOutcome, jitter: float, owners: Sequence[int]
) -> Returned | Postponed | LeftToOwners:
    """What to do after a provider was asked to give money back; `jitter` is in [0, 1)."""
    match outcome:
        case GivenBack():
            return Returned()
        case GiveBackByHand(reason=reason):
            alerts = _alerts(order.payment, "refund-by-hand", reason, owners)
            return LeftToOwners(alerts=alerts)
        case GiveBackLater(after_s=asked_s, reason=reason):
            attempts = order.payment.refund_attempts
            late = order.age_s >= REFUND_ALERT_S
            return Postponed(
                after_s=asked_s
                if asked_s is not None
                else jitter * _doubled(REFUND_BASE_S, REFUND_CAP_S, attempts + 1),
                alerts=_alerts(order.payment, "refund-stuck", reason, owners) if late else (),
            )


def decide_rest(failures: int, *, failed: bool) -> float:
    """How long an item is left alone after so many failures before this one, seconds.

    `failed`: the user's actor crashed over it, as often as it is tried; else it was not free.
    """
    if failed:
        return _doubled(FAILED_BASE_S, FAILED_CAP_S, failures)
    return _doubled(BUSY_BASE_S, BUSY_CAP_S, failures)


def decide_poll_wait(failures: int, jitter: float, base_s: float, cap_s: float) -> float:
    """How long a provider that did not answer so many times in a row is left alone, seconds.

    At least half of the ceiling: a provider in trouble is not asked at once by chance.
    """
    return (0.5 + jitter / 2) * _doubled(base_s, cap_s, failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What a provider lists and the database does not know."""

    charges: tuple[Charge, ...]
    returns: tuple[ReturnedCharge, ...]

    def __bool__(self) -> bool:
        return bool(self.charges or self.returns)


def decide_missing(page: ChargePage, known: Collection[str], returned: Collection[str]) -> Missing:
    """What of a page has to be made good."""
    return Missing(
        charges=tuple(
            found
            for found in page.found
            if isinstance(found, Charge) and found.provider_payment_id not in known
        ),
        returns=tuple(
            found
            for found in page.found
            if isinstance(found, ReturnedCharge) and found.provider_payment_id not in returned
        ),
    )


def decide_end(page: ChargePage, *, missing: bool, whole: bool) -> bool:
    """Whether a reading ends with this page.

    `whole`: known charges say nothing about what lies deeper, so the list is read to its end.
    """
    if not page.more:
        return True
    return page.newest_first and not whole and not missing


def decide_cursor(page: ChargePage, *, ends: bool) -> str | None:
    """Where the next reading begins: a list with the newest first is read from its top again."""
    return None if ends and page.newest_first else page.cursor


def credit_again(payment: PaymentRow) -> CreditPayment:
    """The message that credits a recorded payment. The row keeps its own hash of the first push."""
    return CreditPayment(
        operation_id=f"{payment.provider}:{payment.provider_payment_id}",
        provider=payment.provider,
        provider_payment_id=payment.provider_payment_id,
        purchase_id=payment.purchase_id,
        amount=payment.amount,
        currency=payment.currency,
        body_sha256=hashlib.sha256(b"").digest(),
        language="en",
        chat_id=payment.user_id,
        provider_ref=payment.provider_ref,
    )


def _alerts(
    payment: PaymentRow, what: str, reason: str, owners: Sequence[int]
) -> tuple[AlertDraft, ...]:
    """Once for each payment and owner, however often this is decided."""
    return tuple(
        AlertDraft(
            dedupe_key=f"{what}:{payment.number}:{owner}",
            owner=owner,
            text_id=f"alert-{what}",
            arguments={
                "number": payment.number,
                "amount": payment.amount,
                "currency": payment.currency,
                "provider": payment.provider,
                "user_id": payment.user_id,
                "reason": reason,
            },
        )
        for owner in owners
    )


def _doubled(base_s: float, cap_s: float, times: int) -> float:
    return min(cap_s, base_s * 2.0 ** min(times, MOST_DOUBLINGS))
