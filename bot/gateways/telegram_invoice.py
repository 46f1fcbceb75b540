"""What Stars and cards share: Telegram shows the invoice, and Telegram says that it was paid."""

from aiogram.methods import SendInvoice
from aiogram.types import LabeledPrice, SuccessfulPayment

from actors.payments.ports import Charge
from bot.gateways import card, stars
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.gateways.port import OrderToPay

#: Telegram's limits (https://core.telegram.org/bots/api#sendinvoice).
TITLE_LIMIT = 32
DESCRIPTION_LIMIT = 255
#: Without one, a forwarded invoice keeps its Pay button and anybody could pay it.
START_PARAMETER = "buy"


def claim_of(order: OrderToPay) -> InvoiceClaim:
    """What an invoice for this order says about itself."""
    return InvoiceClaim(purchase_id=order.purchase_id, user_id=order.user_id, plan_id=order.plan_id)


def telegram_invoice(
    order: OrderToPay, signer: PayloadSigner, provider_token: str = ""
) -> SendInvoice:
    """An invoice to be sent. Words that are too long are cut, as a sale is worth more than a word.

    Args:
        order: its title and description are in the buyer's language.
        signer: signs the payload that names the order.
        provider_token: of a payments provider; empty for Stars.
    """
    return SendInvoice(
        chat_id=order.chat_id,
        title=order.title[:TITLE_LIMIT],
        description=order.description[:DESCRIPTION_LIMIT],
        payload=signer.sign(claim_of(order)),
        currency=order.currency,
        prices=[LabeledPrice(label=order.title[:TITLE_LIMIT], amount=order.price)],
        provider_token=provider_token,
        start_parameter=START_PARAMETER,
    )


def provider_of(currency: str) -> str:
    """Who charges an invoice of Telegram's: Stars are Telegram's own, all else goes by card."""
    return stars.PROVIDER if currency == stars.CURRENCY else card.PROVIDER


def charged(payment: SuccessfulPayment, payer_id: int, signer: PayloadSigner, body: str) -> Charge:
    """A payment that Telegram announced.

    Args:
        payment: of the service message.
        payer_id: who was charged; a claim of somebody else's order is none.
        signer: knows our payloads.
        body: the update as it came.
    """
    by_card = provider_of(payment.currency) == card.PROVIDER
    return Charge(
        provider_payment_id=payment.telegram_payment_charge_id,
        user_id=payer_id,
        purchase_id=signer.purchase_of(payment.invoice_payload, payer_id),
        amount=payment.total_amount,
        currency=payment.currency,
        body=body,
        provider_ref=(payment.provider_payment_charge_id or None) if by_card else None,
    )
