"""After each fault the two sides are equal again by themselves, or frozen with an alert.

Real actors under their supervisors, a real PostgreSQL, two real nodes; people buy, renew, are
stopped and run out of time on both nodes meanwhile. What holds at the end is observed: the nodes'
own lists against the rows, and who really gets through by the links that are in the chats.
"""

import os
import re
import shutil
import signal
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp.connector
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
    DelayAfter,
    DelayBefore,
    DropRequest,
    DropResponse,
    Fault,
    Identities,
    Mangle,
    Rule,
    Status,
    WrongCertificate,
    cut_short,
    html,
    of_another_user,
    too_long,
    without,
)
from tests.faults.scene import xray_api
from tests.integration.database_fixtures import Server, connected
from tests.integration.node_fixtures import eventually
from tests.integration.shop import pass_time
from xray_api.node.keys import new_api_key
from xray_api.node.run import STORE_FILE

Record = Callable[[str, object], None]
#: Held for longer than a call waits.
HELD_S = 3.0
GUARD = 20
HOUR_S = 3_600
CHANGES = ("PUT", "DELETE", "POST")

STATE = "SELECT state FROM nodes WHERE id = $1"
OPENED = """
SELECT count(*) >= $2 FROM supervision_events
WHERE kind = 'breaker_changed' AND actor = 'provisioner/' || $1 AND details->>'after' = 'open'
"""
RUNS = "SELECT count(*) >= $3 FROM reconcile_runs WHERE node_id = $1 AND outcome = $2"


@pytest.fixture
def identities() -> Identities | None:
    """None: calls go without TLS."""
    return None


@pytest.fixture
async def made(
    tmp_path: Path,
    database_url: str,
    cipher: LinkCipher,
    identities: Identities | None,
) -> AsyncIterator[Town]:
    async with town(tmp_path, database_url, cipher, identities) as ready:
        yield ready


async def heals(
    run: Case, record_property: Record, strangers: frozenset[UUID] = frozenset()
) -> None:
    """What ends each test of a fault that heals."""
    await run.assert_other_undisturbed()
    await run.town.check(strangers)
    doors = await run.town.check_doors()
    record_property(MEASURED, f"{await run.report()}; {doors} doors tried")


async def frozen(made: Town, node_id: str) -> None:
    """Until a node is frozen, and its owner has read why."""
    await made.until(f"SELECT ({STATE}) = 'frozen'", node_id)

    async def told() -> bool:
        texts = [message.text for message in made.sandbox.person(OWNER).messages]
        return any(node_id in text and "frozen" in text.lower() for text in texts)

    await eventually(told)


OUTAGES: dict[str, tuple[Fault, tuple[str, ...], str]] = {
    "held_before_it_is_applied": (DelayBefore(HELD_S), (), ""),
    "held_after_it_is_applied": (DelayAfter(HELD_S), (), ""),
    "dropped": (DropRequest(), (), ""),
    "status_500": (Status(500), (), ""),
    "status_526_of_a_proxy": (Status(526), (), ""),
    "cut_after_it_is_applied": (DropResponse(), CHANGES, ""),
    "json_cut_short": (Mangle(cut_short), CHANGES, ""),
    "html_with_status_200": (Mangle(html), (), ""),
    "no_link_in_the_answer": (Mangle(without("vless_link")), ("PUT",), "/v1/users/"),
    "more_than_a_megabyte": (Mangle(too_long), CHANGES, ""),
}
QUICK = "cut_after_it_is_applied"


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n == QUICK else pytest.mark.deep) for n in OUTAGES]
)
async def test_an_outage_heals(made: Town, name: str, record_property: Record) -> None:
    fault, methods, path = OUTAGES[name]
    proxy = made.sites[FIRST].proxy
    async with case(made) as run:
        rule = proxy.add(Rule(fault, methods=methods, path=path))
        await made.until(OPENED, FIRST, 2)
        await run.served_meanwhile()
        proxy.lift(rule)
        await run.over(90)

        sent, different = proxy.amplification()
        assert sent <= 1.1 * different + 10, "repeats were to be few"
        await heals(run, record_property)


async def test_an_answer_about_another_user_is_never_stored(
    made: Town, record_property: Record
) -> None:
    proxy = made.sites[FIRST].proxy
    async with case(made) as run:
        rule = proxy.add(Rule(Mangle(of_another_user), methods=("PUT", "POST")))
        await run.served_meanwhile()
        await made.until(f"SELECT ({HAPPENED}) > 0", "node_answers_wrong", FIRST)
        mine = (
            "SELECT count(*) FROM credentials WHERE node_id = $1 AND created_at > $2 "
            "AND (link_enc IS NOT NULL OR first_applied_at IS NOT NULL)"
        )
        confirmed = await made.value(mine, FIRST, run.began)
        assert confirmed <= 1, "at most the one that was under way when it began"
        proxy.lift(rule)
        await run.over(90)

        await heals(run, record_property)


