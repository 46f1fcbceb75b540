"""What operators see and do about nodes. Each act is a row before it is in force.

A frozen node works on but for removals: to let it go on, somebody says which side is right.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from actors.placement.actor import PLACEMENT
from actors.provisioner.actor import PROVISIONER
from actors.provisioner.breaker import Hold
from actors.provisioner.health import NodeHealth
from actors.reconciler.actor import RECONCILER
from actors.reconciler.messages import AcceptNode, NodeNotSeen, Reconcile
from actors.runtime.address import Directory
from actors.runtime.clock import Clock
from bot.node_views import PATIENCE_S, BreakerView, NodeView
from bot.ports import OperationRefused
from config.logging import redacted
from storage.node_phases import ReconcilePhases
from storage.operations import OperatorRecords
from storage.rows import NodeOverview, NodeState, ReconcileRun

LEAVING = frozenset({NodeState.DRAINING, NodeState.LOST, NodeState.REMOVED})
ORDERS: Mapping[str, Hold] = {"isolate": Hold.ISOLATED, "close": Hold.CLOSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOperations:
    """Looks at the nodes of a running back-end, and steers them."""

    directory: Directory
    phases: ReconcilePhases
    records: OperatorRecords
    healths: Mapping[str, NodeHealth]
    clock: Clock
    #: For how many users each node is meant, where that is said.
    capacities: Mapping[str, int | None] = field(default_factory=dict)

    async def nodes(self) -> list[NodeView]:
        """All nodes, also those that left the settings."""
        return [self._view(node) for node in await self.phases.overview()]

    def breakers(self) -> list[BreakerView]:
        """The breakers of all nodes."""
        return [self.breaker(node_id) for node_id in self.healths]

    def breaker(self, node_id: str) -> BreakerView:
        """One node's."""
        health, now = self._health(node_id), self.clock.now()
        return BreakerView(
            node=node_id,
            state=health.state(now).value,
            next_probe_s=round(health.breaker.probe_in(now), 1),
            at_a_time=health.breaker.concurrency,
            retry_budget=round(health.budget.kept, 1),
            key_refused=health.auth_hold_until is not None,
            away_s=None if health.away_since is None else round(now - health.away_since),
        )

    async def order(
        self, node_id: str, order: str, for_s: float | None, who: str, reason: str
    ) -> BreakerView:
        """Keep a node's breaker open or closed whatever its calls say, or no more of that.

        Raises:
            OperationRefused: there is no such node or order.
        """
        health = self._health(node_id)
        if order not in {*ORDERS, "release"}:
            raise OperationRefused(f"{order}: a breaker can be isolated, closed or released")
        details: dict[str, Any] = {"for_s": for_s}
        action = f"breaker_{order}"
        await self.records.note_action(who, action, node_id, redacted(reason), details)
        now = self.clock.now()
        if order == "release":
            health.breaker.release(now)
        else:
            until = None if for_s is None else now + for_s
            health.breaker.order(ORDERS[order], until, now)
        self.directory.find(PROVISIONER, node_id).wake()
        return self.breaker(node_id)

    async def reconcile(self, node_id: str | None, *, dry_run: bool) -> list[ReconcileRun]:
        """Compare one node, or all that are configured, with the database now.

        Raises:
            OperationRefused: there is no such node.
        """
        wanted: Sequence[str] = list(self.healths) if node_id is None else [node_id]
        return [await self._compare(one, Reconcile(dry_run=dry_run)) for one in wanted]

    async def freeze(self, node_id: str, who: str, reason: str) -> None:
        """Remove nobody from a node until somebody says otherwise.

        Raises:
            OperationRefused: it is none of the nodes, or not one that is worked with.
        """
        self._health(node_id)
        of = (NodeState.ACTIVE, NodeState.DRAINING)
        await self._set_state(node_id, NodeState.FROZEN, of, who, reason or "by an operator")

    async def unfreeze(self, node_id: str, who: str, reason: str, *, adopt: bool = False) -> int:
        """The database is right about this node; with `adopt`, users that it does not know stay.

        Returns:
            How many were adopted.

        Raises:
            OperationRefused: the node does not answer, or is not frozen.
        """
        adopted = await self._accept(node_id, who, adopt=adopt)
        await self._unfreeze(node_id, who, reason)
        return adopted

    async def confirm(self, node_id: str, removals: int, who: str, reason: str) -> ReconcileRun:
        """So many users of a frozen node have no right to be there, and go; then it is worked with.

        Raises:
            OperationRefused: the node does not answer, or has more of them than was said.
        """
        self._health(node_id)
        basis = await self.phases.basis(node_id)
        if basis is None or basis.node.state is not NodeState.FROZEN:
            raise OperationRefused(f"{node_id} is not frozen; see: tollgate nodes")
        # Counted before it is accepted: a refusal leaves the sign for whoever looks next.
        _refuse_more(node_id, await self._compare(node_id, Reconcile(dry_run=True)), removals)
        await self._accept(node_id, who, adopt=False)
        details = {"removals": removals}
        await self.records.note_action(who, "node_confirm", node_id, redacted(reason), details)
        run = await self._compare(node_id, Reconcile(allow_removals=removals))
        _refuse_more(node_id, run, removals)
        if run.outcome in {"away", "key refused", "gone", "frozen"}:
            raise OperationRefused(f"{node_id}: {run.outcome}. {run.why}")
        await self._unfreeze(node_id, who, reason)
        return run

    async def drain(self, node_id: str, who: str, reason: str) -> int:
        """Nobody new comes to a node, and whoever is there gets a key elsewhere; how many are.

        Raises:
            OperationRefused: there is no such node, or it is not active.
        """
        return await self._clear(node_id, NodeState.DRAINING, (NodeState.ACTIVE,), who, reason)

    async def lose(self, node_id: str, who: str, reason: str) -> int:
        """A node is gone for good: whoever is there gets a new link elsewhere; how many are.

        Raises:
            OperationRefused: there is no such node, or it is lost or removed already.
        """
        of = (NodeState.ACTIVE, NodeState.DRAINING, NodeState.FROZEN)
        return await self._clear(node_id, NodeState.LOST, of, who, reason)

    async def remove(self, node_id: str, who: str, reason: str) -> None:
        """Be done with a node on which nobody is.

        Raises:
            OperationRefused: somebody is, or there is no such node.
        """
        known = await self._known(node_id)
        if not await self.phases.remove_node(node_id, who, redacted(reason)):
            if known.state is NodeState.REMOVED:
                raise OperationRefused(f"{node_id} is removed already")
            raise OperationRefused(
                f"{node_id} still has {known.users} users; move them first: tollgate nodes drain"
            )
        self._wake_placement()

    async def activate(self, node_id: str, who: str, reason: str) -> None:
        """Work with a node again that was drained, lost or removed.

        Raises:
            OperationRefused: it is none of these, or not in the settings.
        """
        self._health(node_id)
        of = (NodeState.DRAINING, NodeState.LOST, NodeState.REMOVED)
        await self._set_state(node_id, NodeState.ACTIVE, of, who, reason)
        self._wake_placement()
        self.directory.find(PROVISIONER, node_id).wake()

    async def _clear(
        self, node_id: str, state: NodeState, of: Sequence[NodeState], who: str, reason: str
    ) -> int:
        known = await self._known(node_id)
        await self._set_state(node_id, state, of, who, reason)
        self._wake_placement()
        return known.users

    async def _known(self, node_id: str) -> NodeOverview:
        """A node, also one that left the settings."""
        overview = await self.phases.overview()
        found = next((node for node in overview if node.id == node_id), None)
        if found is None:
            raise _unknown(node_id, [node.id for node in overview])
        return found

    async def _unfreeze(self, node_id: str, who: str, reason: str) -> None:
        if await self.phases.unfreeze(node_id, who, redacted(reason)) is None:
            raise OperationRefused(f"{node_id} is not frozen; see: tollgate nodes")
        self._wake_placement()
        self.directory.find(PROVISIONER, node_id).wake()

    def _wake_placement(self) -> None:
        self.directory.find(PLACEMENT).wake()

    async def _accept(self, node_id: str, who: str, *, adopt: bool) -> int:
        self._health(node_id)
        address = self.directory.find(RECONCILER, node_id)
        outcome = await address.ask(AcceptNode(who=who, adopt=adopt), timeout_s=PATIENCE_S)
        if isinstance(outcome, NodeNotSeen):
            raise OperationRefused(
                f"{node_id} cannot be looked at now ({outcome.why}); see: tollgate breaker"
            )
        return outcome.adopted

    async def _compare(self, node_id: str, order: Reconcile) -> ReconcileRun:
        self._health(node_id)
        return await self.directory.find(RECONCILER, node_id).ask(order, timeout_s=PATIENCE_S)

    async def _set_state(
        self, node_id: str, state: NodeState, of: Sequence[NodeState], who: str, reason: str
    ) -> None:
        if not await self.phases.set_state(node_id, state, of, who, redacted(reason)):
            states = " or ".join(one.value for one in of)
            raise OperationRefused(f"{node_id} is not {states}; see: tollgate nodes")

    def _health(self, node_id: str) -> NodeHealth:
        health = self.healths.get(node_id)
        if health is None:
            raise _unknown(node_id, list(self.healths))
        return health

    def _view(self, node: NodeOverview) -> NodeView:
        health, last = self.healths.get(node.id), node.last_run
        return NodeView(
            id=node.id,
            state=node.state.value,
            reason=node.reason,
            changed_at=node.changed_at,
            changed_by=node.changed_by,
            users=node.users,
            waiting=node.waiting,
            set_aside=node.set_aside,
            breaker="not configured" if health is None else health.state(self.clock.now()).value,
            last_outcome=last.outcome if last else None,
            last_why=last.why if last else "",
            orphans=last.orphans if last else 0,
            missing=last.missing if last else 0,
            capacity=self.capacities.get(node.id),
            moving=node.users if node.state in LEAVING else 0,
        )


def _refuse_more(node_id: str, run: ReconcileRun, removals: int) -> None:
    if run.orphans > removals:
        raise OperationRefused(
            f"{node_id} has {run.orphans} users without a right, more than {removals}: nobody "
            f"was removed. See: tollgate reconcile --dry-run --node {node_id}"
        )


def _unknown(node_id: str, known: Sequence[str]) -> OperationRefused:
    shown = "".join(c if c.isprintable() else "?" for c in node_id[:40])
    names = ", ".join(known) or "none"
    return OperationRefused(f"no node {shown} is in the settings; there are: {names}")
