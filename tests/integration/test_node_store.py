"""A wish is on disk before it is acknowledged, and nothing lowers it again."""

import asyncio
import math
import os
import sqlite3
import stat
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.integration.node_fixtures import refuse_writes
from xray_api.contract import Writer
from xray_api.node.changes import Wish
from xray_api.node.store import Store, StoreError

NEVER = math.inf
USER = uuid4()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "node.sqlite3"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lose(path: Path) -> None:
    path.unlink()


async def test_wishes_epoch_and_writer_survive(path: Path) -> None:
    store = await Store.open(path)
    epoch = store.epoch
    await store.write(USER, Wish(1, present=True), Writer("db", 5), NEVER)
    await store.write(USER, Wish(2, present=False), None, NEVER)
    await store.close()

    again = await Store.open(path)

    assert again.epoch == epoch
    assert again.wishes == {USER: Wish(2, present=False)}
    assert again.writer == Writer("db", 5)
    assert again.present() == []
    await again.close()


async def test_a_new_store_has_a_new_epoch(path: Path) -> None:
    first = await Store.open(path)
    await first.close()
    lose(path)

    second = await Store.open(path)

    assert second.epoch != first.epoch
    await second.close()


async def test_a_write_is_on_disk_when_it_returns(path: Path, tmp_path: Path) -> None:
    """A copy of the files, as a crash would leave them, holds the wish."""
    store = await Store.open(path)
    await store.write(USER, Wish(1, present=True), None, NEVER)
    for file in path.parent.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())

    after_crash = await Store.open(tmp_path / path.name)

    assert after_crash.wishes == {USER: Wish(1, present=True)}
    await after_crash.close()
    await store.close()


async def test_a_lower_generation_never_overwrites(path: Path) -> None:
    store = await Store.open(path)
    await store.write(USER, Wish(5, present=False), None, NEVER)

    standing = await store.write(USER, Wish(4, present=True), None, NEVER)

    assert standing == Wish(5, present=False)
    await store.close()
    again = await Store.open(path)
    assert again.wishes == {USER: Wish(5, present=False)}
    await again.close()


async def test_waiting_writes_share_commits(path: Path) -> None:
    store = await Store.open(path)
    users = [uuid4() for _ in range(500)]

    await asyncio.gather(*(store.write(u, Wish(1, present=True), None, NEVER) for u in users))

    assert set(store.present()) == set(users)
    await store.close()


async def test_a_passed_deadline_writes_nothing(path: Path) -> None:
    store = await Store.open(path)
    now = asyncio.get_running_loop().time()

    with pytest.raises(TimeoutError):
        await store.write(USER, Wish(1, present=True), None, now)

    assert store.wishes == {}
    await store.close()


async def test_a_second_process_is_kept_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await Store.open(path)
    connect = partial(sqlite3.connect, timeout=0)  # not the usual 5 s of patience
    monkeypatch.setattr(sqlite3, "connect", connect)

    with pytest.raises(StoreError, match="another node service uses it"):
        await Store.open(path)

    await store.close()


async def test_a_store_of_another_release_is_refused(path: Path) -> None:
    await (await Store.open(path)).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.execute(f"PRAGMA application_id = {0x546F6C00 + 99}")
    connection.close()

    with pytest.raises(StoreError, match="another release"):
        await Store.open(path)


async def test_a_store_that_may_not_be_written_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for damaged: it stays where it is."""
    await (await Store.open(path)).close()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anything

    with pytest.raises(StoreError, match="may not be"):
        await Store.open(path)

    assert mode_of(path) == 0o600


async def test_a_full_disk_is_told_and_changes_nothing(path: Path) -> None:
    store = await Store.open(path)
    await store.write(USER, Wish(1, present=True), None, NEVER)
    await refuse_writes(store)

    with pytest.raises(StoreError):
        await store.write(USER, Wish(2, present=False), None, NEVER)

    assert store.wishes == {USER: Wish(1, present=True)}
    await store.close()


async def test_a_refusal_lasts_as_long_as_its_cause(path: Path) -> None:
    """It is known from the first failed write on, and a caller need not write to end it."""
    store = await Store.open(path)
    await refuse_writes(store)
    with pytest.raises(StoreError) as error:
        await store.write(USER, Wish(1, present=True), None, NEVER)

    assert await store.refusal() == str(error.value)
    await refuse_writes(store, refuse=False)
    assert await store.refusal() == ""
    assert store.wishes == {}
    await store.close()


async def test_a_commit_waits_for_the_disk(path: Path) -> None:
    """A copy of the files cannot show it: only a loss of power could."""
    store = await Store.open(path)

    def pragma(name: str) -> object:
        return store._connection.execute(f"PRAGMA {name}").fetchone()[0]

    run = asyncio.get_running_loop().run_in_executor
    assert await run(store._thread, pragma, "synchronous") == 2
    assert await run(store._thread, pragma, "journal_mode") == "wal"
    await store.close()


async def test_only_the_owner_may_read(path: Path) -> None:
    store = await Store.open(path)
    await store.write(USER, Wish(1, present=True), None, NEVER)
    await store.copy()

    assert {mode_of(file) for file in path.parent.iterdir()} == {0o600}
    assert mode_of(path.parent) == 0o700
    await store.close()


@pytest.mark.parametrize(
    ("known", "said", "news"),
    [
        (None, None, False),
        (None, Writer("a", 0), True),
        (Writer("a", 5), Writer("a", 5), False),
        (Writer("a", 5), Writer("a", 4), False),
        (Writer("a", 5), Writer("a", 6), True),
        (Writer("a", 5), Writer("b", 1), True),
        (Writer("a", 5), None, False),
    ],
)
async def test_what_is_news_of_a_writer(
    path: Path, known: Writer | None, said: Writer | None, *, news: bool
) -> None:
    store = await Store.open(path)
    await store.write(USER, Wish(1, present=True), known, NEVER)

    assert store.is_news(said) is news
    await store.close()
