"""A database for all stories of a process."""

from collections.abc import Iterator

import pytest
import structlog

from tests.integration.database_fixtures import (
    cipher,
    database_url,
    keys,
    postgres,
    stock,
)

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database_url", "keys", "postgres", "stock"]


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """A story that fails is told by its steps."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()
