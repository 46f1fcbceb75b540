"""Purchases and operators' records over a database of the test's own."""

import pytest

from storage.database import Database
from storage.inbox import PostgresInbox
from storage.links import LinkCipher
from storage.operations import OperatorRecords
from tests.integration.shop import Shop


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
