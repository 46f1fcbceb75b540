"""Every statement of storage has a twin that was written for it as it stands."""

import random
from datetime import UTC, datetime

import pytest

from storage import payments
from tests.simulation.twin.database import TwinDatabase, empty
from tests.simulation.twin.registry import (
    TWINS,
    WithoutTwin,
    constants,
    mark_of,
    name_of,
    statement,
)

#: Constants, or all of a module, that need no twin, and why.
WITHOUT_TWIN = {
    "storage.comparisons.ROW": "a part of IN_RANGES and BY_UUID",
    "storage.invariants.reading": "a simulation has the rows themselves",
    "storage.looking": "looks at a server from outside; no actor of the back-end does",
}


def test_every_statement_has_its_twin() -> None:
    without = {name for text, name in constants().items() if text not in TWINS}
    named = {name for name in without if {name, name.rpartition(".")[0]} & WITHOUT_TWIN.keys()}

    assert without == named
    assert len(TWINS) > 150, "it looks at all modules"


def test_a_statement_that_was_changed_needs_another_look_at_its_twin() -> None:
    changed = payments.RECEIVE.replace("DO NOTHING", "DO UPDATE SET reason = NULL")

    with pytest.raises(WithoutTwin, match="was changed since its twin was written"):
        statement(changed, mark_of(payments.RECEIVE))


def test_a_statement_that_is_only_laid_out_otherwise_is_the_same() -> None:
    assert mark_of(payments.RECEIVE) == mark_of(" ".join(payments.RECEIVE.split()))


async def test_a_statement_without_a_twin_says_what_to_do() -> None:
    database = TwinDatabase(
        empty(random.Random(1)),  # noqa: S311 - ids of a test
        lambda: datetime(2026, 1, 1, tzinfo=UTC),
        twins={text: twin for text, twin in TWINS.items() if text != payments.READ},
    )
    async with database.read() as connection:
        with pytest.raises(WithoutTwin, match=r"storage\.payments\.READ has no twin: write one"):
            await connection.fetchrow(payments.READ, "stars", "1")


def test_statements_are_called_by_module_and_name() -> None:
    assert name_of(payments.READ) == "storage.payments.READ"
