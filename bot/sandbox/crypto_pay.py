"""A Crypto Pay on this machine: its five calls, a page to pay on, signed calls to the shop.

    double = CryptoPayDouble()
    async with double.serve() as address:  # address.url is the base URL for the shop
        double.push_to("http://127.0.0.1:8080/webhooks/cryptopay")
        await double.pay(invoice_id)       # a person pays; the shop is called

Trouble is scripted as in the sandbox, ``double.faults.next("transfer", Fault.reply_lost())``; for
the calls to the shop by ``double.next_push(PushFault.SWALLOW)``. Only play money moves.
"""

import asyncio
import contextlib
import hashlib
import hmac
import html
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, web

from bot.sandbox.faults import AnyFault, Delay, Drop, Faults, Hold, ReplyLost, Status
from bot.sandbox.guard import LOOPBACK_NAMES, local_only
from bot.sandbox.sandbox import Address

TOKEN = "4242:TEST-token-of-the-crypto-pay-double"  # noqa: S105 - opens the double only
TOKEN_HEADER = "Crypto-Pay-API-Token"  # noqa: S105 - a header's name
SIGNATURE_HEADER = "crypto-pay-api-signature"
ASSETS = ("USDT", "TON", "BTC", "ETH", "LTC", "BNB", "TRX", "USDC")
#: What one USDT is worth where an invoice is priced in fiat; the double's own figures.
RATES = {"USD": Decimal(1), "EUR": Decimal("0.9"), "RUB": Decimal(80)}
#: Limits of the real one (https://help.send.tg/en/articles/10279948-crypto-pay-api).
EXPIRES_MAX_S, SPEND_ID_MAX, LIST_MAX, LIST_USUAL = 2_678_400, 64, 1000, 100
PUSH_TIMEOUT_S = 30

Fields = dict[str, Any]


class PushFault(Enum):
    """What becomes of the next call to the shop."""

    SWALLOW = "swallow"
    REPEAT = "repeat"
    FORGE = "forge"
    """Signed with another token."""


class RefusedCall(Exception):  # noqa: N818 - what the caller hears
    """The call is answered with this error."""

    def __init__(self, name: str, status: int = 400) -> None:
        """Take Crypto Pay's word for it, and the status."""
        super().__init__(name)
        self.name = name
        self.status = status


