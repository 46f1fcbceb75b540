"""Sells for Stars: Telegram's invoice, Telegram's list of transactions, Telegram's refund."""

import json
from typing import Annotated, Any, Literal

import structlog
from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramNetworkError,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import RefundStarPayment, TelegramMethod
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GiveBackOutcome,
    GivenBack,
    ProviderUnavailable,
    ReturnedCharge,
)
from bot.gateways import stars
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import OrderToPay, TelegramInvoice
from bot.gateways.telegram_invoice import telegram_invoice
from config.providers import Terms
from storage.rows import RefundOrder

log = structlog.get_logger(__name__)

#: The most that one call tells (https://core.telegram.org/bots/api#getstartransactions).
PAGE = 100
ALREADY_REFUNDED = "CHARGE_ALREADY_REFUNDED"
#: Errors that say nothing about the charge: the same call may be answered otherwise later.
WEATHER = (TelegramNetworkError, TelegramServerError, TelegramRetryAfter, TelegramUnauthorizedError)


class GetRawStarTransactions(TelegramMethod[dict[str, Any]]):
    """`getStarTransactions` as plain JSON: a partner of a new kind must not hide all the others.

    Attributes:
        offset: how many of the oldest transactions to pass over.
        limit: 1 to 100.
    """

    __returning__ = dict[str, Any]
    __api_method__ = "getStarTransactions"

    offset: int
    limit: int


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class _User(_Model):
    id: Annotated[int, Field(ge=1, lt=2**63)]


class _Payer(_Model):
    """The other end of a payment of ours, or of its refund."""

    type: Literal["user"]
    transaction_type: Literal["invoice_payment"]
    user: _User
    invoice_payload: str = ""


class _Transaction(_Model):
    id: Annotated[str, Field(min_length=1, max_length=256)]
    amount: Annotated[int, Field(ge=0, lt=2**63)]
    source: dict[str, Any] | None = None
    receiver: dict[str, Any] | None = None


class StarsGateway:
    """A `Gateway`; `bot` makes the calls, under the guard of its own session."""

    terms: Terms = stars.TERMS

    def __init__(self, bot: Bot, signer: PayloadSigner) -> None:
        """Take the bot whose Stars these are, and who signs its invoices."""
        self._bot = bot
        self._signer = signer

    async def offer(self, order: OrderToPay) -> TelegramInvoice:
        """An invoice with Telegram's own *Pay* button."""
        return TelegramInvoice(request=telegram_invoice(order, self._signer))

    async def charges(self, cursor: str | None) -> ChargePage:
        """The next hundred transactions, oldest first; gifts and withdrawals are passed over."""
        offset = int(cursor or 0)
        try:
            answer = await self._bot(GetRawStarTransactions(offset=offset, limit=PAGE))
        except TelegramAPIError as error:
            problem = f"getStarTransactions: {type(error).__name__}"
        else:
            listed = answer.get("transactions")
            if isinstance(listed, list):
                found = tuple(entry for each in listed if (entry := self._read(each)))
                after = str(offset + len(listed))
                return ChargePage(found=found, cursor=after, more=len(listed) == PAGE)
            problem = "getStarTransactions: an answer without transactions"
        # Outside the block above, so that no trace of the first error hangs on this one.
        raise ProviderUnavailable(problem)

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """Refund the charge; that it was refunded before is what was wanted."""
        user_id, charge_id = order.payment.user_id, order.payment.provider_payment_id
        call = RefundStarPayment(user_id=user_id, telegram_payment_charge_id=charge_id)
        try:
            await self._bot(call)
        except WEATHER as error:
            after_s = float(error.retry_after) if isinstance(error, TelegramRetryAfter) else None
            return GiveBackLater(after_s=after_s, reason=type(error).__name__)
        except TelegramAPIError as error:
            if ALREADY_REFUNDED in error.message:
                return GivenBack()
            return GiveBackByHand(reason=f"Telegram says: {error.message[:200]}")
        return GivenBack()

    def _read(self, listed: object) -> Charge | ReturnedCharge | None:
        try:
            transaction = _Transaction.model_validate(listed)
        except ValidationError:
            # Never dropped silently, as it may be money; the error itself would quote it.
            log.error("star transaction unreadable")  # noqa: TRY400
            return None
        payer = transaction.source and _payer(transaction.source, transaction.id)
        if payer:
            return self._charge(transaction, payer, listed)
        payee = transaction.receiver and _payer(transaction.receiver, transaction.id)
        if payee:
            return ReturnedCharge(provider_payment_id=transaction.id, user_id=payee.user.id)
        return None

    def _charge(self, transaction: _Transaction, payer: _Payer, listed: object) -> Charge:
        return Charge(
            provider_payment_id=transaction.id,
            user_id=payer.user.id,
            purchase_id=self._signer.purchase_of(payer.invoice_payload, payer.user.id),
            amount=transaction.amount,
            currency=stars.CURRENCY,
            body=json.dumps(listed, sort_keys=True),
        )


def _payer(partner: dict[str, Any], transaction_id: str) -> _Payer | None:
    """Who paid an invoice of ours; None for other transactions, such as gifts."""
    if partner.get("transaction_type") != "invoice_payment":
        return None
    try:
        return _Payer.model_validate(partner)
    except ValidationError:
        log.error("star payment unreadable", transaction=transaction_id[-8:])  # noqa: TRY400 - as above
        return None
