"""After each fault the two sides are equal again by themselves, or frozen with an alert.

Real actors under their supervisors, a real PostgreSQL, two real nodes; people buy, renew, are
stopped and run out of time on both nodes meanwhile. What holds at the end is observed: the nodes'
own lists against the rows, and who really gets through by the links that are in the chats.
"""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from storage.links import LinkCipher
from tests.conftest import MEASURED
from tests.faults.convergence import (
    ANYWHERE,
    ENDING,
    FIRST,
    HAPPENED,
    OWNER,
    SECOND,
    WANTED,
    Case,
    Town,
    Trade,
    case,
    town,
)
from tests.faults.proxy import (
    DropRequest,
    DropResponse,
    Fault,
    Rule,
)
from tests.integration.database_fixtures import Server, connected
from tests.integration.node_fixtures import eventually
from tests.integration.shop import pass_time

Record = Callable[[str, object], None]
HOUR_S = 3_600
CHANGES = ("PUT", "DELETE", "POST")

STATE = "SELECT state FROM nodes WHERE id = $1"
OPENED = """
SELECT count(*) >= $2 FROM supervision_events
WHERE kind = 'breaker_changed' AND actor = 'provisioner/' || $1 AND details->>'after' = 'open'
"""
RUNS = "SELECT count(*) >= $3 FROM reconcile_runs WHERE node_id = $1 AND outcome = $2"


@pytest.fixture
async def made(
    tmp_path: Path,
    database_url: str,
    cipher: LinkCipher,
) -> AsyncIterator[Town]:
    async with town(tmp_path, database_url, cipher) as ready:
        yield ready


async def heals(run: Case, record_property: Record) -> None:
    """What ends each test of a fault that heals."""
    await run.assert_other_undisturbed()
    await run.town.check()
    doors = await run.town.check_doors()
    record_property(MEASURED, f"{await run.report()}; {doors} doors tried")


async def frozen(made: Town, node_id: str) -> None:
    """Until a node is frozen, and its owner has read why."""
    await made.until(f"SELECT ({STATE}) = 'frozen'", node_id)

    async def told() -> bool:
        texts = [message.text for message in made.sandbox.person(OWNER).messages]
        return any(node_id in text and "frozen" in text.lower() for text in texts)

    await eventually(told)


OUTAGES: dict[str, tuple[Fault, tuple[str, ...]]] = {
    "dropped": (DropRequest(), ()),
    "cut_after_it_is_applied": (DropResponse(), CHANGES),
}
QUICK = "cut_after_it_is_applied"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == QUICK else pytest.mark.deep) for n in OUTAGES]
)
async def test_an_outage_heals(made: Town, name: str, record_property: Record) -> None:
    fault, methods = OUTAGES[name]
    proxy = made.sites[FIRST].proxy
    async with case(made) as run:
        rule = proxy.add(Rule(fault, methods=methods))
        await made.until(OPENED, FIRST, 2)
        await run.served_meanwhile()
        proxy.lift(rule)
        await run.over(90)

        sent, different = proxy.amplification()
        assert sent <= 1.1 * different + 10, "repeats were to be few"
        await heals(run, record_property)


async def uuids(made: Town, node_id: str) -> set[UUID]:
    """Whom a node lets in."""
    listed = await made.sites[node_id].listed()
    assert listed is not None
    return {uuid for uuid, _ in listed}


async def stays(made: Town, strangers: set[UUID], *frozen_ones: str) -> None:
    """Nobody is removed from frozen nodes, who has a right is in, and doors say the same."""
    await made.until(f"SELECT ({ENDING}) = 0")
    besides: dict[str, set[UUID]] = {}
    for node_id in made.sites:
        wanted = {row["uuid"] for row in await made.sql(WANTED, node_id)}
        await eventually(lambda n=node_id, w=wanted: _contains(made, n, w))  # type: ignore[misc]
        if node_id in frozen_ones:
            besides[node_id] = await uuids(made, node_id) - wanted
    assert strangers <= set().union(*besides.values())
    removals = "SELECT count(*) FROM reconcile_runs WHERE removed > 0"
    assert await made.value(removals) == 0
    await made.check_doors(besides)


async def _contains(made: Town, node_id: str, wanted: set[UUID]) -> bool:
    return wanted <= await uuids(made, node_id)


@pytest.mark.deep
async def test_a_database_restored_from_a_backup_freezes_both_nodes(
    made: Town, postgres: Server, record_property: Record
) -> None:
    """Some bought after the backup; of some the time was over by it, and they had renewed since."""
    name = urlsplit(made.database_url).path.lstrip("/")
    copy = f"{name}_backup"
    async with case(made):
        renewing = {node_id: await made.newcomer() for node_id in made.sites}
        for node_id, person in renewing.items():
            await made.grant(person, node_id, HOUR_S)
    await eventually(made.equal)
    await made.close()
    async with connected(postgres.url) as admin:
        await admin.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY FILE_COPY")
    await made.open()
    async with case(made):
        for node_id, person in renewing.items():
            await made.buy(person, node_id)
    await made.check()
    await made.check_doors()
    before = await everybody(made)
    await made.close()
    async with connected(postgres.url) as admin:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"ALTER DATABASE {copy} RENAME TO {name}")
    async with connected(made.database_url) as rows:
        await pass_time(rows, 2 * HOUR_S)
    await made.open()
    trade = Trade(made)
    for node_id in made.sites:
        await frozen(made, node_id)
    run = Case(made, trade, await made.value("SELECT now()"))
    for node_id in made.sites:
        await run.served_meanwhile(node_id)
        await made.until(RUNS, node_id, "frozen", 3)
    await trade.end()

    lost = before - await everybody(made)
    assert len(lost) > len(renewing), "some bought after the backup, some had renewed"
    await stays(made, lost, *made.sites)
    record_property(MEASURED, f"frozen, {len(lost)} unknown payers keep their access, adds go on")


async def everybody(made: Town) -> set[UUID]:
    """Who has a right by the rows."""
    wanted = [await made.sql(WANTED, node_id) for node_id in made.sites]
    return {row["uuid"] for rows in wanted for row in rows}


async def test_people_leave_a_drained_node_by_links_that_work(
    made: Town, record_property: Record
) -> None:
    people = [await made.newcomer() for _ in range(4)]
    await made.buy(people[0], SECOND)
    for person in people[1:]:
        await made.buy(person, ANYWHERE)
    await eventually(made.equal)
    await made.check_doors()
    before = await everybody(made)
    users = len(await made.sql(WANTED, FIRST))
    assert users

    said = await made.command("nodes", "drain", FIRST, "--reason", "the machine is old")

    assert f"{users} users are moved" in said
    await made.until(f"SELECT NOT EXISTS ({WANTED})", FIRST)
    await made.check()
    doors = await made.check_doors()
    assert len(await everybody(made)) == len(people)
    assert await everybody(made) != before
    await made.until(HAPPENED, "node_empty", FIRST)
    assert "removed" in await made.command("nodes", "remove", FIRST)
    record_property(MEASURED, f"{users} users moved; {doors} doors tried")
