"""The story of one user, in order, from every table that remembers a part of it."""

from typing import Any

from storage.database import Connection
from storage.rows import StoryRow

#: More than a person lives through, and little enough for one answer.
LONGEST = 2_000

#: Rows of one transaction have one moment. Within it the act comes first, then what became of
#: money, then time, then the key, as it would be told; time that starts comes after its key.
STORY = """
SELECT * FROM (
    SELECT at, CASE kind WHEN 'notice' THEN 5 WHEN 'key' THEN 3 ELSE 1 END AS turn, id,
        kind, subject, event, details
    FROM history WHERE user_id = $1
    UNION ALL
    SELECT l.at, CASE l.source_kind WHEN 'activation' THEN 4 ELSE 2 END, l.id,
        'ledger', left(s.id::text, 8), l.source_kind, jsonb_build_object(
            'delta_s', l.delta_s, 'expires_before', l.expires_before,
            'expires_after', l.expires_after, 'pending_before', l.pending_before,
            'pending_after', l.pending_after, 'reason', l.reason, 'actor', l.actor,
            'source_id', CASE l.source_kind WHEN 'payment' THEN l.source_id END)
    FROM ledger l JOIN subscriptions s ON s.id = l.subscription_id WHERE s.user_id = $1
    UNION ALL
    SELECT at, 0, id, 'act', target, action,
        jsonb_build_object('actor', actor, 'reason', reason)
    FROM admin_actions WHERE target = $1::bigint::text
) told ORDER BY at DESC, turn DESC, id DESC LIMIT $2
"""


async def story(connection: Connection, user_id: int) -> list[StoryRow]:
    """What became of a user, oldest first; of a very long story its end."""
    found = await connection.fetch(STORY, user_id, LONGEST)
    return [_story_row(record) for record in reversed(found)]


def _story_row(record: Any) -> StoryRow:
    return StoryRow(
        at=record["at"],
        kind=record["kind"],
        subject=record["subject"],
        event=record["event"],
        details=record["details"],
    )
