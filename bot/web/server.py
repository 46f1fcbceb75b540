"""WebActor: what it answers with 200 is committed; who must not be listened to learns nothing."""

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
        caller = caller_of(
            request.remote or "",
            request.headers.getall("X-Forwarded-For", []),
            self.limits.trusted_proxies,
        )
        return await self._listened(route, request, caller)

    async def _listened(
        self, route: Handler, request: web.BaseRequest, caller: str
    ) -> web.StreamResponse:
        try:
            answer = await route(request)
        except self.weather as outage:
            log.warning("webhook_waits", reason=str(outage))
            return web.Response(status=503)  # the sender comes again
        return self._refused(answer, caller) if isinstance(answer, Refused) else answer

    def _refused(self, refused: Refused, caller: str) -> web.Response:
        now = self.clock.now()
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
        await self.inbox.accept([update])
        self.worker.wake()
        return web.Response(status=200)


async def _body(request: web.BaseRequest, largest: int) -> bytes | None:
    """The bytes of a request; None if there are more than may be."""
    if (request.content_length or 0) > largest:
        return None
    body = bytearray()
    async for chunk in request.content.iter_chunked(largest):
        body += chunk
        if len(body) > largest:
            return None
    return bytes(body)
