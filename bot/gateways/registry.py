"""Which ways to pay there are: the one place that knows them all."""

from collections.abc import Callable, Mapping

from aiogram import Bot

from bot.gateways import card, crypto_pay, manual, stars
from bot.gateways.card.gateway import CardGateway
from bot.gateways.crypto_pay.client import CryptoPayClient
from bot.gateways.crypto_pay.gateway import CryptoPayGateway
from bot.gateways.manual.gateway import ManualGateway
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import ClosingGateway, Gateway, PushGateway
from bot.gateways.stars.gateway import StarsGateway
from config.providers import Terms
from config.settings import CryptoPaySection, Settings


def gateways(
    settings: Settings, bot: Bot, signer: PayloadSigner, guard: Callable[[], None]
) -> Mapping[str, Gateway]:
    """The ways to pay that are switched on, in the order in which buyers see them.

    Nothing is opened or called yet.

    Args:
        settings: of the back-end; its section `payments` says what is on.
        bot: makes the calls to Telegram, under a guard of its own.
        signer: signs what names an order.
        guard: raises inside a database transaction; asked before each other call.
    """
    payments = settings.payments
    found: dict[str, Gateway] = {}
    if payments.stars.enabled:
        found[stars.PROVIDER] = StarsGateway(bot, signer)
    if payments.cryptopay.token is not None:
        found[crypto_pay.PROVIDER] = _crypto_pay(
            payments.cryptopay, payments.cryptopay.token.get_secret_value(), signer, guard
        )
    if payments.card.provider_token is not None:
        provider_token = payments.card.provider_token.get_secret_value()
        found[card.PROVIDER] = CardGateway(provider_token, payments.card.currency, signer)
    if payments.manual.enabled:
        by_hand = payments.manual
        found[manual.PROVIDER] = ManualGateway(by_hand.instructions, by_hand.currency)
    return found


def terms_of(gateways: Mapping[str, Gateway]) -> Mapping[str, Terms]:
    """What each of them promises, for whoever compares and prices."""
    return {name: gateway.terms for name, gateway in gateways.items()}


def push_gateways(gateways: Mapping[str, Gateway]) -> Mapping[str, PushGateway]:
    """Those whose provider calls us."""
    return {name: one for name, one in gateways.items() if isinstance(one, PushGateway)}


async def close_gateways(gateways: Mapping[str, Gateway]) -> None:
    """Drop all connections that they hold; the bot's own session is not theirs."""
    for gateway in gateways.values():
        if isinstance(gateway, ClosingGateway):
            await gateway.close()


def _crypto_pay(
    section: CryptoPaySection, token: str, signer: PayloadSigner, guard: Callable[[], None]
) -> CryptoPayGateway:
    base = crypto_pay.BASES.get(section.network, section.network)
    client = CryptoPayClient(base, token, guard)
    return CryptoPayGateway(client, token, section.currency, signer)
