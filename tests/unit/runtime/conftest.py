"""What tests of the runtime start from."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.clock import patience
from tests.puppets import Stage


@pytest.fixture
def stage() -> Stage:
    """An empty stage; its clock stands still."""
    return Stage()


@pytest.fixture(autouse=True)
def _no_endless_wait() -> Iterator[None]:
    """An ask on a clock that stands still has no deadline."""
    with patience():
        yield


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of printed."""
    with structlog.testing.capture_logs() as captured:
        yield captured
