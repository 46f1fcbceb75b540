"""Whose database this is: one bot's, and closed with one set of keys. Another's is refused."""

from collections.abc import Sequence

from storage.database import Connection, Database
from storage.errors import StorageSetupError

READ = "SELECT bot_id, keys_fingerprint FROM system FOR UPDATE"
WRITE = "UPDATE system SET bot_id = $1, keys_fingerprint = $2"


async def claim_database(database: Database, bot_id: int, fingerprints: Sequence[str]) -> None:
    """Make a new database this bot's, or see that it is. Nothing else is written before.

    Args:
        database: a database with its schema.
        bot_id: the bot's number, which its token begins with.
        fingerprints: of the master keys, current first.

    Raises:
        StorageSetupError: it is another bot's, or none of the keys opens what it holds.
    """
    async with database.setup() as connection:
        await _claim(connection, bot_id, fingerprints)


async def _claim(connection: Connection, bot_id: int, fingerprints: Sequence[str]) -> None:
    owner = await connection.fetchrow(READ)
    if owner is None:
        raise StorageSetupError("database: its table `system` is empty; restore it from a backup")
    if owner["bot_id"] not in {None, bot_id}:
        raise StorageSetupError(
            f"database: it belongs to bot {owner['bot_id']}, telegram.token to bot {bot_id}; "
            "choose another database.url or data_dir"
        )
    if owner["keys_fingerprint"] not in {None, *fingerprints}:
        raise StorageSetupError(
            "security.keys: none of them closed what this database holds; "
            "restore the file security.keys of its data_dir"
        )
    await connection.execute(WRITE, bot_id, fingerprints[0])
