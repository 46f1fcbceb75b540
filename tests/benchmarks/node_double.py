"""A node's contract over HTTP, in a process of its own, without Xray: what is called gets measured.

Its users are in memory. Whoever measures can fill it, put it away in three ways, and read what it
has seen; so its memory and its time are not those of the program that calls it.
"""

import asyncio
import multiprocessing
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any
from uuid import UUID

from aiohttp import web

from tests.integration.node_fixtures import free_port
from xray_api.client.errors import EpochChanged, StaleGeneration
from xray_api.client.fake import Call, FakeNodeClient, Wish
from xray_api.contract import (
    WRITER_HEADER,
    BatchRequest,
    DigestQuery,
    DigestReply,
    ListedUser,
    ListQuery,
    PutRequest,
    RemoveQuery,
    Reply,
    UserPage,
    Writer,
    WriterMark,
)
from xray_api.digest import USER_BYTES, DigestSum

API_KEY = "k" * 43
MAX_BODY_BYTES = 64 * 1024 * 1024

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LargeNode(FakeNodeClient):
    """A node of very many users: it sorts once, and keeps no list of calls."""

    def __init__(self) -> None:
        super().__init__()
        self.ordered: list[UUID] | None = None
        self.own_s = 0.0

    def users(self) -> list[UUID]:
        """Those who run, by uuid."""
        if self.ordered is None or len(self.ordered) != len(self.running):
            self.ordered = sorted(self.running)
        return self.ordered

    async def digest(self, *, buckets: int = 4096, deadline_s: float = 30.0) -> DigestReply:
        """As the real one."""
        del deadline_s
        began = time.perf_counter()
        users = self.users()
        found = DigestSum(buckets)
        for first in range(0, len(users), 1_000):
            part = users[first : first + 1_000]
            found.add(b"".join(u.bytes + self._gen(u).to_bytes(8, "big") for u in part))
        self.own_s += time.perf_counter() - began
        return DigestReply(
            epoch=self.epoch,
            count=found.count,
            root=found.root,
            buckets=tuple(format(one, "016x") for one in found.sums),
            writer=WriterMark(**self._writer._asdict()) if self._writer else None,
        )

    async def list_users(
        self, *, after: UUID | None = None, limit: int = 10_000, deadline_s: float = 4.0
    ) -> UserPage:
        """As the real one."""
        del deadline_s
        users = self.users()
        start = bisect_right(users, after) if after is not None else 0
        page = users[start : start + limit]
        return UserPage(
            epoch=self.epoch,
            users=tuple(ListedUser(uuid=uuid, gen=self._gen(uuid)) for uuid in page),
            next=page[-1] if start + limit < len(users) else None,
        )

    async def _arrive(self, call: Call, deadline_s: float) -> None:
        del call, deadline_s


@dataclass
class _Seen:
    """Which requests came; changes by uuid and generation, so that repeats are known as such."""

    kinds: Counter[str] = field(default_factory=Counter)
    wishes: Counter[tuple[UUID, int]] = field(default_factory=Counter)


