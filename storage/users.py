"""Users: one row a person, made at the first message."""

from typing import Any

from storage.database import Connection
from storage.rows import UserRow, UserStatus

COLUMNS = "tg_id, status, language, reachable, created_at"

#: Writing to the bot again means that its messages arrive again.
INTRODUCE = f"""
INSERT INTO users (tg_id, language) VALUES ($1, $2)
ON CONFLICT (tg_id) DO UPDATE SET reachable = true
RETURNING {COLUMNS}
"""  # noqa: S608 - a constant of ours
CHOOSE_LANGUAGE = "UPDATE users SET language = $2 WHERE tg_id = $1"
READ = f"SELECT {COLUMNS} FROM users WHERE tg_id = $1"  # noqa: S608
LANGUAGE = "SELECT language FROM users WHERE tg_id = $1"
SET_STATUS = "UPDATE users SET status = $2 WHERE tg_id = $1 AND status <> $2"
SET_REACHABLE = "UPDATE users SET reachable = $2 WHERE tg_id = $1 AND reachable <> $2"


async def introduce(connection: Connection, user_id: int, language: str) -> UserRow:
    """Make the row of a newcomer; of others only note that they can be reached."""
    return user_row(await connection.fetchrow(INTRODUCE, user_id, language))


async def choose_language(connection: Connection, user_id: int, language: str) -> None:
    """Speak this language to the user from now on."""
    await connection.execute(CHOOSE_LANGUAGE, user_id, language)


async def read(connection: Connection, user_id: int) -> UserRow | None:
    """The user's row, if the user ever wrote."""
    found = await connection.fetchrow(READ, user_id)
    return None if found is None else user_row(found)


async def language(connection: Connection, user_id: int) -> str | None:
    """The user's language; None for a stranger."""
    found: str | None = await connection.fetchval(LANGUAGE, user_id)
    return found


async def set_reachable(connection: Connection, user_id: int, *, reachable: bool) -> None:
    """Note whether messages arrive."""
    await connection.execute(SET_REACHABLE, user_id, reachable)


async def set_status(connection: Connection, user_id: int, status: UserStatus) -> None:
    """Sell to the user from now on, or not."""
    await connection.execute(SET_STATUS, user_id, status)


def user_row(record: Any) -> UserRow:
    """A row of `COLUMNS`."""
    return UserRow(
        tg_id=record["tg_id"],
        status=UserStatus(record["status"]),
        language=record["language"],
        reachable=record["reachable"],
        created_at=record["created_at"],
    )
