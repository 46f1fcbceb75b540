"""Transactions of what is asked of nodes: intent before a call, outcome after it.

Each is safe to repeat, and holds no connection when it returns.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from storage import admin_actions, comparisons, credentials, nodes, outbox, placement
from storage.database import Connection, Database
from storage.links import LinkCipher
from storage.phase import phases
from storage.rows import (
    AlertDraft,
    ComparisonBasis,
    Confirmed,
    CredentialRow,
    Desired,
    LeavingRow,
    NodeOverview,
    NodeRow,
    NodeState,
    PlaceRow,
    ReconcileRun,
    Superseded,
    WantedRow,
)

#: Confirmations in one transaction.
CONFIRMED_AT_ONCE = 50
#: Rows raised in one transaction: a statement of 10,000 took over five seconds on a busy machine.
RAISED_AT_ONCE = 1_000


@phases
class NodePhases:
    """What a node's actor reads and writes."""

    def __init__(self, database: Database, cipher: LinkCipher) -> None:
        self._database = database
        self._cipher = cipher

    async def node(self, node_id: str) -> NodeRow | None:
        """What the database knows of a node."""
        async with self._database.read() as connection:
            return await nodes.read(connection, node_id)

    async def database_id(self) -> UUID:
        """Which database this is."""
        async with self._database.read() as connection:
            return await nodes.database_id(connection)

    async def basis(self, node_id: str) -> ComparisonBasis | None:
        """See `ReconcilePhases.basis`."""
        async with self._database.read() as connection:
            return await comparisons.basis(connection, node_id)

    async def writer_seq(self) -> int:
        """See `ReconcilePhases.writer_seq`."""
        async with self._database.read() as connection:
            return await comparisons.writer_seq(connection)

    async def redrive_all(self, node_id: str) -> None:
        """See `ReconcilePhases.redrive_all`."""
        await _redrive_all(self._database, node_id)

    async def resume(self, node_id: str) -> None:
        """At start: what a dead process left is due at once."""
        async with self._database.transaction() as connection:
            await credentials.resume(connection, node_id)

    async def learn_epoch(self, node_id: str, epoch: UUID, *, has_users: bool = False) -> bool:
        """Remember which store the node has; a store that took another's place is told all again.

        One that `has_users` was made from a copy, and lets in who was shut out since: it is told
        of those too.

        Returns:
            Whether that was so. On first contact there is nothing to repeat.
        """
        return await _learn_epoch(self._database, node_id, epoch, has_users=has_users)

    async def due(
        self, node_id: str, limit: int, besides: list[UUID], *, repeats: bool = True
    ) -> tuple[list[CredentialRow], list[CredentialRow]]:
        """Wishes that the node has not confirmed: whom to let in, and whom to shut out."""
        async with self._database.read() as connection:
            adds = await credentials.due(
                connection, node_id, Desired.PRESENT, limit, besides, repeats=repeats
            )
            removals = await credentials.due(
                connection, node_id, Desired.ABSENT, limit, besides, repeats=repeats
            )
            return adds, removals

    async def hasten(self, node_id: str, besides: list[UUID]) -> None:
        """The node is back: what waits for a later try is due now."""
        async with self._database.transaction() as connection:
            await credentials.hasten(connection, node_id, besides)

    async def take_up(self, uuids: list[UUID]) -> None:
        """What an outage of ours cut off is due now, and not when its call would have ended."""
        async with self._database.transaction() as connection:
            await credentials.take_up(connection, uuids)

    async def tell_of_delays(self, node_id: str, limit: int) -> bool:
        """Whoever waits for a node that is away is told, once; whether there was anybody."""
        async with self._database.transaction() as connection:
            waiting = await credentials.delay(connection, node_id, limit)
            for subscription_id in waiting:
                for purchase_id in await outbox.unfulfilled(connection, subscription_id):
                    await outbox.purchase_news(connection, purchase_id)
            return bool(waiting)

    async def freeze(self, node_id: str, reason: str, owners: Sequence[int]) -> bool:
        """Remove nobody from a node until an operator looked, who is told what to look at.

        Returns:
            False when that was so before, or the node is none that is worked with.
        """
        async with self._database.transaction() as connection:
            return await _freeze(connection, node_id, reason, owners)

    async def begin_many(
        self, rows: Sequence[CredentialRow], busy_for_s: float
    ) -> tuple[dict[UUID, int], int]:
        """Count an attempt at each of many wishes, before it is made.

        Returns:
            The number of each one's attempt, without those that changed meanwhile, and the
            writer's sequence number.
        """
        async with self._database.transaction() as connection:
            return await credentials.begin_many(connection, rows, busy_for_s)

    async def record_outcomes(
        self, node_id: str, done: Sequence[tuple[CredentialRow, str | None]], seq: int
    ) -> bool:
        """The node did what these wishes asked; whether anybody has news of it."""
        if not done:
            return False  # the node has not kept our mark either
        sealed = {row.uuid: self._cipher.close(link) if link else None for row, link in done}
        plain = [(row.uuid, row.gen, sealed[row.uuid]) for row, _ in done]
        async with self._database.transaction() as connection:
            confirmed = await credentials.confirm_many(connection, plain)
            await nodes.acknowledge(connection, node_id, seq)
        rest = [row for row, _ in done if row.uuid not in confirmed]
        news = False
        # In one order everywhere, so that two that record do not wait for each other in a ring.
        rest.sort(key=lambda row: row.subscription_id)
        for first in range(0, len(rest), CONFIRMED_AT_ONCE):
            async with self._database.transaction() as connection:
                for row in rest[first : first + CONFIRMED_AT_ONCE]:
                    outcome = await credentials.confirm(
                        connection, row.uuid, row.gen, sealed[row.uuid]
                    )
                    news |= isinstance(outcome, Confirmed) and outcome.activated
        return news

    async def begin(self, row: CredentialRow, busy_for_s: float) -> tuple[int, int] | None:
        """Count an attempt, before it is made."""
        async with self._database.transaction() as connection:
            return await credentials.begin(connection, row, busy_for_s)

    async def record_outcome(
        self, row: CredentialRow, link: str | None, seq: int
    ) -> Confirmed | Superseded:
        """The node did what this wish asked; the first access starts the paid time."""
        stored = self._cipher.close(link) if link is not None else None
        async with self._database.transaction() as connection:
            await nodes.acknowledge(connection, row.node_id, seq)
            return await credentials.confirm(connection, row.uuid, row.gen, stored)

    async def postpone(self, row: CredentialRow, after_s: float, error_class: str) -> None:
        """The node did not do it; whoever waits is told that it takes longer."""
        async with self._database.transaction() as connection:
            await credentials.postpone(connection, row.uuid, row.gen, after_s, error_class)
            await _tell_of_delay(connection, row)

    async def quarantine(
        self, row: CredentialRow, error_class: str, owners: Sequence[int] = ()
    ) -> None:
        """The node will never take this wish: whoever waits is told, and owners, who must look."""
        async with self._database.transaction() as connection:
            user_id = await credentials.quarantine(connection, row.uuid, row.gen, error_class)
            if user_id is not None:
                await outbox.alert(connection, [_of_set_aside(row, user_id, o) for o in owners])
            await _tell_of_delay(connection, row)

    async def outrun(self, row: CredentialRow, node_gen: int) -> bool:
        """Get past what the node has seen, where an operator said that the database is right."""
        async with self._database.transaction() as connection:
            if not await comparisons.has_accepted(connection, row.node_id):
                return False
            await comparisons.outrun(connection, row.node_id, [(row.uuid, node_gen)])
            return True

    async def generation(self, uuid: UUID) -> int:
        """The present generation of a uuid."""
        async with self._database.read() as connection:
            return await credentials.generation(connection, uuid)


