"""Changes of one user go one at a time, whatever Xray's answers take; others do not wait."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.slow_xray import SlowXray, applying
from xray_api.node.apply import Applier, NotPossible, Overtaken
from xray_api.node.changes import Wish

A, B = uuid4(), uuid4()


@pytest.fixture
def xray() -> SlowXray:
    return SlowXray()


@pytest.fixture
async def applier(tmp_path: Path, xray: SlowXray) -> AsyncIterator[Applier]:
    async with applying(tmp_path, xray) as (applier, _):
        yield applier


async def test_a_removal_waits_for_the_addition_before_it(applier: Applier, xray: SlowXray) -> None:
    xray.held[A] = asyncio.Event()
    put = asyncio.create_task(applier.change(A, Wish(1, present=True), deadline=math.inf))
    while not xray.calls:
        await asyncio.wait({put}, timeout=0.005)
    remove = asyncio.create_task(applier.change(A, Wish(2, present=False), deadline=math.inf))

    await applier.change(B, Wish(1, present=True), deadline=math.inf)  # nobody else waits
    assert not remove.done()
    xray.held[A].set()

    assert await put
    assert await remove
    assert xray.inside == {str(B)}


async def test_a_comparison_does_not_revive_who_was_removed_meanwhile(
    applier: Applier, xray: SlowXray
) -> None:
    """The list showed him missing; by the time of his turn he is not wanted any more."""
    await applier.change(A, Wish(1, present=True), deadline=math.inf)
    xray.inside.clear()
    lock = applier._lock(A)
    async with lock:
        mending = asyncio.create_task(applier.mend())
        removing = asyncio.create_task(
            applier._store.write(A, Wish(2, present=False), None, math.inf)
        )
        await removing
        assert not mending.done()
    await mending

    assert xray.inside == set()


async def test_an_addition_that_xray_did_not_answer_is_kept_and_suspected(
    applier: Applier, xray: SlowXray
) -> None:
    xray.away = True
    with pytest.raises(NotPossible, match="the wish is kept"):
        await applier.change(A, Wish(1, present=True), deadline=math.inf)
    assert applier.suspicion.is_set()

    xray.away = False
    await applier.mend()

    assert xray.inside == {str(A)}


async def test_without_xray_nothing_is_stored(applier: Applier) -> None:
    applier.detach()

    with pytest.raises(NotPossible, match="not ready"):
        await applier.change(A, Wish(1, present=True), deadline=math.inf)

    assert applier._store.wishes == {}


async def test_a_passed_deadline_changes_nothing(applier: Applier, xray: SlowXray) -> None:
    now = asyncio.get_running_loop().time()

    with pytest.raises(NotPossible, match="not time enough"):
        await applier.change(A, Wish(1, present=True), deadline=now)

    assert applier._store.wishes == {}
    assert xray.calls == []


async def test_a_late_addition_is_refused_before_xray_hears_of_it(
    applier: Applier, xray: SlowXray
) -> None:
    await applier.change(A, Wish(3, present=False), deadline=math.inf)
    xray.calls.clear()

    with pytest.raises(Overtaken) as late:
        await applier.change(A, Wish(2, present=True), deadline=math.inf)

    assert late.value.gen == 3
    assert xray.calls == []


async def test_nothing_is_left_of_locks_and_counts(applier: Applier) -> None:
    await asyncio.gather(
        *(applier.change(uuid4(), Wish(1, present=True), deadline=math.inf) for _ in range(50))
    )

    assert applier.under_way == 0
    assert len(applier._locks) == 0


async def test_a_change_whose_caller_left_keeps_its_turn(applier: Applier, xray: SlowXray) -> None:
    """Given up halfway, an addition could reach Xray after the removal that followed it."""
    xray.held[A] = asyncio.Event()
    put = asyncio.create_task(applier.change(A, Wish(1, present=True), deadline=math.inf))
    while not xray.calls:
        await asyncio.wait({put}, timeout=0.005)
    put.cancel()
    await asyncio.wait({put})
    remove = asyncio.create_task(applier.change(A, Wish(2, present=False), deadline=math.inf))
    await applier.change(B, Wish(1, present=True), deadline=math.inf)

    assert applier.under_way == 2
    xray.held[A].set()

    assert await remove
    assert xray.inside == {str(B)}
