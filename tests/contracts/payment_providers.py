"""Every way to pay beside its double: a new one is a class here, and a line in `PROVIDERS`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from pydantic import SecretStr

from actors.payments.ports import Charge
from bot.gateways.card.gateway import CardGateway
from bot.gateways.crypto_pay.client import CryptoPayClient
from bot.gateways.crypto_pay.gateway import CryptoPayGateway
from bot.gateways.manual.gateway import ManualGateway
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.gateways.port import (
    Gateway,
    Offer,
    OrderToPay,
    PayByHand,
    PayPage,
    PushAccepted,
    TelegramInvoice,
)
from bot.gateways.stars.gateway import StarsGateway
from bot.gateways.telegram_invoice import charged
from bot.sandbox import ANNA_ID, Fault, Sandbox
from bot.sandbox import Paid as SandboxPaid
from bot.sandbox import Refused as SandboxRefused
from bot.sandbox.crypto_pay import CryptoPayDouble, PushFault
from bot.session import make_bot
from config.keys import MasterKeys
from storage.rows import Disposition, PaymentRow, RefundOrder

ORDER_ID = UUID("00000000-0000-4000-8000-0000000000a1")
SIGNER = PayloadSigner(MasterKeys([SecretStr("a master secret for tests, long enough")]))
FORGER = PayloadSigner(MasterKeys([SecretStr("the secret of somebody else, long enough")]))


def allowed() -> None:
    """No transaction is open."""


def order(price: int, currency: str, user_id: int = ANNA_ID) -> OrderToPay:
    return OrderToPay(
        purchase_id=ORDER_ID,
        user_id=user_id,
        chat_id=ANNA_ID,
        plan_id="month",
        title="1 month",
        description="30 days of access",
        price=price,
        currency=currency,
    )


def refund_of(provider: str, charge: Charge) -> RefundOrder:
    payment = PaymentRow(
        provider=provider,
        provider_payment_id=charge.provider_payment_id,
        purchase_id=charge.purchase_id,
        user_id=charge.user_id,
        amount=charge.amount,
        currency=charge.currency,
        disposition=Disposition.REFUND_PENDING,
        reason=None,
        received_at=datetime(2026, 11, 23, tzinfo=UTC),
        provider_ref=charge.provider_ref,
    )
    return RefundOrder(payment=payment, invoice_id=None, age_s=0)


class Provider(Protocol):
    """A way to pay and the other side of it, as the suite drives them."""

    name: str
    price: int
    gateway: Gateway
    #: The same gateway, signing what ours does not know.
    forger: Gateway
    secrets: tuple[str, ...]
    #: The provider's methods that list and that give back; None where there are none.
    lists: str | None
    gives_back: str | None

    def orders_in(self, offer: Offer) -> list[InvoiceClaim | UUID | None]:
        """All orders that an offer names."""
        ...

    async def pay(self, offer: Offer, *, heard: bool = True) -> Charge | None:
        """The buyer pays; the charge as the live path reads it, None unless `heard`."""
        ...

    def trouble(self, method: str, fault: object) -> None:
        """The next call of a method suffers this."""
        ...

    def given_back(self) -> int:
        """How often money went back."""
        ...


class _ByTelegram:
    """Telegram's invoices against the sandbox, through the real client."""

    lists: str | None = None
    gives_back: str | None = None

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        self.sandbox = sandbox
        self.bot = make_bot(sandbox.token, allowed, url)
        self.secrets: tuple[str, ...] = (sandbox.token,)

    def orders_in(self, offer: Offer) -> list[InvoiceClaim | UUID | None]:
        assert isinstance(offer, TelegramInvoice)
        return [SIGNER.verify(offer.request.payload)]

    async def pay(self, offer: Offer, *, heard: bool = True) -> Charge | None:
        assert isinstance(offer, TelegramInvoice)
        anna = self.sandbox.person(ANNA_ID)
        sent = await self.bot(offer.request)
        invoice = next(one for one in anna.messages if one.id == sent.message_id)
        offset = 0
        paying: asyncio.Future[SandboxPaid | SandboxRefused] | None = None
        while True:
            for update in await self.bot.get_updates(offset=offset, timeout=0):
                offset = update.update_id + 1
                if update.pre_checkout_query:
                    await self.bot.answer_pre_checkout_query(update.pre_checkout_query.id, ok=True)
                    outcome = await paying if paying else None
                    assert isinstance(outcome, SandboxPaid)
                if update.message and (done := update.message.successful_payment):
                    return charged(done, ANNA_ID, SIGNER, "body") if heard else None
            if paying is None:
                paying = asyncio.ensure_future(anna.pay(invoice))

    def trouble(self, method: str, fault: object) -> None:
        self.sandbox.faults.next(method, fault)  # type: ignore[arg-type]

    def given_back(self) -> int:
        return sum("receiver" in one for one in self.sandbox.transactions)


