"""Crypto Pay, the payments of the bot @CryptoBot.

Its figures: https://help.send.tg/en/articles/10279948-crypto-pay-api
"""

from config.providers import FeeBearer, Terms

PROVIDER = "cryptopay"
PUSH_PATH = "/webhooks/cryptopay"

#: The two networks that there are; a token is good for one of them and must reach no other host.
BASES = {"main": "https://pay.crypt.bot", "test": "https://testnet-pay.crypt.bot"}

#: What Crypto Pay calls assets; all else that orders are priced in is fiat there.
ASSETS = frozenset({"USDT", "TON", "BTC", "ETH", "LTC", "BNB", "TRX", "USDC"})


def terms(currency: str) -> Terms:
    """What Crypto Pay promises.

    An invoice is paid whole or not at all, so nothing is forgiven. The fee is taken from what the
    shop gets: three parts of a hundred at the time of writing, shown in the app's own settings; it
    is not compared with anything. A day: Crypto Pay itself takes up to 31 days.
    """
    return Terms(
        provider=PROVIDER,
        currency=currency,
        fee_bearer=FeeBearer.SHOP,
        fee_parts=300,
        open_for_s=24 * 3600,
    )
