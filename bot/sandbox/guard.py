"""Keeps other web pages away from the sandbox, which runs on somebody's own machine.

A foreign page can make the browser call a loopback address in two ways: directly, which the
``Origin`` header gives away, or under its own name by DNS rebinding, which ``Host`` gives away.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import hdrs, web

LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_local(host: str | None, origin: str | None, names: frozenset[str]) -> bool:
    """Whether a request comes from our own page, or from no page at all.

    Args:
        host: The ``Host`` header.
        origin: The ``Origin`` header; clients that are not browsers send none.
        names: Host names, without ports, under which the sandbox may be addressed.
    """
    if not host or _name_in(host) not in names:
        return False
    return origin is None or origin == f"http://{host}"


def _name_in(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:  # half a pair of brackets, or no address between them
        return None


def local_only(more_names: frozenset[str]) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Middleware that answers 403 to everything which is not `is_local`."""
    names = LOOPBACK_NAMES | more_names

    @web.middleware
    async def guard(request: web.Request, handler: _Next) -> web.StreamResponse:
        headers = request.headers
        if not is_local(headers.get(hdrs.HOST), headers.get(hdrs.ORIGIN), names):
            raise web.HTTPForbidden(text="The sandbox answers its own page and local clients only.")
        return await handler(request)

    return guard
