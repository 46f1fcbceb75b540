"""A node in memory with the real one's fence, and faults on command, for tests and simulations.

The suite in `tests/contracts` runs over this and over a real node with a real Xray.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from xray_api.client.errors import (
    DigestChanged,
    EpochChanged,
    NodeCallError,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
    ShrinkRefused,
    StaleGeneration,
    WrongUserAnswered,
)
from xray_api.client.port import ATTEMPT_S, BULK_ATTEMPT_S, Guard
from xray_api.contract import (
    DEFAULT_BUCKETS,
    MAX_PAGE,
    BatchReply,
    DigestReply,
    DisconnectReply,
    InboundState,
    ListedUser,
    Operation,
    OperationResult,
    PutReply,
    Readiness,
    RemoveReply,
    ServiceState,
    SnapshotReply,
    TrafficReply,
    UserCounts,
    UserPage,
    UserReply,
    Writer,
    WriterMark,
    XrayState,
)
from xray_api.digest import Digest, digest

_INBOUND = InboundState(
    tag="vless",
    port=443,
    network="tcp",
    security="reality",
    flow="xtls-rprx-vision",
    server_name="www.example.com",
    short_id="0123456789abcdef",
    public_key="A" * 43,
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the store holds for one uuid: the highest generation, and what it asked for."""

    gen: int
    present: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One request that reached the node; `kind` is the port's method."""

    kind: str
    uuid: UUID | None = None
    gen: int | None = None
    epoch: UUID | None = None
    writer: Writer | None = None


