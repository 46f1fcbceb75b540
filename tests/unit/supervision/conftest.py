"""What tests of supervision start from."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
import structlog

from tests.clock import patience
from tests.puppets import Stage
from tests.unit.supervision.offices import House, Office


@pytest.fixture
def stage() -> Stage:
    """An empty stage; its clock stands still."""
    return Stage()


@pytest.fixture
def office(stage: Stage) -> Office:
    """A supervisor of a fixed list, not started yet."""
    return Office(stage)


@pytest.fixture
async def house(stage: Stage) -> House:
    """A supervisor of children by key, not started yet."""
    return House(stage)


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
