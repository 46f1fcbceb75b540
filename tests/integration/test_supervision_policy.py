"""A policy that an operator changes holds from the next decision on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from storage.links import LinkCipher
from tests.e2e.control import until
from tests.integration.actors.live import ANNA, BORIS, Stage, staged
from tests.integration.database_fixtures import Rows

EVENTS = "SELECT kind FROM supervision_events WHERE actor = $1 ORDER BY seq"


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Stage]:
    """Every status crashes the actor that is asked for it; a message has three tries."""

    def stumble(_: Any) -> Any:
        raise RuntimeError("a bug")

    async with staged(tmp_path, database_url, rows, cipher, users={"max_restarts": 3}) as made:
        monkeypatch.setattr("actors.user.actor.decide_status", stumble)
        yield made


async def until_state(stage: Stage, user_id: int, state: str) -> None:
    """Until the tree says so of a user's actor: the journal tells of a restart as it begins."""

    async def shown() -> bool:
        return bool((await stage.control.tree())[f"user/{user_id}"]["state"] == state)

    await until(shown)


async def three_crashes(stage: Stage, user_id: int) -> list[str]:
    """Somebody's message, until it is set aside: what became of the actor."""
    await stage.sandbox.person(user_id).say("/start")
    await stage.until_true(
        "SELECT count(*) FROM inbox WHERE lane = $1 AND quarantined_at IS NOT NULL", user_id
    )
    name, found = f"user/{user_id}", list[str]()

    async def journalled() -> bool:
        found[:] = [row["kind"] for row in await stage.rows.fetch(EVENTS, name)]
        return found.count("crashed") == 3 and found[-1] != "crashed"

    await until(journalled)
    return found


async def test_a_lower_limit_parks_earlier_from_the_next_crash_on(stage: Stage) -> None:
    async with stage.life():
        assert "parked" not in await three_crashes(stage, ANNA)
        await until_state(stage, ANNA, "running")

        changed = await stage.control.post(
            "/policy", key="users.max_restarts", value="2", reason="it flaps"
        )
        assert (changed["old"], changed["new"]) == (3, 2)

        assert (await three_crashes(stage, BORIS)).count("parked") == 1
        await until_state(stage, BORIS, "parked")
        done = await stage.rows.fetch("SELECT action, target, reason FROM admin_actions")
        assert [tuple(row) for row in done] == [("policy_set", "users.max_restarts", "it flaps")]


async def test_a_higher_limit_parks_later_and_undoing_it_earlier_again(stage: Stage) -> None:
    async with stage.life():
        await stage.control.post("/policy", key="users.max_restarts", value="2")
        await stage.control.post("/policy", key="users.max_restarts", value="100")
        assert "parked" not in await three_crashes(stage, ANNA)

        await stage.control.post("/policy/undo")
        assert "parked" in await three_crashes(stage, BORIS)


async def test_a_changed_limit_holds_over_a_restart_of_the_program(stage: Stage) -> None:
    async with stage.life():
        await stage.control.post("/policy", key="users.max_restarts", value="2")

    async with stage.life():
        assert "parked" in await three_crashes(stage, ANNA)
