"""The end of paid time for many at once, and what people are told around it, once each.

A sweep over time remembers how far it came, so a moment is swept once, however long the program
was away.
"""

from dataclasses import dataclass
from datetime import datetime

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
#: Whose time ends `lead` after a moment of the sweep, and not before the next reminder. Who got
#: this time less than an hour before that knows when it ends.
REMIND = f"""
INSERT INTO outbox (kind, user_id, dedupe_key, payload, created_at)
SELECT 'notify', s.user_id, $1 || ':' || s.id::text || ':' || extract(epoch FROM s.expires_at),
    jsonb_build_object('notice', 'news', 'text_id', $1::text,
        'arguments', jsonb_build_object('version', s.version)), clock_timestamp()
FROM subscriptions s
WHERE s.status = 'active'
    AND s.expires_at > greatest($2::timestamptz, now() - {LONGEST_SWEEP})
        + make_interval(secs => $4)
    AND s.expires_at <= $3::timestamptz + make_interval(secs => $4)
    AND s.expires_at > now() + make_interval(secs => $5)
    AND NOT EXISTS (
        SELECT FROM ledger l WHERE l.subscription_id = s.id
            AND l.at > s.expires_at - make_interval(secs => $4) - interval '1 hour')
ON CONFLICT (dedupe_key) DO NOTHING
RETURNING 1
"""  # noqa: S608 - a constant of ours
#: Who has been without access for `-lead` and has bought nothing since.
MISS = f"""
INSERT INTO outbox (kind, user_id, dedupe_key, payload, created_at)
SELECT 'notify', s.user_id, $1 || ':' || s.id::text || ':' || extract(epoch FROM s.expires_at),
    jsonb_build_object('notice', 'news', 'text_id', $1::text,
        'arguments', jsonb_build_object('version', s.version)), clock_timestamp()
FROM subscriptions s JOIN users u ON u.tg_id = s.user_id
WHERE s.status = 'expired' AND s.pending_s = 0 AND u.status = 'active'
    AND s.expires_at > greatest($2::timestamptz, now() - {LONGEST_SWEEP})
        - make_interval(secs => $4)
    AND s.expires_at <= $3::timestamptz - make_interval(secs => $4)
ON CONFLICT (dedupe_key) DO NOTHING
RETURNING 1
"""  # noqa: S608


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


async def remind(connection: Connection, reminder: Reminder) -> int:
    """Tell everybody whose moment has come since this was done last; how many."""
    swept = await connection.fetchrow(SWEPT, reminder.text_id)
    since: datetime | None = swept["since"]
    if since is None:
        return 0  # those before the first sweep had no reminders, and none are made up for
    if reminder.lead_s < 0:
        told = await connection.fetch(
            MISS, reminder.text_id, since, swept["upto"], -reminder.lead_s
        )
    else:
        told = await connection.fetch(
            REMIND,
            reminder.text_id,
            since,
            swept["upto"],
            reminder.lead_s,
            reminder.next_lead_s,
        )
    return len(told)
