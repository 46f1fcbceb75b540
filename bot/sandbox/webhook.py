"""Delivers updates to the bot's webhook: one at a time, again and again until it says 2xx.

https://core.telegram.org/bots/api#setwebhook allows the answer to carry a method call; it is
executed, and its result goes nowhere.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, MultipartReader

from bot.sandbox.calls import read_multipart
from bot.sandbox.errors import ApiError
from bot.sandbox.updates import Pending, UpdateQueue

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
DELIVERY_TIMEOUT_S = 60

Execute = Callable[[str, dict[str, Any], dict[str, bytes]], Awaitable[Any]]


class Webhook:
    """Where updates go, and the task that brings them there."""

    def __init__(self, updates: UpdateQueue, now: Callable[[], int], retry_s: float) -> None:
        self._updates = updates
        self._now = now
        self._retry_s = retry_s
        self._execute: Execute | None = None
        self._task: asyncio.Task[None] | None = None
        self._secret: str | None = None
        self._max_connections = 40
        self._last_error: dict[str, Any] = {}
        self.url = ""

    def described(self) -> dict[str, Any]:
        """The part of ``WebhookInfo`` that is known here."""
        if not self.url:
            return {}
        return {"max_connections": self._max_connections, **self._last_error}

    def on_reply(self, execute: Execute) -> None:
        """Who executes the method call which an answer may carry."""
        self._execute = execute

    def start(self, url: str, secret_token: str | None, max_connections: int) -> None:
        """Delivers to `url` from now on."""
        self.stop()
        self.url, self._secret = url, secret_token
        self._max_connections = max_connections
        self._last_error = {}
        self.resume()

    def stop(self) -> None:
        """Delivers nowhere; what waits stays."""
        self.url = ""
        self.pause()

    def resume(self) -> None:
        """Continues after `pause`, if there is an address."""
        if self.url and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._deliver())

    def pause(self) -> None:
        """Ends the task and keeps the address."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _deliver(self) -> None:
        timeout = ClientTimeout(total=DELIVERY_TIMEOUT_S)
        async with ClientSession(timeout=timeout) as session:
            while True:
                pending = self._updates.head()
                if pending is None:
                    await self._updates.arrival()
                elif await self._post(session, pending):
                    self._updates.confirm_head(pending)
                else:
                    await self._pause_before_retry()

    async def _pause_before_retry(self) -> None:
        # A timed wait on something that never comes: the loop's clock decides, virtual or real.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), self._retry_s)

    async def _post(self, session: ClientSession, pending: Pending) -> bool:
        headers = {SECRET_HEADER: self._secret} if self._secret else {}
        try:
            async with session.post(self.url, json=pending.body, headers=headers) as response:
                if not response.ok:
                    return self._failed(f"Wrong response from the webhook: {response.status}")
                await self._run_reply(response)
                return True
        except (ClientError, TimeoutError, OSError) as error:
            return self._failed(f"Connection failed: {type(error).__name__}")

    def _failed(self, message: str) -> bool:
        self._last_error = {"last_error_date": self._now(), "last_error_message": message}
        return False

    async def _run_reply(self, response: ClientResponse) -> None:
        # Telegram does not tell the bot how such a call went either, nor that it was none.
        with contextlib.suppress(ApiError, ValueError):
            fields, files = await _reply_fields(response)
            method = fields.pop("method", None)
            if method and self._execute is not None:
                await self._execute(str(method), fields, files)


async def _reply_fields(response: ClientResponse) -> tuple[dict[str, Any], dict[str, bytes]]:
    if response.content_type.startswith("multipart/"):
        return await read_multipart(MultipartReader(response.headers, response.content))
    try:
        body = await response.json(content_type=None)
    except ValueError:
        return {}, {}
    return (body, {}) if isinstance(body, dict) else ({}, {})
