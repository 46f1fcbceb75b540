"""Amounts of money as whole numbers of a currency's smallest unit; nothing is ever a float."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated

from pydantic import StringConstraints

#: Telegram Stars, as the Bot API names them (https://core.telegram.org/bots/payments-stars).
STARS = "XTR"

#: Digits after the point. Of fiat: ISO 4217. Of crypto assets: eight, the most that fits all of
#: them into 64 bits; a satoshi has so many, and Crypto Pay's amounts of others are no finer.
EXPONENTS: Mapping[str, int] = {
    STARS: 0,
    "RUB": 2,
    "USD": 2,
    "EUR": 2,
    "GBP": 2,
    "TRY": 2,
    "UAH": 2,
    "KZT": 2,
    "UZS": 2,
    "AMD": 2,
    "GEL": 2,
    "PLN": 2,
    "INR": 2,
    "CNY": 2,
    "USDT": 8,
    "USDC": 8,
    "TON": 8,
    "BTC": 8,
    "ETH": 8,
    "LTC": 8,
    "BNB": 8,
    "TRX": 8,
}

#: What a row can hold.
LARGEST = 2**63 - 1

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3,5}$")]


class MoneyError(ValueError):
    """A text that is no amount of a currency that we know."""


def minor(amount: str | Decimal, currency: str) -> int:
    """An amount in the currency's smallest unit; what is finer than that is cut off.

    Raises:
        MoneyError: an unknown currency; no finite, positive number; more than a row can hold.
    """
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise MoneyError(f"unknown currency; known are {', '.join(sorted(EXPONENTS))}")
    try:
        value = Decimal(amount)
    except InvalidOperation:
        raise MoneyError("not a number") from None
    # The exponent first: an integer of 1e400 would be made before it could be found too large.
    if not value.is_finite() or value <= 0 or value.adjusted() + exponent > len(str(LARGEST)):
        raise MoneyError("not an amount that anybody pays")
    units = int(value.scaleb(exponent))
    if not 0 < units <= LARGEST:
        raise MoneyError("not an amount that anybody pays")
    return units


def major(units: int, currency: str) -> Decimal:
    """An amount as people write it."""
    return Decimal(units).scaleb(-EXPONENTS.get(currency, 0))


def in_words(units: int, currency: str) -> str:
    """An amount without superfluous zeros; money keeps its two digits."""
    exponent = EXPONENTS.get(currency, 0)
    text = f"{major(units, currency):f}"
    if exponent <= 2:  # noqa: PLR2004 - cents
        return text.removesuffix(".00")
    return text.rstrip("0").rstrip(".") if "." in text else text
