"""ProvisionerActor: one per node, and the only place that repeats a node call.

Messages only wake it. Its work is the rows with `applied_gen < gen`; every attempt is counted
before it is made and repeats the same uuid and generation. While its breaker is open no row is
attempted and none's wait is touched: one probe at a time finds out when the node is back. Nobody is
removed before the node has said whose writing it has seen: this database may be a restored one.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from actors.notifier.actor import NOTIFIER
from actors.provisioner.breaker import BreakerState, Hold, Permit, Verdict
from actors.provisioner.decisions import (
    AUTH_WAIT_S,
    LearnEpoch,
    NodeKnowsMore,
    Overtaken,
    Retry,
    RetryLimits,
    SetAside,
    choose,
    decide_consequence,
    decide_failure,
    sign_of_restore,
    verdict_of,
    went_back,
)
from actors.provisioner.health import NodeHealth
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.events import EventKind
from actors.runtime.messages import Tick
from config.events import LegacyEvent
from storage.errors import StorageUnavailable
from storage.node_phases import NodePhases
from storage.rows import ComparisonBasis, Confirmed, CredentialRow, Desired
from xray_api.client.errors import (
    EpochChanged,
    NodeCallError,
    NodeProtocolError,
    NodeRejected,
    NodeTlsError,
    NodeUnauthorized,
    NodeUnavailable,
    StaleGeneration,
    WrongUserAnswered,
)
from xray_api.client.port import BULK_ATTEMPT_S, NodePort
from xray_api.contract import Operation, OperationResult, Readiness, Writer

log = structlog.get_logger(__name__)

#: The kind of these actors' addresses.
PROVISIONER = "provisioner"

#: A row is nobody else's for the time of its call and this much more, seconds.
CALL_MARGIN_S = 1.0
#: How often a node is asked whose store it has, seconds.
VISIT_INTERVAL_S = 30.0
#: More wishes than this go together, so many at most and in so many calls at a time.
BATCH_FROM = 32
LARGEST_BATCH = 1_000
BATCHES_AT_ONCE = 2
#: A batch that the node finds wrong has one wrong wish: for so long each goes by itself, seconds.
ONE_BY_ONE_S = 60.0
#: Owners are told of a node that has been away for so long, seconds.
AWAY_ALERT_S = 120.0
#: People who wait are told in steps of so many.
DELAYS_AT_ONCE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerLimits:
    """How a node is called; times in seconds. Not `enabled`: nothing is sent to it."""

    attempt_timeout_s: float
    scan_interval_s: float
    retry: RetryLimits
    enabled: bool = True


class ProvisionerActor(AsyncioActor):
    """Makes one node do what the credentials say."""

    mailbox_bound = 1_000

    def __init__(
        self,
        node_id: str,
        node: NodePort,
        phases: NodePhases,
        limits: Callable[[], ProvisionerLimits],
        health: NodeHealth,
        directory: Directory,
        source: random.Random,
        owners: Sequence[int] = (),
    ) -> None:
        """Take what it works with; `limits` are asked for at each step, so they can be tuned."""
        super().__init__()
        self.owners = owners
        self.node_id = node_id
        self.node = node
        self.phases = phases
        self._limits = limits
        self.health = health
        self.directory = directory
        self.source = source
        self._epoch: UUID | None = None
        self._database_id: UUID | None = None
        self._called: set[UUID] = set()
        self._calls = 0
        self._batches = 0
        self._one_by_one_until = 0.0
        self._flowing = False
        #: In hand when PostgreSQL went away.
        self._cut_off: set[UUID] = set()
        self._asking_for_key = False
        self._looked = False
        self._first_seq: int | None = None
        self._learning = asyncio.Lock()

    @property
    def limits(self) -> ProvisionerLimits:
        """How the node is called at this moment."""
        return self._limits()

    async def prepare(self) -> None:
        """Look for work at once, then at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._visit(), "visit")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {
            "node": self.node_id,
            "epoch": str(self._epoch)[:8] if self._epoch else None,
            "wishes_in_hand": len(self._called),
            "calls_in_flight": self._calls,
            **self.health.describe(self.clock.now()),
        }

    async def on_tick(self, message: Tick) -> None:
        """Take what is due and not in hand, as many calls at a time as the node is given."""
        del message
        now = self.clock.now()
        self._watch(now)
        self._ask_whether_back(now)
        if not (self.limits.enabled and self.health.takes_changes(now)):
            self._flowing = False
            if await self.phases.tell_of_delays(self.node_id, DELAYS_AT_ONCE):
                self.directory.find(NOTIFIER).wake()
            return
        if not self._flowing:
            await self.phases.hasten(self.node_id, list(self._called))
            self._flowing = True
        if cut_off := self._cut_off - self._called:
            await self.phases.take_up(sorted(cut_off))
            self._cut_off -= cut_off
        await self._take()

    async def _take(self) -> None:
        free = self.health.breaker.concurrency - self._calls
        if free <= 0 or self._learning.locked():
            return
        now = self.clock.now()
        repeats = self.health.budget.allows(now)
        adds, removals = await self._due(BATCH_FROM + 1, repeats=repeats)
        many = len(adds) + len(removals) > BATCH_FROM
        if many and now >= self._one_by_one_until:
            if self._batches < BATCHES_AT_ONCE:
                await self._take_many(repeats=repeats)
            return
        for row in choose(adds, removals, free):
            if row.attempts == 0 or self.health.budget.spend(now):
                self._called.add(row.uuid)
                self._calls += 1
                self.spawn(self._apply(row), f"apply-{str(row.uuid)[:8]}", drains=True)

    async def _take_many(self, *, repeats: bool) -> None:
        adds, removals = await self._due(LARGEST_BATCH, repeats=repeats)
        rows = choose(adds, removals, LARGEST_BATCH)
        if any(row.attempts for row in rows) and not self.health.budget.spend(self.clock.now()):
            rows = [row for row in rows if not row.attempts]
        if rows:
            self._called.update(row.uuid for row in rows)
            self._calls += 1
            self._batches += 1
            self.spawn(self._apply_many(rows), f"batch-{str(rows[0].uuid)[:8]}", drains=True)

    async def _due(
        self, limit: int, *, repeats: bool
    ) -> tuple[list[CredentialRow], list[CredentialRow]]:
        looked = self._looked  # asked before: what a look forbids is in the rows of after it
        adds, removals = await self.phases.due(
            self.node_id, limit, list(self._called), repeats=repeats
        )
        return adds, removals if looked else []

    async def _scan(self) -> None:
        resumed = False
        while True:
            try:
                if not resumed:
                    self._first_seq = await self.phases.writer_seq()
                    await self.phases.resume(self.node_id)
                    resumed = True
            except StorageUnavailable as outage:
                log.warning("provisioner_waits", reason=str(outage))
            self.wake_self()
            await self.clock.sleep(self.limits.scan_interval_s)

    # The node's health

    def _watch(self, now: float) -> None:
        """Tell owners of a node that stays away, and when it is back."""
        health = self.health
        if health.state(now) in {BreakerState.CLOSED, Hold.CLOSED, Hold.ISOLATED}:
            if health.away_told and health.away_since is not None:
                self._tell(EventKind.NODE_BACK, away_s=round(now - health.away_since))
            health.away_since, health.away_told = None, False
        elif health.away_since is None:
            health.away_since = now
        elif not health.away_told and now - health.away_since >= AWAY_ALERT_S:
            health.away_told = True
            self._tell(EventKind.NODE_AWAY, away_s=round(now - health.away_since))

    def _tell(self, kind: EventKind, **details: str | int) -> None:
        self.tell_observer(kind, details={"node": self.node_id, **details})

    def _ask_whether_back(self, now: float) -> None:
        health = self.health
        permit = health.breaker.probe(now)
        if permit is not None:
            self.spawn(self._probe(permit), "probe")
        held = health.auth_hold_until
        if held is None or now < held or self._asking_for_key:
            return
        if health.state(now) in {BreakerState.CLOSED, Hold.CLOSED}:
            self._asking_for_key = True
            self.spawn(self._ask_for_key(), "ask-for-key")

    async def _probe(self, permit: Permit) -> None:
        passed: bool | None = None
        try:
            basis = await self.phases.basis(self.node_id)
            readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
            passed = readiness.ready
            await self._seen(readiness, basis)
        except NodeUnauthorized:
            passed = True  # it answers; for the key there is a hold of its own
            self._hold_for_key()
        except NodeCallError as error:
            passed = False
            log.info("node_probe_failed", node=self.node_id, error=type(error).__name__)
        except StorageUnavailable as outage:
            log.warning("provisioner_waits", reason=str(outage))
        finally:
            self.health.breaker.probed(permit, passed=passed, now=self.clock.now())
        self.wake_self()

    async def _ask_for_key(self) -> None:
        """See whether the node takes one of our keys again."""
        try:
            basis = await self.phases.basis(self.node_id)
            readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
            await self._seen(readiness, basis)
            self.health.auth_hold_until = None
            self._tell(EventKind.NODE_KEY_TAKEN)
        except NodeUnauthorized:
            self._hold_for_key()
        except (NodeCallError, StorageUnavailable) as outage:
            self.health.auth_hold_until = self.clock.now() + AUTH_WAIT_S
            log.info("node_not_seen", node=self.node_id, reason=str(outage))
        finally:
            self._asking_for_key = False
        self.wake_self()

    def _hold_for_key(self) -> None:
        if self.health.auth_hold_until is None:
            self._tell(EventKind.NODE_KEY_REFUSED)
        self.health.auth_hold_until = self.clock.now() + AUTH_WAIT_S

    async def _visit(self) -> None:
        """See now and then whose store the node has: one that was wiped is told all again."""
        while True:
            if self.health.takes_changes(self.clock.now()):
                await self._look_in()
            rest_s = VISIT_INTERVAL_S if self._looked else self.limits.scan_interval_s
            await self.clock.sleep(rest_s)

    async def _look_in(self) -> None:
        permit = self.health.breaker.call(self.clock.now())
        if permit is None:
            return
        verdict = Verdict.NEUTRAL
        try:
            basis = await self.phases.basis(self.node_id)
            readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
            verdict = Verdict.SUCCESS if readiness.ready else Verdict.FAILURE
            await self._seen(readiness, basis)
        except NodeCallError as error:
            verdict = self._judged(error)
            log.debug("node_not_seen", node=self.node_id, reason=str(error))
        except StorageUnavailable as outage:
            log.debug("node_not_seen", node=self.node_id, reason=str(outage))
        finally:
            self.health.breaker.ended(permit, verdict, self.clock.now())

    async def _seen(self, readiness: Readiness, basis: ComparisonBasis | None) -> None:
        """Which store the node has, and whose writing.

        `basis` was read before the node was asked: what it knows of our writing, the node had.
        """
        if readiness.epoch != self._epoch:
            await self._learn(readiness.epoch, has_users=readiness.users.desired > 0)
            self.wake_self()
        if basis is None:
            return
        sign = sign_of_restore(basis, readiness.writer, await self._our_seq())
        if sign:
            await self._freeze(sign)
        elif readiness.epoch == basis.node.epoch and went_back(basis, readiness.writer):
            log.warning("node_went_back", node=self.node_id)
            await self.phases.redrive_all(self.node_id)
        self._looked = self.health.looked = True
        self._first_seq = None
        self.wake_self()

    async def _our_seq(self) -> int:
        """The highest number that the node can have seen of us.

        Before the first look this process has sent it none, but gives numbers out all the time:
        they would soon be past those that a restored database has forgotten.
        """
        if self._first_seq is not None and not self.health.looked:
            return self._first_seq
        return await self.phases.writer_seq()

    def _judged(self, error: NodeCallError) -> Verdict:
        """What a failed call says of the node, and whoever has to hear of it hears."""
        match error:
            case NodeUnauthorized():
                self._hold_for_key()
            case NodeTlsError():
                self._tell(EventKind.NODE_CERTIFICATE)
            case WrongUserAnswered():
                self._tell(EventKind.NODE_ANSWERS_WRONG)
            case _:
                pass
        return verdict_of(error)

    # Calls

    async def _apply(self, row: CredentialRow) -> None:
        """One attempt at one wish."""
        try:
            if not self.health.takes_changes(self.clock.now()):
                return  # it was closed meanwhile; what waits is due at once when it is back
            begun = await self.phases.begin(row, self.limits.attempt_timeout_s + CALL_MARGIN_S)
            if begun is not None:
                await self._attempt(row, *begun)
        except StorageUnavailable as outage:
            log.warning("provisioner_waits", reason=str(outage))
            self._cut_off.add(row.uuid)
            self.wake_self_soon()
            return
        finally:
            self._called.discard(row.uuid)
            self._calls -= 1
        self.wake_self()

    async def _attempt(self, row: CredentialRow, attempts: int, seq: int) -> None:
        about = {"node": self.node_id, "uuid": str(row.uuid)[:8], "attempts": attempts}
        removal = row.desired is Desired.ABSENT
        log.info(LegacyEvent.XRAY_CALL_START, desired=row.desired.value, **about)
        if removal:
            log.info(LegacyEvent.ORPHAN_CLEANUP_ATTEMPT, **about)
        permit = self.health.breaker.call(self.clock.now())
        if permit is None:
            return
        seq = self._mark(seq)
        verdict = Verdict.NEUTRAL
        try:
            link = await self._call(row, seq)
            verdict = Verdict.SUCCESS
        except NodeCallError as error:
            verdict = self._judged(error)
            await self._failed(row, attempts, error)
            return
        finally:
            self.health.breaker.ended(permit, verdict, self.clock.now())
        self.health.budget.earn()
        log.info(LegacyEvent.XRAY_CALL_SUCCESS, desired=row.desired.value, **about)
        await self._record(row, link, seq)

    async def _record(self, row: CredentialRow, link: str | None, seq: int) -> None:
        outcome = await self.phases.record_outcome(row, link, seq)
        if not isinstance(outcome, Confirmed):
            return
        about = {"node": self.node_id, "uuid": str(row.uuid)[:8], "user_id": outcome.user_id}
        if row.desired is Desired.ABSENT:
            log.info(LegacyEvent.ORPHAN_CLEANUP_SUCCESS, **about)
        if outcome.activated:
            log.info(LegacyEvent.ACTIVATION_PHASE2_DB_COMMIT, **about)
            self.directory.find(NOTIFIER).wake()

    async def _call(self, row: CredentialRow, seq: int) -> str | None:
        """Send a wish; the node's link for one that lets a user in."""
        epoch = self._epoch or await self._meet()
        writer = await self._writer(seq)
        deadline_s = self.limits.attempt_timeout_s
        if row.desired is Desired.ABSENT:
            await self.node.remove(row.uuid, row.gen, epoch, deadline_s=deadline_s, writer=writer)
            return None
        reply = await self.node.put(row.uuid, row.gen, epoch, deadline_s=deadline_s, writer=writer)
        return reply.vless_link

    def _mark(self, seq: int) -> int:
        """The number that goes with a call; 0, which is none, before the node was looked at.

        A mark takes the place of another database's, and would hide the sign of it from the look.
        """
        return seq if self._looked else 0

    async def _writer(self, seq: int) -> Writer | None:
        if seq == 0:
            return None
        if self._database_id is None:
            self._database_id = await self.phases.database_id()
        return Writer(str(self._database_id), seq)

    async def _apply_many(self, rows: Sequence[CredentialRow]) -> None:
        """One attempt at many wishes in one call."""
        try:
            if not self.health.takes_changes(self.clock.now()):
                return
            begun, seq = await self.phases.begin_many(rows, BULK_ATTEMPT_S + CALL_MARGIN_S)
            sent = [row for row in rows if row.uuid in begun]
            if sent:
                await self._attempt_many(sent, begun, seq)
        except StorageUnavailable as outage:
            log.warning("provisioner_waits", reason=str(outage))
            self._cut_off.update(row.uuid for row in rows)
            self.wake_self_soon()
            return
        finally:
            self._called.difference_update(row.uuid for row in rows)
            self._calls -= 1
            self._batches -= 1
        self.wake_self()

    async def _attempt_many(
        self, rows: Sequence[CredentialRow], attempts: Mapping[UUID, int], seq: int
    ) -> None:
        permit = self.health.breaker.call(self.clock.now())
        if permit is None:
            return
        seq = self._mark(seq)
        verdict, failure = Verdict.NEUTRAL, None
        results: Sequence[OperationResult] = ()
        log.info(LegacyEvent.XRAY_CALL_START, node=self.node_id, wishes=len(rows))
        try:
            results = await self._call_many(rows, seq)
            failed = all(result.status == "failed" for result in results)
            verdict = Verdict.FAILURE if failed else Verdict.SUCCESS
        except NodeRejected:
            self._one_by_one_until = self.clock.now() + ONE_BY_ONE_S
            await self.phases.hasten(self.node_id, [])
            return
        except EpochChanged as error:
            verdict = self._judged(error)
            await self._learn(error.epoch)
            await self.phases.hasten(self.node_id, [])
            return
        except NodeCallError as error:
            verdict, failure = self._judged(error), error
        finally:
            self.health.breaker.ended(permit, verdict, self.clock.now(), of_many=True)
        if failure is not None:  # the breaker knows by now: to put off a thousand takes seconds
            for row in rows:
                await self._failed(row, attempts[row.uuid], failure)
            return
        for result in results:
            if result.status != "failed":
                self.health.budget.earn()
        log.info(LegacyEvent.XRAY_CALL_SUCCESS, node=self.node_id, wishes=len(rows))
        await self._record_many(rows, results, attempts, seq)

    async def _call_many(
        self, rows: Sequence[CredentialRow], seq: int
    ) -> tuple[OperationResult, ...]:
        epoch = self._epoch or await self._meet()
        operations = [
            Operation(
                op="delete" if row.desired is Desired.ABSENT else "put", uuid=row.uuid, gen=row.gen
            )
            for row in rows
        ]
        reply = await self.node.batch(epoch, operations, writer=await self._writer(seq))
        return reply.results

    async def _record_many(
        self,
        rows: Sequence[CredentialRow],
        results: Sequence[OperationResult],
        attempts: Mapping[UUID, int],
        seq: int,
    ) -> None:
        applied = []
        for row, result in zip(rows, results, strict=True):
            match result.status:
                case "applied":
                    applied.append((row, result.vless_link))
                case "stale":
                    await self._failed(row, attempts[row.uuid], StaleGeneration(result.gen))
                case "failed":
                    detail = NodeUnavailable(result.detail or "not applied")
                    await self._failed(row, attempts[row.uuid], detail)
        if await self.phases.record_outcomes(self.node_id, applied, seq):
            self.directory.find(NOTIFIER).wake()

    async def _meet(self) -> UUID:
        """The epoch to send: the one that the database knows, else the node's own word."""
        known = await self.phases.node(self.node_id)
        if known is not None and known.epoch is not None:
            self._epoch = known.epoch
            return known.epoch
        try:
            readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
        except NodeRejected as error:
            # What answers there is no node; that says nothing about the wish to be sent.
            raise NodeProtocolError(f"/readyz: {error}") from None
        return await self._learn(readiness.epoch, has_users=readiness.users.desired > 0)

    async def _learn(self, epoch: UUID, *, has_users: bool | None = None) -> UUID:
        """Take over another store; calls that find it at the same time wait for the first."""
        async with self._learning:
            if epoch != self._epoch:
                if has_users is None:
                    has_users = await self._has_users()
                if await self.phases.learn_epoch(self.node_id, epoch, has_users=has_users):
                    log.warning("node_epoch_changed", node=self.node_id, epoch=str(epoch))
                self._epoch = epoch
        return epoch

    async def _has_users(self) -> bool:
        """Whether the node's store is not empty; one that does not say may have some."""
        try:
            readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
        except NodeCallError:
            return True
        return readiness.users.desired > 0

    async def _failed(self, row: CredentialRow, attempts: int, error: NodeCallError) -> None:
        decision = decide_failure(
            error,
            sent_gen=row.gen,
            current_gen=await self.phases.generation(row.uuid),
            attempts=attempts,
            limits=self.limits.retry,
            jitter=self.source.random(),
        )
        about = {"node": self.node_id, "uuid": str(row.uuid)[:8], "attempts": attempts}
        log.warning(
            LegacyEvent.XRAY_CALL_FAILED,
            error=type(error).__name__,
            decision=type(decision).__name__,
            **about,
        )
        consequence = decide_consequence(row, attempts, decision)
        if consequence is not None:
            log.warning(consequence, **about)
        match decision:
            case Retry(after_s=after_s, error_class=error_class):
                await self.phases.postpone(row, after_s, error_class)
                self.directory.find(NOTIFIER).wake()
            case NodeKnowsMore(node_gen=node_gen, after_s=after_s):
                if not self._looked:
                    # What was accepted may be of the backup's day: the look comes first.
                    await self.phases.postpone(row, after_s, "rollback")
                    return
                if await self.phases.outrun(row, node_gen):
                    return
                log.error("node_knows_more", node=self.node_id, node_gen=node_gen, gen=row.gen)
                await self.phases.postpone(row, after_s, "rollback")
                await self._freeze(f"it has seen generation {node_gen} of a key, we {row.gen}")
            case LearnEpoch(epoch=epoch):
                await self._learn(epoch)
            case SetAside(error_class=error_class):
                log.error("credential_quarantined", node=self.node_id, uuid=str(row.uuid)[:8])
                await self.phases.quarantine(row, error_class, self.owners)
                self.directory.find(NOTIFIER).wake()
            case Overtaken():
                return

    async def _freeze(self, why: str) -> None:
        """Nothing destructive until an operator looked: one of both sides was restored."""
        if await self.phases.freeze(self.node_id, why, self.owners):
            log.error("node_frozen", node=self.node_id, why=why)
            self._tell(EventKind.NODE_FROZEN, why=why)
            self.directory.find(NOTIFIER).wake()
