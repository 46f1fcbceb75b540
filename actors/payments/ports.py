"""What the payment actors need of a provider: what it took, and how it gives back."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from config.providers import Terms
from storage.rows import RefundOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money that a provider took. `purchase_id` is None when its order cannot be read.

    `amount` is in the currency's smallest unit; `body` is the provider's own text about it.
    """

    provider_payment_id: str
    user_id: int
    purchase_id: UUID | None
    amount: int
    currency: str
    body: str
    provider_ref: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnedCharge:
    """Money that a provider gave back, whoever wanted it."""

    provider_payment_id: str
    user_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargePage:
    """Part of a provider's list.

    `cursor` is where the next reading begins, kept over restarts. `more`: read on now. With
    `newest_first`, a page on which everything is known ends the reading.
    """

    found: tuple[Charge | ReturnedCharge, ...]
    cursor: str | None
    more: bool
    newest_first: bool = False


class ProviderUnavailable(Exception):  # noqa: N818 - weather
    """The provider does not answer, or not as it should; ask again later.

    The text goes to the log: it must hold no token and no address with one.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBack:
    """The money is back at its payer; that it was so before counts as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackLater:
    """Not now, or nobody knows: the same call may be repeated. `after_s` is the provider's wish."""

    after_s: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveBackByHand:
    """The provider will not do it by a call: an owner has to, and says so afterwards."""

    reason: str


GiveBackOutcome = GivenBack | GiveBackLater | GiveBackByHand


class PaymentGateway(Protocol):
    """A provider as the payment actors see it. See bot/gateways/README.md for the whole of it."""

    @property
    def terms(self) -> Terms:
        """Name, currency, fees, tolerances."""
        ...

    async def charges(self, cursor: str | None) -> ChargePage:
        """What was taken and given back since `cursor`; None begins at the beginning.

        Raises:
            ProviderUnavailable: ask again later.
        """
        ...

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """Send money back, once, however often this is called; never raises for what it hears."""
        ...
