"""The calls of Crypto Pay. The token goes to one host, in a header, and into no error's text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from pydantic import ValidationError

from actors.payments.ports import ProviderUnavailable
from bot.gateways.crypto_pay.answers import (
    CryptoInvoice,
    CryptoTransfer,
    Model,
    Unreadable,
    listed,
    read_json,
)

TOKEN_HEADER = "Crypto-Pay-API-Token"  # noqa: S105 - a header's name
#: Crypto Pay answers within a second; after this long the answer is lost.
TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=3)
#: A hundred invoices with their payloads take a tenth of this.
MAX_ANSWER_BYTES = 2 * 1024 * 1024
#: Statuses that say nothing about what was asked: too many requests, and a suspended app (423).
WAIT = frozenset({423, 429})
REDIRECT, REFUSED, BROKEN = 300, 400, 500

_NAME = re.compile(r"[A-Z0-9_]{1,64}")
_Answer = TypeVar("_Answer", bound=Model)


class CryptoPayRefused(ProviderUnavailable):
    """Crypto Pay read the call and said no; `name` is its own word for why, such as USER_NOT_FOUND.

    It is weather to whoever does not ask: a refused list or invoice is asked for again.
    """

    def __init__(self, method: str, status: int, name: str) -> None:
        """Take the method, the status, and the provider's word."""
        super().__init__(f"{method}: {status} {name}")
        self.status = status
        self.name = name


class CryptoPayBusy(ProviderUnavailable):
    """Not now; `after_s` is how long Crypto Pay wants to be left alone, if it says so."""

    def __init__(self, method: str, status: int, after_s: float | None) -> None:
        """Take the method, the status, and the wish."""
        super().__init__(f"{method}: {status}")
        self.after_s = after_s


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes
    after_s: float | None


class CryptoPayClient:
    """Asks `guard` before each request; closes its connections on `close`."""

    def __init__(self, base: str, token: str, guard: Callable[[], None]) -> None:
        """Take the base URL, the app's token, and what raises inside a database transaction."""
        self._base = base.rstrip("/")
        self._token = token
        self._guard = guard
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def create_invoice(self, fields: Mapping[str, Any]) -> CryptoInvoice:
        """A new invoice; each call makes another one."""
        return _read(CryptoInvoice, "createInvoice", await self._call("createInvoice", fields))

    async def paid_invoices(self, offset: int, count: int) -> list[Any]:
        """Paid invoices, newest first, each as it came."""
        fields = {"status": "paid", "offset": offset, "count": count}
        return _entries("getInvoices", await self._call("getInvoices", fields))

    async def invoice(self, invoice_id: str) -> CryptoInvoice | None:
        """One invoice of the app's."""
        result = await self._call("getInvoices", {"invoice_ids": invoice_id})
        found = [
            _read(CryptoInvoice, "getInvoices", one) for one in _entries("getInvoices", result)
        ]
        return next((one for one in found if str(one.invoice_id) == invoice_id), None)

    async def transfer(self, fields: Mapping[str, Any]) -> None:
        """Send coins to a user; one `spend_id` is taken once."""
        await self._call("transfer", fields)

    async def transferred(self, spend_id: str) -> bool:
        """Whether coins were sent under this name before."""
        result = await self._call("getTransfers", {"spend_id": spend_id})
        found = [
            _read(CryptoTransfer, "getTransfers", one) for one in _entries("getTransfers", result)
        ]
        # Compared here too: a server that does not know the filter would list all transfers.
        return any(one.spend_id == spend_id for one in found)

    async def _call(self, method: str, fields: Mapping[str, Any]) -> Any:
        """The result of a call.

        Raises:
            CryptoPayRefused: the answer is no.
            ProviderUnavailable: no answer, or none that can be read.
        """
        self._guard()
        reply = await self._send(method, fields)
        if reply.status in WAIT or reply.status >= BROKEN:
            raise CryptoPayBusy(method, reply.status, reply.after_s)
        if REDIRECT <= reply.status < REFUSED:
            raise ProviderUnavailable(f"{method}: {reply.status}, which is not followed")
        try:
            answer = read_json(reply.body)
        except Unreadable:
            answer = None
        if isinstance(answer, dict) and answer.get("ok") is True and "result" in answer:
            return answer["result"]
        if isinstance(answer, dict) and answer.get("ok") is False:
            raise CryptoPayRefused(method, reply.status, _name(answer.get("error")))
        raise ProviderUnavailable(f"{method}: {reply.status}, an answer that cannot be read")

    async def _send(self, method: str, fields: Mapping[str, Any]) -> _Reply:
        try:
            async with self._connections().post(
                f"{self._base}/api/{method}",
                json=dict(fields),
                headers={TOKEN_HEADER: self._token},
                timeout=TIMEOUT,
                allow_redirects=False,
            ) as response:
                body = await _limited(response.content)
                return _Reply(response.status, body, _seconds(response.headers.get("Retry-After")))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            problem = f"{method}: {type(error).__name__}"
        # Outside the block above, so that no trace of the first error hangs on this one.
        raise ProviderUnavailable(problem)

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session


async def _limited(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise aiohttp.ClientPayloadError("an answer without end")
    return bytes(body)


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdecimal() else None


def _name(error: object) -> str:
    name = error.get("name") if isinstance(error, dict) else None
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "UNNAMED"


def _read(model: type[_Answer], method: str, result: object) -> _Answer:
    try:
        return model.model_validate(result)
    except ValidationError:
        problem = f"{method}: the answer is no {model.__name__}"
    raise ProviderUnavailable(problem)


def _entries(method: str, result: object) -> list[Any]:
    try:
        return listed(result)
    except Unreadable:
        problem = f"{method}: the answer is no list"
    raise ProviderUnavailable(problem)
