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
    decide_replacement,
    decide_wish,
    is_rebuild,
    most_removals,
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


def test_a_snapshot_lets_in_its_users_and_leaves_tombstones_of_all_others() -> None:
    kept, newer, fresh, gone, overtaken, absent = (uuid4() for _ in range(6))
    wishes = {
        kept: Wish(3, present=True),
        newer: Wish(3, present=False),
        gone: Wish(5, present=True),
        overtaken: Wish(9, present=False),
        absent: Wish(4, present=False),
    }

    plan = decide_replacement(wishes, {kept: 3, newer: 4, fresh: 1, overtaken: 9})

    assert dict(plan.newer) == {newer: Wish(4, present=True), fresh: Wish(1, present=True)}
    assert dict(plan.tombstones) == {gone: Wish(5, present=False)}
    assert plan.stale == 1


@given(
    st.dictionaries(names, st.builds(Wish, st.integers(1, 4), present=st.booleans())),
    st.dictionaries(names, st.integers(1, 4)),
)
def test_after_a_snapshot_only_its_users_or_newer_wishes_are_present(
    wishes: dict[UUID, Wish], wanted: dict[UUID, int]
) -> None:
    plan = decide_replacement(wishes, wanted)
    after = wishes | dict(plan.newer) | dict(plan.tombstones)

    present = {uuid for uuid, wish in after.items() if wish.present}
    assert present <= set(wanted)
    assert len(set(wanted) - present) <= plan.stale
    assert all(after[uuid].gen >= wishes[uuid].gen for uuid in wishes)


@pytest.mark.parametrize(("running", "most"), [(0, 20), (2_099, 20), (2_100, 21), (100_000, 1000)])
def test_a_snapshot_may_remove_twenty_or_one_in_a_hundred(running: int, most: int) -> None:
    assert most_removals(running) == most


@pytest.mark.parametrize(
    ("additions", "running", "rebuilds"),
    [(19_999, 0, False), (20_000, 0, True), (20_000, 200, True), (20_000, 201, False)],
)
def test_xray_is_started_again_only_for_many_and_where_hardly_anybody_is_cut(
    additions: int, running: int, *, rebuilds: bool
) -> None:
    correction = Correction(remove=(), add=(uuid4(),) * additions)

    assert is_rebuild(correction, running) is rebuilds
