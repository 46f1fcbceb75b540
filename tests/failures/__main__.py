"""Runs rows of the failure matrix, each in a process of its own, and prints the table.

`tollgate matrix` is this. Exit status 0: every cell is at its target; 1: one is not, a row
cannot be shown on this machine, or the page could not be written; 2: usage; 130 or 143: it was
stopped, and nothing of it runs any more.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import structlog
from pydantic import SecretStr

from config.keys import MasterKeys
from storage.embedded import EmbeddedPostgres
from storage.links import LinkCipher
from tests.failures.cells import Cells
from tests.failures.report import as_html, as_json, progress, ranges, table
from tests.failures.run import Row, play
from tests.failures.scenario import Scenario, scenarios
from tests.faults.convergence import FACTOR, MASTER
from tests.integration.database_fixtures import TEMPLATE, Server, _make_template, fresh_database
from tests.standing import canaries

#: A row that takes longer is ended and counts as failed, seconds.
ROW_S = 600.0


def main() -> int:
    """The command."""
    chosen, wanted = _asked()
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10_000)
    if chosen.one:
        row = asyncio.run(_one(wanted[0], chosen.one, seed))
        sys.stdout.write(json.dumps(asdict(row)) + "\n")
        return 0
    began = time.monotonic()  # noqa: TID251 - for people
    try:
        rows = asyncio.run(_stoppable(_all(wanted, seed, chosen.jobs, full=chosen.full_times)))
    except (KeyboardInterrupt, asyncio.CancelledError) as stop:
        _progress("Stopped; nothing of it runs any more.", last=True)
        return 130 if isinstance(stop, KeyboardInterrupt) else 143
    took = time.monotonic() - began  # noqa: TID251 - for people
    factor = 1.0 if chosen.full_times else FACTOR
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(rows, factor), ensure_ascii=False, indent=1) + "\n")
    else:
        sys.stdout.write(f"{table(rows, factor)}, in {took / 60:.1f} minutes\n")
    sys.stdout.flush()
    if chosen.html:  # last, so that a disk that fails loses nothing
        try:
            chosen.html.write_text(as_html(rows, factor), "utf-8")
        except OSError as error:
            sys.stderr.write(f"The page could not be written: {error}\n")
            return 1
    return 0 if all(row.ok for row in rows) else 1


def _asked() -> tuple[argparse.Namespace, list[Scenario]]:
    """What was typed, and the rows that it means, in the order of the table."""
    parser = argparse.ArgumentParser(prog="tollgate matrix", description=__doc__)
    parser.add_argument("--row", type=int, action="append", help="only this row; may be repeated")
    parser.add_argument("--seed", type=int, help="what a scenario chooses at random")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time")
    parser.add_argument("--json", action="store_true", help="the table for a machine")
    parser.add_argument("--html", type=Path, help="write the table as a page")
    parser.add_argument("--full-times", action="store_true", help="policies' times are not divided")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    known = scenarios()
    unknown = [str(number) for number in chosen.row or () if number not in known]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are {ranges(known)}")
    if chosen.jobs < 1:
        parser.error("--jobs: at least 1")
    if chosen.html and not chosen.html.absolute().parent.is_dir():
        parser.error(f"--html: there is no folder {chosen.html.absolute().parent}")
    wanted = [known[number] for number in known if number in (chosen.row or known)]
    if chosen.full_times:
        wanted = [replace(one, setting=replace(one.setting, factor=1.0)) for one in wanted]
    return chosen, wanted


async def _stoppable(work: Coroutine[Any, Any, list[Row]]) -> list[Row]:
    """Work that SIGTERM ends as Ctrl-C does: in order."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


async def _all(wanted: Sequence[Scenario], seed: int, jobs: int, *, full: bool) -> list[Row]:
    """Every row in a process of its own, so that none can spoil the next."""
    places = asyncio.Semaphore(jobs)
    done = 0
    loop = asyncio.get_running_loop()

    async def one(scenario: Scenario, url: str) -> Row:
        nonlocal done
        async with places:
            _progress(f"{done + 1:>3} of {len(wanted)}  {scenario.id:>2}  {scenario.title} ...")
            began = loop.time()
            row, words = await _in_process(scenario, url, seed, full=full)
        done += 1
        _progress(f"{done:>3} of {len(wanted)}  {progress(row, loop.time() - began)}", last=True)
        if words:
            _progress(words, last=True)
        return row

    async with _postgres() as server:
        return list(await asyncio.gather(*(one(scenario, server.url) for scenario in wanted)))


