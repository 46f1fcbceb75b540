"""The control socket: operations over HTTP on a unix socket that only this user can open.

Who asks is what the kernel says of the other end, not what the request says.
"""

import asyncio
import json
import pwd
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import asdict, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.runtime.actor import AsyncioActor
from actors.runtime.replies import Unavailable
from bot.ports import OperationRefused
from config.logging import redact, redacted
from storage.errors import StorageUnavailable
from supervisors.operators.operations import LiveOperations
from supervisors.operators.socket_path import CONTROL_SOCKET, short_path

log = structlog.get_logger(__name__)

#: Enough for a reason in words.
LARGEST_BODY = 16_384
#: Children of one supervisor that the tree shows at most, however many are asked for: the rest is
#: told as a number.
MOST_SHOWN = 500
#: Moments of a user's story at most.
MOST_MOMENTS = 2_000
#: Digits of a Telegram id: at most 52 bits (https://core.telegram.org/bots/api#user).
LONGEST_USER = 16
#: How long a request in hand may hold up the stop, seconds.
PATIENCE_S = 1.0
CREDENTIALS = struct.Struct("iII")  # process, user, group

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wish(BaseModel):
    """What a request's body holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(default="", max_length=500)


class ActorWish(Wish):
    """Do something to an actor."""

    name: str = Field(max_length=200)
    action: str = Field(pattern="^(suspend|resume|restart)$")
    at_once: bool = False


class PolicyWish(Wish):
    """Change a policy, or see what a change would have done."""

    key: str = Field(max_length=100)
    value: str = Field(max_length=100)
    revert_after_s: float | None = Field(default=None, gt=0)
    dry_run: bool = False


class UndoWish(Wish):
    """Take a change back; the newest one when none is named."""

    id: int | None = None


class LetterWish(Wish):
    """Decide about a dead letter."""

    action: str = Field(pattern="^(retry|drop)$")


class NodeWish(Wish):
    """Do something about a node; `removals` is how many users may go."""

    node: str = Field(max_length=40)
    removals: int = Field(default=0, ge=0, le=10_000_000)


class BreakerWish(Wish):
    """Keep a breaker open or closed, for so many seconds or until it is released."""

    node: str = Field(max_length=40)
    order: str = Field(pattern="^(isolate|close|release)$")
    for_s: float | None = Field(default=None, gt=0)


class ReconcileWish(Wish):
    """Compare one node, or all."""

    node: str | None = Field(default=None, max_length=40)
    dry_run: bool = False


class ControlActor(AsyncioActor):
    """Serves the control socket as long as it lives."""

    def __init__(self, operations: LiveOperations, data_dir: Path) -> None:
        super().__init__()
        self.operations = operations
        self.data_dir = data_dir
        self._runner: web.AppRunner | None = None
        self._inode = 0

    async def prepare(self) -> None:
        """Open the socket; one that another life left behind is replaced."""
        self._runner = web.AppRunner(
            control_app(self.operations), access_log=None, shutdown_timeout=PATIENCE_S
        )
        await self._runner.setup()
        listener = listen_on(self.data_dir)
        self._inode = (self.data_dir / CONTROL_SOCKET).stat().st_ino
        await web.SockSite(self._runner, listener).start()

    async def finish(self) -> None:
        """Close it."""
        await self._close()

    async def abandon(self) -> None:
        """Close it."""
        await self._close()

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is None:
            return
        path = self.data_dir / CONTROL_SOCKET
        # While it is open: afterwards another back-end's socket may get the same number.
        with suppress(OSError):  # another back-end has put its own in this place
            if path.stat().st_ino == self._inode:
                path.unlink()
        await runner.cleanup()


def listen_on(data_dir: Path) -> socket.socket:
    """A socket in this folder, which is in its place only when it can be used."""
    draft = data_dir / f"{CONTROL_SOCKET}.new"
    draft.unlink(missing_ok=True)
    with ExitStack() as unless_it_works:
        listener = unless_it_works.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with short_path(data_dir, draft.name) as path:
            listener.bind(path)
        draft.chmod(0o600)
        listener.listen(16)
        listener.setblocking(False)
        draft.rename(data_dir / CONTROL_SOCKET)
        unless_it_works.pop_all()
    return listener


def control_app(operations: LiveOperations) -> web.Application:
    """The application behind the socket."""
    app = web.Application(middlewares=[_refusals], client_max_size=LARGEST_BODY)
    routes, nodes = _Routes(operations), _NodeRoutes(operations)
    app.add_routes(
        [
            web.get("/tree", routes.tree),
            web.get("/actor", routes.look),
            web.post("/actor", routes.act),
            web.get("/policy", routes.policies),
            web.post("/policy", routes.set_policy),
            web.post("/policy/undo", routes.undo_policy),
            web.get("/policy/history", routes.history),
            web.get("/events", routes.events),
            web.get("/why", routes.why),
            web.get("/acts", routes.acts),
            web.get("/nodes", nodes.list),
            web.post(
                "/nodes/{action:freeze|unfreeze|adopt|confirm|drain|lose|remove|activate}",
                nodes.act,
            ),
            web.get("/breakers", nodes.breakers),
            web.post("/breakers", nodes.order),
            web.post("/reconcile", nodes.reconcile),
            web.get("/expiry", routes.expiry),
            web.post("/expiry/confirm", routes.trust_clocks),
            web.get("/dead-letters", routes.letters),
            web.get(r"/dead-letters/{id:\d{1,18}}", routes.letter),
            web.post(r"/dead-letters/{id:\d{1,18}}", routes.decide),
        ]
    )
    return app


class _Routes:
    """One method a route."""

    def __init__(self, operations: LiveOperations) -> None:
        self.operations = operations

    async def tree(self, request: web.Request) -> web.Response:
        shown = _number(request, "shown", 20, 10_000)
        tree = self.operations.tree(min(shown, MOST_SHOWN))
        # Thousands of values, and none changes any more: the loop need not wait for their text.
        return _text(await asyncio.to_thread(_dumped, tree))

    async def look(self, request: web.Request) -> web.Response:
        return _json(self.operations.look(request.query.get("name", "")))

    async def act(self, request: web.Request) -> web.Response:
        wish = await _body(request, ActorWish)
        who = operator_of(request)
        match wish.action:
            case "suspend":
                await self.operations.suspend(wish.name, who, wish.reason)
            case "resume":
                await self.operations.resume(wish.name, who, wish.reason)
            case _:
                await self.operations.restart(wish.name, who, wish.reason, at_once=wish.at_once)
        return _json({})

    async def policies(self, _: web.Request) -> web.Response:
        found = self.operations.policies()
        return _json({"policies": [{**asdict(one), "changed": one.changed} for one in found]})

    async def set_policy(self, request: web.Request) -> web.Response:
        wish = await _body(request, PolicyWish)
        if wish.dry_run:
            return _json(await self.operations.try_policy(wish.key, wish.value))
        changed = await self.operations.set_policy(
            wish.key,
            wish.value,
            operator_of(request),
            wish.reason,
            revert_after_s=wish.revert_after_s,
        )
        return _json(changed)

    async def undo_policy(self, request: web.Request) -> web.Response:
        wish = await _body(request, UndoWish)
        change_id = wish.id
        if change_id is None:
            newest = await self.operations.policy_history(1)
            if not newest:
                raise OperationRefused("no policy was changed yet")
            change_id = newest[0].id
            # A wish that comes twice, or after the timer, must not bring back what it was against.
            if newest[0].undoes is not None:
                raise OperationRefused(
                    f"the newest change, {change_id}, took back {newest[0].undoes} "
                    f"({newest[0].key}); to undo that one too, name it"
                )
        undone = await self.operations.undo_policy(change_id, operator_of(request), wish.reason)
        return _json(undone)

    async def history(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 20, 1_000)
        return _json({"changes": await self.operations.policy_history(limit)})

    async def events(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 50, 1_000)
        found = await self.operations.events(limit, request.query.get("actor") or None)
        return _json({"events": found})

    async def why(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", MOST_MOMENTS, MOST_MOMENTS)
        story = await self.operations.story(_user(request))
        told = [
            {
                "at": row.at,
                "kind": row.kind,
                "subject": row.subject,
                "event": row.event,
                "text": redacted(self.operations.story_line(row)),
                "details": redact(None, "", dict(row.details)),
            }
            for row in story[-limit:]
        ]
        return _json({"story": told, "left_out": len(story) - len(told)})

    async def acts(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 50, 1_000)
        found = await self.operations.acts(limit)
        acts = [{**asdict(act), "details": redact(None, "", dict(act.details))} for act in found]
        return _json({"acts": acts})

    async def expiry(self, _: web.Request) -> web.Response:
        return _json(await self.operations.expiry())

    async def trust_clocks(self, request: web.Request) -> web.Response:
        wish = await _body(request, Wish)
        await self.operations.trust_clocks(operator_of(request), wish.reason)
        return _json({"outcome": "access ends again, by the database's clock"})

    async def letters(self, request: web.Request) -> web.Response:
        limit = _number(request, "limit", 50, 1_000)
        return _json({"dead_letters": await self.operations.dead_letters(limit)})

    async def letter(self, request: web.Request) -> web.Response:
        return _json(await self.operations.dead_letter(_id(request)))

    async def decide(self, request: web.Request) -> web.Response:
        wish = await _body(request, LetterWish)
        who = operator_of(request)
        if wish.action == "retry":
            outcome = await self.operations.retry_dead_letter(_id(request), who)
        else:
            await self.operations.drop_dead_letter(_id(request), who, wish.reason)
            outcome = "dropped"
        return _json({"outcome": outcome})


class _NodeRoutes:
    """The same, about nodes."""

    def __init__(self, operations: LiveOperations) -> None:
        self.operations = operations

    async def list(self, _: web.Request) -> web.Response:
        return _json({"nodes": await self.operations.nodes.nodes()})

    async def act(self, request: web.Request) -> web.Response:
        wish = await _body(request, NodeWish)
        nodes, who = self.operations.nodes, operator_of(request)
        outcome = f"{wish.node} is worked with again"
        match request.match_info["action"]:
            case "freeze":
                await nodes.freeze(wish.node, who, wish.reason)
                outcome = f"{wish.node} is frozen: nobody is removed from it"
            case "unfreeze":
                await nodes.unfreeze(wish.node, who, wish.reason)
            case "adopt":
                adopted = await nodes.unfreeze(wish.node, who, wish.reason, adopt=True)
                outcome += f"; {adopted} of its users stay whom the database does not know"
            case "drain":
                moving = await nodes.drain(wish.node, who, wish.reason)
                outcome = f"{wish.node} takes nobody new, and {moving} users are moved"
            case "lose":
                moving = await nodes.lose(wish.node, who, wish.reason)
                outcome = f"{wish.node} is given up: {moving} users get a new link"
            case "remove":
                await nodes.remove(wish.node, who, wish.reason)
                outcome = f"{wish.node} is removed"
            case "activate":
                await nodes.activate(wish.node, who, wish.reason)
            case _:
                run = await nodes.confirm(wish.node, wish.removals, who, wish.reason)
                outcome += f"; {run.removed} users without a right were removed"
        return _json({"outcome": outcome})

    async def breakers(self, _: web.Request) -> web.Response:
        return _json({"breakers": self.operations.nodes.breakers()})

    async def order(self, request: web.Request) -> web.Response:
        wish = await _body(request, BreakerWish)
        who = operator_of(request)
        view = await self.operations.nodes.order(
            wish.node, wish.order, wish.for_s, who, wish.reason
        )
        return _json({"breakers": [view]})

    async def reconcile(self, request: web.Request) -> web.Response:
        wish = await _body(request, ReconcileWish)
        runs = await self.operations.nodes.reconcile(wish.node, dry_run=wish.dry_run)
        return _json({"runs": runs})


def operator_of(request: web.Request) -> str:
    """Who is at the other end, by the kernel's word.

    Raises:
        OperationRefused: nobody is any more, so nobody's name could be put to the act.
    """
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None:
        raise OperationRefused("whoever asked has hung up")
    raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, CREDENTIALS.size)
    uid = CREDENTIALS.unpack(raw)[1]
    try:
        return f"os:{pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"os:{uid}"


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is wrong becomes a line that a person can act on."""
    try:
        return await handler(request)
    except OperationRefused as refusal:
        return _error(400, str(refusal))
    except (StorageUnavailable, Unavailable) as outage:
        return _error(503, f"not now: {outage}")
    except web.HTTPException as error:
        return _error(error.status, error.reason)
    except asyncio.CancelledError:
        raise
    except Exception:  # the outermost edge: an operator hears that it was a bug
        log.exception("control_failed", path=request.path)
        return _error(500, "a bug; the log of the back-end says more")


async def _body(request: web.Request, model: type[Any]) -> Any:
    try:
        return model.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the request"
        raise OperationRefused(f"{place}: {fault['msg']}") from None


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


def _user(request: web.Request) -> int:
    text = request.query.get("user", "")
    if not (text.isascii() and text.isdecimal() and 0 < len(text) <= LONGEST_USER):
        raise OperationRefused("user: a numeric Telegram id, as in the bot's own messages")
    return int(text)


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    # As many digits as the most: Python takes no number of thousands of digits.
    number = int(text) if text.isdecimal() and len(text) <= len(str(most)) else 0
    if not 1 <= number <= most:
        raise OperationRefused(f"{name}: a number from 1 to {most}")
    return number


def _error(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


def _json(content: Any) -> web.Response:
    return _text(_dumped(content))


def _text(content: str) -> web.Response:
    return web.Response(text=content, content_type="application/json")


def _dumped(content: Any) -> str:
    return json.dumps(content, default=_plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")
