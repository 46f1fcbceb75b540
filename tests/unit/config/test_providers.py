"""What came in beside what was asked: one table, and rules that hold for all amounts."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from config.providers import WHOLE, AmountMatch, FeeBearer, Terms, match_amount

STRICT = Terms(provider="strict", currency="RUB")
#: One part in a hundred is forgiven.
MILD = Terms(provider="mild", currency="RUB", forgiven_parts=100)
#: A fee of three parts in a hundred, on top.
ON_TOP = Terms(provider="on-top", currency="RUB", fee_bearer=FeeBearer.PAYER, fee_parts=300)
#: The same fee, taken from what we get.
OURS = Terms(provider="ours", currency="RUB", fee_parts=300)
AMOUNTS = st.integers(1, 10**15)


@pytest.mark.parametrize(
    ("terms", "paid", "match"),
    [
        (STRICT, 10_000, AmountMatch.EXACT),
        (STRICT, 9_999, AmountMatch.UNDER),
        (STRICT, 10_001, AmountMatch.OVER),
        (None, 10_000, AmountMatch.EXACT),
        (None, 9_999, AmountMatch.UNDER),
        (None, 10_001, AmountMatch.OVER),
        (MILD, 9_999, AmountMatch.FORGIVEN),
        (MILD, 9_900, AmountMatch.FORGIVEN),
        (MILD, 9_899, AmountMatch.UNDER),
        (MILD, 10_001, AmountMatch.OVER),
        (ON_TOP, 10_300, AmountMatch.WITH_FEE),
        (ON_TOP, 10_301, AmountMatch.OVER),
        (ON_TOP, 9_999, AmountMatch.UNDER),
        (OURS, 10_001, AmountMatch.OVER),
        (OURS, 9_700, AmountMatch.UNDER),
        (STRICT, 0, AmountMatch.UNDER),
    ],
)
def test_an_amount_of_ten_thousand(terms: Terms | None, paid: int, match: AmountMatch) -> None:
    assert match_amount(terms, price=10_000, currency="RUB", paid=paid, paid_in="RUB") is match


def test_the_same_number_of_another_currency_is_not_the_price() -> None:
    found = match_amount(STRICT, price=10_000, currency="RUB", paid=10_000, paid_in="USD")

    assert found is AmountMatch.OTHER_CURRENCY


@pytest.mark.parametrize("match", AmountMatch)
def test_only_too_little_and_another_currency_buy_nothing(match: AmountMatch) -> None:
    assert match.enough is (match not in {AmountMatch.UNDER, AmountMatch.OTHER_CURRENCY})


@given(price=AMOUNTS, paid=AMOUNTS, forgiven=st.integers(0, WHOLE), fee=st.integers(0, WHOLE))
def test_the_tolerances_are_exact_to_the_smallest_unit(
    price: int, paid: int, forgiven: int, fee: int
) -> None:
    """No rounding: one unit beyond the bound is beyond it, however large the amounts."""
    terms = Terms(
        provider="p",
        currency="RUB",
        fee_bearer=FeeBearer.PAYER,
        fee_parts=fee,
        forgiven_parts=forgiven,
    )
    least = -(-price * (WHOLE - forgiven) // WHOLE)
    most = price * (WHOLE + fee) // WHOLE

    found = match_amount(terms, price=price, currency="RUB", paid=paid, paid_in="RUB")

    assert found.enough is (paid >= least)
    assert (found is AmountMatch.OVER) is (paid > most)


@given(price=AMOUNTS, paid=AMOUNTS)
def test_without_terms_only_the_price_itself_is_exact(price: int, paid: int) -> None:
    assume(price != paid)

    found = match_amount(None, price=price, currency="RUB", paid=paid, paid_in="RUB")

    assert found is (AmountMatch.OVER if paid > price else AmountMatch.UNDER)
