"""Names of log events that operators alert on: each is its own value, and something emits it."""

from pathlib import Path

import pytest

from config.events import LegacyEvent

SOURCES = "".join(path.read_text() for path in (Path(__file__).parents[3] / "actors").rglob("*.py"))


@pytest.mark.parametrize("event", LegacyEvent)
def test_a_name_is_logged_as_it_is_written(event: LegacyEvent) -> None:
    assert str(event) == event.value
    assert event.name == event.value.upper()


@pytest.mark.parametrize("event", LegacyEvent)
def test_no_name_is_there_that_nothing_emits(event: LegacyEvent) -> None:
    assert f"LegacyEvent.{event.name}" in SOURCES