@phases
class ReconcilePhases:
    """What comparing a node with the database reads and writes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def basis(self, node_id: str) -> ComparisonBasis | None:
        """What is known of a node before it is asked; None for an unknown one."""
        async with self._database.read() as connection:
            return await comparisons.basis(connection, node_id)

    async def writer_seq(self) -> int:
        """How far our writing has come."""
        async with self._database.read() as connection:
            return await comparisons.writer_seq(connection)

    async def wanted(self, node_id: str, after: UUID, limit: int) -> bytes:
        """A page of those whom the node should let in, as `DigestSum` takes them."""
        async with self._database.read() as connection:
            return await comparisons.wanted(connection, node_id, after, limit)

    async def known(self, node_id: str) -> bool:
        """Whether anybody was ever wished for on this node."""
        async with self._database.read() as connection:
            return await comparisons.known(connection, node_id)

    async def keyless(self) -> int:
        """How many have access and no key."""
        async with self._database.read() as connection:
            return await comparisons.keyless(connection)

    async def removed_lately(self, node_id: str) -> set[UUID]:
        """Who was removed within a day by comparisons alone, or was about to be."""
        async with self._database.read() as connection:
            return await comparisons.removed_lately(connection, node_id)

    async def in_ranges(
        self, node_id: str, listed_at: datetime, parts: Sequence[tuple[UUID, UUID]], limit: int
    ) -> list[WantedRow]:
        """The first rows of a node in some ranges of uuids, by uuid."""
        async with self._database.read() as connection:
            return await comparisons.in_ranges(connection, node_id, listed_at, parts, limit)

    async def strangers(
        self, node_id: str, uuids: Sequence[UUID], listed_at: datetime
    ) -> tuple[list[WantedRow], set[UUID]]:
        """What is known of uuids that this node has no rows of, and whom an operator adopted."""
        async with self._database.read() as connection:
            rows = await comparisons.by_uuid(connection, uuids, listed_at)
            return rows, await comparisons.adopted(connection, node_id, uuids)

    async def learn_epoch(self, node_id: str, epoch: UUID, *, has_users: bool = False) -> bool:
        """As `NodePhases.learn_epoch`."""
        return await _learn_epoch(self._database, node_id, epoch, has_users=has_users)

    async def raise_missing(self, node_id: str, found: Sequence[tuple[UUID, int]]) -> int:
        """Wish anew for those who are missing, each only if that is still so wished."""
        raised = 0
        for first in range(0, len(found), RAISED_AT_ONCE):
            async with self._database.transaction() as connection:
                part = found[first : first + RAISED_AT_ONCE]
                raised += await comparisons.raise_missing(connection, node_id, part)
        return raised

    async def remove_again(self, node_id: str, found: Sequence[tuple[UUID, int]]) -> int:
        """Wish anew that those go who are absent by their rows."""
        async with self._database.transaction() as connection:
            return await comparisons.remove_again(connection, node_id, found)

    async def outrun(self, node_id: str, found: Sequence[tuple[UUID, int]]) -> int:
        """Let our wishes get past what the node has seen; an operator said so."""
        async with self._database.transaction() as connection:
            return await comparisons.outrun(connection, node_id, found)

    async def redrive_all(self, node_id: str) -> None:
        """Tell a node that has gone back in time everything again."""
        await _redrive_all(self._database, node_id)

    async def next_seq(self) -> int:
        """A number for a request of our own."""
        async with self._database.transaction() as connection:
            return await nodes.next_seq(connection)

    async def freeze(self, node_id: str, reason: str, owners: Sequence[int]) -> bool:
        """See `NodePhases.freeze`."""
        async with self._database.transaction() as connection:
            return await _freeze(connection, node_id, reason, owners)

    async def note(self, run: ReconcileRun) -> None:
        """Keep what a comparison found."""
        async with self._database.transaction() as connection:
            await comparisons.note(connection, run)

    async def overview(self) -> list[NodeOverview]:
        """All nodes, for operators."""
        async with self._database.read() as connection:
            return await comparisons.overview(connection)

    async def set_state(
        self, node_id: str, state: NodeState, of: Sequence[NodeState], who: str, reason: str
    ) -> bool:
        """An operator's word about a node; False when it is in none of these states."""
        async with self._database.transaction() as connection:
            if not await nodes.set_state(connection, node_id, state, reason, who, of):
                return False
            await admin_actions.note(connection, who, f"node_{state}", node_id, reason, {})
            return True

    async def unfreeze(self, node_id: str, who: str, reason: str) -> NodeState | None:
        """Work with a frozen node as before; what it is now, None when it is not frozen."""
        async with self._database.transaction() as connection:
            state = await nodes.unfreeze(connection, node_id, reason, who)
            if state is not None:
                await admin_actions.note(connection, who, "node_unfreeze", node_id, reason, {})
            return state

    async def remove_node(self, node_id: str, who: str, reason: str) -> bool:
        """Be done with a node on which nobody is; False if somebody is, or there is none."""
        async with self._database.transaction() as connection:
            removed = await nodes.remove(connection, node_id, reason, who)
            if removed:
                await admin_actions.note(connection, who, "node_removed", node_id, reason, {})
            return removed

    async def accept(
        self, node_id: str, mark: str | None, seq: int, adopted: Sequence[UUID], who: str
    ) -> None:
        """An operator accepts what a node has, and lets these users stay."""
        async with self._database.transaction() as connection:
            await comparisons.accept_writer(connection, node_id, mark, seq)
            await comparisons.adopt(connection, node_id, adopted, who)


