"""What holds for every test."""

import logging
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.blocking import caught
from tests.standing import canaries, leftovers
from tests.standing.idle import IDLE

# A busy machine is no finding.
settings.register_profile("tollgate", deadline=None)
settings.load_profile("tollgate")

UNIT = Path(__file__).parent / "unit"
BEFORE = pytest.StashKey[leftovers.Seen]()
#: The name under which a test of a fault records what it measured.
MEASURED = "measured"


@pytest.fixture(autouse=True)
def _no_actor_blocks_the_loop() -> Iterator[None]:
    """A handler that waits in the wrong way holds up every other actor."""
    with caught() as calls:
        yield
    assert calls == []


def pytest_configure(config: pytest.Config) -> None:
    """Watch the whole run."""
    config.add_cleanup(leftovers.temporary_folder_of_our_own().cleanup)
    leftovers.watch_tasks()
    structlog.configure = canaries.watched(structlog.configure)
    handler = canaries.LookingHandler(logging.WARNING)
    logging.getLogger().addHandler(handler)
    config.add_cleanup(lambda: logging.getLogger().removeHandler(handler))


@pytest.fixture(autouse=True)
def _no_secret_is_told() -> Iterator[None]:
    """What a test logs goes through what the program does to it."""
    canaries.log_as_the_program()
    with canaries.heard() as told:
        yield
    assert told == []


@pytest.fixture(autouse=True)
def _nothing_was_there(request: pytest.FixtureRequest) -> None:
    """Comes after what modules and the session share, and before what is the test's own."""
    leftovers.forget_tasks()
    if not _shares_its_loop(request.node):
        request.node.stash[BEFORE] = leftovers.seen()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed may not have come to its own cleaning up."""
    report = yield
    if report.failed and BEFORE in item.stash:
        del item.stash[BEFORE]
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """After all that a test set up is gone, nothing of it is left."""
    yield
    before = item.stash.get(BEFORE, None)
    if before is not None:
        # On the stages of unit tests actors stand whose clock does; their loop cuts them off.
        left = leftovers.left_since(before, tasks=UNIT not in item.path.parents)
        assert left == [], "\n".join(["the test left behind:", *left])


def _shares_its_loop(item: pytest.Item) -> bool:
    """Where many tests have one loop, one leaves to the next what all use."""
    marker = item.get_closest_marker("asyncio")
    return marker is not None and marker.kwargs.get("loop_scope", "function") != "function"


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
    waits = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", [])
        if name == IDLE
    ]
    if waits:
        terminalreporter.section("longest wait in a transaction")
        terminalreporter.write_line(max(waits)[1])
