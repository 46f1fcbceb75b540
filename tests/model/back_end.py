"""What the back-end makes of the database: production's decisions, on rows made from small states.

A decision and its commit are one step here. Every result is kept, for states come again and again.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from uuid import UUID

from actors.provisioner.decisions import LearnEpoch, RetryLimits, decide_failure
from actors.user.decisions.access import decide_expiry, decide_reissue
from actors.user.decisions.catalogue import Fresh
from actors.user.decisions.money import decide_credit
from actors.user.messages import NotExpired, Reissue
from storage.rows import (
    AccessChange,
    CredentialRow,
    Credit,
    Desired,
    SubscriptionRow,
    UserRecord,
)
from tests.model.statements import Owned, confirm, redrive, wish
from tests.model.states import AHEAD, NEVER, OVER, Answer, Credential, Database, Subscription
from tests.unit.actors import rows
from xray_api.client.errors import EpochChanged, NodeCallError, StaleGeneration

UUIDS = tuple(UUID(int=slot + 1) for slot in range(4))
EPOCHS = tuple(UUID(int=epoch) for epoch in range(9))
ENDS_AT = {NEVER: None, AHEAD: rows.NOW + rows.MONTH, OVER: rows.NOW - timedelta(hours=1)}
CATALOGUE = rows.catalogue()
RETRY = RetryLimits(base_s=1, cap_s=60)

Expiry = Callable[[UserRecord], AccessChange | NotExpired]


class BackEnd:
    """Every transaction, as a function of what is committed; unchanged where nothing happens."""

    def __init__(
        self,
        *,
        leaked: bool,
        compare_and_set: bool = True,
        expiry: Expiry = decide_expiry,
    ) -> None:
        self._leaked = leaked
        self._compare_and_set = compare_and_set
        self._expiry = expiry
        self.credit = lru_cache(None)(self._credit)
        self.reissue = lru_cache(None)(self._reissue)
        self.expire = lru_cache(None)(self._expire)
        self.record = lru_cache(None)(self._record)
        self.learn = lru_cache(None)(self._learn)

    def _credit(self, database: Database) -> Database:
        """Money becomes time."""
        fresh = _fresh(database)
        decision = decide_credit(
            _record_of(database), rows.payment(), rows.purchase(), CATALOGUE, fresh
        )
        assert isinstance(decision, Credit)
        after = _changed(database, decision.change)
        assert after.subscription is not None
        return after._replace(
            subscription=after.subscription._replace(sold=after.subscription.sold + 1)
        )

    def _reissue(self, database: Database) -> Database:
        """The user wants a new link."""
        message = Reissue(operation_id="reissue", leaked=self._leaked)
        decision = decide_reissue(_record_of(database), message, CATALOGUE, _fresh(database))
        return _changed(database, decision) if isinstance(decision, AccessChange) else database

    def _expire(self, database: Database) -> Database:
        """Time may be over."""
        decision = self._expiry(_record_of(database))
        return _changed(database, decision) if isinstance(decision, AccessChange) else database

    def _record(self, database: Database, slot: int, gen: int, answer: Answer) -> Database:
        """The answer to a call is acted on."""
        if answer.status == 200:
            owned = _owned(database)
            compare = self._compare_and_set
            return _read(database, confirm(owned, UUIDS[slot], gen, compare_and_set=compare))
        stale = answer.status == 409
        error: NodeCallError = (
            StaleGeneration(answer.number) if stale else EpochChanged(EPOCHS[answer.number])
        )
        current = database.credentials[slot].gen
        decision = decide_failure(
            error, sent_gen=gen, current_gen=current, attempts=1, limits=RETRY, jitter=0.5
        )
        if isinstance(decision, LearnEpoch):
            return self.learn(database, decision.epoch.int)
        return database

    def _learn(self, database: Database, epoch: int) -> Database:
        """LEARN_EPOCH, and everything is told again to a store that took another's place."""
        if epoch == database.epoch:
            return database
        known = database._replace(epoch=epoch)
        return known if known.subscription is None else _read(known, redrive(_owned(known)))


def _fresh(database: Database) -> Fresh:
    return Fresh(uuid=UUIDS[len(database.credentials)], subscription=rows.SUBSCRIPTION_ID)


def _changed(database: Database, change: AccessChange) -> Database:
    """The change's transaction."""
    after = change.after
    assert after is not None
    owned = Owned(rows.NOW, after, _credential_rows(database))
    for wanted in change.wishes:
        owned = wish(owned, wanted)
    return _read(database, owned)


def _owned(database: Database) -> Owned:
    subscription = _subscription_row(database)
    assert subscription is not None
    return Owned(rows.NOW, subscription, _credential_rows(database))


def _record_of(database: Database) -> UserRecord:
    return rows.record(
        subscription=_subscription_row(database),
        credentials=tuple(reversed(_credential_rows(database))),
    )


def _subscription_row(database: Database) -> SubscriptionRow | None:
    small = database.subscription
    if small is None:
        return None
    return replace(
        rows.subscription(small.status),
        expires_at=ENDS_AT[small.ends],
        pending_s=small.waits * rows.MONTH_S,
    )


def _credential_rows(database: Database) -> tuple[CredentialRow, ...]:
    return tuple(
        rows.credential(
            uuid=UUIDS[slot],
            desired=Desired.PRESENT if small.present else Desired.ABSENT,
            gen=small.gen,
            applied_gen=small.applied_gen,
            first_applied_at=rows.NOW if small.was_applied else None,
            replaces=None if small.replaces is None else UUIDS[small.replaces],
            created_at=rows.NOW - timedelta(days=len(UUIDS) - slot),
        )
        for slot, small in enumerate(database.credentials)
    )


def _read(before: Database, owned: Owned) -> Database:
    """Rows as a small state again."""
    assert [row.uuid for row in owned.credentials] == list(UUIDS[: len(owned.credentials)])
    return Database(
        _small(before.subscription, owned.subscription),
        tuple(_small_credential(row) for row in owned.credentials),
        before.epoch,
    )


def _small(before: Subscription | None, row: SubscriptionRow) -> Subscription:
    ends_before = ENDS_AT[before.ends] if before else None
    ran, sold = (before.ran, before.sold) if before else (0, 0)
    ends = NEVER
    if row.expires_at is not None:
        ends = AHEAD if row.expires_at > rows.NOW else OVER
        if row.expires_at != ends_before:
            gained = row.expires_at - max(rows.NOW, ends_before or rows.NOW)
            ran += _periods(gained.total_seconds())
    return Subscription(row.status, ends, _periods(row.pending_s), ran, sold)


def _small_credential(row: CredentialRow) -> Credential:
    return Credential(
        present=row.desired is Desired.PRESENT,
        gen=row.gen,
        applied_gen=row.applied_gen,
        was_applied=row.first_applied_at is not None,
        replaces=None if row.replaces is None else UUIDS.index(row.replaces),
    )


def _periods(seconds: float) -> int:
    whole, rest = divmod(seconds, rows.MONTH_S)
    assert rest == 0
    return int(whole)
