"""Sells for crypto: Crypto Pay's invoices, its signed calls, its list, transfers as refunds."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from pydantic import ValidationError

from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GiveBackOutcome,
    GivenBack,
    ProviderUnavailable,
)
from bot.gateways import crypto_pay
from bot.gateways.crypto_pay.answers import CryptoInvoice
from bot.gateways.crypto_pay.client import CryptoPayBusy, CryptoPayClient, CryptoPayRefused
from bot.gateways.crypto_pay.pushes import accept_push, paid_invoice, read_push
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import OrderToPay, PayPage, PushAccepted, PushRefused
from bot.gateways.telegram_invoice import claim_of
from config.money import MoneyError, major, minor
from config.network import is_loopback
from config.providers import Terms
from storage.rows import PaymentRow, RefundOrder

log = structlog.get_logger(__name__)

PAGE = 100
#: Crypto Pay's limit for what the buyer reads on the invoice.
DESCRIPTION_LIMIT = 1024
#: Refusals that end by themselves, or when an owner fills the app's purse or mends its token.
PASSING = frozenset({"NOT_ENOUGH_COINS", "UNAUTHORIZED"})
#: The app's purse is filled by people.
PURSE_S = 3600.0
#: Said when a transfer of this name was taken before: the next call finds it in the list.
SPENT = "SPEND_ID"
#: Invoices in the list that are told in the log, once each: at most so many are remembered.
REMEMBERED = 1_000


class CryptoPayGateway:
    """A `PushGateway` that holds connections."""

    push_path = crypto_pay.PUSH_PATH

    def __init__(
        self, client: CryptoPayClient, token: str, currency: str, signer: PayloadSigner
    ) -> None:
        """Take who makes the calls, the token that signs theirs, and the currency of all orders."""
        self._client = client
        self._token = token
        self._signer = signer
        self._told: dict[int, None] = {}
        self.terms: Terms = crypto_pay.terms(currency)

    async def close(self) -> None:
        """Drop the connections."""
        await self._client.close()

    async def offer(self, order: OrderToPay) -> PayPage:
        """A new invoice; its page takes the money."""
        invoice = await self._client.create_invoice(
            {
                **_price(order.price, order.currency),
                "description": f"{order.title}. {order.description}"[:DESCRIPTION_LIMIT],
                "payload": self._signer.sign(claim_of(order)),
                "expires_in": self.terms.open_for_s,
                "allow_comments": False,
                "allow_anonymous": False,
            }
        )
        return PayPage(provider_invoice_id=str(invoice.invoice_id), url=_page(invoice))

    async def charges(self, cursor: str | None) -> ChargePage:
        """A hundred paid invoices, newest first; after the last page the cursor begins anew."""
        offset = int(cursor or 0)
        listed = await self._client.paid_invoices(offset, PAGE)
        found = tuple(charge for each in listed if (charge := self._listed(each)))
        more = len(listed) == PAGE
        after = str(offset + len(listed)) if more else None
        return ChargePage(found=found, cursor=after, more=more, newest_first=True)

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """Transfer what was paid to the payer, under a name that Crypto Pay takes once."""
        payment = order.payment
        spend_id = spend_id_of(payment)
        try:
            if await self._client.transferred(spend_id):
                return GivenBack()
            coins = await self._coins(payment)
            if coins is None:
                return GiveBackByHand(reason="the paid invoice does not say which coins were paid")
            await self._client.transfer({"user_id": payment.user_id, "spend_id": spend_id, **coins})
        except CryptoPayRefused as error:
            return _refused(error)
        except ProviderUnavailable as error:
            after_s = error.after_s if isinstance(error, CryptoPayBusy) else None
            return GiveBackLater(after_s=after_s, reason=str(error))
        return GivenBack()

    def accept(
        self, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> PushAccepted | PushRefused:
        """Whether a call is Crypto Pay's own, and fresh."""
        return accept_push(self._token, headers, body, now_s)

    def charges_in(self, body: str) -> tuple[Charge, ...]:
        """What an accepted call says was paid. What cannot be read is told in the log."""
        push = read_push(body)
        if push is None:
            log.error("crypto pay call unreadable", digest=_digest(body))
            return ()
        try:
            invoice = paid_invoice(push)
        except LookupError:
            return ()
        charge = self._charge(invoice, push.payload) if invoice else None
        if charge is None:
            log.error("crypto pay call names no charge of ours", digest=_digest(body))
        return (charge,) if charge else ()

    def _listed(self, listed: object) -> Charge | None:
        try:
            invoice = CryptoInvoice.model_validate(listed)
        except ValidationError:
            log.error("crypto pay invoice unreadable")  # noqa: TRY400 - it would quote it
            return None
        charge = self._charge(invoice, listed)
        if charge is None and invoice.invoice_id not in self._told:
            # Once: the same page is read again and again.
            self._remember(invoice.invoice_id)
            log.error("crypto pay invoice is not of this shop", invoice=invoice.invoice_id)
        return charge

    def _remember(self, invoice_id: int) -> None:
        self._told[invoice_id] = None
        if len(self._told) > REMEMBERED:
            self._told.pop(next(iter(self._told)))

    def _charge(self, invoice: CryptoInvoice, body: object) -> Charge | None:
        """The charge; only the signed payload tells whose it is, so without one there is none."""
        claim = self._signer.verify(invoice.payload)
        if claim is None:
            return None
        try:
            amount = minor(invoice.amount, invoice.currency)
        except MoneyError:
            log.error("crypto pay amount unreadable", invoice=invoice.invoice_id)  # noqa: TRY400
            amount = 0
        return Charge(
            provider_payment_id=str(invoice.invoice_id),
            user_id=claim.user_id,
            # Money whose amount cannot be read buys nothing by itself: an owner decides.
            purchase_id=claim.purchase_id if amount else None,
            amount=amount,
            currency=invoice.currency or self.terms.currency,
            body=json.dumps(body, sort_keys=True, default=str),
        )

    async def _coins(self, payment: PaymentRow) -> dict[str, Any] | None:
        """What to transfer: the coins that were paid, which a fiat price does not tell."""
        if payment.currency in crypto_pay.ASSETS and payment.amount > 0:
            return {"asset": payment.currency, "amount": _amount(payment.amount, payment.currency)}
        invoice = await self._client.invoice(payment.provider_payment_id)
        if invoice is None or invoice.paid_amount is None or not invoice.paid_asset:
            return None
        try:
            units = minor(invoice.paid_amount, invoice.paid_asset)
        except MoneyError:
            return None
        return {"asset": invoice.paid_asset, "amount": _amount(units, invoice.paid_asset)}


