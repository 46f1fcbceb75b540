"""Raw updates, committed before they are acknowledged: what a crash leaves is done after it."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import structlog

from storage import dead_letters
from storage.database import Connection, Database
from storage.phase import phases
from storage.rows import InboxRow, LetterDraft

log = structlog.get_logger(__name__)

COLUMNS = "source, source_id, seq, payload, lane, attempts, refusals"

ACCEPT = """
INSERT INTO inbox (source, source_id, payload, lane) VALUES ($1, $2, $3, $4)
ON CONFLICT (source, source_id) DO NOTHING
RETURNING seq
"""
STORED = "SELECT payload FROM inbox WHERE source = $1 AND source_id = $2"
#: In order within a lane: an update that has to wait holds back those behind it.
WAITING = f"""
SELECT {COLUMNS} FROM inbox i
WHERE done_at IS NULL AND quarantined_at IS NULL AND next_at <= now()
    AND (lane IS NULL OR NOT lane = ANY($2)) AND NOT seq = ANY($3)
    AND NOT EXISTS (
        SELECT FROM inbox earlier
        WHERE earlier.lane = i.lane AND earlier.seq < i.seq AND earlier.next_at > now()
            AND earlier.done_at IS NULL AND earlier.quarantined_at IS NULL)
ORDER BY lane IS NOT NULL, seq LIMIT $1
"""  # noqa: S608 - a constant of ours
BEGIN = "UPDATE inbox SET attempts = $3 WHERE source = $1 AND source_id = $2"
DONE = "UPDATE inbox SET done_at = now(), reply = $3 WHERE source = $1 AND source_id = $2"
RELEASE = """
UPDATE inbox SET next_at = now() + $3, attempts = $4
WHERE source = $1 AND source_id = $2
"""
REFUSED = """
UPDATE inbox SET next_at = now() + $3, attempts = $4, refusals = refusals + 1
WHERE source = $1 AND source_id = $2
"""
QUARANTINE = """
UPDATE inbox SET quarantined_at = now(), reply = $3 WHERE source = $1 AND source_id = $2
"""
#: Money and what precedes it; a new start may carry the release that can read it.
RESUME = """
UPDATE inbox SET quarantined_at = NULL, attempts = 0, refusals = 0, next_at = now()
WHERE quarantined_at IS NOT NULL AND done_at IS NULL AND lane IS NULL
"""
#: Their letters wait for nobody any more; another failure writes new ones.
RESUME_LETTERS = """
UPDATE dead_letters l SET state = 'retried', decided_by = 'start', decided_at = now()
FROM inbox i
WHERE l.state = 'waiting' AND l.correlation_id = i.source || ':' || i.source_id
    AND i.quarantined_at IS NOT NULL AND i.done_at IS NULL AND i.lane IS NULL
"""
#: After a clock that was ahead: what it put off waits for moments that are far away.
HASTEN = """
UPDATE inbox SET next_at = now()
WHERE done_at IS NULL AND quarantined_at IS NULL AND next_at > now()
"""
FREE = """
UPDATE inbox SET quarantined_at = NULL, attempts = 0, refusals = 0, next_at = now()
WHERE source || ':' || source_id = $1 AND quarantined_at IS NOT NULL AND done_at IS NULL
RETURNING 1
"""
#: It stays set aside, and is done with.
DROP = """
UPDATE inbox SET done_at = now(), reply = 'dropped'
WHERE source || ':' || source_id = $1 AND quarantined_at IS NOT NULL AND done_at IS NULL
"""
#: Telegram repeats nothing older than a day, and starts its numbers anew after a week of silence.
#: Money that an operator dropped is kept: nothing else remembers it.
PRUNE = """
DELETE FROM inbox WHERE done_at < now() - interval '3 days'
    AND (quarantined_at IS NULL OR lane IS NOT NULL)
"""


class Incoming(Protocol):
    """An update as it came."""

    @property
    def source(self) -> str:
        """Who sent it."""
        ...

    @property
    def source_id(self) -> str:
        """The sender's own number for it."""
        ...

    @property
    def payload(self) -> str:
        """Its text."""
        ...

    @property
    def lane(self) -> int | None:
        """Whose it is: one user's updates are worked on one after the other."""
        ...


