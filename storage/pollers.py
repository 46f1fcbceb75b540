"""How far each provider's list of charges was read."""

from storage.database import Connection
from storage.rows import PollerRow

READ = "SELECT provider, cursor, last_success_at, repairs FROM pollers WHERE provider = $1"
SUCCEED = """
INSERT INTO pollers (provider, cursor, last_success_at, repairs) VALUES ($1, $2, now(), $3)
ON CONFLICT (provider) DO UPDATE SET cursor = excluded.cursor,
    last_success_at = excluded.last_success_at, repairs = pollers.repairs + excluded.repairs
"""


async def read(connection: Connection, provider: str) -> PollerRow:
    """Where the next reading begins; of a list that was never read, at its start."""
    found = await connection.fetchrow(READ, provider)
    if found is None:
        return PollerRow(provider=provider, cursor=None, last_success_at=None, repairs=0)
    return PollerRow(
        provider=found["provider"],
        cursor=found["cursor"],
        last_success_at=found["last_success_at"],
        repairs=found["repairs"],
    )


async def succeed(connection: Connection, provider: str, cursor: str | None, repairs: int) -> None:
    """The list was read up to `cursor`, and so many charges were found that no push told."""
    await connection.execute(SUCCEED, provider, cursor, repairs)
