"""The comparison of the emulators' books with ours finds what is wrong with either."""

from typing import Any

import pytest

from tests.failures.money import Fate, Taken, compare

CHARGE = ("stars", "a")
TAKEN = Taken(amount=150, currency="XTR")
BACK = Taken(amount=150, currency="XTR", returned=(150,))
ALERT = ["⚠️ Payment #7 is held: 150 ⭐"]


def row(disposition: str, **changes: Any) -> dict[str, Any]:
    whole = {"provider": "stars", "id": "a", "number": 7, "user_id": 1, "amount": 150}
    whole |= {"currency": "XTR", "disposition": disposition, "credits": 0, "taken_back": 0}
    return whole | changes


@pytest.mark.parametrize(
    ("taken", "recorded", "alerts", "fate"),
    [
        (TAKEN, row("credited", credits=1), [], Fate.CREDITED),
        (BACK, row("refunded", credits=1, taken_back=1), [], Fate.GIVEN_BACK),
        (BACK, row("refunded"), [], Fate.GIVEN_BACK),
        (TAKEN, row("mismatch"), ALERT, Fate.HELD),
        (TAKEN, row("refund_pending", credits=1, taken_back=1), ALERT, Fate.HELD),
    ],
)
def test_money_has_one_of_three_fates(
    taken: Taken, recorded: dict[str, Any], alerts: list[str], fate: Fate
) -> None:
    bought = ["stars:a"] if recorded["credits"] else []

    books = compare({CHARGE: taken}, [recorded], bought, alerts)

    assert books.fates == {CHARGE: fate}
    assert not books.wrong


@pytest.mark.parametrize(
    ("taken", "recorded"),
    [
        (TAKEN, []),
        (TAKEN, [row("received")]),
        (TAKEN, [row("credited")]),
        (TAKEN, [row("credited", credits=2)]),
        (TAKEN, [row("credited", credits=1, amount=149)]),
        (BACK, [row("credited", credits=1)]),
        (TAKEN, [row("refunded", credits=1, taken_back=1)]),
        (BACK, [row("refunded", credits=1)]),
        (Taken(amount=150, currency="XTR", returned=(150, 150)), [row("refunded")]),
        (TAKEN, [row("mismatch")]),
        (TAKEN, [row("refund_pending")]),
        (TAKEN, [row("mismatch", number=77)]),
    ],
)
def test_whatever_else_became_of_it_is_wrong(taken: Taken, recorded: list[dict[str, Any]]) -> None:
    books = compare({CHARGE: taken}, recorded, ["stars:a"], ALERT if len(recorded) > 1 else [])

    assert len(books.wrong) == 1
    assert not books.fates


def test_nothing_counts_that_nobody_paid() -> None:
    books = compare({}, [row("credited", credits=1)], ["stars:a"], [])

    assert len(books.wrong) == 2
