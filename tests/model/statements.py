"""Mirror of the SQL that a model needs: what each statement makes of one subscription's rows.

`test_model_statements` holds it to the real statements on a real PostgreSQL.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from storage.rows import (
    CredentialRow,
    Desired,
    NewCredential,
    RaisedCredential,
    RemovedCredential,
    SubscriptionRow,
    SubscriptionStatus,
    Wish,
)

Change = Callable[[CredentialRow], CredentialRow]


@dataclass(frozen=True, slots=True)
class Owned:
    """A subscription and its credentials, oldest first, at a moment of the database's clock."""

    now: datetime
    subscription: SubscriptionRow
    credentials: tuple[CredentialRow, ...]


def wish(owned: Owned, wanted: Wish) -> Owned:
    """`credentials.wish`: ADD, RAISE or REMOVE."""
    match wanted:
        case NewCredential():
            return replace(owned, credentials=(*owned.credentials, _new(owned, wanted)))
        case RaisedCredential():
            return _change(owned, wanted.uuid, lambda row: _told(row, Desired.PRESENT))
        case RemovedCredential():
            return _change(owned, wanted.uuid, _removed)


def confirm(owned: Owned, uuid: UUID, gen: int, *, compare_and_set: bool = True) -> Owned:
    """CONFIRM: the node did what generation `gen` of a uuid asked.

    Without `compare_and_set` an answer to an older wish counts as well: an ablation.
    """
    row = next((c for c in owned.credentials if c.uuid == uuid), None)
    if row is None or row.applied or (compare_and_set and row.gen != gen):
        return owned
    first = row.first_applied_at
    if row.desired is Desired.PRESENT and first is None:
        first = owned.now
    acked = replace(row, applied_gen=row.gen, first_applied_at=first)
    after = _change(owned, uuid, lambda _: acked)
    if row.desired is Desired.ABSENT:
        return after
    if row.replaces is not None:
        after = _change(after, row.replaces, _removed)
    return replace(after, subscription=_begun(owned.subscription, owned.now))


def redrive(owned: Owned) -> Owned:
    """REDRIVE: everything that should be present is told again."""
    rows = (
        _told(row, Desired.PRESENT) if row.desired is Desired.PRESENT else row
        for row in owned.credentials
    )
    return replace(owned, credentials=tuple(rows))


def _begun(subscription: SubscriptionRow, now: datetime) -> SubscriptionRow:
    """Time that waited starts, once."""
    if subscription.status is not SubscriptionStatus.ACTIVATING:
        return subscription
    waited = timedelta(seconds=subscription.pending_s)
    return replace(
        subscription,
        status=SubscriptionStatus.ACTIVE,
        pending_s=0,
        version=subscription.version + 1,
        expires_at=max(now, subscription.expires_at or now) + waited,
    )


def _new(owned: Owned, wanted: NewCredential) -> CredentialRow:
    return CredentialRow(
        uuid=wanted.uuid,
        subscription_id=owned.subscription.id,
        node_id=wanted.node_id,
        desired=Desired.PRESENT,
        gen=1,
        applied_gen=0,
        first_applied_at=None,
        replaces=wanted.replaces,
        link_enc=None,
        attempts=0,
        last_class=None,
        quarantined=False,
        created_at=owned.now,
        origin=wanted.origin,
    )


def _told(row: CredentialRow, desired: Desired) -> CredentialRow:
    return replace(row, desired=desired, gen=row.gen + 1)


def _removed(row: CredentialRow) -> CredentialRow:
    return row if row.desired is Desired.ABSENT else _told(row, Desired.ABSENT)


def _change(owned: Owned, uuid: UUID, change: Change) -> Owned:
    rows = (change(row) if row.uuid == uuid else row for row in owned.credentials)
    return replace(owned, credentials=tuple(rows))
