"""Nodes and rows that are compared while both change: nobody loses access by it, strangers go."""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.reconciler import actor as reconciler
from actors.reconciler.decisions import Difference, compare
from storage.rows import WantedRow
from tests.failures.cells import FROZEN, JITTER, NO, OPEN, WITHIN
from tests.failures.run import Run, answered, fired, uuid_of
from tests.failures.scenario import row
from tests.faults.convergence import FIRST, MACHINE_S
from tests.faults.proxy import Hold, HoldAnswer, Rule, Status
from tests.faults.scene import add_past_the_service, xray_api
from tests.integration.node_fixtures import eventually
from xray_api.contract import Operation

FEW, MANY = 5, 5_000
BATCH = 1_000
#: Of the policy, for a stranger seen twice.
GONE_S = 120.0
COMPARED = "/v1/digest"

RUNS = "SELECT count(*) >= $3 FROM reconcile_runs WHERE node_id = $1 AND outcome = $2"
REMOVED = "SELECT coalesce(sum(removed), 0)::int FROM reconcile_runs"
LOOKED_AT_MANY = """
SELECT array_agg(outcome) FROM reconcile_runs WHERE node_id = $1 AND orphans > $2
"""
MISJUDGED = """
SELECT count(*) FROM reconcile_runs WHERE node_id = $1 AND (removed + orphans + raised) > 0
"""
OF_UUID = "SELECT gen, applied_gen FROM credentials WHERE uuid = $1"


async def let_in_by_the_api(run: Run, count: int) -> set[UUID]:
    """Somebody else with the key lets people in, and says nothing of who he is."""
    node = run.first.direct
    epoch = (await node.ready()).epoch
    strangers = [uuid4() for _ in range(count)]
    run.strangers |= set(strangers)
    for first in range(0, count, BATCH):
        wishes = [Operation(op="put", uuid=u, gen=1) for u in strangers[first : first + BATCH]]
        await node.batch(epoch, wishes)
    return set(strangers)


async def uuids(run: Run) -> set[UUID]:
    """Whom the first node lets in."""
    listed = await run.first.listed()
    assert listed is not None
    return {uuid for uuid, _ in listed}


@row(16, full=True, bound_s=120, cb=OPEN, bo=JITTER, ul=FROZEN, ua=FROZEN, sh=FROZEN)
async def massive_orphans(run: Run) -> None:
    """Five users that nobody knows go when they were seen twice; of five thousand none does.

    The node answers nobody when the thousands come, so the comparison waits with the breaker.
    """
    loop = asyncio.get_running_loop()
    proxy = run.first.proxy
    async with run.fault():
        few = await let_in_by_the_api(run, FEW)
        came = loop.time()
        await run.town.until(RUNS, FIRST, "watched", 1)
        assert few <= await uuids(run), "seen once, nobody goes"

        async def gone() -> bool:
            return not few & await uuids(run)

        await eventually(gone)
        assert loop.time() - came <= GONE_S / run.town.factor + MACHINE_S
        run.met(FEW)

        outage = proxy.add(Rule(Status(500)))
        await run.breaker_opened()
        asked = len(outage.met)
        many = await let_in_by_the_api(run, MANY)
        await run.breaker_opened(times=2)
        compared = [seen for seen in outage.met[asked:] if seen.path == COMPARED]
        assert not compared, "comparisons were to wait with everything else"
        proxy.lift(outage)

    async def nobody_removed() -> None:
        assert many <= await uuids(run)
        assert await run.town.value(REMOVED) == FEW
        outcomes = await run.town.value(LOOKED_AT_MANY, FIRST, FEW)
        assert set(outcomes) == {"frozen"}, "the first look at them was to freeze the node"
        await run.served_meanwhile(FIRST)
        await run.owner_reads(FIRST, "is frozen")

    run.closing.append(nobody_removed)


