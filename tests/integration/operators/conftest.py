"""A tree of puppets that operators work on, over a database of the test's own."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from typing import Any
from uuid import uuid4

import pytest
import structlog

from storage.operations import OperatorRecords
from tests.integration.operators.stand import Fickle, Stand, standing


@pytest.fixture
async def fickle(database_url: str) -> AsyncIterator[Fickle]:
    """The database as its owner's process sees it, good weather and bad."""
    opened = await Fickle.connect(database_url)
    assert isinstance(opened, Fickle)
    await opened.take_over(uuid4())
    yield opened
    await opened.close()


@pytest.fixture
def records(fickle: Fickle) -> OperatorRecords:
    """The transactions of supervision and of operators."""
    return OperatorRecords(fickle)


@pytest.fixture
async def stand(fickle: Fickle) -> AsyncIterator[Stand]:
    """Operations on a small tree."""
    async with standing(fickle) as made:
        yield made


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of printed."""
    with structlog.testing.capture_logs() as captured:
        yield captured
