"""Of two transactions that wait for each other one is undone, and nobody hears of it."""

import asyncio

import pytest

from storage import phase
from storage.database import Database
from storage.errors import RolledBack
from storage.phase import phases
from tests.integration.database_fixtures import Rows

SERIALIZATION = "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '40001'; END $$"


@phases
class Couples:
    """Changes two users, in the order in which they are given."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.tries = 0
        self._met = asyncio.Barrier(2)

    async def both(self, first: int, second: int) -> None:
        """Each waits with its first user in hand until the other has one, in their first tries."""
        self.tries += 1
        meets = self.tries <= 2
        async with self._database.transaction() as connection:
            await connection.execute("UPDATE users SET language = 'ru' WHERE tg_id = $1", first)
            if meets:
                await self._met.wait()
            await connection.execute("UPDATE users SET language = 'ru' WHERE tg_id = $1", second)

    async def never(self) -> None:
        """Undone whenever it is tried."""
        self.tries += 1
        async with self._database.transaction() as connection:
            await connection.execute(SERIALIZATION)

    async def twice(self) -> str:
        """A phase of two."""
        await self.never()
        return phase.name.get()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Those that were made."""
    made: list[float] = []
    real = phase._pause_s

    def noted() -> float:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(phase, "_pause_s", noted)
    return made


async def test_of_two_that_wait_for_each_other_both_are_done(
    database: Database, rows: Rows, pauses: list[float]
) -> None:
    await rows.execute("INSERT INTO users (tg_id, language) VALUES (1, 'en'), (2, 'en')")
    couples = Couples(database)

    await asyncio.gather(couples.both(1, 2), couples.both(2, 1))

    assert couples.tries == 3
    assert len(pauses) == 1
    assert await rows.fetchval("SELECT count(*) FROM users WHERE language = 'ru'") == 2


@pytest.mark.parametrize("name", ["never", "twice"])
async def test_after_the_third_try_it_is_weather(
    database: Database, pauses: list[float], name: str
) -> None:
    couples = Couples(database)

    with pytest.raises(RolledBack):
        await getattr(couples, name)()

    assert couples.tries == 3
    assert len(pauses) == 2
    assert all(0.01 <= pause <= 0.2 for pause in pauses)
    assert phase.name.get() == ""
