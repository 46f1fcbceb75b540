"""Rows of the failure matrix are at their targets; `tollgate matrix` runs the same, and all."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.links import LinkCipher
from tests.conftest import MEASURED
from tests.failures.run import play
from tests.failures.scenario import Scenario, scenarios
from tests.faults.scene import first_seed


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=f"{number}", marks=() if scenario.quick else (pytest.mark.deep,))
        for number, scenario in scenarios().items()
        if not scenario.full
    ],
)
async def test_a_row_is_at_its_target(
    scenario: Scenario,
    tmp_path: Path,
    database_url: str,
    cipher: LinkCipher,
    record_property: Callable[[str, object], None],
) -> None:
    row = await play(scenario, tmp_path, database_url, cipher, first_seed())

    if row.unable and not row.why:
        pytest.skip(row.unable)
    assert row.ok, f"{row.title}: {row.why}; seed {row.seed}"
    record_property(MEASURED, f"{row.title}: healed after {row.healed_s:.2f} s")
