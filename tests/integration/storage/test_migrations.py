"""The schema: brought up to date from nothing, once, by however many processes."""

import asyncio
import logging

import asyncpg
import pytest
from pogo_core.util import migrate

from storage.errors import StorageSetupError, StorageUnavailable
from storage.migrate import FOLDER, LOCK, apply_migrations
from tests.integration.database_fixtures import Server, connected
from tests.integration.node_fixtures import eventually

TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
)


async def tables(url: str) -> set[str]:
    async with connected(url) as rows:
        return {name for (name,) in await rows.fetch(TABLES) if not name.startswith("_pogo")}


EXPECTED = {
    "reconcile_runs",
    "watermarks",
    "adopted_users",
    "system",
    "shards",
    "users",
    "nodes",
    "subscriptions",
    "purchases",
    "inbox",
    "payments",
    "ledger",
    "credentials",
    "outbox",
    "supervision_events",
    "settings_history",
    "admin_actions",
    "dead_letters",
    "pollers",
    "history",
}


async def test_an_empty_database_gets_all_tables(empty_url: str) -> None:
    await apply_migrations(empty_url)

    assert await tables(empty_url) == EXPECTED


async def test_applying_again_changes_nothing(empty_url: str) -> None:
    await apply_migrations(empty_url)
    async with connected(empty_url) as rows:
        database_id = await rows.fetchval("SELECT db_id FROM system")

        await apply_migrations(empty_url)

        assert await rows.fetchval("SELECT db_id FROM system") == database_id
    assert await tables(empty_url) == EXPECTED


async def test_a_migration_can_be_taken_back(empty_url: str) -> None:
    await apply_migrations(empty_url)

    async with connected(empty_url) as rows:
        await migrate.rollback(
            rows, FOLDER, schema_name="public", logger=logging.getLogger("tollgate.migrations")
        )

    assert await tables(empty_url) == set()
    await apply_migrations(empty_url)
    assert await tables(empty_url) == EXPECTED


async def test_processes_that_start_together_all_succeed(empty_url: str) -> None:
    await asyncio.gather(*(apply_migrations(empty_url) for _ in range(3)))

    assert await tables(empty_url) == EXPECTED


async def test_two_databases_have_two_ids(postgres: Server, database_url: str) -> None:
    """Made when the schema is, so that a node can tell one database from another."""
    del postgres
    async with connected(database_url) as rows:
        assert await rows.fetchval("SELECT count(*) FROM system") == 1
        with pytest.raises(asyncpg.UniqueViolationError):
            await rows.execute("INSERT INTO system DEFAULT VALUES")


async def test_a_server_that_ends_in_the_middle_is_an_outage(empty_url: str) -> None:
    async with connected(empty_url) as rows:
        await rows.execute("SELECT pg_advisory_lock($1)", LOCK)
        applying = asyncio.create_task(apply_migrations(empty_url))

        async def ended() -> bool:
            return bool(
                await rows.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event = 'advisory'"
                )
            )

        await eventually(ended)
        with pytest.raises(StorageUnavailable):
            await applying


async def test_a_broken_migration_says_which_one(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("migrations")
    (folder / "20260101_01_bad.sql").write_text(
        "-- Bad.\n-- depends:\n\n-- migrate: apply\n\nSELECT nonsense;\n\n-- migrate: rollback\n"
    )
    monkeypatch.setattr("storage.migrate.FOLDER", folder)

    with pytest.raises(StorageSetupError, match="20260101_01_bad"):
        await apply_migrations(empty_url)


async def test_a_database_that_is_not_there_is_a_wrong_setting(postgres: Server) -> None:
    with pytest.raises(StorageSetupError, match=r"database\.url"):
        await apply_migrations(postgres.url_of("nowhere"))
