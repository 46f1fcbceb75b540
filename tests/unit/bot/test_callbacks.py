"""Button data fits into Telegram's 64 bytes, and only what we could have made is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot.callbacks import (
    Go,
    LanguageChosen,
    LetterDecided,
    LetterDecision,
    Page,
    PlanChosen,
    PolicyUndo,
    new_operation_id,
)


@given(plan_id=st.from_regex(r"[a-z0-9_-]{1,16}", fullmatch=True))
def test_every_plan_makes_a_button(plan_id: str) -> None:
    chosen = PlanChosen(plan_id=plan_id, operation_id=new_operation_id())
    assert len(chosen.pack().encode()) <= 64
    assert PlanChosen.unpack(chosen.pack()) == chosen


@pytest.mark.parametrize("page", Page)
@pytest.mark.parametrize("anew", [False, True])
def test_every_page_makes_a_button(page: Page, *, anew: bool) -> None:
    assert Go.unpack(Go(page=page, anew=anew).pack()) == Go(page=page, anew=anew)


@given(number=st.integers(min_value=1, max_value=2**63 - 1))
@pytest.mark.parametrize("decision", LetterDecision)
def test_every_row_makes_a_button(decision: LetterDecision, number: int) -> None:
    undo, letter = PolicyUndo(change_id=number), LetterDecided(decision=decision, letter_id=number)
    assert PolicyUndo.unpack(undo.pack()) == undo
    assert LetterDecided.unpack(letter.pack()) == letter


@pytest.mark.parametrize("number", [0, -1, 2**63])
def test_no_button_names_a_row_that_cannot_be(number: int) -> None:
    with pytest.raises(ValidationError):
        PolicyUndo(change_id=number)
    with pytest.raises(ValidationError):
        LetterDecided(decision=LetterDecision.DROP, letter_id=number)


@pytest.mark.parametrize("kind", [Go, PlanChosen, LanguageChosen, PolicyUndo, LetterDecided])
@given(data=st.text(max_size=64))
def test_made_up_data_is_refused_and_never_crashes(kind: type[Go], data: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        kind.unpack(data)


@pytest.mark.parametrize(
    ("plan_id", "operation_id"),
    [
        ("month", "telegram:5"),
        ("month", "a" * 15),
        ("month", "a" * 16 + "\n"),
        ("month\n", "a" * 16),
        ("Month", "a" * 16),
        ("", "a" * 16),
    ],
)
def test_a_choice_holds_nothing_that_we_would_not_put_there(
    plan_id: str, operation_id: str
) -> None:
    with pytest.raises(ValidationError):
        PlanChosen(plan_id=plan_id, operation_id=operation_id)


def test_operation_ids_do_not_repeat() -> None:
    assert len({new_operation_id() for _ in range(1000)}) == 1000
