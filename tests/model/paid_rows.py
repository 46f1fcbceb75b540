"""The back-end in the model of paid time: production's decisions, on rows made from ticks."""

from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import NamedTuple

from actors.user.decisions.access import decide_expiry
from actors.user.decisions.money import decide_credit
from storage.rows import (
    AccessChange,
    CredentialRow,
    Credit,
    Desired,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    Wish,
)
from tests.model import statements
from tests.model.statements import Owned
from tests.model.states import Credential
from tests.unit.actors import rows

#: What one payment buys, ticks.
PERIOD = 2
TICK_S = rows.MONTH_S // PERIOD
CATALOGUE = rows.catalogue()


class Time(NamedTuple):
    """A subscription; `ends` and `pending` in ticks."""

    status: SubscriptionStatus
    ends: int | None
    pending: int
    version: int


def credit(
    now: int, time: Time | None, key: Credential | None, payment: int
) -> tuple[Time, tuple[Wish, ...]]:
    """What a payment makes of paid time, and what the node has to be asked for."""
    charge = rows.payment(provider_payment_id=f"charge-{payment}")
    order = rows.purchase(invoice_expires_at=rows.NOW + 99 * rows.MONTH)
    decision = decide_credit(_record_of(now, time, key), charge, order, CATALOGUE, rows.IDS)
    assert isinstance(decision, Credit)
    assert decision.change.after is not None
    return _time(decision.change.after), decision.change.wishes


@lru_cache(None)
def expire(
    now: int, time: Time, key: Credential | None, *, uncredited: bool
) -> tuple[Time, Credential | None] | None:
    """What is left when time that is over was ended; None where it does not end."""
    decision = decide_expiry(replace(_record_of(now, time, key), uncredited=uncredited))
    if not isinstance(decision, AccessChange):
        return None
    assert decision.after is not None
    return write(now, _time(decision.after), key, decision.wishes)


@lru_cache(None)
def confirm(
    now: int, time: Time, key: Credential | None, gen: int
) -> tuple[Time, Credential | None]:
    """What the node's answer to a generation makes of time and credential."""
    owned = statements.confirm(_owned(now, time, key), rows.FIRST, gen)
    return _time(owned.subscription), _key(owned)


@lru_cache(None)
def write(
    now: int, time: Time, key: Credential | None, wishes: tuple[Wish, ...]
) -> tuple[Time, Credential | None]:
    """The only credential of this model goes by one name, whatever the wish calls it."""
    owned = _owned(now, time, key)
    for wanted in wishes:
        owned = statements.wish(owned, replace(wanted, uuid=rows.FIRST))
    return time, _key(owned)


def _moment(tick: int) -> datetime:
    return rows.NOW + timedelta(seconds=tick * TICK_S)


def _record_of(now: int, time: Time | None, key: Credential | None) -> UserRecord:
    if time is None:
        return rows.record(now=_moment(now))
    owned = _owned(now, time, key)
    return rows.record(
        now=owned.now, subscription=owned.subscription, credentials=owned.credentials
    )


def _owned(now: int, time: Time, key: Credential | None) -> Owned:
    subscription = replace(
        rows.subscription(time.status),
        expires_at=None if time.ends is None else _moment(time.ends),
        pending_s=time.pending * TICK_S,
        version=time.version,
    )
    return Owned(_moment(now), subscription, () if key is None else (_row(key),))


def _row(key: Credential) -> CredentialRow:
    return rows.credential(
        desired=Desired.PRESENT if key.present else Desired.ABSENT,
        gen=key.gen,
        applied_gen=key.applied_gen,
        first_applied_at=rows.NOW if key.was_applied else None,
    )


def _time(row: SubscriptionRow) -> Time:
    ends = None if row.expires_at is None else _ticks((row.expires_at - rows.NOW).total_seconds())
    return Time(row.status, ends, _ticks(row.pending_s), row.version)


def _ticks(seconds: float) -> int:
    whole, rest = divmod(seconds, TICK_S)
    assert rest == 0
    return int(whole)


def _key(owned: Owned) -> Credential | None:
    if not owned.credentials:
        return None
    (row,) = owned.credentials
    present, applied = row.desired is Desired.PRESENT, row.first_applied_at is not None
    return Credential(present, row.gen, row.applied_gen, applied, None)
