"""The command as people type it: it tells, it stops, and leaves nothing behind."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.failures.cells import COLUMNS
from tests.integration.node_fixtures import PATIENCE_S, eventually, is_alive

#: A busy machine needs long to import all of it, seconds.
LONG_S = 10 * PATIENCE_S
COMMAND = (str(Path(sys.executable).with_name("tollgate")), "matrix")


@contextmanager
def typed(*words: str) -> Iterator[subprocess.Popen[str]]:
    """The command, which is ended at the latest with the test."""
    running = subprocess.Popen(  # noqa: S603 - ours
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.terminate()
            running.wait(PATIENCE_S)


def descendants(pid: int) -> Iterator[int]:
    """All processes that a process started, and that those started."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                yield child
                yield from descendants(child)


def command_of(pid: int) -> str:
    """The program that runs, with its arguments; nothing for one that has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8").replace("\0", " ")
    return ""


def test_an_unknown_row_is_told_with_those_that_there_are() -> None:
    with typed("--row", "4711") as running:
        _, told = running.communicate(timeout=LONG_S)

    assert running.returncode == 2
    assert re.search(r"no row 4711; there are 1 to \d+", told)


@pytest.mark.deep
def test_one_row_through_the_command(tmp_path: Path) -> None:
    page = tmp_path / "matrix.html"

    with typed("--row", "12", "--seed", "7", "--json", "--html", str(page)) as running:
        said, told = running.communicate(timeout=LONG_S)

    assert running.returncode == 0, told
    found = json.loads(said)
    (row,) = found["rows"]
    assert (row["id"], row["title"], row["seed"]) == (12, "Duplicate webhook", 7)
    assert set(row["cells"]) == set(row["target"]) == set(COLUMNS)
    assert row["ok"]
    assert row["healed_s"] <= row["bound_s"]
    assert row["fault_hits"] > 0
    assert found["time_factor"] == 10
    assert re.search(r"1 of 1 +12  Duplicate webhook  healed in [\d.]+ s .*ok", told)
    assert "1 of 1 rows at target" in page.read_text("utf-8")


@pytest.mark.deep
def test_a_page_that_cannot_be_written_costs_no_table() -> None:
    with typed("--row", "12", "--html", "/dev/full") as running:
        said, told = running.communicate(timeout=LONG_S)

    assert running.returncode == 1
    assert "1 of 1 rows at target" in said
    assert told.splitlines()[-1].startswith("The page could not be written: ")
    assert "Traceback" not in told


@pytest.mark.deep
@pytest.mark.parametrize(
    ("how", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
async def test_a_run_that_is_stopped_leaves_no_process(how: signal.Signals, status: int) -> None:
    with typed("--row", "2") as running:
        family: set[int] = set()

        async def nodes_run() -> bool:
            family.clear()
            family.update(descendants(running.pid))
            return any("xray" in command_of(pid) for pid in family)

        await eventually(nodes_run)
        running.send_signal(how)
        _, told = running.communicate(timeout=LONG_S)

        assert running.returncode == status, told
        assert "Traceback" not in told

        async def gone() -> bool:
            return not any(is_alive(pid) for pid in family)

        await eventually(gone)
