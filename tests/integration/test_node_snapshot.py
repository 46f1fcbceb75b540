"""Batches and snapshots: each wish has its outcome, and nothing is removed by mistake."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.integration.slow_xray import SlowXray, applying
from xray_api.contract import Writer
from xray_api.digest import digest
from xray_api.node import apply
from xray_api.node.apply import (
    Applier,
    DigestChanged,
    NotPossible,
    Overtaken,
    QueueFull,
    Snapshot,
    WouldShrink,
)
from xray_api.node.changes import Wish

A, B, C, D = uuid4(), uuid4(), uuid4(), uuid4()
PRESENT, ABSENT = Wish(1, present=True), Wish(2, present=False)


@pytest.fixture
def xray() -> SlowXray:
    return SlowXray()


@pytest.fixture
async def applier(tmp_path: Path, xray: SlowXray) -> AsyncIterator[Applier]:
    async with applying(tmp_path, xray) as (applier, _):
        yield applier


async def let_in(applier: Applier, *users: UUID) -> None:
    outcomes = await applier.batch([(user, PRESENT) for user in users], deadline=math.inf)
    assert outcomes == [True] * len(users)


async def test_each_operation_of_a_batch_has_its_outcome_in_its_place(
    applier: Applier, xray: SlowXray
) -> None:
    await let_in(applier, A)

    outcomes = await applier.batch(
        [(A, Wish(3, present=False)), (B, PRESENT), (A, Wish(2, present=True)), (B, PRESENT)],
        deadline=math.inf,
        writer=Writer("db", 7),
    )

    assert outcomes[:2] == [True, True]
    assert isinstance(outcomes[2], Overtaken)
    assert outcomes[2].gen == 3
    assert outcomes[3] is False, "a repeat"
    assert xray.inside == {str(B)}


async def test_a_batch_that_one_call_cannot_reach_tells_which_failed(
    applier: Applier, xray: SlowXray
) -> None:
    await let_in(applier, A)
    xray.away = True

    outcomes = await applier.batch([(A, ABSENT), (B, PRESENT)], deadline=math.inf)

    assert outcomes[0] is True
    assert isinstance(outcomes[1], NotPossible)


async def test_a_batch_without_time_enough_changes_nothing(
    applier: Applier, xray: SlowXray
) -> None:
    soon = asyncio.get_running_loop().time() + 1

    with pytest.raises(NotPossible):
        await applier.batch([(uuid4(), PRESENT) for _ in range(5000)], deadline=soon)

    assert xray.calls == []


async def test_a_third_batch_is_told_to_come_back_and_one_change_is_not(
    applier: Applier, xray: SlowXray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "BATCHED_LIMIT", 2)
    monkeypatch.setattr(apply, "QUEUE_LIMIT", 1)
    xray.held = {A: asyncio.Event(), B: asyncio.Event()}
    held = [
        asyncio.create_task(applier.batch([(user, PRESENT)], deadline=math.inf)) for user in (A, B)
    ]
    while len(xray.calls) < 2:
        await asyncio.wait(held, timeout=0.005)

    with pytest.raises(QueueFull):
        await applier.batch([(C, PRESENT)], deadline=math.inf)
    assert await applier.change(C, PRESENT, deadline=math.inf)

    for gate in xray.held.values():
        gate.set()
    await asyncio.gather(*held)
    await let_in(applier, uuid4())


async def test_after_a_snapshot_its_users_are_in_and_nobody_else(
    applier: Applier, xray: SlowXray
) -> None:
    await let_in(applier, A, B)
    xray.inside.add(str(C))  # a stranger

    done = await applier.replace(Snapshot({A: 1, (new := uuid4()): 4}), deadline=math.inf)

    assert xray.inside == {str(A), str(new)}
    assert (done.added, done.removed, done.kept, done.stale) == (1, 2, 1, 0)


async def test_who_was_left_out_comes_back_only_by_a_newer_wish(
    applier: Applier, xray: SlowXray
) -> None:
    await let_in(applier, A, B)
    await applier.replace(Snapshot({A: 1}), deadline=math.inf)

    with pytest.raises(Overtaken):
        await applier.change(B, PRESENT, deadline=math.inf)  # a late call

    assert xray.inside == {str(A)}
    assert await applier.change(B, Wish(2, present=True), deadline=math.inf)


async def test_a_newer_wish_stands_against_a_snapshot(applier: Applier, xray: SlowXray) -> None:
    await applier.change(A, Wish(5, present=False), deadline=math.inf)

    done = await applier.replace(Snapshot({A: 4}), deadline=math.inf)

    assert (done.added, done.stale) == (0, 1)
    assert xray.inside == set()


@pytest.mark.parametrize(("allowed", "refused"), [(0, True), (20, True), (21, False)])
async def test_many_are_removed_only_when_their_number_is_named(
    applier: Applier, xray: SlowXray, allowed: int, *, refused: bool
) -> None:
    users = [uuid4() for _ in range(22)]
    await let_in(applier, *users)
    snapshot = Snapshot({users[0]: 1}, allow_shrink=allowed)

    if refused:
        with pytest.raises(WouldShrink) as refusal:
            await applier.replace(snapshot, deadline=math.inf)
        assert refusal.value.would_remove == 21
        assert len(xray.inside) == 22
    else:
        await applier.replace(snapshot, deadline=math.inf)
        assert xray.inside == {str(users[0])}


async def test_a_snapshot_of_another_state_changes_nothing(
    applier: Applier, xray: SlowXray
) -> None:
    await let_in(applier, A)
    root = digest([(A, 1)], 1).root
    await let_in(applier, B)

    with pytest.raises(DigestChanged) as refusal:
        await applier.replace(Snapshot({A: 1}, root), deadline=math.inf)

    assert refusal.value.root == digest([(A, 1), (B, 1)], 1).root
    assert xray.inside == {str(A), str(B)}
    await applier.replace(Snapshot({A: 1}, refusal.value.root), deadline=math.inf)
    assert xray.inside == {str(A)}


async def test_changes_wait_for_a_snapshot_and_count_after_it(
    applier: Applier, xray: SlowXray
) -> None:
    xray.held[A] = asyncio.Event()
    snapshot = asyncio.create_task(applier.replace(Snapshot({A: 1}), deadline=math.inf))
    while not xray.calls:
        await asyncio.wait({snapshot}, timeout=0.005)

    change = asyncio.create_task(applier.change(B, PRESENT, deadline=math.inf))
    batch = asyncio.create_task(applier.batch([(D, PRESENT)], deadline=math.inf))
    with pytest.raises(QueueFull):
        await applier.replace(Snapshot({}), deadline=math.inf)
    soon = asyncio.get_running_loop().time() + 0.01
    with pytest.raises(NotPossible):
        await applier.change(C, PRESENT, deadline=soon)
    assert xray.calls == ["remove", "add"], "only those of the snapshot"
    xray.held[A].set()

    await asyncio.gather(snapshot, change, batch)
    assert xray.inside == {str(A), str(B), str(D)}


async def test_a_wiped_xray_is_started_with_all_users_at_once(
    tmp_path: Path, xray: SlowXray
) -> None:
    users = {uuid4(): 1 for _ in range(20_000)}
    async with applying(tmp_path, xray) as (applier, store):
        snapshot = asyncio.create_task(applier.replace(Snapshot(users), deadline=math.inf))
        await applier.rebuild.wait()
        assert not applier.ready, "no change may go to the Xray that ends"
        filled = SlowXray()
        filled.inside = {str(user) for user in store.present()}
        applier.attach(filled)
        await applier.mend()

        done = await snapshot
    assert done.added == 20_000
    assert xray.calls == filled.calls == []
