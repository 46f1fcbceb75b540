"""Telegram Stars: invoices with one price, a list of every charge, refunds by a call.

Numbers: https://core.telegram.org/bots/api#sendinvoice, https://core.telegram.org/bots/payments-stars
"""

from config.money import STARS
from config.providers import Terms

PROVIDER = "stars"
CURRENCY = STARS

#: The payer pays the price and nothing else; what Telegram keeps shows only at withdrawal. A charge
#: is the invoice's total to the Star, so nothing is forgiven. An invoice itself never ends: that it
#: can be paid for a day is our own rule, held by the answer to the pre-checkout question.
TERMS = Terms(provider=PROVIDER, currency=CURRENCY, open_for_s=24 * 3600)
