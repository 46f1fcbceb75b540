"""What holds for every test."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.blocking import caught

# A busy machine is no finding.
settings.register_profile("tollgate", deadline=None)
settings.load_profile("tollgate")

#: The name under which a test of a fault records what it measured.
MEASURED = "measured"


@pytest.fixture(autouse=True)
def _no_actor_blocks_the_loop() -> Iterator[None]:
    """A handler that waits in the wrong way holds up every other actor."""
    with caught() as calls:
        yield
    assert calls == []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what faults took to heal, a line a test."""
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == MEASURED and report.when == "call"
    ]
    if lines:
        terminalreporter.section("healed")
        terminalreporter.write_line("\n".join(lines))
