"""The back-end itself: killed at each point, killed under load, and run twice."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from config.crashing import KILLED, POINTS
from tests.failures.cells import NOT_APPLICABLE
from tests.failures.run import Run, pause
from tests.failures.scenario import Setting, row
from tests.faults.own_process import OwnProcessTown, People, Program

#: Kills under load, each so long after the start, seconds.
KILLS = 30
KILL_AFTER_S = 2.0
#: People who buy meanwhile.
CROWD = 50
#: How long two back-ends want the same database, seconds.
TWO_S = 60.0
CRASH_AT = "TOLLGATE_TESTING__CRASH_AT"
LISTEN = "TOLLGATE_HTTP__LISTEN"
OWN = Setting(factor=1, own_process=True)
TAKEN = "SELECT coalesce(max(seq), 0) FROM inbox"


@row(11, full=True, bound_s=5, setting=OWN, cb=NOT_APPLICABLE)
async def redeploy_mid_tx(run: Run) -> None:
    """One life of the back-end for each point, at which it ends; people do all four flows."""
    async with run.fault():
        await end_at(run, POINTS)
        await _of(run).open()


async def end_at(run: Run, points: Sequence[str]) -> None:
    """End the back-end at each of these points, one life after the other."""
    program = _of(run).program
    await program.stop()
    for point in points:
        with run.patch.context() as armed:
            armed.setenv(CRASH_AT, point)
            await program.start()
        assert await program.status() == KILLED, f"{point}; see {program.log_file}"
        run.met()


@row(21, full=True, bound_s=5, setting=OWN)
async def backend_killed_under_load(run: Run) -> None:
    """SIGKILL two seconds after each start, while fifty people buy."""
    town = _of(run)
    async with run.fault():
        taken = await town.value(TAKEN)
        assert isinstance(run.trade, People)
        run.trade.come(CROWD)
        for _ in range(KILLS):
            await pause(KILL_AFTER_S)
            await town.program.kill()
            run.met()
            await town.open()
        assert await town.value(TAKEN) > taken + KILLS, "it was to be killed at work"


@row(41, full=True, bound_s=5, setting=OWN)
async def two_back_ends(run: Run) -> None:
    """Two want one database: whichever is shut out is started again, and shuts out the other."""
    town, loop = _of(run), asyncio.get_running_loop()
    older, younger = town.program, town.another("second")
    try:
        async with run.fault():
            until = loop.time() + TWO_S
            while loop.time() < until:
                await _start_elsewhere(run, younger)
                assert await _ended(older) == 1, f"it was to be shut out; see {older.log_file}"
                run.met()
                older, younger = younger, older
    finally:
        town.program = older
        await younger.kill()


async def _ended(program: Program) -> int | None:
    """What it ended with; None when it goes on."""
    with suppress(TimeoutError):
        return await program.status()
    return None


async def _start_elsewhere(run: Run, program: Program) -> None:
    """As on another machine: with the other one's address it would not start at all."""
    with run.patch.context() as elsewhere:
        elsewhere.setenv(LISTEN, "127.0.0.1:0")
        await program.start()
    assert await program.until_ready(), f"see {program.log_file}"


def _of(run: Run) -> OwnProcessTown:
    """The town, whose back-end can be killed."""
    assert isinstance(run.town, OwnProcessTown)
    return run.town
