"""ReconcilerActor: one per node. It compares what the node runs with what the database wants.

It never creates a key: who is missing is wished for again under the next generation, by the user's
actor. It removes only whom no row knows, seen twice, within a guard; above that the node is frozen
and people look. It calls a node once and never repeats: the next run is its repeat.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from actors.provisioner.actor import PROVISIONER
from actors.provisioner.breaker import Verdict
from actors.provisioner.decisions import mark_text, sign_of_restore, verdict_of, went_back
from actors.provisioner.health import NodeHealth
from actors.reconciler.decisions import (
    SEEN_TWICE_S,
    UUID_BITS,
    Difference,
    ReconcilerLimits,
    buckets_for,
    compare,
    ranges,
    why_not_removed,
)
from actors.reconciler.messages import AcceptNode, NodeAccepted, NodeNotSeen, Reconcile
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.events import EventKind
from actors.runtime.messages import Tick
from actors.runtime.replies import ActorFailed, Unavailable
from actors.user.actor import USER
from actors.user.messages import AccessRepaired, RepairAccess
from config.events import LegacyEvent
from storage.node_phases import ReconcilePhases
from storage.rows import ComparisonBasis, NodeState, ReconcileRun, WantedRow
from xray_api.client.errors import NodeCallError, NodeUnauthorized
from xray_api.client.port import NodePort
from xray_api.contract import DigestReply, Operation, Writer
from xray_api.digest import USER_BYTES, DigestSum

log = structlog.get_logger(__name__)

#: The kind of these actors' addresses.
RECONCILER = "reconciler"

#: Users of the database that are read at a time to be hashed, and so many are hashed before others
#: get their turn: under a millisecond.
PAGE = 10_000
HASHED_AT_ONCE = 1_000
#: Users that a node lists in one call, and calls at a time; a node takes eight.
LISTED_PAGE = 2_000
LISTED_AT_ONCE = 4
#: Ranges that are compared together, and rows that are: each is an object.
RANGES_AT_ONCE = 64
ROWS_AT_ONCE = 2_000
#: More missing users than this are wished for by one statement instead of their actors.
ONE_BY_ONE = 100
#: Uuids that an operator sees of those that are not understood.
SAMPLE = 10
#: Users of each kind that one run remembers at most.
MOST_REMEMBERED = 100_000
#: Users that one call removes.
REMOVED_AT_ONCE = 1_000
#: Owners are told of a node that is called and could not be compared for so long, seconds.
UNCOMPARED_ALERT_S = 900.0
#: Outcomes of a run that came to no comparison.
UNSEEN = frozenset({"away", "key refused"})
#: Outcomes that nobody needs a record of.
UNREMARKABLE = frozenset({"equal", "away", "met"})
FIRST, LAST = UUID(int=0), UUID(int=2**UUID_BITS - 1)


@dataclass(slots=True)
class _Found:
    """What a run has found so far."""

    missing: int = 0
    raised: int = 0
    orphans: int = 0
    leftover: list[tuple[UUID, int]] = field(default_factory=list)
    unknown: list[tuple[UUID, int]] = field(default_factory=list)
    ahead: list[tuple[UUID, int]] = field(default_factory=list)


class _NotNow(Exception):  # noqa: N818 - an outcome, caught in this module
    """The node cannot be compared; the text is the outcome."""


class ReconcilerActor(AsyncioActor):
    """Compares one node with the database, again and again."""

    mailbox_bound = 100
    #: A million users take seconds, and a slow node takes its time.
    hung_after_s = 900.0

    def __init__(
        self,
        node_id: str,
        node: NodePort,
        phases: ReconcilePhases,
        health: NodeHealth,
        directory: Directory,
        owners: Sequence[int] = (),
        limits: Callable[[], ReconcilerLimits] = ReconcilerLimits,
    ) -> None:
        """Take what it works with; `limits` are asked for at each run, so they can be tuned."""
        super().__init__()
        self.node_id = node_id
        self.node = node
        self.phases = phases
        self.health = health
        self.directory = directory
        self.owners = owners
        self.limits = limits
        self.last: ReconcileRun | None = None
        #: Since when no run came to a comparison, and whether owners know.
        self._unseen_since: float | None = None
        self._unseen_told = False
        self._last_error = ""
        #: Users without a right, and since when they have been seen.
        self._suspects: dict[UUID, float] = {}

    async def prepare(self) -> None:
        """Compare at once, then at every interval."""
        self.spawn(self._scan(), "scan")

    def describe(self) -> dict[str, Any]:
        """See `AsyncioActor`."""
        last = self.last
        return {
            "node": self.node_id,
            "suspects": len(self._suspects),
            "last_outcome": last.outcome if last else None,
            "last_took_s": round(last.took_s, 2) if last else None,
        }

    async def on_tick(self, message: Tick) -> None:
        """Compare, if that is to be done unasked."""
        del message
        if self.limits().enabled:
            await self._reconcile(Reconcile())

    async def on_reconcile(self, message: Reconcile) -> ReconcileRun:
        """Compare now, because somebody asks."""
        return await self._reconcile(message)

    async def on_accept_node(self, message: AcceptNode) -> NodeAccepted | NodeNotSeen:
        """Note that an operator has looked at what the node has seen."""
        try:
            digest = await self._call(self.node.digest(buckets=1))
            adopted: list[UUID] = []
            basis = await self.phases.basis(self.node_id)
            if message.adopt and basis is not None:
                async for listed, rows in self._both([(FIRST, LAST)], digest.count, basis.at):
                    adopted += [uuid for uuid, _ in compare(listed, rows).unknown]
        except _NotNow as why:
            return NodeNotSeen(why=str(why))
        seq = digest.writer.seq if digest.writer else 0
        mark = mark_text(digest.writer)
        await self.phases.accept(self.node_id, mark, seq, adopted, message.who)
        return NodeAccepted(adopted=len(adopted))

    async def _scan(self) -> None:
        while True:
            self.wake_self()
            await self.clock.sleep(self.limits().interval_s)

    async def _reconcile(self, order: Reconcile) -> ReconcileRun:
        began = self.clock.now()
        run = ReconcileRun(
            node_id=self.node_id,
            outcome="",
            took_s=0.0,
            on_node=0,
            wanted=0,
            dry_run=order.dry_run,
        )
        try:
            run = await self._compared(order, run)
        except _NotNow as why:
            run = replace(run, outcome=str(why))
        run = replace(run, took_s=self.clock.now() - began)
        self.last = run
        self._watch(run, began)
        if run.outcome not in UNREMARKABLE or order != Reconcile():
            log.warning(
                LegacyEvent.RECONCILIATION_COMPLETE,
                node=self.node_id,
                outcome=run.outcome,
                why=run.why,
                missing=run.missing,
                raised=run.raised,
                orphans=run.orphans,
                removed=run.removed,
            )
            await self.phases.note(run)
        return run

    def _watch(self, run: ReconcileRun, began: float) -> None:
        """Tell owners of a node that is called, and all the same cannot be compared.

        Of one that is not called they hear from its provisioner.
        """
        if run.outcome not in UNSEEN:
            self._unseen_since, self._unseen_told = None, False
            return
        if self._unseen_since is None:
            self._unseen_since = began
        for_s = self.clock.now() - self._unseen_since
        called = self.health.takes_changes(self.clock.now())
        if called and for_s >= UNCOMPARED_ALERT_S and not self._unseen_told:
            self._unseen_told = True
            details = {"node": self.node_id, "for_s": round(for_s), "error": self._last_error}
            self.tell_observer(EventKind.NODE_UNCOMPARED, details=details)

    async def _compared(self, order: Reconcile, run: ReconcileRun) -> ReconcileRun:
        basis = await self.phases.basis(self.node_id)
        if basis is None or basis.node.state is NodeState.REMOVED:
            raise _NotNow("gone")
        buckets = buckets_for(self.last.wanted if self.last else 0)
        # The node first and the database after it: what a row has by then, the node had before.
        digest = await self._call(self.node.digest(buckets=buckets))
        changed = await self._other_node(order, basis, digest)
        if changed:
            return replace(run, outcome=changed, on_node=digest.count)
        our_seq = await self.phases.writer_seq()
        ours = await self._wanted_digest(buckets)
        run = replace(run, on_node=digest.count, wanted=ours.count)
        sign = sign_of_restore(basis, digest.writer, our_seq)
        if sign and not order.dry_run:
            await self._freeze(sign)
        if ours.root == digest.root and ours.count == digest.count:
            self._suspects.clear()
            return replace(run, outcome="frozen" if sign else "equal", why=sign)
        found = _Found()
        numbers = ours.differing(digest.buckets)
        parts = ranges(numbers, buckets)
        async for listed, rows in self._both(parts, digest.count, basis.at):
            await self._mend_missing(order, found, listed, rows, basis.at)
        return await self._mend_others(order, basis, sign, found, run)

    async def _other_node(
        self, order: Reconcile, basis: ComparisonBasis, digest: DigestReply
    ) -> str:
        """A node that was wiped, or set back to an older day, is told everything again."""
        if digest.epoch != basis.node.epoch:
            first = basis.node.epoch is None
            if not order.dry_run:
                await self.phases.learn_epoch(
                    self.node_id, digest.epoch, has_users=digest.count > 0
                )
                self._wake_provisioner()
            return "met" if first else "another store"
        if went_back(basis, digest.writer):
            if not order.dry_run:
                await self.phases.redrive_all(self.node_id)
                self._wake_provisioner()
            return "older store"
        return ""

    async def _wanted_digest(self, buckets: int) -> DigestSum:
        ours, after = DigestSum(buckets), FIRST
        while page := await self.phases.wanted(self.node_id, after, PAGE):
            step = HASHED_AT_ONCE * USER_BYTES
            for first in range(0, len(page), step):
                ours.add(page[first : first + step])
                await self.clock.sleep(0)  # others run between two steps
            after = UUID(bytes=page[-USER_BYTES:][:16])
        return ours

    async def _both(
        self, parts: Sequence[tuple[UUID, UUID]], users: int, listed_at: datetime
    ) -> AsyncIterator[tuple[dict[UUID, int], list[WantedRow]]]:
        """Whom the node has in these ranges, and the rows there, some at a time.

        However many there are, and on whichever side, only so many are in memory.
        """
        async for covered, listed in self._listed(parts, users):
            left, theirs = covered, listed
            while left:
                rows = await self.phases.in_ranges(self.node_id, listed_at, left, ROWS_AT_ONCE)
                end = rows[-1].uuid if len(rows) == ROWS_AT_ONCE else LAST
                yield {uuid: gen for uuid, gen in theirs.items() if uuid <= end}, rows
                theirs = {uuid: gen for uuid, gen in theirs.items() if uuid > end}
                left = [(max(first, _next(end)), last) for first, last in left if last > end]

    async def _listed(
        self, parts: Sequence[tuple[UUID, UUID]], users: int
    ) -> AsyncIterator[tuple[list[tuple[UUID, UUID]], dict[UUID, int]]]:
        """The node's users of these ranges, in some order: ranges, and whom it has there."""
        waiting = deque(parts)
        covered: list[tuple[UUID, UUID]] = []
        listed: dict[UUID, int] = {}
        while waiting:
            some = [waiting.popleft() for _ in range(min(LISTED_AT_ONCE, len(waiting)))]
            # All come to their end before the first failure counts: no call is left behind.
            pages = await asyncio.gather(
                *(self._list(first, last, users) for first, last in some), return_exceptions=True
            )
            for (first, last), page in zip(some, pages, strict=True):
                if isinstance(page, BaseException):
                    raise page
                end, found = page
                covered.append((first, end))
                listed |= found
                if end < last:
                    waiting.appendleft((_next(end), last))
            if not waiting or len(covered) >= RANGES_AT_ONCE or len(listed) >= LISTED_PAGE:
                yield covered, listed
                covered, listed = [], {}

    async def _list(self, first: UUID, last: UUID, users: int) -> tuple[UUID, dict[UUID, int]]:
        """A page of the node's users of a range: up to which uuid, and whom it has there."""
        share = (last.int - first.int + 1) / 2**UUID_BITS
        limit = min(LISTED_PAGE, int(users * share * 2) + 32)
        after = UUID(int=first.int - 1) if first.int else None
        page = await self._call(self.node.list_users(after=after, limit=limit))
        end = last if page.next is None else min(page.next, last)
        return end, {user.uuid: user.gen for user in page.users if user.uuid <= last}

    async def _mend_missing(
        self,
        order: Reconcile,
        found: _Found,
        listed: dict[UUID, int],
        rows: Sequence[WantedRow],
        listed_at: datetime,
    ) -> None:
        difference = compare(listed, rows)
        found.missing += len(difference.missing)
        if difference.missing and not order.dry_run:
            found.raised += await self._raise(difference.missing, so_far=found.missing)
        unknown = await self._without_right(difference, listed_at)
        for kept, more in (
            (found.ahead, difference.ahead),
            (found.leftover, difference.leftover),
            (found.unknown, unknown),
        ):
            kept.extend(more[: MOST_REMEMBERED - len(kept)])
        found.orphans += len(unknown) + len(difference.leftover)

    async def _raise(self, missing: Sequence[WantedRow], *, so_far: int) -> int:
        """Wish again for whom the node lost: their actors do, or one statement for many."""
        log.warning(
            LegacyEvent.RECONCILIATION_MISSING_IN_XRAY, node=self.node_id, users=len(missing)
        )
        if so_far > ONE_BY_ONE:
            pairs = [(row.uuid, row.gen) for row in missing]
            raised = await self.phases.raise_missing(self.node_id, pairs)
        else:
            raised = sum([await self._repaired(row) for row in missing])
        self._wake_provisioner()
        return raised

    async def _repaired(self, row: WantedRow) -> bool:
        message = RepairAccess(
            operation_id=f"repair:{row.uuid}:{row.gen}", uuid=row.uuid, gen=row.gen
        )
        try:
            outcome = await self.directory.find(USER, str(row.user_id)).ask(message)
        except (Unavailable, ActorFailed) as refusal:
            log.warning("repair_postponed", user_id=row.user_id, reason=str(refusal))
            return False
        return isinstance(outcome, AccessRepaired)

    async def _without_right(
        self, difference: Difference, listed_at: datetime
    ) -> list[tuple[UUID, int]]:
        """Users of the node that no row of it knows, and nobody has adopted."""
        unknown = difference.unknown
        if not unknown:
            return []
        uuids = [uuid for uuid, _ in unknown]
        rows, adopted = await self.phases.strangers(self.node_id, uuids, listed_at)
        here = {row.uuid for row in rows if row.node_id == self.node_id}  # committed meanwhile
        return [(uuid, gen) for uuid, gen in unknown if uuid not in here | adopted]

    async def _mend_others(
        self,
        order: Reconcile,
        basis: ComparisonBasis,
        sign: str,
        found: _Found,
        run: ReconcileRun,
    ) -> ReconcileRun:
        """Whom the node should not have, and what it has seen that nobody here asked for."""
        run = replace(
            run,
            missing=found.missing,
            raised=found.raised,
            orphans=found.orphans,
            sample=tuple(
                str(uuid) for uuid, _ in (*found.unknown, *found.leftover, *found.ahead)[:SAMPLE]
            ),
        )
        accepted = basis.accepted_writer is not None and not sign
        if found.ahead and not order.dry_run and accepted:
            await self.phases.outrun(self.node_id, found.ahead)
            self._wake_provisioner()
        elif found.ahead and not sign:
            sign = f"it has seen newer wishes for {len(found.ahead)} keys than were ever made"
        allowed = order.allow_removals
        if not sign and found.orphans and (allowed is None or found.orphans > allowed):
            sign = await self._why_not_removed(found, run)
        if order.dry_run:
            return replace(run, outcome="would freeze" if sign else "differs", why=sign)
        if sign:
            await self._freeze(sign)
            return replace(run, outcome="frozen", why=sign)
        if basis.node.state is NodeState.FROZEN and allowed is None:
            return replace(run, outcome="frozen", why=basis.node.reason)
        removed = 0
        if self.limits().removals or allowed is not None:
            removed = await self._remove(found, run, at_once=allowed is not None)
        outcome = "mended" if removed or found.raised else "watched"
        return replace(run, outcome=outcome, removed=removed)

    async def _why_not_removed(self, found: _Found, run: ReconcileRun) -> str:
        now_seen = {uuid for uuid, _ in (*found.unknown, *found.leftover)}
        return why_not_removed(
            found.orphans,
            run.on_node,
            run.wanted,
            self.limits(),
            known=await self.phases.known(self.node_id),
            keyless=await self.phases.keyless() if found.unknown else 0,
            lately=len(await self.phases.removed_lately(self.node_id) - now_seen),
        )

    async def _remove(self, found: _Found, run: ReconcileRun, *, at_once: bool) -> int:
        """Whoever was seen before, and long enough ago, goes."""
        now = self.clock.now()
        seen = {uuid for uuid, _ in (*found.unknown, *found.leftover)}
        self._suspects = {uuid: self._suspects.get(uuid, now) for uuid in seen}
        due = {
            uuid for uuid, since in self._suspects.items() if at_once or now - since >= SEEN_TWICE_S
        }
        if due and not at_once:
            # Before they go: a run that is cut off has used up its share all the same.
            going = tuple(str(uuid) for uuid in sorted(due))
            await self.phases.note(replace(run, outcome="removing", sample=going))
        removed = 0
        leftover = [pair for pair in found.leftover if pair[0] in due]
        if leftover:
            removed += await self.phases.remove_again(self.node_id, leftover)
            self._wake_provisioner()
        unknown = [pair for pair in found.unknown if pair[0] in due and pair[0].version == 4]  # noqa: PLR2004 - what the contract knows as users
        if unknown:
            removed += await self._remove_unknown(unknown)
        for uuid in due:
            self._suspects.pop(uuid, None)
        return removed

    async def _remove_unknown(self, unknown: Sequence[tuple[UUID, int]]) -> int:
        basis = await self.phases.basis(self.node_id)
        if basis is None or basis.node.epoch is None:
            return 0
        log.warning(LegacyEvent.RECONCILIATION_REMOVED, node=self.node_id, users=len(unknown))
        removed = 0
        for first in range(0, len(unknown), REMOVED_AT_ONCE):
            part = unknown[first : first + REMOVED_AT_ONCE]
            operations = [Operation(op="delete", uuid=uuid, gen=gen + 1) for uuid, gen in part]
            writer = Writer(str(basis.database_id), await self.phases.next_seq())
            reply = await self._call(self.node.batch(basis.node.epoch, operations, writer=writer))
            removed += sum(result.status == "applied" for result in reply.results)
        return removed

    async def _freeze(self, why: str) -> None:
        if await self.phases.freeze(self.node_id, why, self.owners):
            log.error("node_frozen", node=self.node_id, why=why)
            self.tell_observer(
                EventKind.NODE_FROZEN, reason=why, details={"node": self.node_id, "why": why}
            )

    async def _call(self, call: Any) -> Any:
        """One call, which counts for the node's breaker; a long one is no slow one.

        Raises:
            _NotNow: the node is left alone just now, or the call failed.
        """
        now = self.clock.now()
        permit = self.health.breaker.call(now) if self.health.takes_changes(now) else None
        if permit is None:
            call.close()
            raise _NotNow("away")
        verdict = Verdict.NEUTRAL
        try:
            return await call
        except NodeUnauthorized:
            raise _NotNow("key refused") from None
        except NodeCallError as error:
            verdict = verdict_of(error)
            self._last_error = type(error).__name__
            log.warning(
                LegacyEvent.RECONCILIATION_FAILURE, node=self.node_id, error=self._last_error
            )
            raise _NotNow("away") from None
        finally:
            self.health.breaker.ended(permit, verdict, self.clock.now(), of_many=True)

    def _wake_provisioner(self) -> None:
        self.directory.find(PROVISIONER, self.node_id).wake()


def _next(uuid: UUID) -> UUID:
    """The uuid after another one; the last one has itself."""
    return UUID(int=min(uuid.int + 1, LAST.int))
