"""What the shop needs of a way to pay; each has a folder of its own, and passes one suite of tests.

README.md beside this file says how to add one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from uuid import UUID

from aiogram.methods import SendInvoice

from actors.payments.ports import Charge, PaymentGateway
from bot.replies import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderToPay:
    """An order as its invoice says it. `price` is in the currency's smallest unit."""

    purchase_id: UUID
    user_id: int
    chat_id: int
    plan_id: str
    title: str
    description: str
    price: int
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramInvoice:
    """An invoice that Telegram shows, with its own *Pay* button."""

    request: SendInvoice


@dataclass(frozen=True, slots=True, kw_only=True)
class PayPage:
    """A page of the provider's; `provider_invoice_id` is its name for the order."""

    provider_invoice_id: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PayByHand:
    """Words that say how to pay outside, and the button that says it was done."""

    reply: Reply


Offer = TelegramInvoice | PayPage | PayByHand


class Gateway(PaymentGateway, Protocol):
    """A way to pay, whole."""

    async def offer(self, order: OrderToPay) -> Offer:
        """Make what the buyer is shown.

        Called again after a crash it may make a second invoice: both name the one order.

        Raises:
            ProviderUnavailable: ask again later.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PushAccepted:
    """A push that is the provider's own.

    `source_id` is the same for the same bytes and another for others: a digest of the body belongs
    into it, or the inbox takes news for a number that was used twice.
    """

    source_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PushRefused:
    """Not the provider's own, or too old. `reason` is for the log; the caller hears only 401."""

    reason: str


@runtime_checkable
class ClosingGateway(Gateway, Protocol):
    """A way to pay that holds connections of its own."""

    async def close(self) -> None:
        """Drop the connections. No call comes after it."""
        ...


@runtime_checkable
class PushGateway(Gateway, Protocol):
    """A way to pay whose provider calls us; its pushes wait in the inbox as updates do."""

    @property
    def push_path(self) -> str:
        """Where the provider's calls come in, such as `/webhooks/cryptopay`."""
        ...

    def accept(
        self, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> PushAccepted | PushRefused:
        """Whether a call is the provider's own, told before anything in it is read.

        Args:
            headers: of the request, by any spelling of their names.
            body: its bytes, as they came.
            now_s: seconds since 1970.
        """
        ...

    def charges_in(self, body: str) -> tuple[Charge, ...]:
        """What an accepted call says was paid; nothing for news of other things."""
        ...
