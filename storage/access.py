"""A change of a user's access is written whole, or not at all.

Lock order: act, subscription, credentials.
"""

from storage import admin_actions, credentials, outbox, subscriptions, users
from storage.database import Connection
from storage.rows import AccessChange


async def change(connection: Connection, wanted: AccessChange) -> None:
    """Write everything of a change; what this raises must end the transaction.

    Raises:
        RecordedBefore: the very same act, or source of time, was recorded before.
        VersionConflict: the subscription is not as it was decided from.
    """
    if wanted.act is not None:
        await admin_actions.act(connection, wanted.act)
    if wanted.steps:
        await subscriptions.change(connection, wanted.before, wanted.steps)
    else:
        await subscriptions.hold(connection, wanted.user_id, wanted.before)
    after = wanted.after
    if after is not None:
        for wish in wanted.wishes:
            await credentials.wish(connection, after.id, wish)
    if wanted.user_status is not None:
        await users.set_status(connection, wanted.user_id, wanted.user_status)
    for draft in wanted.news:
        await outbox.news(connection, draft)
    await outbox.alert(connection, wanted.alerts)