def spend_id_of(payment: PaymentRow) -> str:
    """The one name of a payment's refund: 64 characters, the most that Crypto Pay takes."""
    name = f"refund:{payment.provider}:{payment.provider_payment_id}"
    return hashlib.sha256(name.encode()).hexdigest()


def _refused(error: CryptoPayRefused) -> GiveBackLater | GiveBackByHand:
    if SPENT in error.name:
        return GiveBackLater(after_s=None, reason=str(error))
    if error.name in PASSING:
        return GiveBackLater(after_s=PURSE_S, reason=str(error))
    return GiveBackByHand(reason=f"Crypto Pay says: {error}")


def _price(units: int, currency: str) -> dict[str, str]:
    kind = "crypto" if currency in crypto_pay.ASSETS else "fiat"
    name = "asset" if kind == "crypto" else "fiat"
    return {"currency_type": kind, name: currency, "amount": _amount(units, currency)}


def _amount(units: int, currency: str) -> str:
    """A decimal text without an exponent."""
    text = f"{major(units, currency):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _page(invoice: CryptoInvoice) -> str:
    for url in (invoice.bot_invoice_url, invoice.mini_app_invoice_url):
        try:
            parts = urlsplit(url)
        except ValueError:
            continue
        # Plain http only to this machine, as everywhere else: that is the demo's double.
        if parts.scheme == "https" or (
            parts.scheme == "http" and is_loopback(parts.hostname or "")
        ):
            return url
    raise ProviderUnavailable("createInvoice: no https page to pay on")


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode(errors="surrogatepass")).hexdigest()[:16]
