"""The real node behind the port: every answer is checked, every failure gets its class.

Nothing is retried here, except once with the other API key after a 401. No key, link or URL
reaches an error's text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

import aiohttp
from pydantic import BaseModel, ValidationError

from xray_api.client.errors import (
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
    StaleGeneration,
    WrongUserAnswered,
)
from xray_api.client.port import ATTEMPT_S, Guard
from xray_api.contract import (
    API_KEY_HEADER,
    DEADLINE_HEADER,
    MAX_PAGE,
    WRITER_HEADER,
    Problem,
    PutReply,
    PutRequest,
    Readiness,
    RemoveReply,
    UserPage,
    UserReply,
    Writer,
)

#: A longer answer is none of ours: 10,000 listed users take 0.8 MB at most.
MAX_ANSWER_BYTES = 1024 * 1024
CONNECT_TIMEOUT_S = 1.5

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    retry_after: float | None

    def problem(self) -> Problem:
        """The node's own words; an answer without them comes from something in front of it."""
        return self.reply(Problem)

    def reply(self, model: type[Reply]) -> Reply:
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            text = f"status {self.status}: the answer is no {model.__name__}"
            where = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors())
            raise NodeProtocolError(f"{text} ({where})" if where else text) from None


class NodeClient:
    """A `NodePort` over HTTP. Close it, or use it as a context manager."""

    def __init__(self, url: str, api_keys: Sequence[str], *, guard: Guard | None = None) -> None:
        """Take the node's base URL and its keys, the current one first."""
        if not api_keys:
            raise ValueError("a node needs an API key")
        self._url = url.rstrip("/")
        self._keys = tuple(api_keys)
        self._key = 0
        self._guard = guard or (lambda: None)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Drop the connections."""
        if self._session is not None:
            await self._session.close()

    async def put(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> PutReply:
        """Let a user in."""
        body = PutRequest(gen=gen, epoch=epoch).model_dump(mode="json")
        answer = await self._ask("PUT", f"/v1/users/{uuid}", deadline_s, body=body, writer=writer)
        reply = answer.reply(PutReply)
        _check_user(uuid, reply.uuid, reply.vless_link)
        _check_echo((gen, epoch), (reply.gen, reply.epoch))
        return reply

    async def remove(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> RemoveReply:
        """Shut a user out."""
        query = {"gen": str(gen), "epoch": str(epoch)}
        path = f"/v1/users/{uuid}"
        answer = await self._ask("DELETE", path, deadline_s, query=query, writer=writer)
        reply = answer.reply(RemoveReply)
        _check_user(uuid, reply.uuid)
        _check_echo((gen, epoch), (reply.gen, reply.epoch))
        return reply

    async def get(self, uuid: UUID, *, deadline_s: float = ATTEMPT_S) -> UserReply | None:
        """A user whom the node lets in."""
        try:
            answer = await self._ask("GET", f"/v1/users/{uuid}", deadline_s)
        except NodeRejected as error:
            if error.status == 404:  # noqa: PLR2004 - the status
                return None
            raise
        reply = answer.reply(UserReply)
        _check_user(uuid, reply.uuid, reply.vless_link)
        return reply

    async def list_users(
        self, *, after: UUID | None = None, limit: int = MAX_PAGE, deadline_s: float = ATTEMPT_S
    ) -> UserPage:
        """One page of the running Xray's users, by uuid."""
        query = {"limit": str(limit)} | ({"after": str(after)} if after else {})
        return (await self._ask("GET", "/v1/users", deadline_s, query=query)).reply(UserPage)

    async def ready(self, *, deadline_s: float = ATTEMPT_S) -> Readiness:
        """The node's account of itself."""
        answer = await self._answered("GET", "/readyz", deadline_s)
        if answer.status == 503:  # noqa: PLR2004 - "not ready", told in full
            try:
                return answer.reply(Readiness)
            except NodeProtocolError:
                pass  # a 503 of something else
        _raise_failure(answer)
        return answer.reply(Readiness)

    async def _ask(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        writer: Writer | None = None,
    ) -> _Answer:
        answer = await self._answered(
            method, path, deadline_s, query=query, body=body, writer=writer
        )
        _raise_failure(answer)
        return answer

    async def _answered(
        self,
        method: str,
        path: str,
        deadline_s: float,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        writer: Writer | None = None,
    ) -> _Answer:
        """Any answer; on a 401 the next key is tried, once, and kept if it is the right one."""
        self._guard()
        headers = {DEADLINE_HEADER: str(max(1, int(deadline_s * 1000)))}
        if writer is not None:
            headers[WRITER_HEADER] = writer.header()
        first = self._key
        for key in (first, (first + 1) % len(self._keys)):
            headers[API_KEY_HEADER] = self._keys[key]
            answer = await self._send(
                method, path, deadline_s, params=query, json=body, headers=headers
            )
            if answer.status != 401:  # noqa: PLR2004 - the status
                self._key = key
                break
            if len(self._keys) == 1:
                break
        return answer

    async def _send(self, method: str, path: str, deadline_s: float, **request: Any) -> _Answer:
        timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=CONNECT_TIMEOUT_S)
        try:
            async with self._connections().request(
                method, self._url + path, timeout=timeout, allow_redirects=False, **request
            ) as response:
                body = await _limited(response.content)
                return _Answer(response.status, body, _seconds(response.headers))
        except (aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            raise NodeTlsError(type(error).__name__) from None
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise NodeUnreachable(type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:  # a timeout is an OSError
            raise OutcomeUnknown(type(error).__name__) from None

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


async def _limited(stream: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    while chunk := await stream.readany():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise NodeProtocolError("the answer is too long")
    return bytes(body)


def _seconds(headers: Mapping[str, str]) -> float | None:
    """Retry-After in seconds; None if absent or a date, which would need a common clock."""
    text = headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _raise_failure(answer: _Answer) -> None:
    if answer.status != 200:  # noqa: PLR2004 - the only success of this contract
        raise _failure(answer)


def _failure(answer: _Answer) -> NodeCallError:  # noqa: PLR0911 - one line for each class
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
        case 409 if (gen := answer.problem().node_gen) is not None:
            return StaleGeneration(gen)
        case 412 if (epoch := answer.problem().epoch) is not None:
            return EpochChanged(epoch)
        case 400 | 404 | 405 | 413 | 422 as status:
            problem = answer.problem()
            return NodeRejected(status, "; ".join(problem.errors or (problem.title,)))
        case status:
            return NodeProtocolError(f"status {status} is not in the contract")


def _check_user(asked: UUID, answered: UUID, link: str | None = None) -> None:
    if answered != asked:
        raise WrongUserAnswered("the answer is about another uuid")
    if link is None or link.startswith(f"vless://{asked}@"):
        return
    if link.startswith("vless://"):
        raise WrongUserAnswered("the link is another user's")
    raise NodeProtocolError("the answer has no valid link")


def _check_echo(asked: tuple[int, UUID], answered: tuple[int, UUID]) -> None:
    if answered != asked:
        raise NodeProtocolError("the answer is about another wish")
