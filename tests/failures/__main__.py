"""Runs rows of the failure matrix, each in a process of its own, and prints the table.

`tollgate matrix` is this. Exit status 0: every cell is at its target; 1: one is not; 2: usage.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from pydantic import SecretStr

from config.keys import MasterKeys
from storage.embedded import EmbeddedPostgres
from storage.links import LinkCipher
from tests.failures.cells import Cells
from tests.failures.report import as_html, as_json, table
from tests.failures.run import Row, play
from tests.failures.scenario import Scenario, scenarios
from tests.faults.convergence import FACTOR, MASTER
from tests.integration.database_fixtures import TEMPLATE, Server, _make_template, fresh_database

#: A row that takes longer is ended and counts as failed, seconds.
ROW_S = 240.0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="tollgate matrix", description=__doc__)
    parser.add_argument("--row", type=int, action="append", help="only this row; may be repeated")
    parser.add_argument("--seed", type=int, help="what a scenario chooses at random")
    parser.add_argument("--jobs", type=int, default=1, help="rows at a time")
    parser.add_argument("--json", action="store_true", help="the table for a machine")
    parser.add_argument("--html", type=Path, help="write the table as a page")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    known = scenarios()
    unknown = [str(number) for number in chosen.row or () if number not in known]
    if unknown:
        parser.error(f"no row {', '.join(unknown)}; there are 1 to {max(known)}")
    seed = chosen.seed if chosen.seed is not None else random.SystemRandom().randrange(10_000)
    if chosen.one:
        row = asyncio.run(_one(known[chosen.row[0]], chosen.one, seed))
        sys.stdout.write(json.dumps(asdict(row)) + "\n")
        return 0
    wanted = [known[number] for number in sorted(set(chosen.row or known), key=list(known).index)]
    began = time.monotonic()  # noqa: TID251 - for people
    rows = asyncio.run(_all(wanted, seed, chosen.jobs))
    if chosen.html:
        chosen.html.write_text(as_html(rows), "utf-8")
    if chosen.json:
        sys.stdout.write(json.dumps(as_json(rows, FACTOR), ensure_ascii=False, indent=1) + "\n")
    else:
        took = time.monotonic() - began  # noqa: TID251 - for people
        sys.stdout.write(f"{table(rows)}\nin {took / 60:.1f} minutes; ")
        sys.stdout.write(f"policies' times and their bounds are divided by {FACTOR:g}\n")
    return 0 if all(row.ok for row in rows) else 1


async def _all(wanted: Sequence[Scenario], seed: int, jobs: int) -> list[Row]:
    """Every row in a process of its own, so that none can spoil the next."""
    places = asyncio.Semaphore(jobs)
    done = 0

    async def one(scenario: Scenario, url: str) -> Row:
        nonlocal done
        async with places:
            _progress(f"{done + 1:>3} of {len(wanted)}  {scenario.id:>2}  {scenario.title} ...")
            row = await _in_process(scenario, url, seed)
        done += 1
        mark = "ok" if row.ok else f"FAILED: {row.why}"
        healed = "" if row.healed_s is None else f"healed in {row.healed_s:.1f} s  "
        _progress(
            f"{done:>3} of {len(wanted)}  {scenario.id:>2}  {scenario.title}  {healed}{mark}",
            last=True,
        )
        return row

    async with _postgres() as server:
        return list(await asyncio.gather(*(one(scenario, server.url) for scenario in wanted)))


async def _in_process(scenario: Scenario, url: str, seed: int) -> Row:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.failures", "--one", url),
        *("--row", str(scenario.id), "--seed", str(seed)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    try:
        said, errors = await asyncio.wait_for(process.communicate(), ROW_S)
        last = errors.decode(errors="replace").strip().rpartition("\n")[2]
        why = f"ended with {process.returncode}: {last}"
    except TimeoutError:
        said, why = b"", f"did not end within {ROW_S:g} s"
    finally:
        # Whatever it started is of its session: nothing of it stays.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        await process.wait()
    if process.returncode == 0 and said.strip():
        return _row(json.loads(said.decode().strip().rpartition("\n")[2]))
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
    """One row, in this process."""
    server = Server(server_url, 0)
    with tempfile.TemporaryDirectory(prefix="tollgate-matrix-") as folder:
        async with fresh_database(server, TEMPLATE) as url:
            cipher = LinkCipher(MasterKeys([SecretStr(MASTER)]))
            return await play(scenario, Path(folder), url, cipher, seed)


@asynccontextmanager
async def _postgres() -> AsyncIterator[Server]:
    """A PostgreSQL for all rows, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="tollgate-matrix-") as folder:
        running = await asyncio.to_thread(EmbeddedPostgres.start, Path(folder) / "postgres")
        try:
            server = Server(running.url, 0)
            await _make_template(server)
            yield server
        finally:
            await asyncio.to_thread(running.stop)


def _progress(text: str, *, last: bool = False) -> None:
    """What is going on; on a terminal in one line that is overwritten."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}" + ("\n" if last else ""))
    elif last:
        sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
