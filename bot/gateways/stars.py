"""Invoices in Telegram Stars. Numbers: https://core.telegram.org/bots/api#sendinvoice."""

from aiogram.methods import SendInvoice
from aiogram.types import LabeledPrice

PROVIDER = "stars"
CURRENCY = "XTR"
TITLE_LIMIT = 32
DESCRIPTION_LIMIT = 255
#: Without one, a forwarded invoice keeps its Pay button and anybody could pay it.
START_PARAMETER = "buy"


def stars_invoice(
    *, chat_id: int, title: str, description: str, price: int, payload: str
) -> SendInvoice:
    """An invoice to be sent.

    Args:
        chat_id: a private chat.
        title: at most 32 characters; plans are checked for it when they are read.
        description: at most 255 characters; cut if longer, as a sale is worth more than a word.
        price: Stars, as the order's row says.
        payload: names the order; see `PayloadSigner`.
    """
    return SendInvoice(
        chat_id=chat_id,
        title=title[:TITLE_LIMIT],
        description=description[:DESCRIPTION_LIMIT],
        payload=payload,
        currency=CURRENCY,
        prices=[LabeledPrice(label=title, amount=price)],
        provider_token="",
        start_parameter=START_PARAMETER,
    )
