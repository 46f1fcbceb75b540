"""The end of paid time for many at once, and what people are told around it, once each.

A sweep over time remembers how far it came, so a moment is swept once, however long the program
was away.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from storage.database import Connection

#: What an expiry by the user's actor writes, for many users in one statement. Whoever is being
#: changed is passed over and is due in the next one. Money that may be time is decided about first.
#: Lock order: subscriptions, credentials.
END_MANY = """
WITH due AS MATERIALIZED (
    SELECT id, user_id, version, expires_at, pending_s FROM subscriptions s
    WHERE s.status = 'active' AND s.expires_at <= now() AND NOT EXISTS (
        SELECT FROM payments p WHERE p.user_id = s.user_id AND p.disposition = 'received')
    ORDER BY s.expires_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED
), ended AS (
    UPDATE subscriptions s SET status = 'expired', version = due.version + 1
    FROM due WHERE s.id = due.id
    RETURNING s.id, s.user_id, s.version, s.expires_at, s.pending_s
), entered AS (
    INSERT INTO ledger (subscription_id, version, delta_s, expires_before, expires_after,
        pending_before, pending_after, source_kind, source_id, reason, actor)
    SELECT id, version, 0, expires_at, expires_at, pending_s, pending_s, 'expiry',
        id::text || ':' || version, 'time is over', 'expiry'
    FROM ended
), removed AS (
    UPDATE credentials c SET desired = 'absent', gen = c.gen + 1, attempts = 0, next_at = now(),
        last_class = NULL, quarantined_at = NULL, bulk = true
    FROM ended WHERE c.subscription_id = ended.id AND c.desired = 'present'
), told AS (
    INSERT INTO outbox (kind, user_id, dedupe_key, payload, created_at)
    SELECT 'notify', user_id, 'expired:' || id::text || ':' || version,
        '{"notice": "news", "text_id": "news-expired", "arguments": {}}', clock_timestamp()
    FROM ended ON CONFLICT (dedupe_key) DO NOTHING
)
SELECT count(*) FROM ended
"""

#: The first sweep of a database begins here, and a sweep over more is not news any more.
LONGEST_SWEEP = "interval '2 days'"
SWEPT = """
WITH was AS (SELECT upto FROM watermarks WHERE name = $1)
INSERT INTO watermarks (name, upto) VALUES ($1, now())
ON CONFLICT (name) DO UPDATE SET upto = greatest(watermarks.upto, excluded.upto)
RETURNING (SELECT upto FROM was) AS since, upto
"""
SWEPT_UPTO = "UPDATE watermarks SET upto = greatest(upto, $2) WHERE name = $1"
SINCE = "SELECT upto AS since, now() AS upto FROM watermarks WHERE name = $1"
#: A page of them is told in one statement: so many at once would take longer than a statement may.
#: Its answer is how many were told, and the last of a full page, after whom the next one begins.
TELL = """, told AS (
    INSERT INTO outbox (kind, user_id, dedupe_key, payload, created_at)
    SELECT 'notify', user_id, $1 || ':' || id::text || ':' || extract(epoch FROM expires_at),
        jsonb_build_object('notice', 'news', 'text_id', $1::text,
            'arguments', jsonb_build_object('version', version)), clock_timestamp()
    FROM page WHERE fit
    ON CONFLICT (dedupe_key) DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM told) AS told, last.expires_at, last.id
FROM (SELECT) one LEFT JOIN (
    SELECT expires_at, id FROM page ORDER BY expires_at, id OFFSET $6 - 1 LIMIT 1) last ON true