@phases
class PostgresInbox:
    """The table `inbox`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def accept(self, updates: Sequence[Incoming]) -> None:
        """Commit updates; a repeated one changes nothing."""
        async with self._database.transaction() as connection:
            for update in updates:
                await _accept(connection, update)

    async def waiting(
        self, limit: int, besides_lanes: list[int], besides: list[int]
    ) -> list[InboxRow]:
        """Updates that are due and whose lane is not in hand, oldest first."""
        async with self._database.read() as connection:
            found = await connection.fetch(WAITING, limit, besides_lanes, besides)
            return [inbox_row(record) for record in found]

    async def begin(self, row: InboxRow) -> None:
        """Count an attempt, before it is made: one that kills the process counts too.

        The count is written as a number of the row in hand, here and below: a commit that nobody
        heard of, and that is made again, does not count twice.
        """
        async with self._database.transaction() as connection:
            await connection.execute(BEGIN, row.source, row.source_id, row.attempts + 1)

    async def done(self, row: InboxRow, reply: str) -> None:
        """Never again."""
        async with self._database.transaction() as connection:
            await connection.execute(DONE, row.source, row.source_id, reply)

    async def release(self, row: InboxRow, *, after_s: float, counts: bool) -> None:
        """Try again after a while; weather takes its attempt back."""
        async with self._database.transaction() as connection:
            await connection.execute(
                RELEASE,
                row.source,
                row.source_id,
                timedelta(seconds=after_s),
                row.attempts + 1 if counts else row.attempts,
            )

    async def refused(self, row: InboxRow, *, after_s: float) -> None:
        """Try again after a while; Telegram did not take the answer, which poisons nothing."""
        async with self._database.transaction() as connection:
            await connection.execute(
                REFUSED, row.source, row.source_id, timedelta(seconds=after_s), row.attempts
            )

    async def quarantine(
        self, row: InboxRow, reason: str, letter: LetterDraft | None = None
    ) -> None:
        """Set aside for an operator, who finds the letter."""
        async with self._database.transaction() as connection:
            if letter is not None:
                await dead_letters.add(connection, [letter])
            await connection.execute(QUARANTINE, row.source, row.source_id, reason)

    async def resume(self) -> None:
        """Try payments again that were set aside, unless an operator dropped them."""
        async with self._database.transaction() as connection:
            await connection.execute(RESUME_LETTERS)
            await connection.execute(RESUME)

    async def prune(self) -> None:
        """Forget what was done long ago."""
        async with self._database.transaction() as connection:
            await connection.execute(PRUNE)


async def hasten(connection: Connection) -> None:
    """No update waits any longer to be tried again."""
    await connection.execute(HASTEN)


async def free(connection: Connection, correlation_id: str) -> bool:
    """Work again on the update of a journey that was set aside; False when there is none."""
    return await connection.fetchval(FREE, correlation_id) is not None


async def drop(connection: Connection, correlation_id: str) -> None:
    """Never work again on the update of a journey that was set aside."""
    await connection.execute(DROP, correlation_id)


async def _accept(connection: Connection, update: Incoming) -> None:
    fresh = await connection.fetchval(
        ACCEPT, update.source, update.source_id, update.payload, update.lane
    )
    if fresh is not None:
        return
    if await connection.fetchval(STORED, update.source, update.source_id) == update.payload:
        return
    # The sender began its numbers anew: this is another update, and must not be lost.
    digest = hashlib.sha256(update.payload.encode()).hexdigest()[:16]
    log.error("update_number_reused", source=update.source, source_id=update.source_id)
    await connection.execute(
        ACCEPT, update.source, f"{update.source_id}#{digest}", update.payload, update.lane
    )


def inbox_row(record: Any) -> InboxRow:
    """A row of `COLUMNS`."""
    return InboxRow(
        source=record["source"],
        source_id=record["source_id"],
        seq=record["seq"],
        payload=record["payload"],
        lane=record["lane"],
        attempts=record["attempts"],
        refusals=record["refusals"],
    )
