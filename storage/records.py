"""All that a decision about a user is made from, read in few round trips."""

from typing import Any

from storage import credentials, purchases, subscriptions, users
from storage.database import Connection
from storage.rows import UserRecord

#: The user and the subscription, if there are any, and what the rest of the database says of them.
STANDING = """
SELECT now() AS now, u.tg_id, u.status, u.language, u.reachable, u.created_at,
    s.id, s.user_id, s.plan_id, s.status AS subscription_status, s.expires_at, s.pending_s,
    s.version,
    EXISTS (SELECT FROM payments WHERE user_id = $1 AND disposition = 'received') AS uncredited,
    EXISTS (SELECT FROM ledger
        WHERE source_kind = 'trial' AND source_id = $1::bigint::text) AS tried,
    (SELECT count(*) FROM purchases WHERE user_id = $1 AND status = 'awaiting_admin') AS claimed,
    coalesce((SELECT sum(l.delta_s) FROM ledger l
        WHERE l.subscription_id = s.id AND l.delta_s > 0
            AND l.at > now() - interval '1 day'), 0)::bigint AS gained_today_s
FROM (SELECT) one LEFT JOIN users u ON u.tg_id = $1 LEFT JOIN subscriptions s ON s.user_id = $1
"""
GIVEN_TODAY = """
SELECT coalesce(sum(delta_s), 0)::bigint FROM ledger
WHERE source_kind IN ('grant', 'trial') AND at > now() - interval '1 day'
"""


async def of_user(connection: Connection, user_id: int) -> UserRecord:
    """All rows of a user, and the database's clock."""
    found: Any = await connection.fetchrow(STANDING, user_id)
    standing = {**found, "status": found["subscription_status"]}
    return UserRecord(
        now=found["now"],
        user=None if found["tg_id"] is None else users.user_row(found),
        subscription=None if found["id"] is None else subscriptions.subscription_row(standing),
        credentials=await credentials.of_user(connection, user_id),
        open_purchases=await purchases.open_ones(connection, user_id),
        uncredited=found["uncredited"],
        tried=found["tried"],
        claimed=found["claimed"],
        gained_today_s=found["gained_today_s"],
    )


async def given_today(connection: Connection) -> int:
    """Seconds that were given away within a day."""
    given: int = await connection.fetchval(GIVEN_TODAY)
    return given
