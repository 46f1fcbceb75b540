"""Pure: which uuids must be let in and shut out, so that access follows the paid time."""

from uuid import UUID

from actors.user.decisions.catalogue import Catalogue, first_of
from actors.user.decisions.standing import present, replacement
from config.plans import Plan
from storage.rows import (
    CredentialRow,
    NewCredential,
    Origin,
    RaisedCredential,
    RemovedCredential,
    UserRecord,
    Wish,
)


def choose_node(record: UserRecord, plan: Plan | None, catalogue: Catalogue) -> str | None:
    """Where a user goes: the node that serves or served them, else the plan's first."""
    allowed = catalogue.nodes_of(plan)
    served = next(iter(present(record)), None) or next(iter(record.credentials), None)
    if served is not None and served.node_id in allowed:
        return served.node_id
    return first_of(allowed)


def let_in(record: UserRecord, node_id: str, catalogue: Catalogue, fresh: UUID) -> tuple[Wish, ...]:
    """What a node must be asked for, so that waiting time can start."""
    current = next(iter(present(record)), None)
    if current is None:
        return (_again(record, node_id) or NewCredential(uuid=fresh, node_id=node_id),)
    if current.node_id not in catalogue.nodes:
        return _elsewhere(record, current, node_id, fresh)
    # Access is being made already; the one confirmation starts all the time that waits.
    under_way = not current.applied and not current.quarantined
    return () if under_way else (_raised(current),)


def move(
    record: UserRecord, plan: Plan | None, catalogue: Catalogue, fresh: UUID
) -> tuple[Wish, ...]:
    """What must happen for access to be on a node of this plan. The old key works until then."""
    allowed = catalogue.nodes_of(plan)
    node_id = first_of(allowed)
    current = next(iter(present(record)), None)
    if current is None or node_id is None or current.node_id in allowed:
        return ()
    return _elsewhere(record, current, node_id, fresh)


def shut_out(record: UserRecord) -> tuple[Wish, ...]:
    """Everything that lets the user in goes."""
    return tuple(_removed(credential) for credential in present(record))


def superseded(record: UserRecord) -> frozenset[UUID]:
    """Credentials whose place another one took: they never come back, for one may have leaked."""
    return frozenset(c.replaces for c in record.credentials if c.replaces is not None)


def _elsewhere(
    record: UserRecord, current: CredentialRow, node_id: str, fresh: UUID
) -> tuple[Wish, ...]:
    """A key on another node. What was never let in has no link that anybody could miss."""
    waiting = replacement(record)
    served = next((c for c in present(record) if c.first_applied_at is not None), None)
    going = tuple(
        _removed(c) for c in present(record) if c is waiting or c.first_applied_at is None
    )
    replaced = served or current
    new = NewCredential(uuid=fresh, node_id=node_id, replaces=replaced.uuid, origin=Origin.MOVE)
    return (*going, new)


def _again(record: UserRecord, node_id: str) -> RaisedCredential | None:
    """The link that the user saved works again."""
    gone = superseded(record)
    for ended in record.credentials:
        if ended.node_id == node_id and ended.uuid not in gone:
            return _raised(ended)
    return None


def _raised(credential: CredentialRow) -> RaisedCredential:
    return RaisedCredential(uuid=credential.uuid, node_id=credential.node_id)


def _removed(credential: CredentialRow) -> RemovedCredential:
    return RemovedCredential(uuid=credential.uuid, node_id=credential.node_id)
