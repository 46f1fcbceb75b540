"""Those ways to pay are there that are switched on, in the order in which buyers see them."""

from typing import Any

import pytest
from aiogram import Bot

from bot.gateways.crypto_pay.gateway import CryptoPayGateway
from bot.gateways.registry import close_gateways, gateways, push_gateways, terms_of
from config.settings import PaymentsSection, Settings
from tests.contracts.payment_providers import SIGNER, allowed

ALL: dict[str, Any] = {
    "manual": {"enabled": True, "instructions": "Card 4242"},
    "card": {"provider_token": "1877:TEST:canary"},
    "cryptopay": {"token": "4242:canary"},
}


@pytest.fixture
def bot() -> Bot:
    return Bot("123456:canary-of-a-token")


def settings(**payments: Any) -> Settings:
    return Settings.model_construct(payments=PaymentsSection.model_validate(payments))


async def test_stars_alone_are_on_by_themselves(bot: Bot) -> None:
    assert list(gateways(settings(), bot, SIGNER, allowed)) == ["stars"]


async def test_all_that_is_switched_on_is_there_in_order(bot: Bot) -> None:
    found = gateways(settings(**ALL), bot, SIGNER, allowed)

    assert list(found) == ["stars", "cryptopay", "card", "manual"]
    assert [terms.provider for terms in terms_of(found).values()] == list(found)
    assert list(push_gateways(found)) == ["cryptopay"]
    await close_gateways(found)


async def test_stars_can_be_off(bot: Bot) -> None:
    only = {"stars": {"enabled": False}, "manual": ALL["manual"]}
    assert list(gateways(settings(**only), bot, SIGNER, allowed)) == ["manual"]


@pytest.mark.parametrize(
    ("network", "base"),
    [
        ("main", "https://pay.crypt.bot"),
        ("test", "https://testnet-pay.crypt.bot"),
        ("http://127.0.0.1:8099", "http://127.0.0.1:8099"),
    ],
)
async def test_crypto_pay_is_called_where_the_settings_say(
    bot: Bot, network: str, base: str
) -> None:
    section = {"token": "4242:canary", "network": network}
    gateway = gateways(settings(cryptopay=section), bot, SIGNER, allowed)["cryptopay"]
    assert isinstance(gateway, CryptoPayGateway)
    assert gateway._client._base == base
