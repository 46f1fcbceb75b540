"""A database in memory for simulations: production's own `storage/` over tables of ours.

    tables = empty(random.Random(seed))          # as migrations leave it; the ids that it makes up
    database = TwinDatabase(tables, now, pause)  # one process; the next to take over shuts it out
    await database.take_over(owner)
    users = UserPhases(database, cipher)         # and whatever else takes a Database

`now` gives the moment that now() and clock_timestamp() show, timezone-aware. It is asked when a
transaction begins, and now() stands until that ends.

`pause` is awaited at each `Moment` and may hold the caller up or raise, say StorageUnavailable. At
BEFORE_COMMIT that takes everything back; at AFTER_COMMIT the commit stands and the caller does not
know. Whoever is held up at BEFORE_COMMIT holds up everybody's statements. `terminate()` cuts a
process off: what it has not committed is taken back.

`tables.rows("credentials")` are copies of all rows, as dicts.

Protections can be switched off. `tables.drop("ledger_source_once")` takes away one unique key,
CHECK or foreign key. `TwinDatabase(..., twins=twins({credentials.CONFIRM: f}))` puts another
function in the place of a statement; it gets the tables and the statement's arguments.

Between transactions rows may be prepared by hand: `tables.users.insert(tg_id=7, language="en")`,
`tables.users.update(row, status="banned")`, and then `tables.keep()`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, cast

import asyncpg

from storage.database import Database
from tests.simulation.twin import statements
from tests.simulation.twin.connection import Line, Moment, Pause, TwinConnection
from tests.simulation.twin.registry import TWINS, Twin
from tests.simulation.twin.schema import empty
from tests.simulation.twin.tables import Tables


async def go_on(moment: Moment) -> None:
    """Hold nobody up."""
    del moment


class TwinDatabase(Database):
    """Production's Database, and through it a process's own view, over tables in memory."""

    def __init__(
        self,
        tables: Tables,
        now: Callable[[], datetime],
        pause: Pause = go_on,
        twins: Mapping[str, Twin] = TWINS,
    ) -> None:
        super().__init__(cast("asyncpg.Pool[Any]", _Pool(Line(tables, now, pause, twins))))
        self.tables = tables


class _Pool:
    """As many connections as are asked for, at once."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def acquire(self, **_: float) -> "_Pool":
        return self

    async def __aenter__(self) -> TwinConnection:
        return self._connection()

    async def __aexit__(self, *_: object) -> None:
        """A connection needs no giving back."""

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        return await self._connection().fetchval(query, *arguments)

    async def close(self) -> None:
        self._line.cut = True

    def terminate(self) -> None:
        self._line.cut = True

    def _connection(self) -> TwinConnection:
        if self._line.cut:
            raise asyncpg.InterfaceError("pool is closed")
        return TwinConnection(self._line)


def twins(others: Mapping[str, Twin]) -> dict[str, Twin]:
    """All twins, some of them exchanged: for protections that are switched off."""
    return {**TWINS, **others}


__all__ = ["Moment", "Pause", "TwinDatabase", "empty", "go_on", "statements", "twins"]
