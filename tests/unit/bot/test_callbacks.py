"""Button data fits into Telegram's 64 bytes, and only what we could have made is read."""

from uuid import UUID

import pytest
from aiogram.filters.callback_data import CallbackData
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bot import callbacks
from bot.callbacks import (
    BanConfirmed,
    ClocksConfirmed,
    Go,
    LanguageChosen,
    LetterDecided,
    LetterDecision,
    NewLink,
    NodeAct,
    NodeActConfirmed,
    NodesCompared,
    NodeShown,
    NodesShown,
    NothingDone,
    OrderDecided,
    OrderStep,
    Page,
    PaymentDecided,
    PaymentDecision,
    PlanChosen,
    PolicyUndo,
    RefundConfirmed,
    TrialWanted,
    WayChosen,
    new_operation_id,
)

LIMIT_BYTES = 64
ORDER = UUID(int=2**128 - 1)
LARGEST_ROW, LARGEST_USER = 2**63 - 1, 2**52 - 1
#: One of each kind, as long as it can be.
LONGEST: list[CallbackData] = [
    Go(page=max(Page, key=len), anew=True),
    PlanChosen(plan_id="p" * 16, operation_id="o" * 16),
    WayChosen(plan_id="p" * 16, provider="w" * 16, operation_id="o" * 16),
    OrderStep(step="cancel", purchase_id=ORDER),
    OrderStep(step="paid", purchase_id=ORDER),
    TrialWanted(),
    NewLink(leaked=True, operation_id="o" * 16),
    LanguageChosen(language="en"),
    PolicyUndo(change_id=LARGEST_ROW),
    *(LetterDecided(decision=one, letter_id=LARGEST_ROW) for one in LetterDecision),
    *(PaymentDecided(decision=one, number=LARGEST_ROW) for one in PaymentDecision),
    OrderDecided(decision="approve", purchase_id=ORDER),
    OrderDecided(decision="reject", purchase_id=ORDER),
    RefundConfirmed(number=LARGEST_ROW, operation_id="o" * 16),
    BanConfirmed(user_id=LARGEST_USER, operation_id="o" * 16),
    NothingDone(),
    NodeShown(node="n" * 32, anew=True),
    NodesShown(),
    NodesCompared(node="n" * 32, really=True),
    *(NodeActConfirmed(act=one, node="n" * 32, users=10_000_000) for one in NodeAct),
    ClocksConfirmed(held="0" * 16),
]
KINDS = sorted({type(one) for one in LONGEST}, key=lambda kind: kind.__name__)


def test_every_kind_of_button_is_in_the_table() -> None:
    ours = {
        kind
        for kind in vars(callbacks).values()
        if isinstance(kind, type)
        and issubclass(kind, CallbackData)
        and kind.__module__ == callbacks.__name__
    }
    assert set(KINDS) == ours


def test_no_two_kinds_of_button_begin_alike() -> None:
    assert len({kind.__prefix__ for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("data", LONGEST, ids=lambda data: data.pack()[:20])
def test_the_longest_of_each_kind_fits_and_is_read_back(data: CallbackData) -> None:
    assert len(data.pack().encode()) <= LIMIT_BYTES
    assert type(data).unpack(data.pack()) == data


@pytest.mark.parametrize("data", LONGEST, ids=lambda data: data.pack()[:20])
@pytest.mark.parametrize("put", ["\0", "~", "é"])
def test_a_byte_that_is_not_ours_is_refused_wherever_it_stands(
    data: CallbackData, put: str
) -> None:
    packed = data.pack()
    for place in range(len(packed)):
        changed = packed[:place] + put + packed[place + 1 :]
        with pytest.raises((TypeError, ValueError)):
            type(data).unpack(changed)


@pytest.mark.parametrize("data", LONGEST, ids=lambda data: data.pack()[:20])
def test_what_is_read_after_a_change_is_something_we_could_have_made(data: CallbackData) -> None:
    packed = data.pack()
    for place in range(len(packed)):
        for put in "0a:-_Z9 \n":
            changed = packed[:place] + put + packed[place + 1 :]
            try:
                read = type(data).unpack(changed)
            except (TypeError, ValueError):
                continue
            assert len(read.pack().encode()) <= LIMIT_BYTES
            assert type(data).unpack(read.pack()) == read


@pytest.mark.parametrize("data", LONGEST, ids=lambda data: data.pack()[:20])
def test_a_field_more_or_less_is_refused(data: CallbackData) -> None:
    packed = data.pack()
    for changed in (packed + ":x", packed + ":", packed.rpartition(":")[0]):
        with pytest.raises((TypeError, ValueError)):
            type(data).unpack(changed)


@given(plan_id=st.from_regex(r"[a-z0-9_-]{1,16}", fullmatch=True))
def test_every_plan_makes_a_button(plan_id: str) -> None:
    chosen = PlanChosen(plan_id=plan_id, operation_id=new_operation_id())
    assert len(chosen.pack().encode()) <= LIMIT_BYTES
    assert PlanChosen.unpack(chosen.pack()) == chosen


@given(name=st.from_regex(r"[a-z0-9_-]{1,16}", fullmatch=True), order=st.uuids())
def test_every_way_and_every_order_makes_a_button(name: str, order: UUID) -> None:
    way = WayChosen(plan_id=name, provider=name, operation_id=new_operation_id())
    step = OrderStep(step="paid", purchase_id=order)
    assert len(way.pack().encode()) <= LIMIT_BYTES
    assert WayChosen.unpack(way.pack()) == way
    assert OrderStep.unpack(step.pack()) == step


@pytest.mark.parametrize("page", Page)
@pytest.mark.parametrize("anew", [False, True])
def test_every_page_makes_a_button(page: Page, *, anew: bool) -> None:
    assert Go.unpack(Go(page=page, anew=anew).pack()) == Go(page=page, anew=anew)


@given(number=st.integers(min_value=1, max_value=LARGEST_ROW))
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
    with pytest.raises(ValidationError):
        PaymentDecided(decision=PaymentDecision.REFUND, number=number)
    with pytest.raises(ValidationError):
        RefundConfirmed(number=number, operation_id="o" * 16)


@pytest.mark.parametrize("user_id", [0, -1, 2**52])
def test_no_button_names_a_person_who_cannot_be(user_id: int) -> None:
    with pytest.raises(ValidationError):
        BanConfirmed(user_id=user_id, operation_id="o" * 16)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.text(max_size=64))
def test_made_up_data_is_refused_and_never_crashes(kind: type[CallbackData], data: str) -> None:
    if data in {TrialWanted().pack(), NothingDone().pack(), NodesShown().pack()}:
        return
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
    with pytest.raises(ValidationError):
        WayChosen(plan_id=plan_id, provider="stars", operation_id=operation_id)


def test_operation_ids_do_not_repeat() -> None:
    assert len({new_operation_id() for _ in range(1000)}) == 1000