class Stars(_ByTelegram):
    """Telegram Stars."""

    name: str = "stars"
    price: int = 150
    lists: str | None = "getStarTransactions"
    gives_back: str | None = "refundStarPayment"

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        super().__init__(sandbox, url)
        self.gateway: Gateway = StarsGateway(self.bot, SIGNER)
        self.forger: Gateway = StarsGateway(self.bot, FORGER)


class Card(_ByTelegram):
    """A payments provider of Telegram."""

    name: str = "card"
    price: int = 19_900

    def __init__(self, sandbox: Sandbox, url: str) -> None:
        super().__init__(sandbox, url)
        self.secrets = (sandbox.token, "1877:TEST:canary")
        self.gateway: Gateway = CardGateway("1877:TEST:canary", "RUB", SIGNER)
        self.forger: Gateway = CardGateway("1877:TEST:canary", "RUB", FORGER)


class CryptoPay:
    """Crypto Pay, against its double over HTTP; priced in a currency of either kind."""

    name: str = "cryptopay"
    lists: str | None = "getInvoices"
    gives_back: str | None = "transfer"

    def __init__(self, double: CryptoPayDouble, url: str, currency: str, price: int) -> None:
        self.double = double
        self.price = price
        self.secrets: tuple[str, ...] = (double.token,)
        self.client = CryptoPayClient(url, double.token, allowed)
        self.crypto = CryptoPayGateway(self.client, double.token, currency, SIGNER)
        self.gateway: Gateway = self.crypto
        self.forger: Gateway = CryptoPayGateway(self.client, double.token, currency, FORGER)

    def orders_in(self, offer: Offer) -> list[InvoiceClaim | UUID | None]:
        assert isinstance(offer, PayPage)
        return [SIGNER.verify(self.double.invoices[int(offer.provider_invoice_id)]["payload"])]

    async def pay(self, offer: Offer, *, heard: bool = True) -> Charge | None:
        assert isinstance(offer, PayPage)
        number = int(offer.provider_invoice_id)
        self.double.next_push(PushFault.SWALLOW)
        await self.double.pay(number)
        if not heard:
            return None
        body, headers = self.double.signed_push(number)
        now_s = datetime.now(UTC).timestamp()  # noqa: TID251 - the double's calls are dated so
        assert isinstance(self.crypto.accept(headers, body, now_s), PushAccepted)
        return next(iter(self.crypto.charges_in(body.decode())), None)

    def trouble(self, method: str, fault: object) -> None:
        self.double.faults.next(method, fault)  # type: ignore[arg-type]

    def given_back(self) -> int:
        return len(self.double.transfers)


@dataclass
class Manual:
    """Paid outside: an owner is the whole other side."""

    name: str = "manual"
    price: int = 19_900
    gateway: Gateway = field(default_factory=lambda: ManualGateway("Card 4242", "RUB"))
    forger: Gateway = field(default_factory=lambda: ManualGateway("Card 4242", "RUB"))
    secrets: tuple[str, ...] = ()
    lists: str | None = None
    gives_back: str | None = None

    def orders_in(self, offer: Offer) -> list[InvoiceClaim | UUID | None]:
        assert isinstance(offer, PayByHand)
        buttons = [button for row in offer.reply.keyboard for button in row]
        carried = [getattr(button, "callback", None) for button in buttons]
        return [getattr(one, "purchase_id", None) for one in carried]

    async def pay(self, offer: Offer, *, heard: bool = True) -> Charge | None:
        """What an owner makes of it when they find the money."""
        del offer
        found = Charge(
            provider_payment_id=str(ORDER_ID),
            user_id=ANNA_ID,
            purchase_id=ORDER_ID,
            amount=self.price,
            currency="RUB",
            body="",
        )
        return found if heard else None

    def trouble(self, method: str, fault: object) -> None:
        raise AssertionError((method, fault))

    def given_back(self) -> int:
        return 0


@asynccontextmanager
async def telegram(kind: type[Stars] | type[Card]) -> AsyncIterator[Provider]:
    async with AsyncExitStack() as stack:
        sandbox = Sandbox()
        address = await stack.enter_async_context(sandbox.serve())
        provider = kind(sandbox, address.url)
        session = await provider.bot.session.create_session()  # type: ignore[attr-defined]
        stack.push_async_callback(session.close)
        await sandbox.person(ANNA_ID).say("/start")
        yield provider


@asynccontextmanager
async def crypto(currency: str, price: int) -> AsyncIterator[Provider]:
    double = CryptoPayDouble()
    async with double.serve() as address:
        provider = CryptoPay(double, address.url, currency, price)
        yield provider
        await provider.client.close()


@asynccontextmanager
async def by_hand() -> AsyncIterator[Provider]:
    yield Manual()


#: Each with a way to bring it up.
PROVIDERS: dict[str, Callable[[], object]] = {
    "stars": lambda: telegram(Stars),
    "cryptopay-coins": lambda: crypto("USDT", 250_000_000),
    "cryptopay-fiat": lambda: crypto("RUB", 19_900),
    "card": lambda: telegram(Card),
    "manual": by_hand,
}

__all__ = ["PROVIDERS", "Fault", "Provider", "order", "refund_of"]
