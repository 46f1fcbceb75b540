"""Amounts: exact, positive, never larger than a row holds, and never silently another number."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.money import EXPONENTS, LARGEST, MoneyError, in_words, major, minor

CURRENCIES = st.sampled_from(sorted(EXPONENTS))


@given(units=st.integers(1, LARGEST), currency=CURRENCIES)
def test_every_amount_that_a_row_holds_comes_back_as_it_was(units: int, currency: str) -> None:
    assert minor(major(units, currency), currency) == units
    assert minor(str(major(units, currency)), currency) == units
    assert minor(in_words(units, currency), currency) == units


@given(text=st.text(max_size=30) | st.from_regex(r"[+-]?[0-9]*\.?[0-9]*(e[+-]?[0-9]{1,6})?"))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        units = minor(text, "USDT")
    except MoneyError:
        return
    assert 0 < units <= LARGEST
    with localcontext(prec=200):
        assert units <= Decimal(text).scaleb(8) < units + 1


@given(amount=st.decimals())
def test_any_number_is_an_amount_or_refused(amount: Decimal) -> None:
    try:
        assert 0 < minor(amount, "RUB") <= LARGEST
    except MoneyError:
        return


@pytest.mark.parametrize(
    ("text", "currency", "units"),
    [
        ("0.1", "USDT", 10_000_000),
        ("0.1", "RUB", 10),
        ("499", "RUB", 49_900),
        ("1", "XTR", 1),
        ("1e2", "XTR", 100),
        ("0.00000001", "BTC", 1),
        ("4.999", "RUB", 499),
        ("1.9", "XTR", 1),
        ("92233720368547758.07", "RUB", LARGEST),
    ],
)
def test_an_amount_is_counted_in_its_smallest_unit(text: str, currency: str, units: int) -> None:
    assert minor(text, currency) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "1,5",
        "NaN",
        "sNaN",
        "-NaN",
        "Infinity",
        "-Infinity",
        "0",
        "-0",
        "-0.0",
        "-1",
        "0.001",
        "1e-400",
        "1e400",
        "1e999999",
        "-1e400",
        "9" * 5_000,
        "92233720368547758.08",
        "0x10",
    ],
)
def test_what_nobody_pays_is_refused(text: str) -> None:
    with pytest.raises(MoneyError):
        minor(text, "RUB")


@pytest.mark.parametrize("currency", ["", "XXX", "rub", "RUB "])
def test_a_currency_that_is_not_known_is_refused(currency: str) -> None:
    with pytest.raises(MoneyError, match="unknown currency; known are"):
        minor("1", currency)


@pytest.mark.parametrize(
    ("units", "currency", "words"),
    [
        (50, "XTR", "50"),
        (49_900, "RUB", "499"),
        (49_950, "RUB", "499.50"),
        (5, "RUB", "0.05"),
        (499_000_000, "USDT", "4.99"),
        (500_000_000, "USDT", "5"),
        (1, "BTC", "0.00000001"),
        (7, "OLD", "7"),
    ],
)
def test_an_amount_is_shown_without_superfluous_zeros(
    units: int, currency: str, words: str
) -> None:
    assert in_words(units, currency) == words
