"""A database is one bot's, and its links are closed with one set of keys."""

import pytest

from storage.database import Database
from storage.errors import StorageSetupError
from storage.identity import claim_database


async def test_a_new_database_becomes_the_first_bots(database: Database) -> None:
    await claim_database(database, 7, ["key"])
    await claim_database(database, 7, ["key"])

    with pytest.raises(StorageSetupError, match="belongs to bot 7"):
        await claim_database(database, 8, ["key"])


async def test_keys_that_opened_nothing_here_are_refused(database: Database) -> None:
    await claim_database(database, 7, ["key"])

    with pytest.raises(StorageSetupError, match=r"security\.keys"):
        await claim_database(database, 7, ["another"])


async def test_keys_may_be_rotated_one_by_one(database: Database) -> None:
    await claim_database(database, 7, ["old"])
    await claim_database(database, 7, ["new", "old"])
    await claim_database(database, 7, ["new"])

    with pytest.raises(StorageSetupError):
        await claim_database(database, 7, ["old"])
