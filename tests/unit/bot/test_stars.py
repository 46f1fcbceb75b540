"""An invoice is what Telegram takes for a sale, whatever the words."""

from dataclasses import replace

from bot.gateways.telegram_invoice import telegram_invoice
from tests.contracts.payment_providers import SIGNER, order

ORDER = order(150, "XTR")


def test_an_invoice_has_one_price_and_cannot_be_paid_when_forwarded() -> None:
    invoice = telegram_invoice(ORDER, SIGNER)
    assert (invoice.currency, invoice.provider_token) == ("XTR", "")
    assert [(price.label, price.amount) for price in invoice.prices] == [("1 month", 150)]
    assert invoice.start_parameter


def test_words_that_are_too_long_do_not_stop_a_sale() -> None:
    invoice = telegram_invoice(replace(ORDER, title="x" * 33, description="y" * 256), SIGNER)
    assert (len(invoice.title), len(invoice.description)) == (32, 255)
