"""A database for each test here, and what faults took to heal."""

import pytest

from tests.integration.database_fixtures import cipher, database_url, keys, postgres, stock

#: Fixtures that live in a module of their own.
__all__ = ["cipher", "database_url", "keys", "postgres", "stock"]

#: The name under which a test records what it measured.
MEASURED = "measured"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured, a line a test."""
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {value}"
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == MEASURED and report.when == "call"
    ]
    if lines:
        terminalreporter.section("healed")
        terminalreporter.write_line("\n".join(lines))
