"""Acts that happen at once, for certain."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.simulation.twin.mirror import Mirror

Outcome = TypeVar("Outcome")

WAIT = """
SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = $1::regclass
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

#: Whoever waits for a lock of any kind, a row's too.
WAITING = """
SELECT count(DISTINCT waits.pid) FROM pg_locks waits JOIN pg_locks its USING (pid)
WHERE NOT waits.granted
    AND its.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


async def in_turn(rows: Rows, lock: str, *acts: Coroutine[Any, Any, Outcome]) -> list[Outcome]:
    """What acts come to that begin one after the other, and all wait, while `lock` is held."""
    if isinstance(rows, Mirror):
        return await _of_twin(rows, lock, *acts)
    begun: list[asyncio.Future[Outcome]] = []
    async with rows.transaction():
        await rows.execute(lock)

        async def all_wait() -> bool:
            return bool(await rows.fetchval(WAITING) == len(begun))

        for act in acts:
            begun.append(asyncio.ensure_future(act))
            await eventually(all_wait)
    return await asyncio.gather(*begun)


async def at_once(rows: Rows, table: str, *acts: Coroutine[Any, Any, Outcome]) -> list[Outcome]:
    """What acts come to that have all begun, and read what they may, before one of them writes."""
    lock = f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE"
    if isinstance(rows, Mirror):
        return await _of_twin(rows, lock, *acts)
    async with rows.transaction():
        await rows.execute(lock)
        begun = [asyncio.ensure_future(act) for act in acts]

        async def all_wait() -> bool:
            return bool(await rows.fetchval(WAIT, table) == len(acts))

        await eventually(all_wait)
    return await asyncio.gather(*begun)


async def _of_twin(rows: Mirror, lock: str, *acts: Coroutine[Any, Any, Outcome]) -> list[Outcome]:
    """One transaction runs at a time there, in the order in which they came."""
    async with rows.turn, rows.transaction():
        await rows.execute(lock)
        begun = [asyncio.ensure_future(act) for act in acts]
        await asyncio.sleep(0)  # noqa: TID251 - each comes to wait for its turn
    return await asyncio.gather(*begun)
