"""Xray, the service, or both are killed under load; afterwards exactly the right users get in."""

from pathlib import Path

import pytest

from tests.faults.scene import first_seed, scene

KILLED = ("xray", "service", "both")


@pytest.mark.parametrize(
    "rounds", [3, pytest.param(51, marks=pytest.mark.deep)], ids=["quick", "many"]
)
async def test_after_kills_under_load_exactly_the_right_users_get_in(
    tmp_path: Path, rounds: int
) -> None:
    seed = first_seed()
    async with scene(tmp_path / "node") as made:
        healed: dict[str, list[float]] = {what: [] for what in KILLED}
        for number in range(rounds):
            what = KILLED[number % len(KILLED)]
            healed[what].append(await made.round(what, seed + number))
    for what, times in healed.items():
        middle, longest = sorted(times)[len(times) // 2], max(times)
        print(f"{what} killed: ready after {middle:.2f} s, at most {longest:.2f} s")  # noqa: T201
