"""A database that goes and comes back restarts nobody; one that stays away ends the program."""

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.sandbox import Person
from storage.database import Database
from storage.embedded import EmbeddedPostgres
from storage.errors import StorageUnavailable
from storage.links import LinkCipher
from supervisors.run import ALIVE_EVERY_S, OUTAGE_DEADLINE_S, _until_lost
from tests.clock import ManualClock, turn
from tests.integration.actors.live import Stage, staged
from tests.integration.actors.world import TERMINATE
from tests.integration.database_fixtures import Rows, connected

BUYERS = range(2_001, 2_007)
OUTAGES = 10
#: Apart by a little, so that connections are made again and cut again.
APART = "SELECT pg_sleep(0.3)"
#: What the program says of a database that is away.
OUTAGE = re.compile(r'"(\w+_waits?|\w+_postponed|ownership_unknown)"')
RESTARTS = """
SELECT array_agg(kind || ' ' || actor) FROM supervision_events
WHERE kind NOT IN ('policy_changed')
"""


def buyers(stage: Stage) -> list[Person]:
    return [stage.sandbox.person(number) for number in BUYERS]


async def assert_nobody_was_restarted(stage: Stage) -> None:
    """Neither in the tree nor in the journal."""
    tree = await stage.control.tree()
    again = {
        name: (view["incarnation"], view["restarts"])
        for name, view in tree.items()
        if view["restarts"] or view["incarnation"] != 1
    }
    assert again == {}
    assert await stage.rows.fetchval(RESTARTS) is None
    assert OUTAGE.search(stage.log.getvalue()), "nobody noticed anything"


async def test_cut_connections_restart_nobody(
    tmp_path: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
) -> None:
    async with (
        staged(tmp_path, database_url, rows, cipher) as stage,
        stage.life(),
    ):
        buying = [asyncio.create_task(stage.buy(buyer)) for buyer in buyers(stage)]
        for _ in range(OUTAGES):
            await rows.fetchval(TERMINATE)
            await rows.fetchval(APART)
        await stage.until_done(buying)

        await stage.assert_bought_once(*buyers(stage))
        await assert_nobody_was_restarted(stage)


@pytest.fixture
async def own_postgres(tmp_path: Path) -> AsyncIterator[tuple[Path, str]]:
    """A server that a test may stop: its folder and its URL."""
    folder = tmp_path / "postgres"
    server = await asyncio.to_thread(EmbeddedPostgres.start, folder)
    try:
        yield folder, server.url
    finally:
        await asyncio.to_thread(server.stop)  # which knows only the process that it started
        await asyncio.to_thread(_pg_ctl, folder, "stop")


def _pg_ctl(folder: Path, command: str) -> None:
    """Have the server go down for `stop`, and come up again for `restart`, as for an update."""
    if not (folder / "postmaster.pid").exists():
        return
    pid = (folder / "postmaster.pid").read_text().split()[0]
    pg_ctl = Path(f"/proc/{pid}/exe").readlink().with_name("pg_ctl")
    log = () if command == "stop" else ("-l", folder / "log")
    # As whom the server runs: it refuses to be root's.
    subprocess.run(  # noqa: S603 - ours
        [pg_ctl, "-D", folder, "-w", "-m", "fast", *log, command],
        user=folder.stat().st_uid,
        check=True,
        stdout=subprocess.DEVNULL,
    )


async def test_a_database_that_is_restarted_again_and_again_restarts_nobody(
    tmp_path: Path,
    own_postgres: tuple[Path, str],
    cipher: LinkCipher,
) -> None:
    folder, url = own_postgres
    rows: Any = None  # none outlives a restart
    async with staged(tmp_path, url, rows, cipher) as stage, stage.life():
        buying = []
        for buyer in buyers(stage):
            buying.append(asyncio.create_task(stage.buy(buyer)))
            await asyncio.to_thread(_pg_ctl, folder, "restart")

        async with connected(url) as stage.rows:
            await stage.until_done(buying)
            await stage.assert_bought_once(*buyers(stage))
            await assert_nobody_was_restarted(stage)


class Away(Database):
    """A database that answers only sometimes."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = False

    async def show_alive(self) -> None:
        """Or not."""
        self.asked += 1
        if not self.answers:
            raise StorageUnavailable("away")


async def wait(clock: ManualClock, database: Away, seconds: float) -> None:
    """Let time pass, in the steps in which the database is asked."""
    for _ in range(round(seconds / ALIVE_EVERY_S)):
        clock.advance(ALIVE_EVERY_S)
        asked = database.asked
        for _ in range(10):
            if database.asked > asked:
                break
            await turn()


async def test_a_database_that_stays_away_is_given_up_after_the_deadline() -> None:
    clock, database = ManualClock(), Away()
    watching = asyncio.create_task(_until_lost(database, clock))
    await turn()

    await wait(clock, database, OUTAGE_DEADLINE_S - 2 * ALIVE_EVERY_S)
    assert not watching.done()

    await wait(clock, database, 2 * ALIVE_EVERY_S)
    assert watching.done()
    assert watching.result() is None


async def test_one_answer_begins_the_deadline_anew() -> None:
    clock, database = ManualClock(), Away()
    watching = asyncio.create_task(_until_lost(database, clock))
    await turn()

    await wait(clock, database, OUTAGE_DEADLINE_S - 2 * ALIVE_EVERY_S)
    database.answers = True
    await wait(clock, database, ALIVE_EVERY_S)
    database.answers = False
    await wait(clock, database, OUTAGE_DEADLINE_S - ALIVE_EVERY_S)
    assert not watching.done()

    await wait(clock, database, 2 * ALIVE_EVERY_S)
    assert watching.done()
