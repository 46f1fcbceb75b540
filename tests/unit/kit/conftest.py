"""What tests of the kit start from."""

from collections.abc import Iterator

import pytest
import structlog

from tests.clock import patience


@pytest.fixture(autouse=True)
def _no_endless_wait() -> Iterator[None]:
    """A kit that waits for ever says where."""
    with patience():
        yield


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Failures are what is tested here: their tracebacks help nobody."""
    with structlog.testing.capture_logs():
        yield
