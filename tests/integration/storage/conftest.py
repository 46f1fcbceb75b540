"""Purchases and operators' records over a database of the test's own.

Tests run over PostgreSQL and over the twin that simulations use, but for those named below.
"""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import cast
from uuid import uuid4

import pytest

from storage.database import Database
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.operations import OperatorRecords
from tests.integration.database_fixtures import Rows, connected
from tests.integration.database_fixtures import database as postgres_database
from tests.integration.database_fixtures import rows as postgres_rows
from tests.integration.shop import Shop
from tests.simulation.twin.database import TwinDatabase, empty
from tests.simulation.twin.mirror import Mirror
from tests.simulation.twin.tables import Tables

__all__ = ["postgres_database", "postgres_rows"]

#: What only PostgreSQL can show, by module or test, and why.
ONLY_POSTGRESQL: dict[str, str] = {
    "test_connections": "sessions, pools and outages of a server",
    "test_identity": "empties a table of PostgreSQL",
    "test_schema": "what PostgreSQL itself sees to",
    "test_model_statements": "its statements run on a connection of PostgreSQL",
    "test_repeats": "deadlocks of a server",
    "test_ownership": "who waits for whom, and SQL of its own",
    "test_a_payment_that_commits_first_is_in_the_time_that_starts": "who waits for whom",
    "test_a_letter_is_recorded_again_before_the_first_time_is_over": "who waits for whom",
    "test_a_letter_is_set_aside_with_its_update_or_not_at_all": "adds a rule to a table",
    "test_what_belongs_together_is_recorded_together_or_not_at_all": "adds a rule to a table",
    "test_who_listens_hears_of_every_change": "LISTEN is PostgreSQL's alone",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test over both, if it is not named above.

    SQL over the twin takes a database too, so what uses `rows` runs with the long tests.
    """
    module = metafunc.module.__name__.rpartition(".")[2]
    named = {module, metafunc.function.__name__}
    if "storage_kind" in metafunc.fixturenames and not named & ONLY_POSTGRESQL.keys():
        marks = [pytest.mark.deep] if "rows" in metafunc.fixturenames else []
        kinds = ["postgres", pytest.param("twin", marks=marks)]
        metafunc.parametrize("storage_kind", kinds, indirect=True)


@pytest.fixture
def storage_kind(request: pytest.FixtureRequest) -> str:
    """What the test runs over."""
    return str(getattr(request, "param", "postgres"))


@pytest.fixture
def database(storage_kind: str, request: pytest.FixtureRequest) -> Database:
    """The database as its owner's process sees it."""
    return cast("Database", request.getfixturevalue(f"{storage_kind}_database"))


@pytest.fixture
def rows(storage_kind: str, request: pytest.FixtureRequest) -> Rows:
    """A connection of the test's own, to look and to prepare with; it owns nothing."""
    return cast("Rows", request.getfixturevalue(f"{storage_kind}_rows"))


@pytest.fixture
def twin() -> Tables:
    """The twin's tables."""
    return empty(random.Random(1))  # noqa: S311 - ids of a test


@pytest.fixture
async def twin_database(twin: Tables) -> Database:
    """A process over the twin; its clock is the real one, as PostgreSQL's is."""
    database = TwinDatabase(twin, lambda: datetime.now(UTC))  # noqa: TID251 - the server's
    await database.take_over(uuid4())
    return database


@pytest.fixture
async def twin_rows(twin: Tables, database_url: str) -> AsyncIterator[Mirror]:
    """SQL over the twin."""
    async with connected(database_url) as connection:
        yield Mirror(twin, connection)


@pytest.fixture
def shop(database: Database, cipher: LinkCipher) -> Shop:
    """The transactions of a purchase."""
    return Shop(database, cipher)


@pytest.fixture
def records(database: Database) -> OperatorRecords:
    """The transactions of supervision and of operators."""
    return OperatorRecords(database)


@pytest.fixture
def inbox(database: Database) -> PostgresInbox:
    """Updates that were accepted."""
    return PostgresInbox(database)
