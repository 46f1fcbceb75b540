"""A running back-end for each test."""

from collections.abc import AsyncIterator

import pytest

from storage.database import Database
from storage.links import LinkCipher
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    """A back-end between a scripted node and a scripted courier."""
    async with running(database, rows, cipher) as made:
        yield made
