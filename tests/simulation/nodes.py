"""Nodes as dictionaries, and the wire to them: calls are late, doubled, lost, held and garbled.

A call and its reply are events of the world outside: they arrive also when the back-end that sent
them is dead.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from storage.database import refuse_in_transaction
from tests.simulation.world import Simulated
from xray_api.client.errors import (
    NodeBusy,
    NodeCallError,
    NodeProtocolError,
    NodeUnauthorized,
    NodeUnavailable,
    NodeUnreachable,
    OutcomeUnknown,
)
from xray_api.client.fake import Call, FakeNodeClient, Wish
from xray_api.client.port import ATTEMPT_S, BULK_ATTEMPT_S
from xray_api.contract import (
    DEFAULT_BUCKETS,
    MAX_PAGE,
    BatchReply,
    DigestReply,
    DisconnectReply,
    Operation,
    PutReply,
    Readiness,
    RemoveReply,
    SnapshotReply,
    TrafficReply,
    UserPage,
    UserReply,
    Writer,
)

T = TypeVar("T")

#: How late a call may be that was held on its way, seconds; half of them less than a minute.
HELD_S = 3_600.0
#: How long after the first a doubled call may arrive, seconds.
DOUBLED_S = 600.0


class Mood(StrEnum):
    """How a node answers everybody."""

    WELL = "well"
    AWAY = "away"
    SLOW = "slow"
    SICK = "sick"  # 503
    BUSY = "busy"  # 429
    KEYLESS = "keyless"  # 401


class SimNode(FakeNodeClient):
    """The machine itself: its store, its fence, its Xray. It is asked without waiting."""

    async def _arrive(self, call: Call, deadline_s: float) -> None:
        del deadline_s
        self.calls.append(call)

    def served(self, work: Callable[["SimNode"], Coroutine[Any, Any, T]]) -> T:
        """Do what a call asks for, now."""
        asked = work(self)
        try:
            asked.send(None)
        except StopIteration as done:
            return done.value  # type: ignore[no-any-return]
        raise RuntimeError("a node in memory waits for nothing")


class Site:
    """A node, and the wire to it."""

    def __init__(self, world: Simulated, node_id: str) -> None:
        self.world = world
        self.node_id = node_id
        self.node = SimNode(host=f"{node_id}.example.com")
        self.mood = Mood.WELL
        #: Calls that the back-end made for each uuid and generation, and those that it counted.
        self.sent: Counter[tuple[UUID, int]] = Counter()
        #: Users that got there behind everybody's back, or by an old image: they go within a while.
        self.tainted: set[UUID] = set()
        #: How often it went back to an old image.
        self.restored = 0
        #: Whether there ever was one of them.
        self.was_tainted = False
        #: Whether the owner said that who is there without a right may go.
        self.confirmed = False
        #: Called after each change of the node with the uuids that it lets in newly.
        self.let_in: Callable[[Site, Iterable[UUID]], None] = lambda _, __: None
        #: Called before each call that changes something, with its wishes.
        self.asked: Callable[[Site, Sequence[tuple[UUID, int, bool]]], None] = lambda _, __: None
        #: Called with each change that arrives late, or once more, and after how many seconds.
        self.late: Callable[[Site, float], None] = lambda _, __: None

    async def call(
        self,
        kind: str,
        work: Callable[[SimNode], Coroutine[Any, Any, T]],
        deadline_s: float,
        wishes: Sequence[tuple[UUID, int, bool]] = (),
    ) -> T:
        """One call over the wire.

        Raises:
            NodeCallError: as the real client does.
        """
        refuse_in_transaction()
        world, air = self.world, self.world.air
        if wishes:
            self.asked(self, wishes)
        about = f"{kind} {named(wishes)}" if wishes else kind
        if self.mood is Mood.AWAY:
            await asyncio.sleep(self._latency())  # noqa: TID251 - of the loop's own time
            world.count("node away")
            raise NodeUnreachable("connection refused")
        answer: asyncio.Future[T] = world.loop.create_future()
        if world.happens(air.lost):
            world.count("call lost")
            world.tell(self.node_id, f"{about}: lost on its way")
            if world.chance.random() < 0.5:
                world.later(self._latency(), lambda: _settle(answer, OutcomeUnknown("reset")))
        else:
            self._send(about, work, answer, wishes)
        try:
            async with asyncio.timeout(deadline_s):
                return await answer
        except TimeoutError:
            world.count("call timed out")
            raise OutcomeUnknown("no answer in time") from None

    def _send(
        self,
        about: str,
        work: Callable[[SimNode], Coroutine[Any, Any, T]],
        answer: "asyncio.Future[T]",
        wishes: Sequence[tuple[UUID, int, bool]],
    ) -> None:
        world, air = self.world, self.world.air
        latency = self._latency()
        held = bool(wishes) and world.happens(air.held)
        if held:
            latency += HELD_S ** world.chance.random()
            world.count("call held")
            world.tell(self.node_id, f"{about}: held, arrives {latency:.0f} s late")
            self.late(self, latency)
        self._arrives(latency, about, work, answer, bool(wishes))
        if wishes and world.happens(air.doubled):
            after = latency + world.chance.random() ** 2 * DOUBLED_S
            world.count("call doubled")
            world.tell(self.node_id, f"{about}: doubled, arrives again in {after:.1f} s")
            self.late(self, after)
            self._arrives(after, f"{about} again", work, None, changes=True)

    def _arrives(
        self,
        after_s: float,
        about: str,
        work: Callable[[SimNode], Coroutine[Any, Any, T]],
        answer: "asyncio.Future[T] | None",
        changes: bool,
    ) -> None:
        world, restored = self.world, self.restored

        def arrive() -> None:
            try:
                result = self._outcome(
                    about, work, changes=changes, restored=self.restored > restored
                )
            except NodeCallError as error:
                if changes:
                    world.tell(self.node_id, f"{about}: {type(error).__name__} {error}")
                outcome: T | NodeCallError = error
            else:
                if changes:
                    world.tell(self.node_id, f"{about}: done")
                outcome = result
            if answer is None:
                return
            if world.happens(world.air.reply_lost):
                world.count("reply lost")
                if changes:
                    world.tell(self.node_id, f"{about}: its reply is lost")
                if world.chance.random() < 0.5:
                    return
                outcome = OutcomeUnknown("reset")
            world.later(self._latency() / 2, lambda: _settle(answer, outcome))

        world.later(after_s, arrive)

    def _outcome(
        self,
        about: str,
        work: Callable[[SimNode], Coroutine[Any, Any, T]],
        *,
        changes: bool,
        restored: bool,
    ) -> T:
        world = self.world
        match self.mood:
            case Mood.AWAY:
                raise OutcomeUnknown("reset")
            case Mood.SICK:
                world.count("node sick")
                raise NodeUnavailable("Xray is not running", retry_after=1)
            case Mood.BUSY:
                world.count("node busy")
                raise NodeBusy("too many", retry_after=2)
            case Mood.KEYLESS:
                world.count("node refuses key")
                raise NodeUnauthorized("401")
            case _:
                pass
        before = set(self.node.running) if changes else set()
        result = self.node.served(work)
        if changes:
            newly = self.node.running - before
            if restored:  # an old image knows no removal since, nor does its fence
                self.tainted |= newly
            self.let_in(self, newly)
            if world.happens(world.air.garbled):
                world.count("reply garbled")
                world.tell(self.node_id, f"{about}: done, and its reply is no JSON")
                raise NodeProtocolError("not JSON")
        return result

    def _latency(self) -> float:
        slowest = 3.5 if self.mood is Mood.SLOW else self.world.air.slowest_s
        return 0.001 + self.world.chance.random() * slowest


def _settle(answer: "asyncio.Future[Any]", outcome: Any) -> None:
    if answer.done():
        return
    if isinstance(outcome, NodeCallError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def named(wishes: Sequence[tuple[UUID, int, bool]]) -> str:
    """Wishes in a story."""
    return ", ".join(f"{str(uuid)[:8]} gen {gen}" for uuid, gen, _ in wishes)


class NodeLine:
    """One back-end's connection to a node."""

    clock_ahead_s: float | None = None

    def __init__(self, site: Site) -> None:
        self._site = site

    async def close(self) -> None:
        """There is nothing to close."""

    async def put(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> PutReply:
        """See `NodePort`."""
        return await self._site.call(
            "put",
            lambda node: node.put(uuid, gen, epoch, writer=writer),
            deadline_s,
            ((uuid, gen, True),),
        )

    async def remove(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> RemoveReply:
        """See `NodePort`."""
        return await self._site.call(
            "remove",
            lambda node: node.remove(uuid, gen, epoch, writer=writer),
            deadline_s,
            ((uuid, gen, False),),
        )

    async def get(self, uuid: UUID, *, deadline_s: float = ATTEMPT_S) -> UserReply | None:
        """See `NodePort`."""
        return await self._site.call("get", lambda node: node.get(uuid), deadline_s)

    async def list_users(
        self, *, after: UUID | None = None, limit: int = MAX_PAGE, deadline_s: float = ATTEMPT_S
    ) -> UserPage:
        """See `NodePort`."""
        return await self._site.call(
            "list", lambda node: node.list_users(after=after, limit=limit), deadline_s
        )

    async def ready(self, *, deadline_s: float = ATTEMPT_S) -> Readiness:
        """See `NodePort`."""
        return await self._site.call("ready", lambda node: node.ready(), deadline_s)

    async def batch(
        self,
        epoch: UUID,
        operations: Sequence[Operation],
        *,
        deadline_s: float = BULK_ATTEMPT_S,
        writer: Writer | None = None,
    ) -> BatchReply:
        """See `NodePort`."""
        return await self._site.call(
            "batch",
            lambda node: node.batch(epoch, operations, writer=writer),
            deadline_s,
            tuple((one.uuid, one.gen, one.op == "put") for one in operations),
        )

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
        """See `NodePort`."""
        return await self._site.call(
            "snapshot",
            lambda node: node.snapshot(
                epoch, users, base_digest=base_digest, allow_shrink=allow_shrink, writer=writer
            ),
            deadline_s,
            tuple((uuid, gen, True) for uuid, gen in users.items()),
        )

    async def digest(
        self, *, buckets: int = DEFAULT_BUCKETS, deadline_s: float = BULK_ATTEMPT_S
    ) -> DigestReply:
        """See `NodePort`."""
        return await self._site.call(
            "digest", lambda node: node.digest(buckets=buckets), deadline_s
        )

    async def traffic(
        self, *, reset: bool = False, deadline_s: float = BULK_ATTEMPT_S
    ) -> TrafficReply:
        """See `NodePort`."""
        return await self._site.call("traffic", lambda node: node.traffic(reset=reset), deadline_s)

    async def disconnect(
        self, uuid: UUID, *, deadline_s: float = ATTEMPT_S
    ) -> DisconnectReply | None:
        """See `NodePort`."""
        return await self._site.call("disconnect", lambda node: node.disconnect(uuid), deadline_s)


__all__ = ["Mood", "NodeLine", "SimNode", "Site", "Wish", "named"]
