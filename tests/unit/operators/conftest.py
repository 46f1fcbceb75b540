"""What tests of operators' means start from."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.clock import ManualClock, patience


@pytest.fixture
def clock() -> ManualClock:
    """Stands still."""
    return ManualClock()


@pytest.fixture(autouse=True)
def _no_endless_wait() -> Iterator[None]:
    """A clock that stands still ends no wait."""
    with patience():
        yield


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of printed."""
    with structlog.testing.capture_logs() as captured:
        yield captured
