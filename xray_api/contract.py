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
#: The same for a batch and a snapshot, which hold many users.
MAX_BULK_BODY_BYTES = 64 * 1024 * 1024
#: Most users on one page of `GET /v1/users`.
MAX_PAGE = 10_000
#: Most operations of one batch.
MAX_BATCH = 10_000
#: Buckets of a digest are a power of two up to this.
MAX_BUCKETS = 65_536
DEFAULT_BUCKETS = 4096
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


def _truth(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _power_of_two(value: int) -> int:
    if value & (value - 1):
        raise ValueError("must be a power of two")
    return value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


#: JSON knows lists alone.
_LIST = BeforeValidator(_as_tuple)

#: Any UUID in canonical lower case.
WireUuid = Annotated[UUID, BeforeValidator(_canonical), PlainSerializer(str)]
#: A user's UUID: random, that is version 4.
UserUuid = Annotated[WireUuid, AfterValidator(_version_4)]
#: How often the caller changed its mind about one user, from 1.
Gen = Annotated[int, Field(ge=1, le=MAX_GEN)]


#: How open connections are ended: by the kernel, or not at all.
CutMethod = Literal["socket", "none"]


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
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE), BeforeValidator(_digits)] = MAX_PAGE


class Operation(Request):
    """One wish of a batch."""

    op: Literal["put", "delete"]
    uuid: UserUuid
    gen: Gen


class BatchRequest(Request):
    """Body of `POST /v1/users:batch`; operations of one uuid count in their order."""

    epoch: WireUuid
    operations: Annotated[tuple[Operation, ...], Field(max_length=MAX_BATCH), _LIST]


class SnapshotUser(Request):
    """A user who is to be let in."""

    uuid: UserUuid
    gen: Gen


class SnapshotRequest(Request):
    """Body of `PUT /v1/users`: everybody who is to be let in, and nobody else.

    `base_digest` is the `root` of the digest that the caller saw; null is not checked.
    """

    epoch: WireUuid
    base_digest: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None
    users: Annotated[tuple[SnapshotUser, ...], _LIST]


class SnapshotQuery(Request):
    """Query of `PUT /v1/users`: how many may be removed beyond what the guard allows."""

    allow_shrink: Annotated[int, Field(ge=0), BeforeValidator(_digits)] | None = None


class DigestQuery(Request):
    """Query of `GET /v1/digest`."""

    buckets: Annotated[
        int, Field(ge=1, le=MAX_BUCKETS), AfterValidator(_power_of_two), BeforeValidator(_digits)
    ] = DEFAULT_BUCKETS


class TrafficQuery(Request):
    """Query of `GET /v1/traffic`; `reset` starts the counters again."""

    reset: Annotated[bool, BeforeValidator(_truth)] = False


class PutReply(Reply):
    """The user may connect; `created` tells whether this call let him in."""

    uuid: UserUuid
    gen: Gen
    epoch: WireUuid
    vless_link: str
    created: bool


class RemoveReply(Reply):
    """The user may not connect any more; `removed` tells whether he could before.

    His open connections end within 60 s if `method` is `socket`, and otherwise when he ends them.
    """

    uuid: UserUuid
    gen: Gen
    epoch: WireUuid
    removed: bool
    method: CutMethod = "none"


class OperationResult(Reply):
    """What became of one operation: `stale` and `failed` left Xray as it was, or say why not.

    `gen` is the operation's, and for `stale` the highest that the node has seen.
    """

    uuid: UserUuid
    status: Literal["applied", "stale", "failed"]
    gen: Gen
    vless_link: str | None = None
    detail: str | None = None


class BatchReply(Reply):
    """One result for each operation, in the same order."""

    epoch: WireUuid
    results: tuple[OperationResult, ...]


class SnapshotReply(Reply):
    """What became of a snapshot; `stale` users were overtaken by a newer wish, which stands."""

    added: int
    removed: int
    kept: int
    stale: int = 0


class DigestReply(Reply):
    """The running Xray's users in short; see `xray_api/digest.py`."""

    epoch: WireUuid
    count: int
    root: str
    buckets: tuple[str, ...]
    writer: "WriterMark | None"


class UserTraffic(Reply):
    """Bytes since the counter's start, and how many addresses are connected now."""

    uuid: WireUuid
    uplink: int
    downlink: int
    online: int


class TrafficReply(Reply):
    """Everybody who has had traffic since Xray's start."""

    users: tuple[UserTraffic, ...]


class DisconnectReply(Reply):
    """How many connections were ended; `none` when the machine does not allow it."""

    closed: int
    method: CutMethod


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
    SHRINK: ClassVar = "shrink"
    DIGEST: ClassVar = "digest"
    BUSY: ClassVar = "busy"
    UNAVAILABLE: ClassVar = "unavailable"
    INTERNAL: ClassVar = "internal"

    type: str
    title: str
    status: int
    detail: str = ""
    #: 409: the highest `gen` that the node has seen for this uuid.
    node_gen: Gen | None = None
    #: 409 `shrink`: how many users would be removed.
    would_remove: int | None = None
    #: 409 `digest`: the node's own.
    root: str | None = None
    #: 412: the node's epoch.
    epoch: WireUuid | None = None
    #: 422: one line for each field that is wrong.
    errors: tuple[str, ...] | None = None
