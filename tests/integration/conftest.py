"""What integration tests start from: a node, a database."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.database_fixtures import (
    cipher,
    database,
    database_url,
    empty_url,
    keys,
    postgres,
    rows,
    stock,
)
from tests.integration.node_fixtures import Files, Page, fresh_files, running, serving_page
from xray_api.client.client import NodeClient

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database", "database_url", "empty_url", "keys", "postgres", "rows", "stock"]


@pytest.fixture
async def node_files(tmp_path: Path) -> AsyncIterator[Files]:
    """A node's files; nothing runs but its camouflage target."""
    async with fresh_files(tmp_path / "node") as files:
        yield files


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page on loopback to reach through a node."""
    async with serving_page() as shown:
        yield shown


@pytest.fixture
async def node(node_files: Files) -> AsyncIterator[NodeClient]:
    """A client of a node that runs in this process and lets users reach loopback."""
    async with (
        running(node_files.settings(allow_private_targets=True)),
        node_files.client() as client,
    ):
        yield client