class CryptoPayDouble:
    """One app of Crypto Pay.

    Attributes:
        faults: What will go wrong next, method by method.
        invoices: By id, oldest first.
        transfers: What the shop sent, oldest first.
        calls: Method and fields of each call that had the right token.
        transfers_allowed: Whether the app may send coins, which is off in the real one at first.
        push_gate: The calls to the shop wait for it.
    """

    def __init__(
        self,
        token: str = TOKEN,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - the outer world's dates
    ) -> None:
        """Take the app's token, and Unix time for the dates."""
        self.token = token
        self.faults = Faults()
        self.invoices: dict[int, Fields] = {}
        self.transfers: list[Fields] = []
        self.calls: list[tuple[str, Fields]] = []
        self.transfers_allowed = True
        self.push_gate = asyncio.Event()
        self.push_gate.set()
        self._clock = wall_clock
        self._push_url: str | None = None
        self._push_faults: deque[PushFault] = deque()
        self._base = ""
        # From the time, because a restarted double must not repeat an id that the shop has stored.
        self._next_id = int(wall_clock())

    def push_to(self, url: str | None) -> None:
        """Call the shop there; None: nowhere.

        Raises:
            ValueError: the address is not on this machine.
        """
        if url is not None and urlsplit(url).hostname not in LOOPBACK_NAMES:
            raise ValueError("the double calls this machine only")
        self._push_url = url

    def next_push(self, fault: PushFault) -> None:
        """The next call to the shop suffers this."""
        self._push_faults.append(fault)

    async def pay(self, invoice_id: int) -> list[int]:
        """A person pays; gives the statuses with which the shop answered, 0 for no answer.

        Raises:
            LookupError: there is no such invoice.
            ValueError: it was paid, or is too old.
        """
        invoice = self.invoices[invoice_id]
        self._age(invoice)
        if invoice["status"] != "active":
            raise ValueError(f"the invoice is {invoice['status']}")
        fiat = invoice["currency_type"] == "fiat"
        paid_at = self._moment()
        invoice |= {"status": "paid", "paid_at": paid_at, "paid_anonymously": False}
        if fiat:
            coins = Decimal(invoice["amount"]) / RATES.get(invoice["fiat"], Decimal(1))
            invoice |= {"paid_asset": "USDT", "paid_amount": f"{coins:.8f}"}
        return await self.push(invoice_id)

    async def push(self, invoice_id: int) -> list[int]:
        """Call the shop about an invoice, as `pay` does; also once more."""
        fault = self._push_faults.popleft() if self._push_faults else None
        await self.push_gate.wait()
        if fault is PushFault.SWALLOW or self._push_url is None:
            return []
        body, headers = self.signed_push(invoice_id, forged=fault is PushFault.FORGE)
        times = 2 if fault is PushFault.REPEAT else 1
        return [await _post(self._push_url, body, headers) for _ in range(times)]

    def signed_push(self, invoice_id: int, *, forged: bool = False) -> tuple[bytes, dict[str, str]]:
        """Body and headers of a call about an invoice."""
        update = {
            "update_id": 1,
            "update_type": "invoice_paid",
            "request_date": self._moment(),
            "payload": self.invoices[invoice_id],
        }
        body = json.dumps(update).encode()
        token = "4243:another" if forged else self.token
        return body, {SIGNATURE_HEADER: sign(token, body), "Content-Type": "application/json"}

    @contextlib.asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
        """Serves the API and the page while the block runs."""
        app = web.Application(middlewares=[local_only(frozenset({host}))])
        app.add_routes(
            [
                web.route("*", "/api/{method}", self._serve_call),
                web.get("/pay/{hash}", self._serve_page),
                web.post("/pay/{hash}", self._serve_payment),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            address = Address(host, runner.addresses[0][1])
            self._base = address.url
            yield address
        finally:
            await runner.cleanup()

    async def _serve_call(self, request: web.Request) -> web.Response:
        given = request.headers.get(TOKEN_HEADER, "")
        if not secrets.compare_digest(given.encode(errors="replace"), self.token.encode()):
            return _refusal("UNAUTHORIZED", 401)
        method = request.match_info["method"]
        fields = dict(request.query) | (await request.json() if request.can_read_body else {})
        self.calls.append((method, fields))
        fault = self.faults.take(method)
        if isinstance(fault, Status):
            headers = {"Retry-After": str(fault.retry_after_s)} if fault.retry_after_s else {}
            return _refusal(fault.description, fault.code, headers)
        if isinstance(fault, Drop):
            return _hang_up(request)
        await _wait(fault)
        try:
            result = self._execute(method, fields)
        except RefusedCall as error:
            return _refusal(error.name, error.status)
        if isinstance(fault, ReplyLost):
            return _hang_up(request)
        return web.json_response({"ok": True, "result": result})

    def _execute(self, method: str, fields: Fields) -> Any:
        match method:
            case "getMe":
                bot = "CryptoTestnetBot"
                return {"app_id": 4242, "name": "Sandbox", "payment_processing_bot_username": bot}
            case "createInvoice":
                return self._create(fields)
            case "getInvoices":
                return {"items": self._list(fields)}
            case "transfer":
                return self._transfer(fields)
            case "getTransfers":
                spend_id = fields.get("spend_id")
                found = [t for t in self.transfers if spend_id in (None, t["spend_id"])]
                return {"items": found[::-1][: int(fields.get("count", LIST_USUAL))]}
            case _:
                raise RefusedCall("METHOD_NOT_FOUND", 405)

    def _create(self, fields: Fields) -> Fields:
        kind = fields.get("currency_type", "crypto")
        name = {"crypto": "asset", "fiat": "fiat"}.get(kind, "")
        known = ASSETS if kind == "crypto" else tuple(RATES)
        if fields.get(name) not in known:
            raise RefusedCall(f"{name.upper() or 'CURRENCY_TYPE'}_INVALID")
        lasts = fields.get("expires_in", EXPIRES_MAX_S)
        if not 1 <= lasts <= EXPIRES_MAX_S:
            raise RefusedCall("EXPIRES_IN_INVALID")
        self._next_id += 1
        mark = secrets.token_urlsafe(9)
        page = f"{self._base}/pay/{mark}"
        self.invoices[self._next_id] = {
            "invoice_id": self._next_id,
            "hash": mark,
            "currency_type": kind,
            name: fields[name],
            "amount": str(_amount(fields)),
            "bot_invoice_url": page,
            "mini_app_invoice_url": page,
            "web_app_invoice_url": page,
            "status": "active",
            "created_at": self._moment(),
            "expiration_date": self._moment(lasts),
            "allow_comments": fields.get("allow_comments", True),
            "allow_anonymous": fields.get("allow_anonymous", True),
            **{key: fields[key] for key in ("description", "payload") if key in fields},
        }
        return self.invoices[self._next_id]

    def _list(self, fields: Fields) -> list[Fields]:
        wanted = {int(one) for one in str(fields.get("invoice_ids", "")).split(",") if one}
        offset, count = int(fields.get("offset", 0)), int(fields.get("count", LIST_USUAL))
        if offset < 0 or not 1 <= count <= LIST_MAX:
            raise RefusedCall("COUNT_INVALID")
        for invoice in self.invoices.values():
            self._age(invoice)
        found = [
            invoice
            for invoice in reversed(self.invoices.values())
            if fields.get("status") in (None, invoice["status"])
            and (not wanted or invoice["invoice_id"] in wanted)
        ]
        return found[offset : offset + count]

    def _transfer(self, fields: Fields) -> Fields:
        spend_id = str(fields.get("spend_id", ""))
        if not self.transfers_allowed:
            raise RefusedCall("METHOD_DISABLED", 403)
        if fields.get("asset") not in ASSETS:
            raise RefusedCall("ASSET_INVALID")
        if not 1 <= len(spend_id) <= SPEND_ID_MAX:
            raise RefusedCall("SPEND_ID_INVALID")
        if any(done["spend_id"] == spend_id for done in self.transfers):
            raise RefusedCall("SPEND_ID_ALREADY_USED")
        self._next_id += 1
        self.transfers.append(
            {
                "transfer_id": self._next_id,
                "spend_id": spend_id,
                "user_id": int(fields["user_id"]),
                "asset": fields["asset"],
                "amount": str(_amount(fields)),
                "status": "completed",
                "completed_at": self._moment(),
            }
        )
        return self.transfers[-1]

    async def _serve_page(self, request: web.Request) -> web.Response:
        return _page(self._by_hash(request))

    async def _serve_payment(self, request: web.Request) -> web.Response:
        invoice = self._by_hash(request)
        with contextlib.suppress(ValueError):  # paid or too old: the page says so
            await self.pay(invoice["invoice_id"])
        return _page(invoice)

    def _by_hash(self, request: web.Request) -> Fields:
        mark = request.match_info["hash"]
        for invoice in self.invoices.values():
            if invoice["hash"] == mark:
                self._age(invoice)
                return invoice
        raise web.HTTPNotFound

    def _age(self, invoice: Fields) -> None:
        ends = datetime.fromisoformat(invoice["expiration_date"]).timestamp()
        if invoice["status"] == "active" and self._clock() >= ends:
            invoice["status"] = "expired"

    def _moment(self, later_s: float = 0) -> str:
        return datetime.fromtimestamp(self._clock() + later_s, UTC).isoformat()


def sign(token: str, body: bytes) -> str:
    """The signature in the header of a call to the shop."""
    return hmac.new(hashlib.sha256(token.encode()).digest(), body, hashlib.sha256).hexdigest()


def _amount(fields: Fields) -> Decimal:
    try:
        amount = Decimal(str(fields.get("amount")))
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise RefusedCall("AMOUNT_INVALID")
    return amount


async def _wait(fault: AnyFault | None) -> None:
    if isinstance(fault, Delay):
        await asyncio.sleep(fault.seconds)  # noqa: TID251 - the outer world has its own pace
    if isinstance(fault, Hold):
        await fault.gate.wait()


async def _post(url: str, body: bytes, headers: dict[str, str]) -> int:
    timeout = ClientTimeout(total=PUSH_TIMEOUT_S)
    try:
        async with (
            ClientSession(timeout=timeout) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            return response.status
    except (ClientError, TimeoutError, OSError):
        return 0


def _refusal(name: str, status: int, headers: dict[str, str] | None = None) -> web.Response:
    answer = {"ok": False, "error": {"code": status, "name": name}}
    return web.json_response(answer, status=status, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def _page(invoice: Fields) -> web.Response:
    price = html.escape(f"{invoice['amount']} {invoice.get('asset') or invoice.get('fiat')}")
    words = html.escape(str(invoice.get("description", "")))
    button = '<form method="post"><button>Pay with play money</button></form>'
    below = button if invoice["status"] == "active" else f"<p>This invoice is {invoice['status']}."
    return web.Response(
        text=f"<!doctype html><meta charset=utf-8><title>Crypto Pay (sandbox)</title>"
        f"<h1>{price}</h1><p>{words}</p>{below}",
        content_type="text/html",
    )
