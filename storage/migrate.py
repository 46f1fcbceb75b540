"""Migrations: plain SQL files, applied once each, by one process at a time."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import structlog
from pogo_core.error import BadMigrationError
from pogo_core.util import migrate, sql

from storage.database import Connection, outages
from storage.errors import StorageSetupError, StorageUnavailable

log = structlog.get_logger(__name__)

FOLDER = Path(__file__).parent / "migrations"
#: An arbitrary number that names the lock; only migrations take it.
LOCK = 7_011_823
#: After a crash PostgreSQL refuses connections while it recovers, seconds.
RECOVERY_S = 60.0
PAUSE_S = 0.2

#: pogo-migrate reports each file as a warning; ours are reported by who called.
QUIET = logging.getLogger("tollgate.migrations")
QUIET.setLevel(logging.ERROR)


async def apply_migrations(url: str) -> None:
    """Bring the schema up to date; harmless when it is.

    Raises:
        StorageUnavailable: the server does not answer.
        StorageSetupError: a migration failed.
    """
    connection = await connect(url)
    try:
        with outages():
            # On the same connection: parallel appliers fail without it.
            await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
            await migrate.apply(connection, FOLDER, schema_name="public", logger=QUIET)
    except BadMigrationError as error:
        raise StorageSetupError(f"database: {error}: {error.__cause__}") from error
    finally:
        await connection.close()


async def pending_migrations(connection: Connection) -> list[str] | None:
    """What this program would apply, in order; None where the schema is a newer program's."""
    ours = {path.stem for path in FOLDER.glob("*.sql")}
    if await connection.fetchval("SELECT to_regclass('public._pogo_migration')") is None:
        return sorted(ours)
    applied = await sql.get_applied_migrations(connection, schema_name="public")
    return None if applied - ours else sorted(ours - applied)


async def connect(
    url: str, *, patience_s: float = RECOVERY_S, session: Mapping[str, str] | None = None
) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect, waiting out a server that starts or recovers.

    Raises:
        StorageUnavailable: the server does not answer.
        StorageSetupError: it never will, with this URL.
    """
    told = False
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await asyncpg.connect(url, timeout=10, server_settings=dict(session or {}))
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as no:
            raise StorageSetupError(f"database.url: {no}") from None
        except (ValueError, asyncpg.InterfaceError) as no:
            # Their texts may quote the URL, and with it a password.
            raise StorageSetupError(f"database.url: no usable DSN ({type(no).__name__})") from None
        except (OSError, asyncpg.PostgresConnectionError, asyncpg.CannotConnectNowError) as error:
            if asyncio.get_running_loop().time() > deadline:
                raise StorageUnavailable(f"PostgreSQL does not answer: {error}") from error
            if not told and patience_s:
                log.warning("waiting_for_postgresql", up_to_s=RECOVERY_S, reason=str(error))
                told = True
            await asyncio.sleep(PAUSE_S)  # noqa: TID251 - at start-up, before there is a clock