@phases
class PlacementPhases:
    """What it takes to know where people are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def places(self) -> list[PlaceRow]:
        """What operators made of each node."""
        async with self._database.read() as connection:
            return await placement.places(connection)

    async def users(self) -> dict[str, int]:
        """How many should be let in on each node that has any."""
        async with self._database.read() as connection:
            return await placement.users(connection)

    async def leaving(self, limit: int) -> list[LeavingRow]:
        """Users who have to leave their node, so many at most."""
        async with self._database.read() as connection:
            return await placement.leaving(connection, limit)


async def _learn_epoch(database: Database, node_id: str, epoch: UUID, *, has_users: bool) -> bool:
    """See `NodePhases.learn_epoch`. Everything is wished for anew before the epoch is remembered.

    So what a crash leaves is done again from the start, which harms nobody.
    """
    async with database.transaction() as connection:
        known = await nodes.read(connection, node_id)
        if known is None or known.epoch is None or known.epoch == epoch:
            await nodes.learn_epoch(connection, node_id, epoch)
            return False
    await _redrive(database, node_id, absent=has_users)
    async with database.transaction() as connection:
        return await nodes.learn_epoch(connection, node_id, epoch)


async def _redrive(database: Database, node_id: str, *, absent: bool = False) -> None:
    after: UUID | None = UUID(int=0)
    while after is not None:
        async with database.transaction() as connection:
            after = await credentials.redrive(
                connection, node_id, after, RAISED_AT_ONCE, absent=absent
            )


async def _redrive_all(database: Database, node_id: str) -> None:
    """See `ReconcilePhases.redrive_all`."""
    await _redrive(database, node_id, absent=True)
    async with database.transaction() as connection:
        await comparisons.forget_mark(connection, node_id)


async def _freeze(connection: Connection, node_id: str, reason: str, owners: Sequence[int]) -> bool:
    frozen = await nodes.set_state(
        connection,
        node_id,
        NodeState.FROZEN,
        reason,
        "tollgate",
        (NodeState.ACTIVE, NodeState.DRAINING),
    )
    if frozen:
        await comparisons.forget_accepted(connection, node_id)
        await outbox.alert(connection, [_of_frozen(node_id, reason, owner) for owner in owners])
    return frozen


async def _tell_of_delay(connection: Connection, row: CredentialRow) -> None:
    """Once, at the first failure: the news of a delay does not change with its length."""
    if row.last_class is None and row.desired is Desired.PRESENT:
        for purchase_id in await outbox.unfulfilled(connection, row.subscription_id):
            await outbox.purchase_news(connection, purchase_id)


def _of_frozen(node_id: str, reason: str, owner: int) -> AlertDraft:
    return AlertDraft(
        dedupe_key=f"node-frozen:{node_id}:{uuid4()}:{owner}",
        owner=owner,
        text_id="alert-node-frozen",
        arguments={"node": node_id, "reason": reason},
    )


def _of_set_aside(row: CredentialRow, user_id: int, owner: int) -> AlertDraft:
    return AlertDraft(
        dedupe_key=f"key-set-aside:{row.uuid}:{row.gen}:{owner}",
        owner=owner,
        text_id="alert-key-set-aside",
        arguments={
            "user_id": user_id,
            "key": str(row.uuid)[:8],
            "node": row.node_id,
            "wish": row.desired.value,
        },
    )
