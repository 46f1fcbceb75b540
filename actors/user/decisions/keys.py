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
    """Where a user goes: the node that serves or served them, else the plan's best with room.

    Who comes back goes elsewhere only if that node is on its way out, or long in coming back.
    """
    allowed = catalogue.nodes_of(plan)
    current = next(iter(present(record)), None)
    served = current or next(iter(record.credentials), None)
    if served is None or served.node_id not in allowed:
        return catalogue.best_of(allowed)
    place = catalogue.place(served.node_id)
    if place.welcomes and (current is not None or place.sells):
        return served.node_id
    return catalogue.best_of(allowed) or served.node_id


def may_be_sold(record: UserRecord, node_id: str, catalogue: Catalogue) -> bool:
    """Whether a node that is away keeps nobody from buying there; who is there may extend."""
    at_home = any(c.node_id == node_id for c in present(record))
    return at_home or catalogue.place(node_id).sells


def let_in(record: UserRecord, node_id: str, catalogue: Catalogue, fresh: UUID) -> tuple[Wish, ...]:
    """What a node must be asked for, so that waiting time can start."""
    current = next(iter(present(record)), None)
    if current is None:
        return (_again(record, node_id) or NewCredential(uuid=fresh, node_id=node_id),)
    if current.node_id not in catalogue.serving:
        return _elsewhere(record, current, node_id, fresh)
    # Access is being made already; the one confirmation starts all the time that waits.
    under_way = not current.applied and not current.quarantined
    return () if under_way else (_raised(current),)


def move(
    record: UserRecord, plan: Plan | None, catalogue: Catalogue, fresh: UUID
) -> tuple[Wish, ...]:
    """What must happen for access to be on a node of this plan. The old key works until then."""
    allowed = catalogue.nodes_of(plan)
    node_id = catalogue.best_of(allowed) or first_of(allowed)
    current = next(iter(present(record)), None)
    if current is None or node_id is None or current.node_id in allowed:
        return ()
    return _elsewhere(record, current, node_id, fresh)


def leave(
    record: UserRecord, plan: Plan | None, catalogue: Catalogue, fresh: UUID
) -> tuple[Wish, ...] | None:
    """What must happen for nobody to depend on a node that is on its way out.

    Returns:
        Nothing where nothing must, or is under way; None where no node can take the user now.
    """
    stay = {c.replaces for c in present(record) if not catalogue.place(c.node_id).leaving}
    leaving = (c for c in present(record) if catalogue.place(c.node_id).leaving)
    current = next((c for c in leaving if c.uuid not in stay), None)
    if current is None:
        return ()
    node_id = catalogue.best_of(catalogue.nodes_of(plan))
    if node_id is None or not catalogue.place(node_id).answers:
        return None
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
