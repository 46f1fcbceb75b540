"""The real node behind the port: every answer is checked against what was asked."""

import re
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from operator import xor
from uuid import UUID

from xray_api.client.errors import NodeProtocolError, NodeRejected, WrongUserAnswered
from xray_api.client.port import ATTEMPT_S, BULK_ATTEMPT_S
from xray_api.client.transport import MAX_BULK_ANSWER_BYTES, NodeTransport, raise_failure
from xray_api.contract import (
    DEFAULT_BUCKETS,
    MAX_PAGE,
    BatchReply,
    BatchRequest,
    DigestReply,
    DisconnectReply,
    Operation,
    PutReply,
    PutRequest,
    Readiness,
    RemoveReply,
    SnapshotReply,
    SnapshotRequest,
    SnapshotUser,
    TrafficReply,
    UserPage,
    UserReply,
    Writer,
)
from xray_api.digest import HEX_DIGITS, numbers

_HEX = re.compile(r"[0-9a-f]*")


class NodeClient(NodeTransport):
    """A `NodePort` over HTTP. Close it, or use it as a context manager."""

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
        answer = await self.ask("PUT", f"/v1/users/{uuid}", deadline_s, body=body, writer=writer)
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
        answer = await self.ask("DELETE", path, deadline_s, query=query, writer=writer)
        reply = answer.reply(RemoveReply)
        _check_user(uuid, reply.uuid)
        _check_echo((gen, epoch), (reply.gen, reply.epoch))
        return reply

    async def get(self, uuid: UUID, *, deadline_s: float = ATTEMPT_S) -> UserReply | None:
        """A user whom the node lets in."""
        try:
            answer = await self.ask("GET", f"/v1/users/{uuid}", deadline_s)
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
        reply = (await self.ask("GET", "/v1/users", deadline_s, query=query)).reply(UserPage)
        _check_page(after, limit, reply)
        return reply

    async def ready(self, *, deadline_s: float = ATTEMPT_S) -> Readiness:
        """The node's account of itself."""
        answer = await self.answered("GET", "/readyz", deadline_s)
        if answer.status == 503:  # noqa: PLR2004 - "not ready", told in full
            try:
                return answer.reply(Readiness)
            except NodeProtocolError:
                pass  # a 503 of something else
        raise_failure(answer)
        return answer.reply(Readiness)

    async def batch(
        self,
        epoch: UUID,
        operations: Sequence[Operation],
        *,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> BatchReply:
        """Many wishes at once, each with its own outcome."""
        request = BatchRequest(epoch=epoch, operations=tuple(operations))
        body = request.model_dump(mode="json")
        reply = (
            await self.ask(
                "POST",
                "/v1/users:batch",
                deadline_s,
                body=body,
                writer=writer,
                most_bytes=MAX_BULK_ANSWER_BYTES,
            )
        ).reply(BatchReply)
        _check_batch(request, reply)
        return reply

    async def snapshot(
        self,
        epoch: UUID,
        users: Mapping[UUID, int],
        *,
        base_digest: str | None = None,
        allow_shrink: int | None = None,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> SnapshotReply:
        """Let these users in, and nobody else."""
        wanted = tuple(SnapshotUser(uuid=uuid, gen=gen) for uuid, gen in users.items())
        request = SnapshotRequest(epoch=epoch, base_digest=base_digest, users=wanted)
        answer = await self.ask(
            "PUT",
            "/v1/users",
            deadline_s,
            query={} if allow_shrink is None else {"allow_shrink": str(allow_shrink)},
            body=request.model_dump(mode="json"),
            writer=writer,
        )
        return answer.reply(SnapshotReply)

    async def digest(
        self, *, buckets: int = DEFAULT_BUCKETS, deadline_s: float = BULK_ATTEMPT_S
    ) -> DigestReply:
        """The running Xray's users in short."""
        query = {"buckets": str(buckets)}
        answer = await self.ask(
            "GET", "/v1/digest", deadline_s, query=query, most_bytes=MAX_BULK_ANSWER_BYTES
        )
        reply = answer.reply(DigestReply)
        _check_digest(buckets, reply)
        return reply

    async def traffic(
        self, *, reset: bool = False, deadline_s: float = BULK_ATTEMPT_S
    ) -> TrafficReply:
        """Bytes for each user since the counters' start."""
        query = {"reset": "true" if reset else "false"}
        answer = await self.ask(
            "GET", "/v1/traffic", deadline_s, query=query, most_bytes=MAX_BULK_ANSWER_BYTES
        )
        return answer.reply(TrafficReply)

    async def disconnect(
        self, uuid: UUID, *, deadline_s: float = ATTEMPT_S
    ) -> DisconnectReply | None:
        """End a user's open connections; None when the node never knew him."""
        try:
            answer = await self.ask("POST", f"/v1/users/{uuid}:disconnect", deadline_s)
        except NodeRejected as error:
            if error.status == 404:  # noqa: PLR2004 - the status
                return None
            raise
        return answer.reply(DisconnectReply)


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


def _check_batch(asked: BatchRequest, reply: BatchReply) -> None:
    if reply.epoch != asked.epoch:
        raise NodeProtocolError("the answer is about another wish")
    if len(reply.results) != len(asked.operations):
        raise NodeProtocolError("the answer has not one result for each operation")
    for operation, result in zip(asked.operations, reply.results, strict=True):
        _check_user(operation.uuid, result.uuid, result.vless_link)
        if result.status == "stale":
            continue
        if result.gen != operation.gen:
            raise NodeProtocolError("the answer is about another wish")
        if (operation.op, result.status, result.vless_link) == ("put", "applied", None):
            raise NodeProtocolError("the answer has no valid link")


def _check_page(after: UUID | None, limit: int, reply: UserPage) -> None:
    """Who is between two pages that do not fit together would be taken for missing."""
    uuids = [user.uuid for user in reply.users]
    if len(uuids) > limit:
        raise NodeProtocolError("the page is longer than was asked for")
    in_order = uuids if after is None else [after, *uuids]
    if any(one >= following for one, following in pairwise(in_order)):
        raise NodeProtocolError("the page's users are not in order")
    if reply.next is not None and reply.next != (uuids[-1] if uuids else None):
        raise NodeProtocolError("the next page does not follow this one")


def _check_digest(buckets: int, reply: DigestReply) -> None:
    if len(reply.buckets) != buckets:
        raise NodeProtocolError("the digest has another number of buckets")
    texts = (reply.root, *reply.buckets)
    if set(map(len, texts)) != {HEX_DIGITS} or not _HEX.fullmatch("".join(texts)):
        raise NodeProtocolError("the digest is not of hexadecimal digits")
    if reduce(xor, numbers(texts)):
        raise NodeProtocolError("the digest's root is not that of its buckets")
