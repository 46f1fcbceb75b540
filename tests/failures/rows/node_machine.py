"""What happens to a node on its machine: Xray hangs or dies, files are garbled, wiped, set back."""

import os
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from uuid import UUID

from tests.failures.cells import JITTER, OPEN, WITHIN
from tests.failures.run import Run, answered, fired, pause, uuid_of
from tests.failures.scenario import Setting, row
from tests.faults.convergence import MACHINE_S
from tests.faults.proxy import Hold, Rule
from tests.integration.node_fixtures import eventually, is_alive
from xray_api.node.run import STORE_FILE

#: Of the design, for a node whose processes or files are hit; seconds.
BACK_S = 15.0
#: And for one that has to be told everything again.
TOLD_S = 5.0
STOPPED_S = 15.0
#: Bytes of a file that are garbled.
GARBLED = 200
#: As many calls at a time as a healthy node gets: its breaker begins anew.
HEALTHY = 8
#: The store is copied every minute, for which no row waits.
COPIES = """
from xray_api.node.store import Store
Store.keep_copies.__defaults__ = (5.0,)
"""
COPY = f"{STORE_FILE}.copy"

REMOVED = """
SELECT bool_and(applied_gen = gen AND desired = 'absent') FROM credentials WHERE uuid = ANY($1)
"""


@row(8, full=True, bound_s=BACK_S, cb=OPEN, bo=JITTER, setting=Setting(factor=1))
async def xray_hangs_or_dies(run: Run) -> None:
    """Xray is killed; when all is well again it hangs for fifteen seconds."""
    machine = run.first.machine
    async with run.fault():
        killed = machine.xray
        os.kill(killed, signal.SIGKILL)
        run.met()
        assert await run.mended() <= BACK_S + MACHINE_S
        assert machine.xray != killed
        await run.customers(30)  # so many answers, and the breaker is as good as new
        await run.called_again(at_a_time=HEALTHY)

        hung = machine.xray
        os.kill(hung, signal.SIGSTOP)
        run.met()
        await pause(STOPPED_S)
        if is_alive(hung):
            os.kill(hung, signal.SIGCONT)


@row(
    9,
    bound_s=BACK_S,
    cb=OPEN,
    bo=JITTER,
    ua=WITHIN,
    setting=Setting(factor=1, node=COPIES),
)
async def files_garbled(run: Run) -> None:
    """Garbled one after the other: Xray's template when Xray dies, the store's copy, the store.

    From the copy come back people who were shut out since, until the node is told again; when it
    is called again is its breaker's to say.
    """
    site, copy = run.first, run.first.state_dir / COPY
    right = site.files.template_file.read_bytes()

    async def there() -> bool:
        return copy.exists()

    async with run.fault():
        garble(run, site.files.template_file)
        os.kill(site.machine.xray, signal.SIGKILL)
        assert await run.mended() <= BACK_S + MACHINE_S
        site.files.template_file.write_bytes(right)

        await eventually(there)
        garble(run, copy)
        gone = await shut_out_since_the_copy(run)

        epoch = (await site.direct.ready()).epoch
        await site.machine.kill("both", lambda: garble_store(run), run.breaker_opened)
        assert (await site.direct.ready()).epoch != epoch, "the damage was to be noticed"
        assert gone <= {uuid for uuid, _ in await site.listed() or ()}, "the copy was to serve"
        await run.called_again()


async def shut_out_since_the_copy(run: Run) -> set[UUID]:
    """People of whom the store's copy says that they are let in, and the store not any more."""
    copy = run.first.state_dir / COPY
    people = await run.customers(3)
    uuids = [uuid_of(person) for person in people]
    run.watched |= set(uuids)

    async def copied() -> bool:
        return copy.exists() and set(uuids) <= let_in_by(copy)

    await eventually(copied)
    for person in people:
        await run.town.revoke(person)
    await run.town.until(REMOVED, uuids)
    assert set(uuids) <= let_in_by(copy), "the next copy came too early"
    return set(uuids)


def let_in_by(copy: Path) -> set[UUID]:
    """Whom a copy of a store lets in; nobody while it is damaged."""
    uri = f"{copy.absolute().as_uri()}?mode=ro&immutable=1"
    # What is garbled may be no text, and no uuid, either.
    with (
        suppress(sqlite3.Error, ValueError, TypeError),
        closing(sqlite3.connect(uri, uri=True)) as rows,
    ):
        return {UUID(bytes=row[0]) for row in rows.execute("SELECT uuid FROM users WHERE present")}
    return set()


def garble(run: Run, file: Path) -> None:
    """Other bytes in places all over a file."""
    content = bytearray(file.read_bytes())
    for _ in range(GARBLED):
        content[run.random.randrange(len(content))] ^= run.random.randint(1, 255)
    file.write_bytes(content)
    run.met()


def garble_store(run: Run) -> None:
    """The log too: what is in it would take the place of what is garbled."""
    for suffix in ("", "-wal"):
        file = run.first.state_dir / f"{STORE_FILE}{suffix}"
        if file.exists() and file.stat().st_size:
            garble(run, file)


@row(19, full=True, bound_s=TOLD_S, cb=OPEN, ua=WITHIN, setting=Setting(factor=1))
async def wiped_or_set_back(run: Run) -> None:
    """The node's machine is set back to an old image, and later wiped; a late add comes after it.

    When a node that was away is called again is its breaker's to say; the bound is on telling it
    everything from then on.
    """
    site, state = run.first, run.first.state_dir
    image = site.files.folder / "image"
    old = await run.customers(4)
    await site.machine.kill("both", lambda: _keep(state, image))
    await run.called_again()
    run.watched |= {uuid_of(person) for person in old}
    for person in old[:2]:
        await run.town.revoke(person)
    run.watched |= {uuid_of(person) for person in await run.customers(2)}

    async with run.fault():
        await site.machine.kill("both", lambda: _swap(state, image), run.breaker_opened)
        run.met()
        await run.called_again()
        assert await run.mended() <= TOLD_S + MACHINE_S

        late = site.proxy.add(Rule(Hold(), methods=("PUT",), times=1))
        await fired(late)
        epoch = (await site.direct.ready()).epoch
        await site.machine.kill("both", lambda: _wipe(state))
        run.met()
        assert (await site.direct.ready()).epoch != epoch
        site.proxy.lift(late)
        await answered(late)
        assert late.answered == [412], "it was for the node of before"
        await run.called_again()


def _keep(state: Path, image: Path) -> None:
    shutil.copytree(state, image, ignore=shutil.ignore_patterns("api"))  # sockets


def _swap(state: Path, image: Path) -> None:
    shutil.rmtree(state)
    shutil.copytree(image, state)


def _wipe(state: Path) -> None:
    for file in state.glob(f"{STORE_FILE}*"):
        file.unlink()