@row(17, bound_s=2, dx=NO, cb=OPEN, bo=JITTER)
async def reconciliation_and_activation(run: Run) -> None:
    """A node is listed while somebody's row is committed and the node does not know it yet.

    And the other way round: listed before the node knew, and looked at after all is confirmed.
    An outage comes first, and comparisons begin again by themselves.
    """
    proxy = run.first.proxy
    async with run.fault():
        outage = proxy.add(Rule(Status(500)))
        await run.breaker_opened(times=2)
        proxy.lift(outage)
        await run.called_again()
        await run.quiet()
        judged = await run.town.value(MISJUDGED, FIRST)

        cases = [listed_between_row_and_wish, listed_before_and_judged_after]
        run.random.shuffle(cases)
        raced = [await case(run) for case in cases]
    run.watched |= set(raced)

    async def left_alone() -> None:
        assert await run.town.value(MISJUDGED, FIRST) == judged, "there was nothing to mend"
        for uuid in raced:
            assert uuid in await uuids(run)

    run.closing.append(left_alone)


async def listed_between_row_and_wish(run: Run) -> UUID:
    """Who had a row that the node did not know when it was listed."""
    proxy = run.first.proxy
    listing = proxy.add(Rule(Hold(), path=COMPARED, times=1))
    await fired(listing)
    wish = proxy.add(Rule(Hold(), methods=("PUT",), times=1))
    buyer = await run.town.newcomer()
    await run.town.buy(buyer, FIRST)
    await fired(wish)
    uuid = wish.met[0].uuid
    assert uuid is not None
    known = (await run.town.sql(OF_UUID, uuid))[0]
    assert known["applied_gen"] < known["gen"], "the row was to be there, and the node not to know"
    asked = len(listed_times(run))
    proxy.lift(listing)

    async def compared() -> bool:
        return len(listed_times(run)) > asked  # the next run begins, so this one has ended

    await eventually(compared)
    proxy.lift(wish)
    return uuid


async def listed_before_and_judged_after(run: Run) -> UUID:
    """Who was confirmed after the node had been listed, before the list was looked at."""
    proxy = run.first.proxy
    listing = proxy.add(Rule(HoldAnswer(), path=COMPARED, times=1))
    await answered(listing)
    (buyer,) = await run.customers(1)
    proxy.lift(listing)
    return uuid_of(buyer)


def listed_times(run: Run) -> list[float]:
    """When the first node was asked for its digest."""
    return [seen.at for seen in run.first.proxy.requests if seen.path == COMPARED]


@row(34, full=True, bound_s=300, bo=JITTER, ua=WITHIN)
async def reconciler_crash_loop(run: Run) -> None:
    """A bug: the comparison crashes at a user that nobody knows, again and again."""
    at: list[float] = []

    def crashes(listed: Mapping[UUID, int], rows: Iterable[WantedRow]) -> Difference:
        if run.strangers & set(listed):
            at.append(asyncio.get_running_loop().time())
            run.met()
            raise RuntimeError("a bug in the comparison")
        return compare(listed, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reconciler, "compare", crashes)
        async with run.fault():
            await let_in_by_the_api(run, 1)
            await run.owner_reads(f"reconciler/{FIRST}", "keeps failing")
            since: Any = await run.town.value("SELECT now()")
            await run.served_meanwhile(FIRST, since=since)
            await run.served_meanwhile(since=since)
            patch.undo()
    run.gaps = [(later - earlier) * run.town.factor for earlier, later in pairwise(at)]


@row(39, bound_s=60, ua=WITHIN)
async def foreign_edit_on_the_node(run: Run) -> None:
    """Past the node service: a stranger is let in, a user taken out, another listed twice."""
    lost, shadowed = [uuid_of(person) for person in await run.customers(2)]
    stranger = uuid4()
    run.strangers.add(stranger)
    run.watched |= {lost, shadowed}
    async with xray_api(run.first.files, run.first.direct) as hot, run.fault():

        async def felt() -> bool:
            """Done anew when the node mends it before anybody could try a door."""
            await add_past_the_service(hot, "foreign", stranger)
            await add_past_the_service(hot, "shadow", shadowed)
            await hot.remove(str(lost))
            doors = await run.try_doors()
            run.saw(doors)
            return stranger in doors.without_right and lost in doors.shut_out

        await eventually(felt)
        run.met(3)
