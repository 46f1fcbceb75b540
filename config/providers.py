"""What each way to pay promises: its fees, what it forgives, how money goes back.

The figures of a provider stand in its own folder, in these terms; `match_amount` is the one place
that says whether an amount that came in is the amount that was asked.
"""

from dataclasses import dataclass
from enum import StrEnum

#: Tolerances and fees are parts of ten thousand.
WHOLE = 10_000


class FeeBearer(StrEnum):
    """Who pays the provider's fee."""

    SHOP = "shop"
    """It is taken from what we get; the payer pays the price, and the price is what is compared."""
    PAYER = "payer"
    """It is added to what the payer pays: the amount paid may be above the price by the fee."""


class RefundWay(StrEnum):
    """How money goes back."""

    BY_API = "by_api"
    BY_HAND = "by_hand"
    """The provider has no call for it: an owner does it and says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a provider promises.

    `fee_parts` and `forgiven_parts` are of ten thousand of the price: the provider's usual fee, and
    how much less than the price still counts as paid. `lists_charges`: whether the provider can be
    asked for what it took, so that a lost push is found. `open_for_s`: how long an invoice can be
    paid.
    """

    provider: str
    currency: str
    fee_bearer: FeeBearer = FeeBearer.SHOP
    fee_parts: int = 0
    forgiven_parts: int = 0
    refund: RefundWay = RefundWay.BY_API
    lists_charges: bool = True
    open_for_s: int = 24 * 3600


class AmountMatch(StrEnum):
    """What an amount that came in is, beside the one that was asked."""

    EXACT = "exact"
    FORGIVEN = "forgiven"
    """Less, and within what the provider's terms forgive."""
    WITH_FEE = "with_fee"
    """More by no more than the fee that the payer bears."""
    OVER = "over"
    UNDER = "under"
    OTHER_CURRENCY = "other_currency"

    @property
    def enough(self) -> bool:
        """Whether it buys what was ordered."""
        return self not in (AmountMatch.UNDER, AmountMatch.OTHER_CURRENCY)


def match_amount(
    terms: Terms | None, *, price: int, currency: str, paid: int, paid_in: str
) -> AmountMatch:
    """Compare what was paid with what was asked, both in the smallest unit.

    `terms` are None for a provider that is switched off by now: then nothing is forgiven.
    """
    if paid_in != currency:
        return AmountMatch.OTHER_CURRENCY
    if paid == price:
        return AmountMatch.EXACT
    if paid < price:
        forgiven = terms.forgiven_parts if terms else 0
        short = (price - paid) * WHOLE
        return AmountMatch.FORGIVEN if short <= price * forgiven else AmountMatch.UNDER
    fee = terms.fee_parts if terms and terms.fee_bearer is FeeBearer.PAYER else 0
    return AmountMatch.WITH_FEE if (paid - price) * WHOLE <= price * fee else AmountMatch.OVER
