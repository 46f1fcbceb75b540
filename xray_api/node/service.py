"""The node's HTTP API: parse, apply, answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import TypeAdapter

from xray_api.contract import (
    API_KEY_HEADER,
    MAX_BODY_BYTES,
    MAX_BULK_BODY_BYTES,
    WRITER_HEADER,
    BatchReply,
    BatchRequest,
    DigestQuery,
    DigestReply,
    DisconnectReply,
    Health,
    ListedUser,
    ListQuery,
    OperationResult,
    Problem,
    PutReply,
    PutRequest,
    RemoveQuery,
    RemoveReply,
    SnapshotQuery,
    SnapshotRequest,
    TrafficQuery,
    TrafficReply,
    UserPage,
    UserReply,
    UserUuid,
    Writer,
    WriterMark,
)
from xray_api.node.apply import (
    Applier,
    DigestChanged,
    NotPossible,
    Overtaken,
    QueueFull,
    Refused,
    Snapshot,
    WouldShrink,
)
from xray_api.node.changes import Wish
from xray_api.node.cutting import Cutter
from xray_api.node.hot_api import HotApi, HotApiError
from xray_api.node.http_edge import (
    DEADLINE,
    Handler,
    ProblemError,
    answer,
    body_of,
    busy,
    checked,
    expect,
    invalid,
    keep_deadline,
    problems,
    query_of,
    unavailable,
)
from xray_api.node.keys import ApiKeys
from xray_api.node.limits import FailedKeys, HeavyReads, Strangers, TooMany
from xray_api.node.links import Links
from xray_api.node.listing import Listing, ListingError
from xray_api.node.openapi import document
from xray_api.node.readiness import SERVICE_VERSION, Accountant
from xray_api.node.store import Store
from xray_api.node.traffic import traffic

#: Of a caller's time, what `/readyz` may spend on Xray; the rest is for the account itself.
OBSERVING_SHARE = 0.8

#: Between looks at the connections of strangers.
LOOK_EVERY_S = 1.0

_OPEN_PATHS = frozenset({"/healthz"})
#: One user's path: whatever stands in the uuid's place is checked as one, but the action's name.
_USER = "/v1/users/{uuid:(?:(?!:disconnect$)[^/])+}"
_USER_UUID: TypeAdapter[UUID] = TypeAdapter(UserUuid)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Service:
    """The routes, and what they need."""

    keys: ApiKeys
    store: Store
    applier: Applier
    listing: Listing
    links: Links
    cutter: Cutter
    accountant: Accountant
    failed_keys: FailedKeys = field(default_factory=FailedKeys)
    strangers: Strangers[web.RequestHandler] = field(default_factory=Strangers)
    heavy: HeavyReads = field(default_factory=HeavyReads)

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[problems, self._check_key, keep_deadline])
        routes = (
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", "/openapi.json", self.openapi),
            ("GET", "/v1/users", self.list_users),
            ("PUT", "/v1/users", self.replace),
            ("POST", "/v1/users:batch", self.batch),
            ("GET", "/v1/digest", self.digest),
            ("GET", "/v1/traffic", self.traffic),
            ("GET", _USER, self.get),
            ("PUT", _USER, self.put),
            ("DELETE", _USER, self.remove),
            ("POST", _USER + ":disconnect", self.disconnect),
        )
        for method, path, handler in routes:
            app.router.add_route(method, path, handler, expect_handler=expect)
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        """The process answers."""
        return answer(Health())

    async def openapi(self, _: web.Request) -> web.Response:
        """This contract, for programs."""
        return web.json_response(document(SERVICE_VERSION))

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether the node can be trusted with changes."""
        left_s = request[DEADLINE] - asyncio.get_running_loop().time()
        readiness = await self.accountant.account(left_s * OBSERVING_SHARE)
        return answer(readiness, status=200 if readiness.ready else 503)

    async def put(self, request: web.Request) -> web.Response:
        """Let a user in."""
        uuid = _uuid(request)
        body = checked(PutRequest.model_validate_json, await body_of(request, MAX_BODY_BYTES))
        self._check_epoch(body.epoch)
        created = await self._change(request, uuid, Wish(body.gen, present=True))
        _log.info("user_put", user=str(uuid)[:8], gen=body.gen, created=created)
        return answer(
            PutReply(
                uuid=uuid,
                gen=body.gen,
                epoch=body.epoch,
                vless_link=self.links.link(uuid),
                created=created,
            )
        )

    async def remove(self, request: web.Request) -> web.Response:
        """Shut a user out, and end what he has open."""
        uuid = _uuid(request)
        query = checked(RemoveQuery.model_validate, query_of(request))
        self._check_epoch(query.epoch)
        removed = await self._change(request, uuid, Wish(query.gen, present=False))
        _log.info("user_removed", user=str(uuid)[:8], gen=query.gen, removed=removed)
        return answer(
            RemoveReply(
                uuid=uuid,
                gen=query.gen,
                epoch=query.epoch,
                removed=removed,
                method=self.cutter.method,
            )
        )

    async def get(self, request: web.Request) -> web.Response:
        """A user whom the node lets in."""
        uuid = _uuid(request)
        wish = self.store.wishes.get(uuid)
        if wish is None or not wish.present:
            raise _unknown_user()
        return answer(UserReply(uuid=uuid, gen=wish.gen, vless_link=self.links.link(uuid)))

    async def list_users(self, request: web.Request) -> web.Response:
        """A page of the running Xray's users."""
        query = checked(ListQuery.model_validate, query_of(request))
        async with self._heavy_read():
            page = await self.listing.page(query.after, query.limit)
        users = tuple(ListedUser(uuid=uuid, gen=gen) for uuid, gen in page.users)
        return answer(UserPage(epoch=self.store.epoch, users=users, next=page.following))

    async def batch(self, request: web.Request) -> web.Response:
        """Many changes in one request, each with its own outcome."""
        body = checked(
            BatchRequest.model_validate_json, await body_of(request, MAX_BULK_BODY_BYTES)
        )
        self._check_epoch(body.epoch)
        wishes = [(o.uuid, Wish(o.gen, present=o.op == "put")) for o in body.operations]
        try:
            outcomes = await self.applier.batch(
                wishes, deadline=request[DEADLINE], writer=_writer(request)
            )
        except Refused as error:
            raise _refusal(error) from None
        results = tuple(
            self._result(uuid, wish, outcome)
            for (uuid, wish), outcome in zip(wishes, outcomes, strict=True)
        )
        statuses = [result.status for result in results]
        _log.info(
            "batch_done",
            **{status: statuses.count(status) for status in ("applied", "stale", "failed")},
        )
        reply = BatchReply(epoch=body.epoch, results=results)
        return answer(reply, leave_out_none=True)

    async def replace(self, request: web.Request) -> web.Response:
        """A snapshot: these users, and nobody else."""
        query = checked(SnapshotQuery.model_validate, query_of(request))
        body = checked(
            SnapshotRequest.model_validate_json, await body_of(request, MAX_BULK_BODY_BYTES)
        )
        self._check_epoch(body.epoch)
        users = {user.uuid: user.gen for user in body.users}
        if len(users) != len(body.users):
            raise invalid("users: a uuid stands twice")
        snapshot = Snapshot(users, body.base_digest, query.allow_shrink or 0)
        try:
            reply = await self.applier.replace(
                snapshot, deadline=request[DEADLINE], writer=_writer(request)
            )
        except Refused as error:
            raise _refusal(error) from None
        _log.info("snapshot_done", **reply.model_dump())
        return answer(reply)

    async def digest(self, request: web.Request) -> web.Response:
        """The running Xray's users in short."""
        query = checked(DigestQuery.model_validate, query_of(request))
        async with self._heavy_read():
            digest = await self.listing.digest(query.buckets)
        writer = self.store.writer
        return answer(
            DigestReply(
                epoch=self.store.epoch,
                count=digest.count,
                root=digest.root,
                buckets=digest.buckets,
                writer=WriterMark(db_id=writer.db_id, seq=writer.seq) if writer else None,
            )
        )

    async def traffic(self, request: web.Request) -> web.Response:
        """What users have sent and received, and who is connected."""
        query = checked(TrafficQuery.model_validate, query_of(request))
        async with self._heavy_read():
            users = await traffic(self._hot(), reset=query.reset)
        return answer(TrafficReply(users=users))

    async def disconnect(self, request: web.Request) -> web.Response:
        """End a user's open connections, as far as the machine allows."""
        uuid = _uuid(request)
        if uuid not in self.store.wishes:
            raise _unknown_user()
        try:
            closed = await self.cutter.cut(self._hot(), str(uuid))
        except HotApiError:
            raise unavailable("Xray does not answer its API") from None
        _log.info("user_disconnected", user=str(uuid)[:8], closed=closed)
        return answer(DisconnectReply(closed=closed, method=self.cutter.method))

    async def end_strangers(self, opened: Callable[[], Iterable[web.RequestHandler]]) -> None:
        """End connections without a valid key that are too old or too many, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)  # noqa: TID251 - tests wait for what it does
            for connection in self.strangers.overdue(opened(), asyncio.get_running_loop().time()):
                connection.force_close()

    @asynccontextmanager
    async def _heavy_read(self) -> AsyncIterator[None]:
        """A turn at reads that make Xray list everybody."""
        try:
            async with self.heavy.turn():
                yield
        except TooMany as error:
            raise busy(str(error)) from None
        except ListingError as error:
            raise unavailable(str(error)) from None
        except HotApiError:
            raise unavailable("Xray does not answer its API") from None

    def _hot(self) -> HotApi:
        hot = self.applier.hot
        if hot is None:
            raise unavailable("Xray is not running")
        return hot

    async def _change(self, request: web.Request, uuid: UUID, wish: Wish) -> bool:
        try:
            return await self.applier.change(
                uuid, wish, deadline=request[DEADLINE], writer=_writer(request)
            )
        except Refused as error:
            raise _refusal(error) from None

    def _result(self, uuid: UUID, wish: Wish, outcome: bool | Refused) -> OperationResult:
        if isinstance(outcome, Overtaken):
            return OperationResult(uuid=uuid, status="stale", gen=outcome.gen)
        if isinstance(outcome, Refused):
            return OperationResult(uuid=uuid, status="failed", gen=wish.gen, detail=str(outcome))
        if wish.present:
            link = self.links.link(uuid)
            return OperationResult(uuid=uuid, status="applied", gen=wish.gen, vless_link=link)
        return OperationResult(uuid=uuid, status="applied", gen=wish.gen)

    def _check_epoch(self, epoch: UUID) -> None:
        if epoch != self.store.epoch:
            title = "the node has another epoch"
            raise ProblemError(412, Problem.EPOCH, title, epoch=self.store.epoch)

    @web.middleware
    async def _check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        known = self.keys.accept(request.headers.get(API_KEY_HEADER, ""))
        if known:
            self.strangers.vouch(request.protocol)
        if known or request.path in _OPEN_PATHS:
            return await handler(request)
        now = asyncio.get_running_loop().time()
        if self.failed_keys.too_many(request.remote or "", now):
            raise busy("too many requests without a valid key")
        raise ProblemError(401, Problem.UNAUTHORIZED, "no API key, or none that matches")


def _uuid(request: web.Request) -> UUID:
    return checked(_USER_UUID.validate_python, request.match_info["uuid"], name="uuid")


def _writer(request: web.Request) -> Writer | None:
    return Writer.parse(request.headers.get(WRITER_HEADER, ""))


def _unknown_user() -> ProblemError:
    return ProblemError(404, Problem.NOT_FOUND, "the node does not know this user")


def _refusal(refused: Refused) -> ProblemError:
    match refused:
        case Overtaken(gen=gen):
            title = "a newer or opposite wish stands"
            return ProblemError(409, Problem.STALE, title, node_gen=gen)
        case WouldShrink(would_remove=number):
            title = f"{number} users would be removed; allow_shrink={number} allows it"
            return ProblemError(409, Problem.SHRINK, title, would_remove=number)
        case DigestChanged(root=root):
            return ProblemError(409, Problem.DIGEST, str(refused), root=root)
        case QueueFull():
            return busy(str(refused))
        case NotPossible():
            return unavailable(str(refused))
    raise refused
