"""HTTP to one node: requests with key and deadline, answers with a limit, failures by class.

Nothing is retried here, except once with the other API key after a 401. No key, link or URL
reaches an error's text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BytesIO
from typing import Any, Self, TypeVar

import aiohttp
from aiohttp.payload import BytesIOPayload
from pydantic import BaseModel, ValidationError

from config import crashing
from xray_api.client.errors import (
    DigestChanged,
    EpochChanged,
    NodeBusy,
    NodeCallError,
    NodeProtocolError,
    NodeRedirects,
    NodeRejected,
    NodeTlsError,
    NodeUnauthorized,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
    ShrinkRefused,
    StaleGeneration,
)
from xray_api.client.port import Guard
from xray_api.contract import (
    API_KEY_HEADER,
    DEADLINE_HEADER,
    WRITER_HEADER,
    Problem,
    Writer,
)

#: A longer answer is none of ours: 10,000 listed users take 0.8 MB at most.
MAX_ANSWER_BYTES = 1024 * 1024
#: The same for many users: the traffic of 100,000 takes some 15 MB.
MAX_BULK_ANSWER_BYTES = 64 * 1024 * 1024
CONNECT_TIMEOUT_S = 1.5
#: Above it aiohttp warns of a body that is sent in one piece.
_LARGE_BYTES = 1_000_000

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever its status."""

    status: int
    body: bytes
    retry_after: float | None

    def problem(self) -> Problem:
        """The node's own words; an answer without them comes from something in front of it."""
        return self.reply(Problem)

    def reply(self, model: type[Reply]) -> Reply:
        """The body as `model`; `NodeProtocolError` if it is none."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            text = f"status {self.status}: the answer is no {model.__name__}"
            where = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise NodeProtocolError(f"{text} ({where})" if where else text) from None


class NodeTransport:
    """Requests to one node. Close it, or use it as a context manager."""

    def __init__(self, url: str, api_keys: Sequence[str], *, guard: Guard | None = None) -> None:
        """Take the node's base URL and its keys, the current one first."""
        if not api_keys:
            raise ValueError("a node needs an API key")
        self._url = url.rstrip("/")
        self._keys = tuple(api_keys)
        self._key = 0
        self._guard = guard or (lambda: None)
        self._session: aiohttp.ClientSession | None = None
        #: How far the node's clock is ahead of this machine's, by its last answer, seconds; None
        #: before the first one. An answer says whole seconds.
        self.clock_ahead_s: float | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def ask(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        writer: Writer | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """The answer of a success; every other one is raised as its class."""
        answer = await self.answered(
            method, path, deadline_s, query=query, body=body, writer=writer, most_bytes=most_bytes
        )
        raise_failure(answer)
        return answer

    async def answered(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        writer: Writer | None = None,
        most_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Any answer; on a 401 the next key is tried, once, and kept if it is the right one."""
        self._guard()
        headers = {DEADLINE_HEADER: str(max(1, int(deadline_s * 1000)))}
        if writer is not None:
            headers[WRITER_HEADER] = writer.header()
        first = self._key
        for key in (first, (first + 1) % len(self._keys)):
            headers[API_KEY_HEADER] = self._keys[key]
            answer = await self._send(
                method,
                path,
                deadline_s,
                most_bytes,
                params=query,
                headers=headers,
                **_payload(body),
            )
            if answer.status != 401:  # noqa: PLR2004 - the status
                self._key = key
                break
            if len(self._keys) == 1:
                break
        return answer

    async def _send(
        self, method: str, path: str, deadline_s: float, most_bytes: int, **request: Any
    ) -> Answer:
        timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=CONNECT_TIMEOUT_S)
        crashing.before(f"node {method}")
        try:
            async with self._connections().request(
                method, self._url + path, timeout=timeout, allow_redirects=False, **request
            ) as response:
                body = await _limited(response.content, most_bytes)
                crashing.after(f"node {method}")
                self._note_clock(response.headers.get("Date", ""))
                return Answer(response.status, body, _seconds(response.headers))
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            raise NodeTlsError(type(error).__name__) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeUnreachable(type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise OutcomeUnknown(type(error).__name__) from None

    def _note_clock(self, date: str) -> None:
        try:
            said = parsedate_to_datetime(date)
            here = datetime.now(UTC)  # noqa: TID251 - two machines' clocks are compared
            self.clock_ahead_s = (said - here).total_seconds()
        except (TypeError, ValueError):  # no date, or one without a zone
            return

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                # Not compressed: the limit on an answer is a limit on what is received.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
            # aiohttp sends a request again when a kept connection breaks. Then "refused" could
            # follow a request that was received, and only the Provisioner may retry.
            self._session._retry_connection = False  # noqa: SLF001 - pinned by a test
        return self._session


def _payload(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """The body; a long one as a stream, as in one piece it would hold up everything else."""
    text = json.dumps(body).encode() if body is not None else b""
    if len(text) <= _LARGE_BYTES:
        return {"json": body}
    return {"data": BytesIOPayload(BytesIO(text), content_type="application/json")}


async def _limited(stream: aiohttp.StreamReader, most_bytes: int) -> bytes:
    body = bytearray()
    while chunk := await stream.readany():
        body += chunk
        if len(body) > most_bytes:
            raise NodeProtocolError("the answer is too long")
    return bytes(body)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds; None if absent or a date, which would need a common clock."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def raise_failure(answer: Answer) -> None:
    """Raise what an answer that is no success means."""
    if answer.status != 200:  # noqa: PLR2004 - the only success of this contract
        raise _failure(answer)


def _failure(answer: Answer) -> NodeCallError:  # noqa: PLR0911 - one line for each class
    match answer.status:
        case 401 | 403:
            return NodeUnauthorized(f"status {answer.status}")
        case 429:
            return NodeBusy("status 429", answer.retry_after)
        case 503:
            return NodeUnavailable("status 503", answer.retry_after)
        case 525 | 526:
            return NodeTlsError(f"status {answer.status}")
        case status if status >= 500:  # noqa: PLR2004 - server errors
            return OutcomeUnknown(f"status {status}")
        case status if 300 <= status < 400:  # noqa: PLR2004 - redirects
            return NodeRedirects(f"status {status}")
        case 409 | 412:
            return _refusal(answer)
        case 400 | 404 | 405 | 413 | 422 as status:
            problem = answer.problem()
            return NodeRejected(status, "; ".join(problem.errors or (problem.title,)))
        case status:
            return NodeProtocolError(f"status {status} is not in the contract")


def _refusal(answer: Answer) -> NodeCallError:
    problem = answer.problem()
    match answer.status:
        case 409 if problem.node_gen is not None:
            return StaleGeneration(problem.node_gen)
        case 409 if problem.would_remove is not None:
            return ShrinkRefused(problem.would_remove)
        case 409 if problem.root is not None:
            return DigestChanged(problem.root)
        case 412 if problem.epoch is not None:
            return EpochChanged(problem.epoch)
    return NodeProtocolError(f"status {answer.status} without its field")
