"""The database of yesterday: whoever bought since is on the nodes, and in no row."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from bot.sandbox import Message, Paid, Person
from tests.failures.cells import FROZEN
from tests.failures.money import Fate
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.faults.convergence import FIRST, SECOND, WANTED
from tests.faults.own_process import TalkingTown
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import eventually

MONTH_S = 2_592_000
#: The design's bound on crediting payers again, in the policies' time, seconds.
CREDIT_S = 300

CREDITED = """
SELECT count(*) = 1 FROM payments p JOIN subscriptions s ON s.user_id = p.user_id
    JOIN ledger l ON l.subscription_id = s.id AND l.source_kind = 'payment'
    JOIN credentials c ON c.subscription_id = s.id AND c.applied_gen = c.gen
WHERE p.user_id = $1 AND p.disposition = 'credited' AND s.status = 'active'
    AND l.delta_s = $2 AND s.expires_at = c.first_applied_at + make_interval(secs => $2)
"""
LISTED = """
SELECT count(*) > 0 FROM reconcile_runs
WHERE node_id = $1 AND outcome = 'frozen' AND orphans >= $2
"""
REMOVED = "SELECT coalesce(sum(removed), 0) FROM reconcile_runs"


@row(
    20,
    full=True,
    bound_s=CREDIT_S,
    setting=Setting(talking=True, trade=False),
    ul=FROZEN,
    ua=FROZEN,
    sh=FROZEN,
)
async def database_restored_from_a_backup(run: Run) -> None:
    """Some had ordered before the backup and paid after it; some ordered and paid after it.

    The provider knows of both. The first are credited again and get another link. Of the second the
    database does not know what they had ordered: their money is held, and owners are asked; they
    keep their access, as whoever paid should.
    """
    town = run.town
    assert isinstance(town, TalkingTown)
    ordered = [await town.newcomer() for _ in town.sites]
    for node_id in town.sites:
        await town.buy(await town.newcomer(), node_id)
    invoices = [
        await town.invoiced(person, node_id)
        for person, node_id in zip(ordered, town.sites, strict=True)
    ]
    copy = await _backup(run)
    since = await _pay_since(town, ordered, invoices)
    async with run.fault():
        await _restore(run, copy)
        await town.open()
        run.met()
    for people, fate in ((ordered, Fate.CREDITED), (since, Fate.HELD)):
        ids = {person.id for person in people}
        run.fates |= {
            ("stars", str(taken["id"])): fate
            for taken in town.sandbox.transactions
            if _payer(taken) in ids
        }
    for person in ordered:
        await town.until(CREDITED, person.id, MONTH_S)
    for node_id in town.sites:
        orphans = await _besides(run, node_id)
        assert orphans, "those who bought since were to be there"
        await town.until(LISTED, node_id, len(orphans))
        run.strangers |= orphans
    assert await town.value(REMOVED) == 0


def _payer(taken: Mapping[str, Any]) -> int | None:
    """Whom Telegram took Stars from."""
    payer: int | None = taken.get("source", {}).get("user", {}).get("id")
    return payer


async def _backup(run: Run) -> str:
    """A copy of the database, while nobody uses it; its name."""
    name = urlsplit(run.town.database_url).path.lstrip("/")
    await eventually(run.town.equal)
    await run.town.close()
    async with connected(_server(run)) as admin:
        copy = f"{name}_backup"
        await admin.execute(f"CREATE DATABASE {copy} TEMPLATE {name} STRATEGY FILE_COPY")
    await run.town.open()
    return copy


async def _pay_since(
    town: TalkingTown, ordered: list[Person], invoices: list[Message]
) -> list[Person]:
    """Those who had ordered pay, and as many order and pay; all have access."""
    for person, invoice in zip(ordered, invoices, strict=True):
        assert isinstance(await person.pay(invoice), Paid)
    since = [await town.newcomer() for _ in town.sites]
    for person, node_id in zip(since, (FIRST, SECOND), strict=True):
        await town.buy(person, node_id)
    for person in (*ordered, *since):
        await town.told(person)
    return since


async def _restore(run: Run, copy: str) -> None:
    name = urlsplit(run.town.database_url).path.lstrip("/")
    await run.town.close()
    async with connected(_server(run)) as admin:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.execute(f"ALTER DATABASE {copy} RENAME TO {name}")


def _server(run: Run) -> str:
    return urlsplit(run.town.database_url)._replace(path="/postgres").geturl()


async def _besides(run: Run, node_id: str) -> set[UUID]:
    """Whom a node lets in without a row that says so."""
    wanted = {found["uuid"] for found in await run.town.sql(WANTED, node_id)}
    return {uuid for uuid, _ in await run.town.sites[node_id].listed() or ()} - wanted
