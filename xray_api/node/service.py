"""The node's HTTP API: parse, apply, answer. The key is checked before the body is read."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import structlog
from aiohttp import HttpVersion11, web
from pydantic import BaseModel, TypeAdapter, ValidationError

from xray_api.contract import (
    API_KEY_HEADER,
    DEADLINE_HEADER,
    MAX_BODY_BYTES,
    PROBLEM_TYPE,
    WRITER_HEADER,
    Health,
    ListedUser,
    ListQuery,
    Problem,
    PutReply,
    PutRequest,
    RemoveQuery,
    RemoveReply,
    UserPage,
    UserReply,
    UserUuid,
    Writer,
)
from xray_api.node.apply import Applier, NotPossible, Overtaken, QueueFull
from xray_api.node.changes import Wish
from xray_api.node.hot_api import HotApiError
from xray_api.node.keys import ApiKeys
from xray_api.node.links import Links
from xray_api.node.readiness import Accountant
from xray_api.node.store import Store

#: For callers that do not say how long they wait.
DEFAULT_DEADLINE_S = 30.0
RETRY_AFTER_S = 1
#: Of a caller's time, what `/readyz` may spend on Xray; the rest is for the account itself.
OBSERVING_SHARE = 0.8

_OPEN_PATHS = frozenset({"/healthz"})
_USER_UUID: TypeAdapter[UUID] = TypeAdapter(UserUuid)
_DEADLINE = web.RequestKey("deadline", float)

_log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Model = TypeVar("Model", bound=BaseModel)


class _Problem(Exception):  # noqa: N818 - carries an answer
    def __init__(self, status: int, kind: str, title: str, **fields: object) -> None:
        super().__init__(title)
        fields = {"type": kind, "title": title, "status": status, **fields}
        self.problem = Problem.model_validate(fields)


@dataclass(frozen=True, slots=True)
class Service:
    """The routes, and what they need."""

    keys: ApiKeys
    store: Store
    applier: Applier
    links: Links
    accountant: Accountant

    def app(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(
            middlewares=[_problems, self._check_key, _keep_deadline],
            client_max_size=MAX_BODY_BYTES,
        )
        app.add_routes(
            [
                web.get("/healthz", self.healthz, expect_handler=_expect),
                web.get("/readyz", self.readyz, expect_handler=_expect),
                web.get("/v1/users", self.list_users, expect_handler=_expect),
                web.get("/v1/users/{uuid}", self.get, expect_handler=_expect),
                web.put("/v1/users/{uuid}", self.put, expect_handler=_expect),
                web.delete("/v1/users/{uuid}", self.remove, expect_handler=_expect),
            ]
        )
        return app

    async def healthz(self, _: web.Request) -> web.Response:
        """The process answers."""
        return _json(Health())

    async def readyz(self, request: web.Request) -> web.Response:
        """Whether the node can be trusted with changes."""
        left_s = request[_DEADLINE] - asyncio.get_running_loop().time()
        readiness = await self.accountant.account(left_s * OBSERVING_SHARE)
        return _json(readiness, status=200 if readiness.ready else 503)

    async def put(self, request: web.Request) -> web.Response:
        """Let a user in."""
        uuid = _uuid(request)
        body = _checked(PutRequest.model_validate_json, await request.read())
        self._check_epoch(body.epoch)
        created = await self._change(request, uuid, Wish(body.gen, present=True))
        _log.info("user_put", user=str(uuid)[:8], gen=body.gen, created=created)
        return _json(
            PutReply(
                uuid=uuid,
                gen=body.gen,
                epoch=body.epoch,
                vless_link=self.links.link(uuid),
                created=created,
            )
        )

    async def remove(self, request: web.Request) -> web.Response:
        """Shut a user out."""
        uuid = _uuid(request)
        query = _checked(RemoveQuery.model_validate, _query(request))
        self._check_epoch(query.epoch)
        removed = await self._change(request, uuid, Wish(query.gen, present=False))
        _log.info("user_removed", user=str(uuid)[:8], gen=query.gen, removed=removed)
        return _json(RemoveReply(uuid=uuid, gen=query.gen, epoch=query.epoch, removed=removed))

    async def get(self, request: web.Request) -> web.Response:
        """A user whom the node lets in."""
        uuid = _uuid(request)
        wish = self.store.wishes.get(uuid)
        if wish is None or not wish.present:
            raise _Problem(404, Problem.NOT_FOUND, "the node does not let this user in")
        return _json(UserReply(uuid=uuid, gen=wish.gen, vless_link=self.links.link(uuid)))

    async def list_users(self, request: web.Request) -> web.Response:
        """A page of the running Xray's users."""
        query = _checked(ListQuery.model_validate, _query(request))
        running = await self._running()
        rest = sorted(uuid for uuid in running if query.after is None or uuid > query.after)
        page = rest[: query.limit]
        wishes = self.store.wishes
        users = tuple(
            ListedUser(uuid=uuid, gen=wishes[uuid].gen if uuid in wishes else 0) for uuid in page
        )
        following = page[-1] if len(rest) > len(page) else None
        return _json(UserPage(epoch=self.store.epoch, users=users, next=following))

    async def _running(self) -> set[UUID]:
        hot = self.applier.hot
        if hot is None:
            raise _unavailable("Xray is not running")
        try:
            listed = await hot.users()
        except HotApiError:
            raise _unavailable("Xray does not answer its API") from None
        # Somebody else may have added an id that is no UUID; the next comparison removes it.
        return {UUID(user.id) for user in listed if re.fullmatch(r"[0-9a-f-]{36}", user.id)}

    async def _change(self, request: web.Request, uuid: UUID, wish: Wish) -> bool:
        writer = Writer.parse(request.headers.get(WRITER_HEADER, ""))
        try:
            return await self.applier.change(uuid, wish, deadline=request[_DEADLINE], writer=writer)
        except Overtaken as error:
            title = "a newer or opposite wish stands"
            raise _Problem(409, Problem.STALE, title, node_gen=error.gen) from None
        except QueueFull as error:
            raise _Problem(429, Problem.BUSY, str(error)) from None
        except NotPossible as error:
            raise _unavailable(str(error)) from None

    def _check_epoch(self, epoch: UUID) -> None:
        if epoch != self.store.epoch:
            title = "the node has another epoch"
            raise _Problem(412, Problem.EPOCH, title, epoch=self.store.epoch)

    @web.middleware
    async def _check_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get(API_KEY_HEADER, "")
        if request.path not in _OPEN_PATHS and not self.keys.accept(given):
            raise _Problem(401, Problem.UNAUTHORIZED, "no API key, or none that matches")
        return await handler(request)


