"""Asks Telegram and providers how they stand; takes nothing from them and changes nothing."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

from aiogram.exceptions import TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError

from actors.payments.ports import ProviderUnavailable
from bot.door import TokenRefused
from bot.gateways import crypto_pay
from bot.gateways.crypto_pay.client import CryptoPayClient
from bot.session import make_bot
from config.settings import CryptoPaySection, TelegramSection


class NoAnswer(Exception):  # noqa: N818 - what happened
    """Somebody outside does not answer, or says no; the text names the kind of failure alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramStanding:
    """The bot's account, and where Telegram sends its updates.

    Attributes:
        bot_id: the account's number.
        username: its name.
        webhook_url: empty where updates are polled for.
        waiting: updates that wait at Telegram.
        last_error: of a call to the webhook, and when.
    """

    bot_id: int
    username: str
    webhook_url: str
    waiting: int
    last_error: str | None
    last_error_at: datetime | None


async def telegram_standing(telegram: TelegramSection) -> TelegramStanding:
    """How the bot's account stands.

    Raises:
        TokenRefused: Telegram does not know the token.
        NoAnswer: Telegram does not answer.
    """
    bot = make_bot(telegram.token.get_secret_value(), _nothing, telegram.api_base)
    try:
        me, hook = await asyncio.gather(bot.get_me(), bot.get_webhook_info())
    except (TelegramUnauthorizedError, TelegramNotFound):
        raise TokenRefused from None
    except TelegramAPIError as error:
        raise NoAnswer(type(error).__name__) from None
    finally:
        await bot.session.close()
    return TelegramStanding(
        bot_id=me.id,
        username=me.username or "",
        webhook_url=hook.url,
        waiting=hook.pending_update_count,
        last_error=hook.last_error_message,
        last_error_at=hook.last_error_date,
    )


async def ask_cryptopay(section: CryptoPaySection) -> None:
    """Ask Crypto Pay for its newest paid invoice, as the poller does.

    Raises:
        NoAnswer: it does not answer, or refuses the token.
    """
    assert section.token is not None  # noqa: S101 - the caller looked
    base = crypto_pay.BASES.get(section.network, section.network)
    client = CryptoPayClient(base, section.token.get_secret_value(), _nothing)
    try:
        await client.paid_invoices(0, 1)
    except ProviderUnavailable as error:
        raise NoAnswer(str(error)) from None
    finally:
        await client.close()


def _nothing() -> None:
    """No transaction is open here."""
