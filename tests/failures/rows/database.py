"""PostgreSQL that fails: a transaction, a connection, the server, its disk."""

import asyncio

from storage import phase
from tests.failures.cells import JITTER, NO, Envelope
from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.faults.convergence import FIRST
from tests.faults.proxy import Answer, Mangle, Rule
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import eventually

#: Payers whose transaction is crossed at once, and how often each.
CROSSED, TIMES = 3, 2
#: How long PostgreSQL is away when a wish was to be confirmed, seconds.
AWAY_S = 0.3
#: Commits that are cut, of so many one, each way.
CUT, OF = 4, 7

HOLD_ORDER = "SELECT 1 FROM purchases WHERE id = $1 FOR NO KEY UPDATE"
TAKE_PAYMENT = "SELECT 1 FROM payments WHERE purchase_id = $1 FOR UPDATE"
WAITED_FOR = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
DEADLOCKS = "SELECT deadlocks >= $1 FROM pg_stat_database WHERE datname = current_database()"


@row(
    5,
    bound_s=1,
    setting=Setting(factor=1),
    dx=NO,
    bo=JITTER,
    envelope=Envelope(shortest_s=phase.SHORTEST_PAUSE_S, longest_s=phase.LONGEST_PAUSE_S),
)
async def db_deadlock(run: Run) -> None:
    """A payment and somebody's own transaction take the same two rows in opposite order, twice."""
    pause_s = phase._pause_s

    def noted() -> float:
        run.gaps.append(pause_s())
        return run.gaps[-1]

    run.patch.setattr(phase, "_pause_s", noted)
    async with run.fault():
        turned_away = run.town.turned_away
        await asyncio.gather(*(_crossed(run) for _ in range(CROSSED)))
        assert run.town.turned_away == turned_away, "nobody was to hear of it"
        await run.town.until(DEADLOCKS, CROSSED * TIMES)  # which is told a second later
        run.met(CROSSED * TIMES)


async def _crossed(run: Run) -> None:
    """Somebody pays; each try but the last is undone for the sake of another transaction."""
    person = await run.town.newcomer()
    order = await run.town.order(person, FIRST)
    async with connected(run.town.database_url) as other:
        pid = await other.fetchval("SELECT pg_backend_pid()")
        await other.execute("SET deadlock_timeout = '1min'")  # so that it is not the one to go
        holding = other.transaction()
        await holding.start()
        await other.execute(HOLD_ORDER, order)
        paying = asyncio.create_task(run.town.pay(person, order))
        for _ in range(TIMES):
            await run.town.until(WAITED_FOR, pid)
            taking = other.transaction()
            await taking.start()
            await other.execute(TAKE_PAYMENT, order)  # ends when the payment's was undone
            await taking.rollback()
        await holding.rollback()
        await paying


@row(6, bound_s=2, setting=Setting(factor=1, database_proxy=True), bo=JITTER)
async def db_tx_fail_after_add(run: Run) -> None:
    """The node has let somebody in, and PostgreSQL is away when that is to be confirmed."""
    database, loop = run.town.database_proxy, asyncio.get_running_loop()

    def cut(answer: Answer) -> Answer:
        database.refuse()
        loop.call_later(AWAY_S, database.mend)
        return answer

    rule = Rule(Mangle(cut), methods=("PUT",), times=3)
    async with run.fault(rule):
        await eventually(lambda: _is(rule.hits == rule.times and database.well))


async def _is(true: bool) -> bool:
    return true


@row(23, bound_s=1, setting=Setting(factor=1, database_proxy=True))
async def commit_outcome_unknown(run: Run) -> None:
    """Connections end where a COMMIT leaves; the server gets some of them, and some not."""
    database = run.town.database_proxy
    async with run.fault():
        for delivered in (True, False):
            cut = database.cut_commits(delivered=delivered, every=OF, times=CUT)
            await eventually(lambda cut=cut: _is(cut.hits == cut.times))  # type: ignore[misc]
            run.met(cut.hits)
        database.mend()
