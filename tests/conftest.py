"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.blocking import caught

# A busy machine is no finding.
settings.register_profile("tollgate", deadline=None)
settings.load_profile("tollgate")


@pytest.fixture(autouse=True)
def _no_actor_blocks_the_loop() -> Iterator[None]:
    """A handler that waits in the wrong way holds up every other actor."""
    with caught() as calls:
        yield
    assert calls == []
