"""The edge of the node's HTTP API: every request is limited and every failure a problem.

The key is checked before the body is read; nothing of an error's inside reaches a stranger.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from typing import TypeVar

import structlog
from aiohttp import HttpVersion11, web
from pydantic import BaseModel, ValidationError

from xray_api.contract import (
    DEADLINE_HEADER,
    PROBLEM_TYPE,
    Problem,
)

#: For callers that do not say how long they wait.
DEFAULT_DEADLINE_S = 30.0
RETRY_AFTER_S = 1
#: A batch may be wrong in ten thousand places; a reader needs a few of them.
_MOST_ERRORS = 20
#: Above it aiohttp warns of a body that is sent in one piece.
_LARGE_BYTES = 1_000_000
#: When the caller's time is over, in the loop's time.
DEADLINE = web.RequestKey("deadline", float)

_log = structlog.get_logger()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Input = TypeVar("Input")
Output = TypeVar("Output")


class ProblemError(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, kind: str, title: str, **fields: object) -> None:
        super().__init__(title)
        fields = {"type": kind, "title": title, "status": status, **fields}
        self.problem = Problem.model_validate(fields)


def unavailable(detail: str) -> ProblemError:
    """503: not now."""
    title = "the node cannot do it now"
    return ProblemError(503, Problem.UNAVAILABLE, title, detail=detail)


def busy(title: str) -> ProblemError:
    """429: too much at once."""
    return ProblemError(429, Problem.BUSY, title)


def invalid(*errors: str) -> ProblemError:
    """422: what is wrong, a line for each field."""
    return ProblemError(422, Problem.INVALID, "the request is not valid", errors=errors)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error leaves as a problem; an unexpected one says nothing of its inside."""
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except ProblemError as error:
        problem = error.problem
    except web.HTTPException as error:
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        kinds = {404: Problem.NOT_FOUND, 405: Problem.METHOD, 413: Problem.TOO_LARGE}
        kind = kinds.get(error.status, Problem.INVALID)
        problem = Problem(type=kind, title=error.reason, status=error.status)
    except Exception:  # noqa: BLE001 - the outermost edge
        _log.exception("request_failed", method=request.method)
        problem = Problem(type=Problem.INTERNAL, title="the node failed", status=500)
    if problem.type in {Problem.BUSY, Problem.UNAVAILABLE}:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return _refusal(problem, headers)


@web.middleware
async def keep_deadline(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever a request waits for, its body included, it waits no longer than its caller."""
    text = request.headers.get(DEADLINE_HEADER, str(int(DEFAULT_DEADLINE_S * 1000)))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise invalid(f"{DEADLINE_HEADER}: must be a whole number of milliseconds")
    if int(text) == 0:
        raise unavailable("there was no time left")
    deadline = asyncio.get_running_loop().time() + int(text) / 1000
    request[DEADLINE] = deadline
    try:
        async with asyncio.timeout_at(deadline):
            return await handler(request)
    except TimeoutError:
        raise unavailable("there was not time enough left") from None


async def expect(request: web.Request) -> web.Response | None:
    """What aiohttp asks before the middlewares; the same as it does itself, as a problem."""
    if request.version < HttpVersion11:
        return None
    if request.headers["Expect"].lower() != "100-continue":
        title = "only 100-continue can be expected"
        return _refusal(Problem(type=Problem.INVALID, title=title, status=417), {})
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun
    return None


async def body_of(request: web.Request, most_bytes: int) -> bytes:
    """The request's body.

    Raises:
        HTTPRequestEntityTooLarge: it is longer than `most_bytes`.
    """
    body = bytearray()
    while chunk := await request.content.readany():
        body += chunk
        if len(body) > most_bytes:
            raise web.HTTPRequestEntityTooLarge(max_size=most_bytes, actual_size=len(body))
    return bytes(body)


def query_of(request: web.Request) -> dict[str, str]:
    """The query, in which no name may stand twice."""
    if len(request.query) != len(set(request.query)):
        raise invalid("query: a name stands twice")
    return dict(request.query)


def checked(validate: Callable[[Input], Output], given: Input, name: str = "") -> Output:
    """What was given, parsed.

    Raises:
        ProblemError: 422 with a line for each field that is wrong.
    """
    try:
        return validate(given)
    except ValidationError as error:
        errors = tuple(
            f"{'.'.join(map(str, fault['loc'])) or name or 'body'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)[:_MOST_ERRORS]
        )
        raise invalid(*errors) from None


def answer(reply: BaseModel, status: int = 200, *, leave_out_none: bool = False) -> web.Response:
    """A reply as JSON."""
    text = reply.model_dump_json(exclude_none=leave_out_none).encode()
    return web.Response(
        # As a stream a long one lets others be answered between its parts.
        body=text if len(text) <= _LARGE_BYTES else BytesIO(text),
        status=status,
        content_type="application/json",
    )


def _refusal(problem: Problem, headers: Mapping[str, str]) -> web.Response:
    return web.Response(
        body=problem.model_dump_json(exclude_none=True),
        status=problem.status,
        content_type=PROBLEM_TYPE,
        headers=headers,
    )
