"""Rows can fail: with a protection switched off, for the test alone, its row is off target."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.provisioner.breaker import Breaker
from actors.provisioner.budget import RetryBudget
from storage.links import LinkCipher
from tests.failures.cells import misses
from tests.failures.rows import removals
from tests.failures.run import Row, Run, play
from tests.failures.scenario import scenarios
from tests.faults.proxy import Rule, Status
from tests.faults.scene import first_seed

pytestmark = pytest.mark.prove

Play = Callable[..., Awaitable[Row]]

#: What a node's program does first.
NO_FENCE = """
from xray_api.node import apply, changes, store
apply.decide_wish = lambda seen, asked: changes.Apply()
store.Change.replaces = lambda change, standing: True
"""
NO_EPOCH = """
from xray_api.node.service import Service
Service._check_epoch = lambda self, epoch: None
"""
NO_MENDING = """
from xray_api.node.keeper import Keeper
async def nothing(self): return True
Keeper._mend = nothing
"""
NO_CUTTING = """
from xray_api.node import cutting
cutting.machine_cuts = lambda: False
"""


@pytest.fixture
def played(tmp_path: Path, database_url: str, cipher: LinkCipher) -> Play:
    """A row, with some of its scenario or setting changed."""

    async def run(number: int, node: str = "", **changes: Any) -> Row:
        scenario = scenarios()[number]
        setting = replace(scenario.setting, node=scenario.setting.node + node)
        scenario = replace(scenario, setting=setting, **changes)
        return await play(scenario, tmp_path, database_url, cipher, first_seed())

    return run


async def test_without_breaker_and_budget_repeats_amplify_an_outage(
    played: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Breaker, "_why_open", lambda *_: "")
    monkeypatch.setattr(RetryBudget, "allows", lambda *_: True)
    monkeypatch.setattr(RetryBudget, "spend", lambda *_: True)

    async def outage(run: Run) -> None:
        async with run.fault(Rule(Status(500))):
            await run.served_meanwhile(people=6)

    row = await played(2, play=outage)

    assert {"ra", "cb"} <= set(misses(row.cells, row.target)), row


async def test_without_the_fence_a_late_add_lets_somebody_in(played: Play) -> None:
    with pytest.raises(AssertionError, match="the node was to know that it is late"):
        await played(18, NO_FENCE)


async def test_without_the_epoch_a_late_add_lands_on_a_wiped_node(played: Play) -> None:
    with pytest.raises(AssertionError, match="it was for the node of before"):
        await played(19, NO_EPOCH)


async def test_without_the_guard_thousands_are_removed(
    played: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.reconciler.actor.why_not_removed", lambda *_, **__: "")

    row = await played(16)

    assert {"ul", "ua", "sh"} <= set(misses(row.cells, row.target)), row


async def test_unless_it_is_compared_a_node_keeps_whom_others_let_in(played: Play) -> None:
    row = await played(39, NO_MENDING)

    assert {"ul", "sh"} <= set(misses(row.cells, row.target)), row


async def test_where_connections_cannot_be_cut_the_row_says_so(
    played: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No protection is off here; a row that cannot be shown must not count as shown."""
    monkeypatch.setattr(removals, "machine_cuts", lambda: False)

    row = await played(40, NO_CUTTING)

    assert "ss -K" in row.unable
