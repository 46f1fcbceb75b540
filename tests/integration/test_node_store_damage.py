"""A damaged store is noticed: the wishes are the acknowledged ones, or the epoch is a new one."""

import asyncio
import math
import shutil
import sqlite3
import tempfile
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xray_api.contract import Writer
from xray_api.node.changes import Wish
from xray_api.node.store import Change, Store

NEVER = math.inf
USERS = [UUID(int=n) for n in range(40)]
NAME = "node.sqlite3"
PARTS = (NAME, f"{NAME}-wal", f"{NAME}.commits")

Wishes = dict[UUID, Wish]

V1 = """
CREATE TABLE users (uuid BLOB PRIMARY KEY, gen INTEGER NOT NULL CHECK (gen >= 1),
                    present INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE node (epoch TEXT NOT NULL, writer_db_id TEXT, writer_seq INTEGER) STRICT;
PRAGMA user_version = 1;
"""


async def put(store: Store, gen: int, users: list[UUID] = USERS) -> None:
    changes = [Change(user, Wish(gen, present=user.int % 3 > 0)) for user in users]
    await store.write_many(changes, Writer("db", gen), NEVER)


async def killed(folder: Path, then: Path) -> tuple[UUID, Wishes, Wishes]:
    """Leave in `then` what kill -9 leaves: epoch, acknowledged wishes, those of the copy."""
    store = await Store.open(folder / NAME)
    await put(store, 1)
    await store.copy()
    copied = dict(store.wishes)
    for gen in range(2, 6):
        await put(store, gen, USERS[gen:])
    shutil.copytree(folder, then)
    known = store.epoch, dict(store.wishes), copied
    await store.close()
    return known


@pytest.fixture
async def left(tmp_path: Path) -> tuple[Path, UUID, Wishes, Wishes]:
    folder = tmp_path / "left"
    return folder, *await killed(tmp_path / "run", folder)


async def reopened(folder: Path) -> tuple[UUID, Wishes, str]:
    store = await Store.open(folder / NAME)
    try:
        return store.epoch, dict(store.wishes), store.damage
    finally:
        await store.close()


Left = tuple[Path, UUID, Wishes, Wishes]


async def test_a_kill_is_no_damage(left: Left) -> None:
    folder, epoch, wishes, _ = left

    assert await reopened(folder) == (epoch, wishes, "")


@given(
    part=st.sampled_from(PARTS),
    at=st.floats(0, 1, exclude_max=True),
    # None cuts the file there.
    garbage=st.none() | st.binary(min_size=1, max_size=64),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_damage_never_passes_for_the_store(
    killed_once: Left, part: str, at: float, garbage: bytes | None
) -> None:
    origin, epoch, wishes, copied = killed_once
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "node"
        shutil.copytree(origin, folder)
        file = folder / part
        content = file.read_bytes()
        start = int(at * len(content))
        rest = b"" if garbage is None else garbage + content[start + len(garbage) :]
        file.write_bytes(content[:start] + rest)

        found_epoch, found, damage = asyncio.run(reopened(folder))

        assert asyncio.run(reopened(folder)) == (found_epoch, found, "")  # healed once for all
    if damage:
        assert found_epoch != epoch
        assert found == copied
    else:
        assert (found_epoch, found) == (epoch, wishes)


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Left:
    base = tmp_path_factory.mktemp("store")
    return base / "left", *asyncio.run(killed(base / "run", base / "left"))


@pytest.mark.parametrize("part", PARTS)
async def test_a_lost_part_is_damage(left: Left, part: str) -> None:
    folder, epoch, _, copied = left
    (folder / part).unlink()

    found_epoch, found, damage = await reopened(folder)

    assert found_epoch != epoch
    assert found == copied
    assert damage


async def test_what_was_damaged_is_kept_for_a_person(left: Left) -> None:
    folder, *_ = left
    (folder / NAME).write_bytes(b"not a database" * 500)
    (folder / f"{NAME}-wal").unlink()  # it holds every page, and would mend the file

    await reopened(folder)

    assert (folder / f"{NAME}.damaged").read_bytes() == b"not a database" * 500


async def test_the_previous_copy_serves_where_the_newest_is_damaged(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / NAME)
    for gen in (1, 2):
        await put(store, gen)
        await store.copy()
    await store.close()
    (tmp_path / f"{NAME}.copy").write_bytes(b"garbage")
    (tmp_path / NAME).write_bytes(b"")

    _, found, damage = await reopened(tmp_path)

    assert {wish.gen for wish in found.values()} == {1}
    assert damage == "the file is empty"


async def test_without_a_copy_the_store_is_empty(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / NAME)
    epoch = store.epoch
    await put(store, 1)
    await store.close()
    (tmp_path / NAME).write_bytes(b"")

    found_epoch, found, damage = await reopened(tmp_path)

    assert (found, damage) == ({}, "the file is empty")
    assert found_epoch != epoch


async def test_a_count_behind_the_store_is_a_loss_of_power(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / NAME)
    behind = (tmp_path / f"{NAME}.commits").read_bytes()
    await put(store, 1)
    epoch, wishes = store.epoch, dict(store.wishes)
    await store.close()
    (tmp_path / f"{NAME}.commits").write_bytes(behind)

    assert await reopened(tmp_path) == (epoch, wishes, "")


async def test_a_file_taken_away_is_made_anew_with_its_epoch(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / NAME)
    await put(store, 1)
    (tmp_path / NAME).unlink()

    await store.copy()
    await put(store, 2)
    epoch, wishes = store.epoch, dict(store.wishes)
    await store.close()

    assert await reopened(tmp_path) == (epoch, wishes, "")
    assert (tmp_path / f"{NAME}.copy").exists()


async def test_a_file_garbled_while_running_is_made_anew(tmp_path: Path) -> None:
    """Pages beyond the cache are read again, and found damaged, by the copy at the latest."""
    store = await Store.open(tmp_path / NAME)
    await put(store, 1)
    await store.write_many([Change(uuid4(), Wish(1, present=True))] * 3, None, NEVER)
    run = asyncio.get_running_loop().run_in_executor
    await run(store._thread, store._connection.execute, "PRAGMA wal_checkpoint(TRUNCATE)")
    await run(store._thread, store._connection.execute, "UPDATE users SET gen = gen + 1")

    await store.copy()
    epoch, wishes, damage = store.epoch, dict(store.wishes), store.damage
    await store.close()

    assert damage
    assert await reopened(tmp_path) == (epoch, wishes, "")


async def test_a_store_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    epoch = uuid4()
    connection = sqlite3.connect(tmp_path / NAME)
    connection.executescript(V1)
    connection.execute("INSERT INTO node VALUES (?, 'db', 7)", (str(epoch),))
    connection.execute("INSERT INTO users VALUES (?, 3, 0)", (USERS[0].bytes,))
    connection.commit()
    connection.close()

    store = await Store.open(tmp_path / NAME)
    assert store.writer == Writer("db", 7)
    await store.close()

    assert await reopened(tmp_path) == (epoch, {USERS[0]: Wish(3, present=False)}, "")
