"""What no restart can mend ends the program, in order, and with its story written down."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from bot.intake import TelegramIntake
from storage.links import LinkCipher
from supervisors import run
from tests.integration.actors.live import Stage, staged
from tests.integration.database_fixtures import Rows

GAVE_UP = """
SELECT actor, reason FROM supervision_events WHERE kind = 'gave_up' ORDER BY seq
"""
CRASHES = "SELECT count(*) FROM supervision_events WHERE kind = 'crashed' AND actor = $1"


@pytest.fixture
async def stage(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> AsyncIterator[Stage]:
    """Two restarts within the door, one of the door itself."""
    async with staged(
        tmp_path,
        database_url,
        rows,
        cipher,
        door={"max_restarts": 2},
        root={"max_restarts": 1},
    ) as made:
        yield made


async def test_a_door_that_never_opens_ends_the_program(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: TelegramIntake) -> NoReturn:
        raise RuntimeError("a bug")

    monkeypatch.setattr(TelegramIntake, "prepare", broken)
    life = stage.begin()

    assert await life.ended() == run.GAVE_UP == 70

    story = [tuple(row) for row in await stage.rows.fetch(GAVE_UP)]
    assert story == [
        ("door", "intake: too many restarts"),
        ("door", "intake: too many restarts"),
        ("root", "door: too many restarts"),
    ]
    assert await stage.rows.fetchval(CRASHES, "intake") == 2 * 3
    assert await stage.rows.fetchval(CRASHES, "door") == 2


async def test_the_program_works_again_once_the_fault_is_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It gives up in the middle of a purchase, and the next start completes that."""
    opened = TelegramIntake.prepare

    async with stage.life() as life:
        invoice = await stage.invoice(stage.anna)
        stage.node.refuse_connections()
        await stage.pay(stage.anna, invoice)
        await stage.until_true("SELECT count(*) FROM payments WHERE disposition = 'credited'")

        async def broken(_: TelegramIntake) -> NoReturn:
            raise RuntimeError("a bug")

        monkeypatch.setattr(TelegramIntake, "prepare", broken)
        await stage.control.post("/actor", name="intake", action="restart", at_once=True)
        assert await life.ended() == run.GAVE_UP

    monkeypatch.setattr(TelegramIntake, "prepare", opened)
    stage.node.accept_connections()
    async with stage.life():
        await stage.assert_bought_once(stage.anna)