async def _in_process(scenario: Scenario, url: str, seed: int, *, full: bool) -> tuple[Row, str]:
    """A row, and the last words of a process that did not end well."""
    said, words = b"", ""
    most_s = ROW_S * (FACTOR if full else 1)
    # Ours, as a row that is killed cleans up nothing.
    with tempfile.TemporaryDirectory(
        prefix="tollgate-matrix-", ignore_cleanup_errors=True
    ) as folder:
        # PostgreSQL runs as another user where root runs this.
        Path(folder).chmod(0o755)  # noqa: ASYNC240 - a moment
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.failures", "--one", url),
            *("--row", str(scenario.id), "--seed", str(seed)),
            *(["--full-times"] if full else []),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "TMPDIR": folder},
            start_new_session=True,
        )
        try:
            said, errors = await asyncio.wait_for(process.communicate(), most_s)
            words = errors.decode(errors="replace").strip()
            why = f"ended with {process.returncode}: {words.rpartition(chr(10))[2]}"
        except TimeoutError:
            why = f"did not end within {most_s:g} s"
        finally:
            # Whatever it started is of its session, or ends with it: nothing of it stays.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
    if process.returncode == 0 and said.strip():
        return _row(json.loads(said.decode().strip().rpartition("\n")[2])), ""
    failed = _failed(scenario, seed, why)
    return failed, "".join(words.rpartition("Traceback (most recent call last)")[1:])


def _failed(scenario: Scenario, seed: int, why: str) -> Row:
    """The row of a run that told nothing."""
    return Row(
        id=scenario.id,
        title=scenario.title,
        cells=Cells(**dict.fromkeys(asdict(Cells()), "?")),
        target=scenario.target,
        sent=0,
        different=0,
        bound_s=scenario.bound_s / scenario.setting.factor,
        healed_s=None,
        seed=seed,
        fault_hits=0,
        factor=scenario.setting.factor,
        why=why,
    )


def _row(found: dict[str, object]) -> Row:
    cells, target = Cells(**found.pop("cells")), Cells(**found.pop("target"))  # type: ignore[arg-type]
    return Row(cells=cells, target=target, **found)  # type: ignore[arg-type]


async def _one(scenario: Scenario, server_url: str, seed: int) -> Row:
    """One row, in this process, whose folder for temporary files is its own.

    A secret in a log puts it off target.
    """
    structlog.configure = canaries.watched(structlog.configure)
    canaries.log_as_the_program()
    server, folder = Server(server_url, 0), Path(tempfile.gettempdir())
    async with fresh_database(server, TEMPLATE) as url:
        cipher = LinkCipher(MasterKeys([SecretStr(MASTER)]))
        with canaries.heard() as told:
            row = await play(scenario, folder, url, cipher, seed)
    files = canaries.logs_that_tell(folder)
    told_by = (["its log"] if told else []) + files
    why = [row.why, f"secrets told by {', '.join(told_by)}" if told_by else ""]
    return replace(row, why="; ".join(filter(None, why)))


@asynccontextmanager
async def _postgres() -> AsyncIterator[Server]:
    """A PostgreSQL for all rows, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tollgate-matrix-") as folder:
        start = asyncio.to_thread(EmbeddedPostgres.start, Path(folder) / "postgres")
        starting = asyncio.create_task(start)
        try:
            running = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A thread cannot be stopped: what it has begun ends first.
            await asyncio.to_thread((await starting).stop)
            raise
        try:
            server = Server(running.url, 0)
            await _make_template(server)
            yield server
        finally:
            await asyncio.to_thread(running.stop)


def _progress(text: str, *, last: bool = False) -> None:
    """What is going on; on a terminal in one line that is overwritten."""
    if sys.stderr.isatty():
        # What is overwritten must not be longer than a line.
        shown = text if last else text[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r\x1b[K{shown}" + ("\n" if last else ""))
    elif last:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
