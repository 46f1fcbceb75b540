"""A database for each row here."""

import pytest

from tests.faults.own_process import preload
from tests.integration.database_fixtures import cipher, database_url, keys, postgres, stock

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database_url", "forkserver", "keys", "postgres", "stock"]


@pytest.fixture(scope="session")
def forkserver() -> None:
    """Where programs are started: there before a test looks at what it must not leave behind."""
    preload()