class _Service:
    """The routes; orders are of whoever measures, each a method with one argument."""

    def __init__(self, port: int) -> None:
        self.node = LargeNode()
        self.seen = _Seen()
        self.away = ""
        self.counting = False
        self._port = port
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0, access_log=None)
        self._site: web.TCPSite | None = None

    async def open(self) -> None:
        """Take connections."""
        if self._runner.server is None:
            await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True)
        await self._site.start()

    async def refuse(self) -> None:
        """Take no connections any more, and end those that are open."""
        if self._site is not None:
            await self._site.stop()
            self._site = None
        for connection in list(self._runner.server.connections if self._runner.server else ()):
            connection.force_close()

    async def close(self) -> None:
        """End."""
        await self._runner.cleanup()

    async def order_have(self, users: bytes) -> int:
        """Let these users in, 24 bytes each, besides those who are there."""
        for at in range(0, len(users), USER_BYTES):
            uuid = UUID(bytes=users[at : at + 16])
            gen = int.from_bytes(users[at + 16 : at + USER_BYTES], "big")
            self.node.wishes[uuid] = Wish(gen, present=True)
            self.node.running.add(uuid)
        return len(self.node.running)

    async def order_lose(self, users: list[UUID] | None) -> None:
        """Xray and store forget these users, or everybody."""
        for uuid in users if users is not None else list(self.node.running):
            self.node.running.discard(uuid)
            self.node.wishes.pop(uuid, None)
        self.node.ordered = None

    async def order_own_s(self, _: None) -> float:
        """Seconds that digests took since this was asked last."""
        own_s, self.node.own_s = self.node.own_s, 0.0
        return own_s

    async def order_users(self, _: None) -> int:
        """How many users run."""
        return len(self.node.running)

    async def order_count(self, _: None) -> None:
        """Count from now on."""
        self.counting, self.seen = True, _Seen()

    async def order_seen(self, _: None) -> tuple[dict[str, int], dict[tuple[UUID, int], int]]:
        """Requests by kind, and changes by uuid and generation."""
        return dict(self.seen.kinds), dict(self.seen.wishes)

    async def order_away(self, how: str) -> None:
        """Be away: answer 503, hang, refuse connections; empty: be back."""
        self.away = how
        if how == "refuse":
            await self.refuse()
        elif self._site is None:
            await self.open()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._faults], client_max_size=MAX_BODY_BYTES)
        user = "/v1/users/{uuid:[^/:]+}"
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/v1/users", self._list)
        app.router.add_get("/v1/digest", self._digest)
        app.router.add_post("/v1/users:batch", self._batch)
        app.router.add_put(user, self._put)
        app.router.add_delete(user, self._remove)
        return app

    @web.middleware
    async def _faults(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        kind = request.method if request.path.startswith("/v1/users/") else request.path
        self.seen.kinds[kind] += 1
        if self.counting and kind == "PUT":
            body = PutRequest.model_validate_json(await request.read())
            self.seen.wishes[UUID(request.match_info["uuid"]), body.gen] += 1
        if self.counting and kind == "/v1/users:batch":
            many = BatchRequest.model_validate_json(await request.read())
            self.seen.wishes.update((one.uuid, one.gen) for one in many.operations)
        match self.away:
            case "503":
                return web.json_response(
                    {"type": "unavailable", "title": "away", "status": 503}, status=503
                )
            case "hang":
                await asyncio.sleep(3_600)  # noqa: TID251 - the caller gives up before
        try:
            return await handler(request)
        except StaleGeneration as error:
            found = {"type": "stale", "title": "stale", "status": 409}
            found["node_gen"] = error.node_gen
            return web.json_response(found, status=409)
        except EpochChanged as error:
            found = {"type": "epoch", "title": "epoch", "status": 412, "epoch": str(error.epoch)}
            return web.json_response(found, status=412)

    async def _ready(self, _: web.Request) -> web.Response:
        return _answer(await self.node.ready())

    async def _list(self, request: web.Request) -> web.Response:
        query = ListQuery.model_validate(dict(request.query))
        return _answer(await self.node.list_users(after=query.after, limit=query.limit))

    async def _digest(self, request: web.Request) -> web.Response:
        query = DigestQuery.model_validate(dict(request.query))
        return _answer(await self.node.digest(buckets=query.buckets))

    async def _batch(self, request: web.Request) -> web.Response:
        body = BatchRequest.model_validate_json(await request.read())
        return _answer(await self.node.batch(body.epoch, body.operations, writer=_writer(request)))

    async def _put(self, request: web.Request) -> web.Response:
        body = PutRequest.model_validate_json(await request.read())
        uuid = UUID(request.match_info["uuid"])
        return _answer(await self.node.put(uuid, body.gen, body.epoch, writer=_writer(request)))

    async def _remove(self, request: web.Request) -> web.Response:
        query = RemoveQuery.model_validate(dict(request.query))
        uuid = UUID(request.match_info["uuid"])
        return _answer(
            await self.node.remove(uuid, query.gen, query.epoch, writer=_writer(request))
        )


def _answer(reply: Reply) -> web.Response:
    return web.Response(
        text=reply.model_dump_json(exclude_none=False), content_type="application/json"
    )


def _writer(request: web.Request) -> Writer | None:
    return Writer.parse(request.headers.get(WRITER_HEADER, ""))


def _serve(port: int, orders: Connection) -> None:
    asyncio.run(_serving(port, orders))


async def _serving(port: int, orders: Connection) -> None:
    """Serve until told to stop; each order has an answer."""
    service = _Service(port)
    await service.open()
    orders.send(service.node.epoch)
    while True:
        order, content = await asyncio.to_thread(orders.recv)
        if order == "stop":
            break
        orders.send(await getattr(service, f"order_{order}")(content))
    await service.close()


class NodeDouble:
    """The double's process, from the side of whoever measures."""

    def __init__(self, port: int, orders: Connection, epoch: UUID) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.epoch = epoch
        self._orders = orders

    async def ask(self, order: str, content: object = None) -> Any:
        """Give an order, and wait for its answer."""
        self._orders.send((order, content))
        return await asyncio.to_thread(self._orders.recv)


@asynccontextmanager
async def node_double() -> AsyncIterator[NodeDouble]:
    """A double, as long as the context."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    port = free_port()
    process = context.Process(target=_serve, args=(port, theirs), daemon=True)
    process.start()
    try:
        epoch = await asyncio.to_thread(ours.recv)
        yield NodeDouble(port, ours, epoch)
    finally:
        ours.send(("stop", None))
        await asyncio.to_thread(process.join, 10)
        process.kill()
