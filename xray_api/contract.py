"""The wire between back-end and node: requests, replies and errors, checked on both sides.

Requests refuse unknown fields, replies pass over them, so that fields may be added.
"""

import re
from typing import Annotated, ClassVar, Literal, NamedTuple, Self
from uuid import RFC_4122, UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

API_KEY_HEADER = "X-API-Key"
DEADLINE_HEADER = "X-Deadline-Ms"
WRITER_HEADER = "Tollgate-Writer"
PROBLEM_TYPE = "application/problem+json"

#: Bodies of requests above this get 413.
MAX_BODY_BYTES = 16 * 1024
#: Most users on one page of `GET /v1/users`.
MAX_PAGE = 10_000
#: `gen` is stored as a signed 64-bit integer on both sides.
MAX_GEN = 2**63 - 1

_WRITER = re.compile(r"(?P<db_id>[A-Za-z0-9_-]{1,64});(?P<seq>[0-9]{1,18})")


def _canonical(value: object) -> object:
    if isinstance(value, str):
        parsed = UUID(value)
        if str(parsed) != value:
            raise ValueError("must be a UUID in canonical lower case")
        return parsed
    return value


def _version_4(value: UUID) -> UUID:
    if value.variant != RFC_4122 or value.version != 4:  # noqa: PLR2004 - the version's number
        raise ValueError("must be a UUID of version 4")
    return value


def _digits(value: object) -> object:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]{1,19}", value):
            raise ValueError("must be a whole number")
        return int(value)
    return value


#: Any UUID in canonical lower case.
WireUuid = Annotated[UUID, BeforeValidator(_canonical), PlainSerializer(str)]
#: A user's UUID: random, that is version 4.
UserUuid = Annotated[WireUuid, AfterValidator(_version_4)]
#: How often the caller changed its mind about one user, from 1.
Gen = Annotated[int, Field(ge=1, le=MAX_GEN)]


class Request(BaseModel):
    """What a caller sends: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Reply(BaseModel):
    """What the node answers; a newer node may say more."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class PutRequest(Request):
    """Body of `PUT /v1/users/{uuid}`."""

    gen: Gen
    epoch: WireUuid


class RemoveQuery(Request):
    """Query of `DELETE /v1/users/{uuid}`."""

    gen: Annotated[Gen, BeforeValidator(_digits)]
    epoch: WireUuid


class ListQuery(Request):
    """Query of `GET /v1/users`: the page after `after`, in the order of uuids."""

    after: WireUuid | None = None
    limit: Annotated[int, BeforeValidator(_digits), Field(ge=1, le=MAX_PAGE)] = MAX_PAGE


class PutReply(Reply):
    """The user may connect; `created` tells whether this call let him in."""

    uuid: UserUuid
    gen: Gen
    epoch: WireUuid
    vless_link: str
    created: bool


class RemoveReply(Reply):
    """The user may not connect any more; `removed` tells whether he could before."""

    uuid: UserUuid
    gen: Gen
    epoch: WireUuid
    removed: bool


class UserReply(Reply):
    """A user whom the node lets in."""

    uuid: UserUuid
    gen: Gen
    vless_link: str


class ListedUser(Reply):
    """A user of the running Xray; `gen` 0 marks one that the node's store does not know."""

    uuid: WireUuid
    gen: Annotated[int, Field(ge=0, le=MAX_GEN)]


class UserPage(Reply):
    """A page of the running Xray's users; `next` is the next page's `after`."""

    epoch: WireUuid
    users: tuple[ListedUser, ...]
    next: WireUuid | None


class Writer(NamedTuple):
    """Who writes, and how far that database has come: `Tollgate-Writer: <db_id>;<seq>`."""

    db_id: str
    seq: int

    @classmethod
    def parse(cls, header: str) -> Self | None:
        """The header's meaning; None for text of another shape."""
        match = _WRITER.fullmatch(header)
        return cls(match["db_id"], int(match["seq"])) if match else None

    def header(self) -> str:
        """The header's text."""
        return f"{self.db_id};{self.seq}"


class WriterMark(Reply):
    """The highest `seq` seen of the last database that wrote."""

    db_id: str
    seq: int


class XrayState(Reply):
    """The Xray process; `uptime_s` is its own count and 0 while it does not answer."""

    running: bool
    version: str | None
    uptime_s: int
    restarts: int


class InboundState(Reply):
    """What links are made from; `public_key` is derived from the inbound's private key."""

    tag: str
    port: int
    network: str
    security: str
    flow: str
    server_name: str
    short_id: str
    public_key: str


class UserCounts(Reply):
    """How many users the store wants, and how many the running Xray has (0 if unknown)."""

    desired: int
    applied: int


class ServiceState(Reply):
    """The node service itself."""

    version: str
    uptime_s: int


class Readiness(Reply):
    """Answer of `GET /readyz`, with 200 when `ready` and 503 when not."""

    ready: bool
    reasons: tuple[str, ...]
    epoch: WireUuid
    xray: XrayState
    inbound: InboundState
    users: UserCounts
    writer: WriterMark | None
    allow_private_targets: bool
    service: ServiceState


class Health(Reply):
    """Answer of `GET /healthz`: the process answers."""

    status: Literal["ok"] = "ok"


class Problem(Reply):
    """An RFC 9457 error; `type` is one of the words below."""

    STALE: ClassVar = "stale"
    EPOCH: ClassVar = "epoch"
    UNAUTHORIZED: ClassVar = "unauthorized"
    INVALID: ClassVar = "invalid"
    TOO_LARGE: ClassVar = "too_large"
    NOT_FOUND: ClassVar = "not_found"
    METHOD: ClassVar = "method_not_allowed"
    BUSY: ClassVar = "busy"
    UNAVAILABLE: ClassVar = "unavailable"
    INTERNAL: ClassVar = "internal"

    type: str
    title: str
    status: int
    detail: str = ""
    #: 409: the highest `gen` that the node has seen for this uuid.
    node_gen: Gen | None = None
    #: 412: the node's epoch.
    epoch: WireUuid | None = None
    #: 422: one line for each field that is wrong.
    errors: tuple[str, ...] | None = None
