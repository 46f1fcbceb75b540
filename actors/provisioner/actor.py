"""ProvisionerActor: one per node, and the only place that repeats a node call.

Messages only wake it. Its work is the rows with `applied_gen < gen`; every attempt is counted
before it is made and repeats the same uuid and generation.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from actors.notifier.actor import NOTIFIER
from actors.provisioner.decisions import (
    LearnEpoch,
    NodeKnowsMore,
    Overtaken,
    Retry,
    RetryLimits,
    SetAside,
    decide_consequence,
    decide_failure,
)
from actors.runtime.actor import AsyncioActor
from actors.runtime.address import Directory
from actors.runtime.messages import Tick
from config.events import LegacyEvent
from storage.errors import StorageUnavailable
from storage.phases import NodePhases
from storage.rows import Confirmed, CredentialRow, Desired
from xray_api.client.errors import NodeCallError, NodeProtocolError, NodeRejected
from xray_api.client.port import NodePort
from xray_api.contract import Writer

log = structlog.get_logger(__name__)

#: The kind of these actors' addresses.
PROVISIONER = "provisioner"

#: A row is nobody else's for the time of its call and this much more, seconds.
CALL_MARGIN_S = 1.0
#: How often a node is asked whose store it has, seconds.
VISIT_INTERVAL_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionerLimits:
    """How a node is called; times in seconds."""

    attempt_timeout_s: float
    concurrency: int
    scan_interval_s: float
    retry: RetryLimits


class ProvisionerActor(AsyncioActor):
    """Makes one node do what the credentials say."""

    mailbox_bound = 1_000

    def __init__(
        self,
        node_id: str,
        node: NodePort,
        phases: NodePhases,
        limits: ProvisionerLimits,
        directory: Directory,
        source: random.Random,
        owners: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.owners = owners
        self.node_id = node_id
        self.node = node
        self.phases = phases
        self.limits = limits
        self.directory = directory
        self.source = source
        self._epoch: UUID | None = None
        self._database_id: UUID | None = None
        self._called: set[UUID] = set()

    async def prepare(self) -> None:
        """Look for work at once, then at every interval."""
        self.spawn(self._scan(), "scan")
        self.spawn(self._visit(), "visit")

    def describe(self) -> Mapping[str, Any]:
        """See `AsyncioActor`."""
        return {
            "node": self.node_id,
            "epoch": str(self._epoch)[:8] if self._epoch else None,
            "calls_in_flight": len(self._called),
            "concurrency": self.limits.concurrency,
        }

    async def on_tick(self, message: Tick) -> None:
        """Take what is due and not in hand, as many calls at a time as the node is given."""
        del message
        free = self.limits.concurrency - len(self._called)
        if free <= 0:
            return
        for row in await self.phases.due(self.node_id, free, list(self._called)):
            self._called.add(row.uuid)
            self.spawn(self._apply(row), f"apply-{str(row.uuid)[:8]}", drains=True)

    async def _scan(self) -> None:
        resumed = False
        while True:
            try:
                if not resumed:
                    await self.phases.resume(self.node_id)
                    resumed = True
            except StorageUnavailable as outage:
                log.warning("provisioner_waits", reason=str(outage))
            self.wake_self()
            await self.clock.sleep(self.limits.scan_interval_s)

    async def _visit(self) -> None:
        """See now and then whose store the node has: one that was wiped is told all again."""
        while True:
            try:
                readiness = await self.node.ready(deadline_s=self.limits.attempt_timeout_s)
                if readiness.epoch != self._epoch:
                    await self._learn(readiness.epoch)
                    self.wake_self()
            except (NodeCallError, StorageUnavailable) as outage:
                log.debug("node_not_seen", node=self.node_id, reason=str(outage))
            await self.clock.sleep(VISIT_INTERVAL_S)

    async def _apply(self, row: CredentialRow) -> None:
        """One attempt at one wish."""
        try:
            begun = await self.phases.begin(row, self.limits.attempt_timeout_s + CALL_MARGIN_S)
            if begun is not None:
                await self._attempt(row, *begun)
        except StorageUnavailable as outage:
            log.warning("provisioner_waits", reason=str(outage))
            return  # to the next scan: an outage is not asked in a loop
        finally:
            self._called.discard(row.uuid)
        self.wake_self()

    async def _attempt(self, row: CredentialRow, attempts: int, seq: int) -> None:
        about = {"node": self.node_id, "uuid": str(row.uuid)[:8], "attempts": attempts}
        removal = row.desired is Desired.ABSENT
        log.info(LegacyEvent.XRAY_CALL_START, desired=row.desired.value, **about)
        if removal:
            log.info(LegacyEvent.ORPHAN_CLEANUP_ATTEMPT, **about)
        try:
            link = await self._call(row, seq)
        except NodeCallError as error:
            await self._failed(row, attempts, error)
            return
        log.info(LegacyEvent.XRAY_CALL_SUCCESS, desired=row.desired.value, **about)
        outcome = await self.phases.record_outcome(row, link, seq)
        if isinstance(outcome, Confirmed) and removal:
            log.info(LegacyEvent.ORPHAN_CLEANUP_SUCCESS, user_id=outcome.user_id, **about)
        if isinstance(outcome, Confirmed) and outcome.activated:
            log.info(LegacyEvent.ACTIVATION_PHASE2_DB_COMMIT, user_id=outcome.user_id, **about)
            self.directory.find(NOTIFIER).wake()

    async def _call(self, row: CredentialRow, seq: int) -> str | None:
        """Send a wish; the node's link for one that lets a user in."""
        epoch = self._epoch or await self._meet()
        if self._database_id is None:
            self._database_id = await self.phases.database_id()
        writer = Writer(str(self._database_id), seq)
        deadline_s = self.limits.attempt_timeout_s
        if row.desired is Desired.ABSENT:
            await self.node.remove(row.uuid, row.gen, epoch, deadline_s=deadline_s, writer=writer)
            return None
        reply = await self.node.put(row.uuid, row.gen, epoch, deadline_s=deadline_s, writer=writer)
        return reply.vless_link

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
        return await self._learn(readiness.epoch)

    async def _learn(self, epoch: UUID) -> UUID:
        if await self.phases.learn_epoch(self.node_id, epoch):
            log.warning("node_epoch_changed", node=self.node_id, epoch=str(epoch))
        self._epoch = epoch
        return epoch

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
                log.error("node_knows_more", node=self.node_id, node_gen=node_gen, gen=row.gen)
                await self.phases.postpone(row, after_s, "rollback")
            case LearnEpoch(epoch=epoch):
                await self._learn(epoch)
            case SetAside(error_class=error_class):
                log.error("credential_quarantined", node=self.node_id, uuid=str(row.uuid)[:8])
                await self.phases.quarantine(row, error_class, self.owners)
                self.directory.find(NOTIFIER).wake()
            case Overtaken():
                return
