"""What differs between a node and the database, and how much of it may be mended at once."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.provisioner.decisions import sign_of_restore, went_back
from actors.reconciler.decisions import (
    Difference,
    ReconcilerLimits,
    compare,
    guard,
    ranges,
    why_not_removed,
)
from storage.rows import ComparisonBasis, Desired, NodeRow, NodeState, WantedRow
from xray_api.contract import WriterMark
from xray_api.digest import DigestSum, bucket_of, digest

LIMITS = ReconcilerLimits()
KEY = UUID("00000000-0000-4000-8000-000000000001")
DATABASE = UUID("00000000-0000-4000-8000-0000000000dd")
BASIS = ComparisonBasis(
    node=NodeRow(id="n", state=NodeState.ACTIVE, epoch=KEY, writer_seq=50),
    database_id=DATABASE,
    at=datetime(2026, 11, 24, tzinfo=UTC),
    accepted_writer=None,
)


def row(*, desired: Desired = Desired.PRESENT, gen: int = 3, settled: bool = True) -> WantedRow:
    return WantedRow(
        uuid=KEY,
        node_id="n",
        user_id=1,
        desired=desired,
        gen=gen,
        applied_gen=gen if settled else gen - 1,
        settled=settled,
    )


@pytest.mark.parametrize(
    ("listed", "wanted", "says"),
    [
        ({KEY: 3}, row(), Difference()),
        ({}, row(), Difference(missing=(row(),))),
        ({KEY: 2}, row(), Difference(missing=(row(),))),
        ({KEY: 0}, row(), Difference(missing=(row(),))),
        ({KEY: 4}, row(), Difference(ahead=((KEY, 4),))),
        ({KEY: 4}, row(settled=False), Difference(ahead=((KEY, 4),))),
        ({}, row(settled=False), Difference()),
        ({KEY: 2}, row(settled=False), Difference()),
        ({}, row(desired=Desired.ABSENT), Difference()),
        ({KEY: 3}, row(desired=Desired.ABSENT), Difference(leftover=((KEY, 3),))),
        ({KEY: 2}, row(desired=Desired.ABSENT, settled=False), Difference()),
    ],
)
def test_a_row_beside_what_the_node_has(
    listed: dict[UUID, int], wanted: WantedRow, says: Difference
) -> None:
    assert compare(listed, [wanted]) == says


def test_a_user_that_no_row_knows() -> None:
    assert compare({KEY: 7}, []) == Difference(unknown=((KEY, 7),))


@pytest.mark.parametrize(
    ("mark", "our_seq", "sign"),
    [
        (None, 0, False),
        (WriterMark(db_id=str(DATABASE), seq=50), 50, False),
        (WriterMark(db_id=str(DATABASE), seq=51), 50, True),
        (WriterMark(db_id="another", seq=1), 50, True),
    ],
)
def test_writing_that_is_not_ours_is_a_sign(
    mark: WriterMark | None, our_seq: int, *, sign: bool
) -> None:
    assert bool(sign_of_restore(BASIS, mark, our_seq)) is sign


def test_what_an_operator_accepted_is_no_sign_until_it_changes() -> None:
    accepted = replace(BASIS, accepted_writer="another;7")

    assert not sign_of_restore(accepted, WriterMark(db_id="another", seq=7), 50)
    assert sign_of_restore(accepted, WriterMark(db_id="another", seq=8), 50)


@pytest.mark.parametrize(
    ("mark", "back"),
    [
        (None, True),
        (WriterMark(db_id=str(DATABASE), seq=49), True),
        (WriterMark(db_id=str(DATABASE), seq=50), False),
        (WriterMark(db_id="another", seq=1), False),
    ],
)
def test_a_node_that_forgot_what_it_acknowledged_went_back(
    mark: WriterMark | None, *, back: bool
) -> None:
    assert went_back(BASIS, mark) is back
    never_written = replace(BASIS, node=replace(BASIS.node, writer_seq=0))
    assert not went_back(never_written, mark)


@given(on_node=st.integers(0, 10**7), wanted=st.integers(0, 10**7))
def test_no_run_removes_more_than_a_few(on_node: int, wanted: int) -> None:
    most = guard(on_node, wanted, LIMITS)

    assert 20 <= most <= LIMITS.guard_most
    assert most <= max(20, on_node // 100)
    assert why_not_removed(most + 1, on_node, wanted, LIMITS, known=True)
    assert not why_not_removed(most, on_node, wanted, LIMITS, known=True)
    assert why_not_removed(1, on_node, wanted, LIMITS, known=False)


def test_users_that_were_added_to_the_node_do_not_widen_the_guard() -> None:
    assert guard(on_node=100_000, wanted=10, limits=LIMITS) == 20


@given(
    users=st.sets(st.uuids(version=4), max_size=30),
    more=st.sets(st.uuids(version=4), max_size=5),
    buckets=st.sampled_from([1, 2, 64, 4096, 65_536]),
)
def test_what_differs_lies_in_the_ranges(users: set[UUID], more: set[UUID], buckets: int) -> None:
    ours = DigestSum(buckets)
    ours.add(b"".join(uuid.bytes + (1).to_bytes(8, "big") for uuid in users))
    theirs = digest(((uuid, 1) for uuid in users ^ more), buckets)

    numbers = ours.differing(theirs.buckets)

    assert set(numbers) == {bucket_of(uuid, buckets) for uuid in more}
    parts = ranges(numbers, buckets)
    assert all(any(a <= uuid <= b for a, b in parts) for uuid in more)
    assert all(first <= last for first, last in parts)
    assert (ours.root == theirs.root) is (not more)


def test_two_ways_to_a_digest_agree() -> None:
    uuids = [UUID(int=n << 100 | 1) for n in range(1, 300)]
    ours = DigestSum(4096)
    for part in (uuids[:1], uuids[1:]):
        ours.add(b"".join(uuid.bytes + (2).to_bytes(8, "big") for uuid in part))
    whole = digest(((uuid, 2) for uuid in uuids), 4096)

    assert (ours.root, ours.count) == (whole.root, whole.count)
    assert ours.differing(whole.buckets) == []
