"""An Xray in memory, whose answers take as long as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

from xray_api.node.apply import Applier
from xray_api.node.changes import RunningUser
from xray_api.node.hot_api import HotApi, XrayAway
from xray_api.node.store import Store

FLOW = "xtls-rprx-vision"


class SlowXray(HotApi):
    """An Xray in memory; a held user's changes reach it when they are let go."""

    def __init__(self) -> None:
        self.inside: set[str] = set()
        self.calls: list[str] = []
        self.held: dict[UUID, asyncio.Event] = {}
        self.away = False

    async def add(self, uuid: UUID) -> bool:
        """Let a user in."""
        self.calls.append("add")
        if uuid in self.held:
            await self.held[uuid].wait()
        if self.away:
            raise XrayAway("test")
        created = str(uuid) not in self.inside
        self.inside.add(str(uuid))
        return created

    async def remove(self, email: str) -> bool:
        """Shut a user out."""
        self.calls.append("remove")
        removed = email in self.inside
        self.inside.discard(email)
        return removed

    async def users(self) -> list[RunningUser]:
        """Everybody who is in."""
        return [RunningUser(email, email, FLOW) for email in self.inside]


@asynccontextmanager
async def applying(folder: Path, xray: SlowXray) -> AsyncIterator[tuple[Applier, Store]]:
    """What applies the wishes of a real store to it."""
    store = await Store.open(folder / "node.sqlite3")
    applier = Applier(store, FLOW)
    applier.attach(xray)
    await applier.mend()
    yield applier, store
    await store.close()
