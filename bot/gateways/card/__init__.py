"""Cards, through a payments provider that @BotFather connects to the bot.

Telegram shows the invoice and says when it was paid, and nothing else: the Bot API has neither a
list of card payments nor a refund of them. Both are the provider's own business.
"""

from config.providers import RefundWay, Terms

PROVIDER = "card"


def terms(currency: str) -> Terms:
    """What cards promise.

    The provider takes its fee from the shop, by the shop's own contract; the payer pays the price
    to the smallest unit, so nothing is forgiven. An invoice can be paid for a day: our own rule.
    """
    return Terms(
        provider=PROVIDER,
        currency=currency,
        refund=RefundWay.BY_HAND,
        lists_charges=False,
        open_for_s=24 * 3600,
    )
