"""A fault proxy before a node's API: what it does wrong is a list of rules, all else passes.

Each rule fires a bounded number of times and counts it: a fault that never fired proves nothing.
Every request is kept, so that repeats can be counted.
"""

import asyncio
import datetime as dt
import ipaddress
import json
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID, uuid4

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

#: Rules that are to last until they are lifted fire so often at most.
OFTEN = 1_000_000
#: More than a client takes: the bound on an answer is 1 MB.
LONG_BYTES = 2 * 1024 * 1024
LARGEST_BODY = 64 * 1024 * 1024
HTML = b"<!doctype html><title>Welcome</title><p>A login page, say."
#: They are of one connection, or are made anew on the way.
OWN_HEADERS = frozenset({"host", "connection", "content-length", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the node said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class DelayBefore:
    """The request waits, seconds, and goes on, also when its sender has gone."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DelayAfter:
    """The node does it at once, and its answer waits, seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DropRequest:
    """The node never hears of it, and the connection ends."""


@dataclass(frozen=True, slots=True)
class DropResponse:
    """The node does it, and the connection ends without an answer."""


@dataclass(frozen=True, slots=True)
class Status:
    """The node never hears of it; this is the answer."""

    code: int
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mangle:
    """The node does it, and its answer is changed."""

    change: Callable[[Answer], Answer]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The node gets it twice, one after the other; the second answer counts."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The request waits until its rule is released, also when its sender has gone."""


@dataclass(frozen=True, slots=True)
class HoldAnswer:
    """The node does it at once, and its answer waits until its rule is released."""


@dataclass(frozen=True, slots=True)
class WrongCertificate:
    """A connection is shown a certificate that nobody trusts."""


Fault = (
    DelayBefore
    | DelayAfter
    | DropRequest
    | DropResponse
    | Status
    | Mangle
    | Duplicate
    | Hold
    | HoldAnswer
    | WrongCertificate
)


class Rule:
    """A fault, which requests it meets, and how often it did."""

    def __init__(
        self,
        fault: Fault,
        *,
        methods: Sequence[str] = (),
        path: str = "",
        uuid: UUID | None = None,
        times: int = OFTEN,
    ) -> None:
        """Take a fault for requests that fit all that is given.

        Args:
            fault: what goes wrong.
            methods: of the requests that are meant; none means all.
            path: a pattern that is found in their paths.
            uuid: whom they are about.
            times: how often it fires at most.
        """
        self.fault = fault
        self.methods = methods
        self.path = re.compile(path)
        self.uuid = uuid
        self.times = times
        self.hits = 0
        #: Requests that it met, and the status that the node answered to each it heard of.
        self.met: list[Seen] = []
        self.answered: list[int] = []
        self._released = asyncio.Event()

    def take(self, seen: "Seen") -> bool:
        """Whether it fires for this request, which then counts."""
        fits = (
            (not self.methods or seen.method in self.methods)
            and self.path.search(seen.path) is not None
            and self.uuid in {None, seen.uuid}
        )
        if not (fits and self.fire()):
            return False
        self.met.append(seen)
        return True

    def fire(self) -> bool:
        """Whether it fires once more, which then counts."""
        if self.hits >= self.times:
            return False
        self.hits += 1
        return True

    def release(self) -> None:
        """Send on what is held, and what would be."""
        self._released.set()

    async def released(self) -> None:
        """Until `release`."""
        await self._released.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A request as it came in. `at` is the loop's clock, seconds; `wishes` are all of a batch."""

    at: float
    method: str
    path: str
    uuid: UUID | None
    gen: int | None
    wishes: tuple[tuple[UUID, int], ...] = ()

    @property
    def changes(self) -> bool:
        """Whether it wants the node to be different."""
        return bool(self.wishes)


class FaultProxy:
    """One before one node. `url` is what the back-end is to be told."""

    def __init__(self, target: str, identities: "Identities | None" = None) -> None:
        """Stand before the node at a base URL; with identities as a TLS server."""
        self.target = target.rstrip("/")
        self.url = ""
        self.requests: list[Seen] = []
        self.rules: list[Rule] = []
        #: Those that are over.
        self.lifted: list[Rule] = []
        self._identities = identities
        self._closing = asyncio.Event()
        self._session: aiohttp.ClientSession | None = None

    def add(self, rule: Rule) -> Rule:
        """A rule from now on; of those that fit, the one that was added first fires."""
        self.rules.append(rule)
        return rule

    def lift(self, rule: Rule) -> None:
        """No more of a rule. What it holds is sent on.

        Raises:
            AssertionError: it never fired, so whatever it was to show is not shown.
        """
        self.rules.remove(rule)
        self.lifted.append(rule)
        rule.release()
        if not rule.hits:
            raise AssertionError(f"the fault never fired: {rule.fault}")

    def amplification(self, since: int = 0) -> tuple[int, int]:
        """Wishes that were sent, and how many different ones, from the request of this number."""
        sent = [wish for seen in self.requests[since:] for wish in seen.wishes]
        return len(sent), len(set(sent))

    @asynccontextmanager
    async def serve(self) -> AsyncIterator["FaultProxy"]:
        """Listen on a free port of loopback while the context lasts."""
        app = web.Application(client_max_size=LARGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        context = self._identities.context(self._shown_certificate) if self._identities else None
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"{'https' if context else 'http'}://{host}:{port}"
        async with aiohttp.ClientSession(auto_decompress=False) as self._session:
            # aiohttp would send a request again when a kept connection breaks.
            self._session._retry_connection = False
            try:
                yield self
            finally:
                self._closing.set()
                for rule in self.rules:
                    rule.release()
                await runner.cleanup()

    def _shown_certificate(self) -> bool:
        """Whether a connection that begins is shown the right one."""
        wrong = (rule for rule in self.rules if isinstance(rule.fault, WrongCertificate))
        return not any(rule.fire() for rule in wrong)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        seen = _seen(request, body)
        self.requests.append(seen)
        fault = next(
            (
                rule
                for rule in self.rules
                if not isinstance(rule.fault, WrongCertificate) and rule.take(seen)
            ),
            None,
        )
        answer = await self._answer(request, body, fault)
        if answer is None or request.transport is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=500)  # to nobody
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in OWN_HEADERS}
        response = web.Response(status=answer.status, headers=headers, body=answer.body)
        response.force_close()  # a certificate is shown for each request anew
        return response

    async def _answer(self, request: web.Request, body: bytes, rule: Rule | None) -> Answer | None:
        """What the sender gets; None for a connection that ends."""
        fault = rule.fault if rule else None
        match fault:
            case DropRequest():
                return None
            case Status(code=code, headers=headers):
                return Answer(code, headers, b"")
            case DelayBefore(seconds=seconds):
                await self._pause(seconds)
            case Hold() if rule is not None:
                await rule.released()
            case Duplicate():
                await self._forward(request, body)
        answer = await self._forward(request, body)
        if rule is None or answer is None:
            return answer
        rule.answered.append(answer.status)
        return await self._told(answer, rule)

    async def _told(self, answer: Answer, rule: Rule) -> Answer | None:
        """What becomes of the node's answer on its way back."""
        match rule.fault:
            case DropResponse():
                return None
            case DelayAfter(seconds=seconds):
                await self._pause(seconds)
            case HoldAnswer():
                await rule.released()
            case Mangle(change=change):
                return change(answer)
        return answer

    async def _forward(self, request: web.Request, body: bytes) -> Answer | None:
        """The node's own answer; None when it is not there."""
        headers = {k: v for k, v in request.headers.items() if k.lower() not in OWN_HEADERS}
        assert self._session is not None
        try:
            async with self._session.request(
                request.method, self.target + request.raw_path, headers=headers, data=body
            ) as answer:
                return Answer(answer.status, dict(answer.headers), await answer.read())
        except (aiohttp.ClientError, OSError):
            return None

    async def _pause(self, seconds: float) -> None:
        """A wait that the end of the proxy ends too."""
        closing = asyncio.ensure_future(self._closing.wait())
        await asyncio.wait({closing}, timeout=seconds)
        closing.cancel()


# Ways to mangle an answer.


def cut_short(answer: Answer) -> Answer:
    """Half of the body, as if that were all."""
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def html(answer: Answer) -> Answer:
    """Something before the node answers instead of it."""
    return replace(answer, status=200, headers={"Content-Type": "text/html"}, body=HTML)


def too_long(answer: Answer) -> Answer:
    """More than anybody should read, and JSON all the same."""
    return replace(answer, body=answer.body + b" " * LONG_BYTES)


def without(name: str) -> Callable[[Answer], Answer]:
    """A field is missing."""

    def change(answer: Answer) -> Answer:
        found = json.loads(answer.body)
        found.pop(name, None)
        return replace(answer, body=json.dumps(found).encode())

    return change


def of_another_user(answer: Answer) -> Answer:
    """A good answer about somebody else: every place where the user stands has another one."""
    found = json.loads(answer.body)
    mine = found.get("uuid") or next((one["uuid"] for one in found.get("results", ())), None)
    if mine is None:
        return answer
    return replace(answer, body=answer.body.replace(mine.encode(), str(uuid4()).encode()))


# What a request is about.


def _seen(request: web.Request, body: bytes) -> Seen:
    wishes = _wishes(request, body)
    one = wishes[0] if len(wishes) == 1 else (_uuid(request.path.rpartition("/")[2]), None)
    return Seen(
        at=asyncio.get_running_loop().time(),
        method=request.method,
        path=request.path,
        uuid=one[0],
        gen=one[1],
        wishes=wishes,
    )


def _wishes(request: web.Request, body: bytes) -> tuple[tuple[UUID, int], ...]:
    uuid = _uuid(request.path.rpartition("/")[2])
    match request.method, uuid:
        case "PUT", UUID():
            return ((uuid, json.loads(body)["gen"]),)
        case "DELETE", UUID():
            return ((uuid, int(request.query["gen"])),)
    if request.path.endswith(":batch"):
        operations = json.loads(body)["operations"]
        return tuple((UUID(one["uuid"]), one["gen"]) for one in operations)
    return ()


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


# Certificates.


class Identities:
    """Two certificates for loopback; who is to trust the first is given `trusted`."""

    def __init__(self) -> None:
        self.trusted, self._right = _identity()
        _, self._wrong = _identity()

    def context(self, right: Callable[[], bool]) -> ssl.SSLContext:
        """A server's, which asks at each connection whether to show the right one."""
        shown, wrong = _server(self._right), _server(self._wrong)

        def chosen(connection: ssl.SSLObject, _name: object, _context: object) -> None:
            if not right():
                connection.context = wrong

        shown.sni_callback = chosen
        return shown


def _identity() -> tuple[str, bytes]:
    """A fresh self-signed certificate as PEM, and it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a node of the tests")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    trusted = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return trusted.decode(), trusted + secret


def _server(identity: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with TemporaryDirectory() as folder:  # the ssl module reads keys from files alone
        file = Path(folder) / "identity.pem"
        file.write_bytes(identity)
        context.load_cert_chain(file)
    return context