"""
#: Whose time ends `lead` after a moment of the sweep, and not before the next reminder. Who got
#: this time less than an hour before that knows when it ends.
REMIND = f"""
WITH page AS MATERIALIZED (
    SELECT s.id, s.user_id, s.expires_at, s.version,
        s.expires_at > now() + make_interval(secs => $5) AND NOT EXISTS (
            SELECT FROM ledger l WHERE l.subscription_id = s.id
                AND l.at > s.expires_at - make_interval(secs => $4) - interval '1 hour') AS fit
    FROM subscriptions s
    WHERE s.status = 'active'
        AND s.expires_at > greatest($2::timestamptz, now() - {LONGEST_SWEEP})
            + make_interval(secs => $4)
        AND s.expires_at <= $3::timestamptz + make_interval(secs => $4)
        AND (s.expires_at, s.id) > ($7::timestamptz, $8::uuid)
    ORDER BY s.expires_at, s.id LIMIT $6
){TELL}"""  # noqa: S608 - a constant of ours
#: Who has been without access for `-lead` and has bought nothing since.
MISS = f"""
WITH page AS MATERIALIZED (
    SELECT s.id, s.user_id, s.expires_at, s.version,
        s.pending_s = 0 AND u.status = 'active'
            AND s.expires_at <= now() - make_interval(secs => $5) AS fit
    FROM subscriptions s JOIN users u ON u.tg_id = s.user_id
    WHERE s.status = 'expired'
        AND s.expires_at > greatest($2::timestamptz, now() - {LONGEST_SWEEP})
            + make_interval(secs => $4)
        AND s.expires_at <= $3::timestamptz + make_interval(secs => $4)
        AND (s.expires_at, s.id) > ($7::timestamptz, $8::uuid)
    ORDER BY s.expires_at, s.id LIMIT $6
){TELL}"""  # noqa: S608
#: Told in one statement.
REMINDED_AT_ONCE = 2_000
#: Before everybody.
NOBODY = (datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))

#: Of a database whose clock is not trusted, all is counted before anything ends.
STANDING = """
SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s,
    (SELECT count(*) FROM subscriptions WHERE status = 'active' AND expires_at <= now()) AS due,
    (SELECT count(*) FROM subscriptions WHERE status = 'active') AS active,
    (SELECT extract(epoch FROM now() - upto)::float8 FROM watermarks WHERE name = $1) AS pause_s
"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryStanding:
    """The database's clock, and what would end by it; `pause_s` since it was looked last."""

    now_s: float
    due: int
    active: int
    pause_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminder:
    """What people are told so long before their time ends, and not within the next one's time.

    A negative `lead_s` is so long after.
    """

    text_id: str
    lead_s: int
    next_lead_s: int = 0


async def end_many(connection: Connection, limit: int) -> int:
    """End access whose time is over, for so many users at most; how many."""
    ended: int = await connection.fetchval(END_MANY, limit)
    return ended


async def standing(connection: Connection, name: str) -> ExpiryStanding:
    """What would end now, by the database's clock."""
    found = await connection.fetchrow(STANDING, name)
    return ExpiryStanding(**dict(found))


async def clock(connection: Connection) -> float:
    """The database's clock, seconds since 1970."""
    found: float = await connection.fetchval(CLOCK)
    return found


async def looked(connection: Connection, name: str) -> None:
    """Remember that a sweep came up to now."""
    await connection.execute(SWEPT, name)


async def since(connection: Connection, name: str) -> tuple[datetime, datetime] | None:
    """Up to where a sweep came, and now; None for one that never was."""
    found = await connection.fetchrow(SINCE, name)
    return None if found is None else (found["since"], found["upto"])


async def looked_upto(connection: Connection, name: str, upto: datetime) -> None:
    """Remember that a sweep came so far."""
    await connection.execute(SWEPT_UPTO, name, upto)


async def remind(
    connection: Connection,
    reminder: Reminder,
    swept: tuple[datetime, datetime],
    after: tuple[datetime, UUID] = NOBODY,
) -> tuple[int, tuple[datetime, UUID] | None]:
    """Tell a page of those whose moment came in this time; how many, and whom the next one follows.

    No next one: None.
    """
    found = await connection.fetchrow(
        MISS if reminder.lead_s < 0 else REMIND,
        reminder.text_id,
        *swept,
        reminder.lead_s,
        reminder.next_lead_s,
        REMINDED_AT_ONCE,
        *after,
    )
    last = None if found["id"] is None else (found["expires_at"], found["id"])
    return found["told"], last