@pytest.mark.deep
async def test_a_key_that_is_refused_and_later_taken(made: Town, record_property: Record) -> None:
    site = made.sites[FIRST]
    text = site.files.settings_file.read_text()
    async with case(made) as run:
        site.files.settings_file.write_text(
            re.sub(r"api_keys = .*", f'api_keys = ["{new_api_key()}"]', text)
        )
        os.kill(site.machine.pid, signal.SIGHUP)
        await made.until(f"SELECT ({HAPPENED}) > 0", "node_key_refused", FIRST)
        await run.served_meanwhile()

        site.files.settings_file.write_text(text)
        os.kill(site.machine.pid, signal.SIGHUP)
        await eventually(lambda: _listed(site.listed))
        await run.over(90)

        assert await made.breaker(FIRST) == [], "a key says nothing of the node's health"
        await heals(run, record_property)


async def _listed(listed: Callable[[], object]) -> bool:
    return await listed() is not None  # type: ignore[misc]


@pytest.mark.deep
class TestCertificate:
    """The nodes are called by TLS."""

    @pytest.fixture
    def identities(self, monkeypatch: pytest.MonkeyPatch) -> Identities:
        """This process trusts one of the two."""
        made = Identities()
        context = ssl.create_default_context(cadata=made.trusted)
        monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", context)
        return made

    async def test_a_wrong_certificate_and_later_the_right_one(
        self, made: Town, record_property: Record
    ) -> None:
        """Calls end before a key is shown, and begin again by themselves."""
        proxy = made.sites[FIRST].proxy
        async with case(made) as run:
            rule = proxy.add(Rule(WrongCertificate()))
            await made.until(OPENED, FIRST, 1)
            await run.served_meanwhile()
            await made.until(f"SELECT ({HAPPENED}) > 0", "node_certificate", FIRST)
            proxy.lift(rule)
            await run.over(90)

            await heals(run, record_property)


@pytest.mark.deep
async def test_a_node_that_was_wiped_while_it_was_down(made: Town, record_property: Record) -> None:
    site = made.sites[FIRST]
    async with case(made) as run:
        epoch = (await site.direct.ready()).epoch
        await site.machine.stop()
        for file in site.state_dir.glob(f"{STORE_FILE}*"):
            file.unlink()
        await run.served_meanwhile()
        await site.machine.start()
        assert (await site.direct.ready()).epoch != epoch
        await run.over(5, divided=False)

        await heals(run, record_property)


async def test_a_killed_xray(made: Town, record_property: Record) -> None:
    site = made.sites[FIRST]
    async with case(made) as run:
        killed = site.machine.xray
        os.kill(killed, signal.SIGKILL)
        await run.over(15, divided=False)

        assert site.machine.xray != killed
        await heals(run, record_property)


@pytest.mark.deep
async def test_users_added_straight_into_xray(made: Town, record_property: Record) -> None:
    site = made.sites[FIRST]
    strangers = {uuid4() for _ in range(5)}
    async with case(made) as run:
        async with xray_api(site.files, site.direct) as hot:
            for uuid in strangers:
                await hot.add(uuid)
        assert strangers <= await uuids(made, FIRST)
        await run.over(60)

        assert not strangers & await uuids(made, FIRST)
        await heals(run, record_property, frozenset(strangers))


async def add_by_the_api(made: Town, users: int) -> set[UUID]:
    """Somebody else with the key lets people in, and says nothing of who he is."""
    node = made.sites[FIRST].direct
    epoch = (await node.ready()).epoch
    strangers = {uuid4() for _ in range(users)}
    for uuid in strangers:
        await node.put(uuid, 1, epoch)
    return strangers


async def uuids(made: Town, node_id: str) -> set[UUID]:
    """Whom a node lets in."""
    listed = await made.sites[node_id].listed()
    assert listed is not None
    return {uuid for uuid, _ in listed}


@pytest.mark.deep
async def test_a_few_strangers_go_when_they_were_seen_twice(
    made: Town, record_property: Record
) -> None:
    async with case(made) as run:
        strangers = await add_by_the_api(made, GUARD // 2)
        await made.until(RUNS, FIRST, "watched", 1)
        assert strangers <= await uuids(made, FIRST), "seen once, nobody goes"
        await run.over(120)

        assert await made.value(STATE, FIRST) == "active"
        await heals(run, record_property, frozenset(strangers))


@pytest.mark.deep
async def test_many_strangers_freeze_the_node(made: Town, record_property: Record) -> None:
    async with case(made) as run:
        strangers = await add_by_the_api(made, GUARD + 5)
        await frozen(made, FIRST)
        run.began = await made.value("SELECT now()")
        await run.served_meanwhile(FIRST)
        await made.until(RUNS, FIRST, "frozen", 4)
        await run.trade.end()

        await stays(made, strangers, FIRST)
        assert await made.value(STATE, SECOND) == "active"
        await run.assert_other_undisturbed()
        record_property(MEASURED, "frozen, nobody removed, adds go on")


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


@pytest.mark.deep
async def test_a_node_restored_from_an_old_image(
    made: Town, tmp_path: Path, record_property: Record
) -> None:
    site = made.sites[FIRST]
    image = tmp_path / "image"
    async with case(made) as run:
        await site.machine.stop()
        shutil.copytree(site.state_dir, image)
        await made.until(OPENED, FIRST, 1)
        await site.machine.start()
        run.began = await made.value("SELECT now()")
        await run.served_meanwhile(FIRST, 5)

        await site.machine.stop()
        shutil.rmtree(site.state_dir)
        shutil.copytree(image, site.state_dir)
        await made.until(OPENED, FIRST, 2)
        await site.machine.start()
        await run.over(90)

        await heals(run, record_property)


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
