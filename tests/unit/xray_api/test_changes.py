"""The fence, and what makes a running Xray equal the wishes."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xray_api.node.changes import (
    Apply,
    Correction,
    Repeat,
    RunningUser,
    Stale,
    Wish,
    correct,
    decide_wish,
)

FLOW = "xtls-rprx-vision"


@pytest.mark.parametrize(
    ("seen", "asked", "decision"),
    [
        (None, Wish(1, present=True), Apply()),
        (None, Wish(1, present=False), Apply()),
        (Wish(1, present=True), Wish(2, present=False), Apply()),
        (Wish(1, present=True), Wish(2, present=True), Apply()),
        (Wish(2, present=True), Wish(2, present=True), Repeat()),
        (Wish(2, present=False), Wish(2, present=False), Repeat()),
        (Wish(2, present=True), Wish(2, present=False), Stale(2)),
        (Wish(2, present=False), Wish(2, present=True), Stale(2)),
        (Wish(3, present=False), Wish(2, present=True), Stale(3)),
        (Wish(3, present=True), Wish(2, present=True), Stale(3)),
    ],
)
def test_only_a_higher_generation_changes_a_mind(
    seen: Wish | None, asked: Wish, decision: Apply | Repeat | Stale
) -> None:
    assert decide_wish(seen, asked) == decision


def user(uuid: UUID) -> RunningUser:
    return RunningUser(str(uuid), str(uuid), FLOW)


A, B = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("wishes", "running", "correction"),
    [
        ({}, [], Correction((), ())),
        ({A: Wish(1, present=True)}, [user(A)], Correction((), ())),
        ({A: Wish(1, present=True)}, [], Correction((), (A,))),
        ({A: Wish(2, present=False)}, [user(A)], Correction((str(A),), ())),
        ({}, [user(A)], Correction((str(A),), ())),
        ({}, [RunningUser("stranger", str(A), FLOW)], Correction(("stranger",), ())),
        (
            {A: Wish(1, present=True)},
            [RunningUser(str(A), str(A), "")],
            Correction((str(A),), (A,)),
        ),
        (
            {A: Wish(1, present=True)},
            [RunningUser(str(A), str(B), FLOW)],
            Correction((str(A),), (A,)),
        ),
        (
            {A: Wish(1, present=True)},
            [user(A), RunningUser("shadow", str(A), FLOW)],
            Correction((str(A), "shadow"), (A,)),
        ),
    ],
    ids=["empty", "equal", "lost", "ghost", "unknown", "stranger", "flow", "id", "shadow"],
)
def test_a_difference_is_corrected(
    wishes: dict[UUID, Wish], running: list[RunningUser], correction: Correction
) -> None:
    assert correct(wishes, running, FLOW) == correction
    assert bool(correction) is (correction != Correction((), ()))


names = st.sampled_from([UUID(int=n + (4 << 76) + (8 << 60)) for n in range(5)])
emails = names.map(str) | st.just("stranger")
listed = st.builds(RunningUser, emails, names.map(str), st.sampled_from([FLOW, ""]))


@given(
    wishes=st.dictionaries(names, st.builds(Wish, st.integers(1, 9), present=st.booleans())),
    running=st.lists(listed, unique_by=lambda u: u.email),
)
def test_after_one_correction_nothing_is_left_to_correct(
    wishes: dict[UUID, Wish], running: list[RunningUser]
) -> None:
    correction = correct(wishes, running, FLOW)

    after = {u.email: u for u in running if u.email not in correction.remove}
    after |= {str(uuid): user(uuid) for uuid in correction.add}

    assert not correct(wishes, after.values(), FLOW)
    assert set(after) == {str(uuid) for uuid, wish in wishes.items() if wish.present}