class FakeNodeClient:
    """A `NodePort` whose node is this object.

    Attributes:
        epoch: the node's epoch.
        wishes: its store, tombstones included.
        running: the users of its Xray.
        calls: every request that reached it, in order.
        clock_ahead_s: None, as this node names no time.
    """

    clock_ahead_s: float | None = None

    def __init__(
        self,
        *,
        host: str = "node.example.com",
        epoch: UUID | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.epoch = epoch or uuid4()
        self.wishes: dict[UUID, Wish] = {}
        self.running: set[UUID] = set()
        self.calls: list[Call] = []
        self._host = host
        self._guard = guard or (lambda: None)
        self._writer: Writer | None = None
        self._unreachable = False
        self._not_ready: str | None = None
        self._failures: deque[NodeCallError] = deque()
        self._refusals: deque[NodeCallError] = deque()
        self._after_applying: deque[NodeCallError] = deque()
        self._gate = asyncio.Event()
        self._gate.set()

    # Faults.

    def refuse_connections(self) -> None:
        """Every call fails before it is sent, until `accept_connections`."""
        self._unreachable = True

    def accept_connections(self) -> None:
        """Ends `refuse_connections`."""
        self._unreachable = False

    def fail_next(self, error: NodeCallError, *, times: int = 1, visits: bool = True) -> None:
        """The next calls raise `error` and change nothing; without `visits`, the next mutations."""
        (self._failures if visits else self._refusals).extend([error] * times)

    def drop_next_reply_after_applying(self, *, times: int = 1) -> None:
        """The next mutations are applied, and their replies are lost."""
        self._after_applying.extend([OutcomeUnknown("the reply was lost")] * times)

    def answer_for_another_user_next(self) -> None:
        """The next mutation is applied, and its reply names another uuid."""
        self._after_applying.append(WrongUserAnswered("the answer is about another uuid"))

    def hold_calls(self) -> None:
        """Calls reach the node and wait there unapplied, until `release_calls`."""
        self._gate.clear()

    def release_calls(self) -> None:
        """Ends `hold_calls`."""
        self._gate.set()

    def stop_xray(self, reason: str = "Xray is not running") -> None:
        """Mutations are refused with 503 and `/readyz` says why, until `start_xray`."""
        self._not_ready = reason
        self.running.clear()

    def start_xray(self) -> None:
        """Xray runs again, filled from the store."""
        self._not_ready = None
        self.running = {uuid for uuid, wish in self.wishes.items() if wish.present}

    def wipe(self) -> UUID:
        """The machine was rebuilt: an empty store and a new epoch, which is returned."""
        self.epoch = uuid4()
        self.wishes.clear()
        self.running.clear()
        self._writer = None
        return self.epoch

    def add_stranger(self, uuid: UUID) -> None:
        """Somebody added a user to Xray behind the node's back."""
        self.running.add(uuid)

    def link(self, uuid: UUID) -> str:
        """The link that this node gives the user."""
        i = _INBOUND
        return (
            f"vless://{uuid}@{self._host}:{i.port}?encryption=none&flow={i.flow}&type={i.network}"
            f"&security={i.security}&sni={i.server_name}&fp=chrome&pbk={i.public_key}"
            f"&sid={i.short_id}&spx=%2F#{self._host}"
        )

    # NodePort.

    async def close(self) -> None:
        """It may be called again: the node goes on."""

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
        await self._arrive(Call("put", uuid, gen, epoch, writer), deadline_s)
        self._change(uuid, Wish(gen, present=True), epoch, writer)
        created = uuid not in self.running
        self.running.add(uuid)
        self._reply()
        link = self.link(uuid)
        return PutReply(uuid=uuid, gen=gen, epoch=epoch, vless_link=link, created=created)

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
        await self._arrive(Call("remove", uuid, gen, epoch, writer), deadline_s)
        self._change(uuid, Wish(gen, present=False), epoch, writer)
        removed = uuid in self.running
        self.running.discard(uuid)
        self._reply()
        return RemoveReply(uuid=uuid, gen=gen, epoch=epoch, removed=removed)

    async def get(self, uuid: UUID, *, deadline_s: float = ATTEMPT_S) -> UserReply | None:
        """A user whom the node lets in."""
        await self._arrive(Call("get", uuid), deadline_s)
        wish = self.wishes.get(uuid)
        if wish is None or not wish.present:
            return None
        return UserReply(uuid=uuid, gen=wish.gen, vless_link=self.link(uuid))

    async def list_users(
        self, *, after: UUID | None = None, limit: int = MAX_PAGE, deadline_s: float = ATTEMPT_S
    ) -> UserPage:
        """One page of the running users, by uuid."""
        await self._arrive(Call("list_users", after), deadline_s)
        self._refuse_if_not_ready()
        rest = sorted(uuid for uuid in self.running if after is None or uuid > after)
        page = rest[:limit]
        return UserPage(
            epoch=self.epoch,
            users=tuple(ListedUser(uuid=uuid, gen=self._gen(uuid)) for uuid in page),
            next=page[-1] if len(rest) > limit else None,
        )

    async def ready(self, *, deadline_s: float = ATTEMPT_S) -> Readiness:
        """The node's account of itself."""
        await self._arrive(Call("ready"), deadline_s)
        up = self._not_ready is None
        return Readiness(
            ready=up,
            reasons=() if self._not_ready is None else (self._not_ready,),
            epoch=self.epoch,
            xray=XrayState(running=up, version="fake", uptime_s=0, restarts=0),
            inbound=_INBOUND,
            users=UserCounts(
                desired=sum(wish.present for wish in self.wishes.values()),
                applied=len(self.running),
            ),
            writer=WriterMark(**self._writer._asdict()) if self._writer else None,
            allow_private_targets=False,
            service=ServiceState(version="fake", uptime_s=0),
        )

    async def batch(
        self,
        epoch: UUID,
        operations: Sequence[Operation],
        *,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> BatchReply:
        """Many wishes at once, each with its own outcome."""
        await self._arrive(Call("batch", epoch=epoch, writer=writer), deadline_s)
        self._admit(epoch)
        results = tuple(map(self._operate, operations))
        self._mark(writer)
        self._reply()
        return BatchReply(epoch=epoch, results=results)

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
        await self._arrive(Call("snapshot", epoch=epoch, writer=writer), deadline_s)
        self._admit(epoch)
        root = self._digest(1).root
        if base_digest is not None and base_digest != root:
            raise DigestChanged(root)
        wishes, stale = self._after_snapshot(users)
        wanted = {uuid for uuid, wish in wishes.items() if wish.present}
        added, removed = len(wanted - self.running), len(self.running - wanted)
        kept = len(self.running & wanted)
        if removed > max(20, len(self.running) // 100, allow_shrink or 0):
            raise ShrinkRefused(removed)
        self.wishes, self.running = wishes, wanted
        self._mark(writer)
        self._reply()
        return SnapshotReply(added=added, removed=removed, kept=kept, stale=stale)

    async def digest(
        self, *, buckets: int = DEFAULT_BUCKETS, deadline_s: float = BULK_ATTEMPT_S
    ) -> DigestReply:
        """The running users in short."""
        await self._arrive(Call("digest"), deadline_s)
        self._refuse_if_not_ready()
        found = self._digest(buckets)
        return DigestReply(
            epoch=self.epoch,
            count=found.count,
            root=found.root,
            buckets=found.buckets,
            writer=WriterMark(**self._writer._asdict()) if self._writer else None,
        )

    async def traffic(
        self, *, reset: bool = False, deadline_s: float = BULK_ATTEMPT_S
    ) -> TrafficReply:
        """Nobody has traffic here."""
        await self._arrive(Call("traffic_reset" if reset else "traffic"), deadline_s)
        self._refuse_if_not_ready()
        return TrafficReply(users=())

    async def disconnect(
        self, uuid: UUID, *, deadline_s: float = ATTEMPT_S
    ) -> DisconnectReply | None:
        """Nobody is connected here; None when the node never knew him."""
        await self._arrive(Call("disconnect", uuid), deadline_s)
        if uuid not in self.wishes:
            return None
        self._refuse_if_not_ready()
        return DisconnectReply(closed=0, method="none")

    async def _arrive(self, call: Call, deadline_s: float) -> None:
        self._guard()
        if self._unreachable:
            raise NodeUnreachable("connection refused")
        self.calls.append(call)
        try:
            async with asyncio.timeout(deadline_s):
                await self._gate.wait()
        except TimeoutError:
            raise OutcomeUnknown("no answer in time") from None
        if self._failures:
            raise self._failures.popleft()
        if self._refusals and call.kind in {"put", "remove", "batch", "snapshot"}:
            raise self._refusals.popleft()

    def _change(self, uuid: UUID, wish: Wish, epoch: UUID, writer: Writer | None) -> None:
        self._admit(epoch)
        self._store(uuid, wish)
        self._mark(writer)

    def _admit(self, epoch: UUID) -> None:
        self._refuse_if_not_ready()
        if epoch != self.epoch:
            raise EpochChanged(self.epoch)

    def _store(self, uuid: UUID, wish: Wish) -> None:
        seen = self.wishes.get(uuid)
        if seen and (wish.gen < seen.gen or (wish.gen == seen.gen and wish != seen)):
            raise StaleGeneration(seen.gen)
        self.wishes[uuid] = wish

    def _mark(self, writer: Writer | None) -> None:
        if writer and not (
            self._writer and self._writer.db_id == writer.db_id and self._writer.seq > writer.seq
        ):
            self._writer = writer

    def _operate(self, operation: Operation) -> OperationResult:
        uuid, gen, present = operation.uuid, operation.gen, operation.op == "put"
        try:
            self._store(uuid, Wish(gen, present=present))
        except StaleGeneration as error:
            return OperationResult(uuid=uuid, status="stale", gen=error.node_gen)
        (self.running.add if present else self.running.discard)(uuid)
        link = self.link(uuid) if present else None
        return OperationResult(uuid=uuid, status="applied", gen=gen, vless_link=link)

    def _after_snapshot(self, users: Mapping[UUID, int]) -> tuple[dict[UUID, Wish], int]:
        """The store as a snapshot leaves it, and how many of its users were overtaken."""
        wishes = {
            uuid: wish if uuid in users else Wish(wish.gen, present=False)
            for uuid, wish in self.wishes.items()
        }
        stale = 0
        for uuid, gen in users.items():
            wish, seen = Wish(gen, present=True), wishes.get(uuid)
            if seen is None or gen > seen.gen or wish == seen:
                wishes[uuid] = wish
            else:
                stale += 1
        return wishes, stale

    def _digest(self, buckets: int) -> Digest:
        return digest(((uuid, self._gen(uuid)) for uuid in self.running), buckets)

    def _refuse_if_not_ready(self) -> None:
        if self._not_ready is not None:
            raise NodeUnavailable(self._not_ready, retry_after=1)

    def _reply(self) -> None:
        if self._after_applying:
            raise self._after_applying.popleft()

    def _gen(self, uuid: UUID) -> int:
        wish = self.wishes.get(uuid)
        return wish.gen if wish else 0
