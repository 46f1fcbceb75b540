"""Requests in hand, so that none outlives its server.

aiohttp lets a request go on whose caller has left, and forgets it: a long poll, or a tab's stream,
would wait for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class InHand:
    """Knows the requests of one server."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def middleware(self) -> Callable[..., Awaitable[web.StreamResponse]]:
        """Middleware that notes each request as long as it is worked on."""

        @web.middleware
        async def note(request: web.Request, handler: _Next) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - a request has one
            self._tasks.add(task)
            try:
                return await handler(request)
            finally:
                self._tasks.discard(task)

        return note

    async def end(self) -> None:
        """End all that are left."""
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
