"""A full disk refuses writes, takes nothing acknowledged, and is over when there is room."""

import asyncio
import sys
from pathlib import Path

from xray_api.node.store import Store

#: In a process of its own, as the limit holds for the whole of one. It prints what was acknowledged
#: before the limit, how many writes were refused under it, and what is known after it.
CHILD = """
import asyncio, math, resource, sys
from pathlib import Path
from uuid import UUID
from xray_api.node.changes import Wish
from xray_api.node.store import Change, Store, StoreError

async def main(path):
    store = await Store.open(path)
    async def put(gen):
        users = [Change(UUID(int=n), Wish(gen, present=True)) for n in range(200)]
        await store.write_many(users, None, math.inf)
    await put(1)
    size = path.with_name(path.name + "-wal").stat().st_size
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    refused = 0
    for gen in (2, 3):
        try:
            await put(gen)
        except StoreError:
            refused += 1
    await store.copy()
    told = bool(await store.refusal())
    known = {wish.gen for wish in store.wishes.values()}
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    healed = await store.refusal() == ""
    if sys.argv[2] == "heal":
        await put(4)
    print(refused, told, known, healed, store.epoch, flush=True)
    sys.stdin.read()  # until it is killed: nothing is closed

asyncio.run(main(Path(sys.argv[1])))
"""


async def child(path: Path, then: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(path), then),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    told = ""
    while "{" not in told:  # the log comes on the same stream
        line = await process.stdout.readline()
        assert line, "the child ended"
        told = line.decode()
    process.kill()
    await process.wait()
    return told


async def gens(path: Path) -> tuple[str, set[int], str]:
    store = await Store.open(path)
    found = {wish.gen for wish in store.wishes.values()}
    await store.close()
    return str(store.epoch), found, store.damage


async def test_it_heals_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"

    *told, epoch = (await child(path, "heal")).split()

    assert told == ["2", "True", "{1}", "True"]
    assert await gens(path) == (epoch, {4}, "")


async def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "node.sqlite3"

    *_, epoch = (await child(path, "stop")).split()

    assert await gens(path) == (epoch, {1}, "")
