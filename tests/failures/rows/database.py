"""PostgreSQL that fails: a transaction, a connection, the server, its disk."""

import asyncio
from collections import Counter

from storage import phase
from storage.database import ACQUIRE_TIMEOUT_S
from storage.inbox import PostgresInbox
from storage.rows import InboxRow
from tests.failures.cells import JITTER, NO, Envelope
from tests.failures.run import Run, pause
from tests.failures.scenario import Setting, row
from tests.failures.till import Caller, word_of_telegram
from tests.faults.convergence import FIRST, SECOND
from tests.faults.proxy import Answer, Mangle, Rule
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import PATIENCE_S, eventually

#: Payers whose transaction is crossed at once, and how often each.
CROSSED, TIMES = 3, 2
#: How long PostgreSQL is away when a wish was to be confirmed, seconds.
AWAY_S = 0.3
#: Commits that are cut, of so many one, each way.
CUT, OF = 4, 7

#: How long the server is away, seconds.
AWAY_LONG_S = 30.0
READ_ONLY_TRIES = 6
#: Who writes while PostgreSQL is away; of many the first.
LATE = 900_001
CROWD = 500
OK, UNAVAILABLE = 200, 503
#: What nobody answers.
EDITED = {"message_id": 1, "date": 1, "edit_date": 2, "chat": {"id": 7, "type": "private"}}

HOLD_ORDER = "SELECT 1 FROM purchases WHERE id = $1 FOR NO KEY UPDATE"
TAKE_PAYMENT = "SELECT 1 FROM payments WHERE purchase_id = $1 FOR UPDATE"
WAITED_FOR = "SELECT count(*) > 0 FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))"
CUT_BACKEND = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name = 'tollgate' AND datname = current_database()
"""
TAKEN = "SELECT count(*) FROM inbox"
SPENT = """
SELECT count(*) FROM supervision_events WHERE kind IN ('parked', 'storm', 'gave_up')
    OR kind = 'crashed' AND NOT (details->>'weather')::boolean
    OR kind = 'restarting' AND (details->>'restarts')::int > 0
"""
HELD = """
SELECT count(*) >= $1 FROM pg_stat_activity WHERE application_name = 'tollgate'
    AND datname = current_database() AND wait_event_type = 'Lock'
"""
WORKED_ON = "SELECT count(*) = 0 FROM inbox WHERE done_at IS NULL AND seq <= $1"
DEADLOCKS = "SELECT deadlocks >= $1 FROM pg_stat_database WHERE datname = current_database()"


@row(
    5,
    full=True,
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

    begin, begun = PostgresInbox.begin, Counter[str]()

    async def counted(self: PostgresInbox, update: InboxRow) -> None:
        begun[update.source_id] += 1
        await begin(self, update)

    run.patch.setattr(phase, "_pause_s", noted)
    run.patch.setattr(PostgresInbox, "begin", counted)
    async with run.fault():
        turned_away = run.town.turned_away
        await asyncio.gather(*(_crossed(run) for _ in range(CROSSED)))
        assert run.town.turned_away == turned_away, "nobody was to hear of it"
        assert set(begun.values()) == {1}, "nor was any update to be taken up again"
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


@row(6, full=True, bound_s=2, setting=Setting(factor=1, database_proxy=True), bo=JITTER)
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


@row(23, full=True, bound_s=1, setting=Setting(factor=1, database_proxy=True))
async def commit_outcome_unknown(run: Run) -> None:
    """Connections end where a COMMIT leaves; the server gets some of them, and some not."""
    database = run.town.database_proxy
    async with run.fault():
        for delivered in (True, False):
            cut = database.cut_commits(delivered=delivered, every=OF, times=CUT)
            await eventually(lambda cut=cut: _is(cut.hits == cut.times))  # type: ignore[misc]
            run.met(cut.hits)
        database.mend()


@row(22, full=True, bound_s=5, setting=Setting(factor=1, own_postgres=True, called=True))
async def postgresql_restart_and_failover(run: Run) -> None:
    """The server dies and is back at once; then it is away for a while, and people write."""
    assert run.postgres is not None
    async with run.fault():
        await run.postgres.restart()
        await run.served_meanwhile(FIRST, 1)
        await run.postgres.stop()
        people = [run.town.sandbox.person(number) for number in range(LATE, LATE + 3)]
        for person in people:
            await person.say("/start")
        assert await _called(run) == UNAVAILABLE, "nothing is taken that cannot be kept"
        await pause(AWAY_LONG_S)
        assert await _called(run) == UNAVAILABLE
        run.met(4)
        await run.postgres.start()
    for person in people:
        await person.wait_for(lambda message: message.from_bot, timeout_s=PATIENCE_S)
    assert await run.town.value(SPENT) == 0, "a restart was spent on weather"


@row(24, full=True, bound_s=5, setting=Setting(factor=1, called=True))
async def database_read_only(run: Run) -> None:
    """PostgreSQL takes no writes, as managed ones do when their disk is full; it can be read.

    A full disk itself needs a file system of a size, and so privileges: it is not simulated.
    """
    name = await run.town.value("SELECT current_database()")
    async with run.fault():
        await run.town.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await run.town.sql(CUT_BACKEND)
        person = run.town.sandbox.person(LATE)
        await person.say("/start")
        before = await run.town.value(TAKEN)
        for _ in range(READ_ONLY_TRIES):
            assert await _called(run) == UNAVAILABLE, "nothing is taken that cannot be kept"
            run.met()
            await pause(0.5)
        assert await run.town.value(TAKEN) == before
        async with connected(run.town.database_url) as rows:
            await rows.execute("SET default_transaction_read_only = off")
            await rows.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
            await rows.fetch(CUT_BACKEND)
    await person.wait_for(lambda message: message.from_bot, timeout_s=PATIENCE_S)


@row(25, full=True, bound_s=5, setting=Setting(factor=1, called=True, connections=2))
async def pool_exhausted(run: Run) -> None:
    """Two connections for everything, five hundred updates, and for a while a lock holds both."""
    town, loop = run.town, asyncio.get_running_loop()
    async with run.fault():
        async with connected(town.database_url) as other, other.transaction():
            await other.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
            others = [asyncio.create_task(_taken(run)) for _ in range(4)]
            await town.until(HELD, 2)
            began = loop.time()
            assert await _called(run) == UNAVAILABLE
            assert loop.time() - began >= ACQUIRE_TIMEOUT_S, "it was to queue first"
        await asyncio.gather(*others)
        flood = await asyncio.gather(*(_taken(run) for _ in range(CROWD)))
        run.met(sum(flood) + len(flood))
        last = await town.value("SELECT max(seq) FROM inbox")
        await run.served_meanwhile(FIRST)
        await run.served_meanwhile(SECOND)
        await town.until(WORKED_ON, last)
    assert await town.value(TAKEN) >= CROWD


async def _taken(run: Run) -> int:
    """One update that Telegram repeats until it is taken; how often it was told to come again."""
    again = 0
    update_id = run.random.randrange(10**9)
    while await _called(run, update_id) != OK:
        again += 1
        await pause(0.5)
    return again


async def _called(run: Run, update_id: int | None = None) -> int:
    """Telegram calls with an update of its own, or this one; the status of the answer."""
    update = {"update_id": update_id or run.random.randrange(10**9), "edited_message": EDITED}
    return await Caller(run).update(*word_of_telegram(update))
