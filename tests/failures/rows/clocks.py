"""Clocks that jump: PostgreSQL's own, by whose word time ends."""

import asyncio

import asyncpg

from tests.failures.run import Run
from tests.failures.scenario import Setting, row
from tests.faults.convergence import FIRST, OWNER, SECOND
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import eventually

HOUR_S = 3_600
#: People whose time would be over an hour too early.
EARLY = 6

#: As PostgreSQL under libfaketime: every `now()` and `clock_timestamp()` of every session, in
#: statements, triggers and defaults of columns, is ours; what it adds is a row.
OVERRIDE = """
CREATE SCHEMA shifted;
CREATE TABLE shifted.clock (ahead interval NOT NULL);
INSERT INTO shifted.clock VALUES ('0');
CREATE FUNCTION shifted.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + ahead FROM shifted.clock';
CREATE FUNCTION shifted.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM shifted.clock';
DO $$
DECLARE found record;
BEGIN
    FOR found IN SELECT table_name, column_name, column_default FROM information_schema.columns
        WHERE table_schema = 'public' AND column_default IN ('now()', 'clock_timestamp()')
    LOOP
        EXECUTE format('ALTER TABLE %I ALTER COLUMN %I SET DEFAULT shifted.%s',
            found.table_name, found.column_name, found.column_default);
    END LOOP;
    EXECUTE format('ALTER DATABASE %I SET search_path = shifted, pg_catalog, public',
        current_database());
END $$;
"""
#: So that every session has the path.
CUT_SESSIONS = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SHIFT = "UPDATE shifted.clock SET ahead = make_interval(secs => $1)"
ENDED_EARLY = """
SELECT count(*) FROM subscriptions WHERE status = 'expired' AND expires_at > pg_catalog.now()
"""
ENDED = "SELECT count(*) FROM subscriptions WHERE status = 'expired'"
SO_OFTEN = "SELECT count(*) >= $2 FROM supervision_events WHERE kind = $1"
TOLD = "from the others"


@row(38, full=True, bound_s=60, setting=Setting(factor=1))
async def clock_jump(run: Run) -> None:
    """PostgreSQL's clock goes an hour ahead, then an hour behind, and is right in between."""
    await eventually(lambda: _overridden(run))
    for number in range(EARLY):
        person = await run.town.newcomer()
        await run.town.grant(person, (FIRST, SECOND)[number % 2], HOUR_S // 2)
    async with run.fault():
        for number, ahead_s in enumerate((HOUR_S, -HOUR_S)):
            await run.town.until(SO_OFTEN, "expiry_goes_on", number)
            await run.town.sql(SHIFT, ahead_s)
            await run.town.until(SO_OFTEN, "expiry_held", number + 1)
            await eventually(lambda: _told(run))
            ended = await run.town.value(ENDED)
            run.began = await run.town.value("SELECT now()")
            await run.served_meanwhile(FIRST)
            await run.served_meanwhile(SECOND)
            assert await run.town.value(ENDED) == ended, "nobody's time ends by such a clock"
            assert await run.town.value(ENDED_EARLY) == 0
            run.met()
            await run.town.sql(SHIFT, 0)
    await asyncio.gather(run.served_meanwhile(FIRST), run.served_meanwhile(SECOND))


async def _overridden(run: Run) -> bool:
    """Put the clock in place, unless a statement of the back-end is in the way just now."""
    async with connected(run.town.database_url) as rows:
        try:
            await rows.execute(OVERRIDE)
        except asyncpg.DeadlockDetectedError:
            return False
        await rows.fetch(CUT_SESSIONS)
        return True


async def _told(run: Run) -> bool:
    """Whether the owner has read that clocks are apart."""
    return any(TOLD in message.text for message in run.town.sandbox.person(OWNER).messages)
