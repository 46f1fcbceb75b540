"""An invoice is what Telegram takes for a sale in Stars, whatever the words."""

from bot.gateways.stars import stars_invoice


def test_an_invoice_has_one_price_and_cannot_be_paid_when_forwarded() -> None:
    invoice = stars_invoice(
        chat_id=77, title="1 month", description="access", price=150, payload="p"
    )
    assert (invoice.currency, invoice.provider_token) == ("XTR", "")
    assert [(price.label, price.amount) for price in invoice.prices] == [("1 month", 150)]
    assert invoice.start_parameter


def test_words_that_are_too_long_do_not_stop_a_sale() -> None:
    invoice = stars_invoice(chat_id=77, title="x" * 33, description="y" * 256, price=1, payload="p")
    assert (len(invoice.title), len(invoice.description)) == (32, 255)