@web.middleware
async def _problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as a problem; an unexpected one says nothing of its inside."""
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except _Problem as error:
        problem = error.problem
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        kinds = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 413: Problem.TOO_LARGE}
        kind = kinds.get(error.status, Problem.INVALID)
        problem = Problem(type=kind, title=error.reason, status=error.status)
    except Exception:  # noqa: BLE001 - the outermost edge
        _log.exception("request_failed", method=request.method)
        problem = Problem(type=Problem.INTERNAL, title="the node failed", status=500)
    if problem.type in {Problem.BUSY, Problem.UNAVAILABLE}:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return _refusal(problem, headers)


async def _expect(request: web.Request) -> web.Response | None:
    """What aiohttp asks before the middlewares; the same as it does itself, as a problem."""
    if request.version < HttpVersion11:
        return None
    if request.headers["Expect"].lower() != "100-continue":
        title = "only 100-continue can be expected"
        return _refusal(Problem(type=Problem.INVALID, title=title, status=417), {})
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun
    return None


def _refusal(problem: Problem, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=problem.model_dump_json(exclude_none=True),
        status=problem.status,
        content_type=PROBLEM_TYPE,
        headers=headers,
    )


@web.middleware
async def _keep_deadline(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a request waits for, its body included, it waits no longer than its caller."""
    text = request.headers.get(DEADLINE_HEADER, str(int(DEFAULT_DEADLINE_S * 1000)))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        errors = (f"{DEADLINE_HEADER}: must be a whole number of milliseconds",)
        raise _Problem(422, Problem.INVALID, "the request is not valid", errors=errors)
    if int(text) == 0:
        raise _unavailable("there was no time left")
    deadline = asyncio.get_running_loop().time() + int(text) / 1000
    request[_DEADLINE] = deadline
    try:
        async with asyncio.timeout_at(deadline):
            return await handler(request)
    except TimeoutError:
        raise _unavailable("there was not time enough left") from None


def _uuid(request: web.Request) -> UUID:
    return _checked(_USER_UUID.validate_python, request.match_info["uuid"], name="uuid")


def _query(request: web.Request) -> dict[str, str]:
    if len(request.query) != len(set(request.query)):
        errors = ("query: a name stands twice",)
        raise _Problem(422, Problem.INVALID, "the request is not valid", errors=errors)
    return dict(request.query)


Input = TypeVar("Input")
Output = TypeVar("Output")


def _checked(validate: Callable[[Input], Output], given: Input, name: str = "") -> Output:
    try:
        return validate(given)
    except ValidationError as error:
        errors = tuple(
            f"{'.'.join(map(str, fault['loc'])) or name or 'body'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise _Problem(422, Problem.INVALID, "the request is not valid", errors=errors) from None


def _unavailable(detail: str) -> _Problem:
    return _Problem(503, Problem.UNAVAILABLE, "the node cannot do it now", detail=detail)


def _json(reply: BaseModel, status: int = 200) -> web.Response:
    return web.Response(
        body=reply.model_dump_json(), status=status, content_type="application/json"
    )
