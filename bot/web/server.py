"""WebActor: what it answers with 200 is committed; who must not be listened to learns nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Address
from bot.gateways.port import PushGateway, PushRefused
from bot.intake import raw_update
from bot.ports import RawUpdate, UpdateInbox
from bot.web.callers import Network, Refusals, caller_of
from bot.web.telegram import LARGEST_UPDATE, is_telegram, update_in
from config.network import split_address

log = structlog.get_logger(__name__)

LARGEST_PUSH = 64 * 1024
#: Calls that are committed at once, so that a crowd leaves connections to money and to the node.
COMMITS_AT_ONCE = 8
#: A body has so long to come; who sends one byte at a time may not hold connections for ever.
BODY_S = 10.0
#: How long a request in hand may hold up the stop, seconds.
PATIENCE_S = 1.0
HEALTH = "/healthz"


@dataclass(frozen=True, slots=True)
class Refused:
    """Not taken. `reason` is for the log; the caller hears the number alone."""

    status: int
    reason: str


Handler = Callable[[web.BaseRequest], Awaitable[web.Response | Refused]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelegramHook:
    """Where Telegram's updates come in, and what it shows with them."""

    path: str
    secret: str
    bot_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLimits:
    """Where to listen, and whose word for a caller's address counts."""

    listen: str
    trusted_proxies: Sequence[Network] = ()


class SlowBody(Exception):  # noqa: N818 - whoever calls
    """A request's body does not come to its end in time."""


class AddressTaken(Exception):  # noqa: N818 - somebody else's
    """Nobody can listen there: it is in use, not of this machine, or not for this user."""


async def try_address(listen: str) -> None:
    """Listen for a moment.

    Raises:
        AddressTaken: with the reason in words.
    """
    try:
        server = await asyncio.get_running_loop().create_server(
            asyncio.Protocol, *split_address(listen)
        )
    except OSError as error:
        raise AddressTaken(error.strerror or str(error)) from None
    server.close()
    await server.wait_closed()


class WebActor(AsyncioActor):
    """Serves webhooks and health as long as it lives."""

    def __init__(
        self,
        limits: WebLimits,
        inbox: UpdateInbox,
        worker: Address,
        *,
        hook: TelegramHook | None,
        pushes: Mapping[str, PushGateway],
        epoch_now: Callable[[], float],
    ) -> None:
        super().__init__()
        self.limits = limits
        self.inbox = inbox
        self.worker = worker
        self.epoch_now = epoch_now
        self.port = 0
        self._refusals = Refusals()
        self._commits = asyncio.Semaphore(COMMITS_AT_ONCE)
        self._runner: web.ServerRunner | None = None
        self._routes: dict[tuple[str, str], Handler] = {("GET", HEALTH): self._health}
        if hook is not None:
            self._routes["POST", hook.path] = lambda request: self._update(request, hook)
        for provider, gateway in pushes.items():
            self._routes["POST", gateway.push_path] = self._push_route(provider, gateway)

    async def prepare(self) -> None:
        """Listen."""
        host, port = split_address(self.limits.listen)
        self._runner = runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), shutdown_timeout=PATIENCE_S
        )
        await runner.setup()
        await web.TCPSite(runner, host, port).start()
        self.port = runner.addresses[0][1]
        log.info("web_listens", host=host, port=self.port)

    async def finish(self) -> None:
        """Close it; requests in hand may end."""
        await self._close()

    async def abandon(self) -> None:
        """Close it."""
        await self._close()

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """One call. What is refused hears a number and nothing else."""
        route = self._routes.get((request.method, request.path))
        if route is None:
            return web.Response(status=404)
        try:
            answer = await route(request)
        except SlowBody:
            answer = Refused(408, "too slow")
        except self.weather as outage:
            log.warning("webhook_waits", reason=str(outage))
            return web.Response(status=503)  # the sender comes again
        except (ConnectionError, web.RequestPayloadError):
            return web.Response(status=400)  # hung up, or no HTTP
        except Exception:  # the outermost edge: a bug may not speak to strangers
            log.exception("webhook_failed", path=request.path)
            return web.Response(status=500)
        return self._refused(answer, request) if isinstance(answer, Refused) else answer

    def _caller(self, request: web.BaseRequest) -> str:
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return caller_of(request.remote or "", forwarded, self.limits.trusted_proxies)

    def _refused(self, refused: Refused, request: web.BaseRequest) -> web.Response:
        caller, now = self._caller(request), self.clock.now()
        if self._refusals.too_many(caller, now):
            return web.Response(status=429)  # the log has said it often enough
        self._refusals.note(caller, now)
        log.warning("webhook_refused", caller=caller, reason=refused.reason)
        return web.Response(status=refused.status)

    async def _health(self, _: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    async def _update(self, request: web.BaseRequest, hook: TelegramHook) -> web.Response | Refused:
        if not is_telegram(request.headers, hook.secret):
            return Refused(401, "not Telegram's secret")
        body = await _body(request, LARGEST_UPDATE)
        if body is None:
            return Refused(413, "too large")
        update = update_in(body)
        if update is None:
            return Refused(400, "no update")
        return await self._take(raw_update(hook.bot_id, update))

    def _push_route(self, provider: str, gateway: PushGateway) -> Handler:
        async def push(request: web.BaseRequest) -> web.Response | Refused:
            # Its signature is over the body; what is refused here the provider's list finds.
            if self._refusals.too_many(self._caller(request), self.clock.now()):
                return web.Response(status=429)
            body = await _body(request, LARGEST_PUSH)
            if body is None:
                return Refused(413, f"{provider}: too large")
            answer = gateway.accept(request.headers, body, self.epoch_now())
            if isinstance(answer, PushRefused):
                return Refused(401, f"{provider}: {answer.reason}")
            text = body.decode(errors="replace")
            source_id = answer.source_id
            return await self._take(
                RawUpdate(source=provider, source_id=source_id, payload=text, lane=None)
            )

        return push

    async def _take(self, update: RawUpdate) -> web.Response:
        """Committed first; whoever sent it hears of it second."""
        async with self._commits:
            await self.inbox.accept([update])
        self.worker.wake()
        return web.Response(status=200)


async def _body(request: web.BaseRequest, largest: int) -> bytes | None:
    """The bytes of a request; None if there are more than may be.

    Raises:
        SlowBody: they do not come to an end.
    """
    if (request.content_length or 0) > largest:
        return None
    try:
        async with asyncio.timeout(BODY_S):
            return await _read(request, largest)
    except TimeoutError:
        raise SlowBody from None


async def _read(request: web.BaseRequest, largest: int) -> bytes | None:
    body = bytearray()
    async for chunk in request.content.iter_chunked(largest):
        body += chunk
        if len(body) > largest:
            return None
    return bytes(body)
