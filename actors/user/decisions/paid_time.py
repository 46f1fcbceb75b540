"""Pure: how paid time grows, waits, stops and ends. Targets are absolute; a second is a second."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from actors.user.decisions.catalogue import Catalogue, Fresh
from actors.user.decisions.standing import running_s
from actors.user.messages import Bound, TooMuch
from config.plans import Limits, Plan
from storage.rows import (
    LedgerEntry,
    LedgerStep,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
)


def lengthened(
    before: SubscriptionRow | None,
    record: UserRecord,
    *,
    user_id: int,
    plan_id: str,
    period_s: int,
    fresh: UUID,
) -> SubscriptionRow:
    """The subscription with so much more time.

    Running time is extended from its end. Where access is not on, the seconds wait for it.
    """
    if before is None:
        return SubscriptionRow(
            id=fresh,
            user_id=user_id,
            plan_id=plan_id,
            status=SubscriptionStatus.ACTIVATING,
            expires_at=None,
            pending_s=period_s,
            version=1,
        )
    changed = replace(before, plan_id=plan_id, version=before.version + 1)
    if before.status is SubscriptionStatus.ACTIVE and before.expires_at is not None:
        until = max(record.now, before.expires_at) + timedelta(seconds=period_s)
        return replace(changed, expires_at=until)
    return replace(
        changed,
        status=SubscriptionStatus.ACTIVATING,
        pending_s=before.pending_s + period_s,
    )


def kind_of(record: UserRecord, plan: Plan | None, catalogue: Catalogue) -> str:
    """What time of this plan is to a user: the first one, more of the same, or another tier."""
    subscription = record.subscription
    if subscription is None:
        return "new"
    old = catalogue.plans.get(subscription.plan_id)
    if old is None or plan is None or old.tier == plan.tier or not ahead_s(subscription, record):
        return "renew"
    return "change"


def grown(
    record: UserRecord,
    catalogue: Catalogue,
    entry: LedgerEntry,
    *,
    user_id: int,
    plan_id: str,
    fresh: Fresh,
) -> tuple[LedgerStep, ...]:
    """Time of a plan is added as `entry` says; time left of another tier is converted first."""
    before, steps = record.subscription, []
    plan = catalogue.plans.get(plan_id)
    if before is not None and plan is not None and kind_of(record, plan, catalogue) == "change":
        old = catalogue.plans.get(before.plan_id)
        assert old is not None  # noqa: S101 - the kind says so
        before, delta_s = converted(before, record, old, plan)
        source = ("change", _source_of_change(entry))
        reason = f"time left of {old.id} as time of {plan.id}"
        steps.append(step(before, delta_s, source, reason, entry.actor))
    after = lengthened(
        before,
        record,
        user_id=user_id,
        plan_id=plan_id,
        period_s=entry.delta_s,
        fresh=fresh.subscription,
    )
    return (*steps, LedgerStep(after=after, entry=entry))


def worth_s(seconds: int, old: Plan, new: Plan) -> int:
    """Time of one plan as time of another, by the prices in Stars."""
    return seconds * old.price_stars * new.period_s // (old.period_s * new.price_stars)


def converted(
    before: SubscriptionRow, record: UserRecord, old: Plan, new: Plan
) -> tuple[SubscriptionRow, int]:
    """What is left, in time of another plan of the same worth, by the prices in Stars.

    Returns:
        The subscription, and the seconds that it gained or lost.
    """
    left = running_s(before, record) + before.pending_s
    delta = worth_s(left, old, new) - left
    after = replace(before, plan_id=new.id, version=before.version + 1)
    if before.status is SubscriptionStatus.ACTIVE and before.expires_at is not None:
        return replace(after, expires_at=before.expires_at + timedelta(seconds=delta)), delta
    return replace(after, pending_s=before.pending_s + delta), delta


def shortened(
    before: SubscriptionRow, record: UserRecord, seconds: int
) -> tuple[SubscriptionRow, int]:
    """The subscription with so much less time, never less than none.

    Returns:
        The subscription, over if nothing is left, and the seconds that were really taken.
    """
    after = replace(before, version=before.version + 1)
    running = running_s(before, record)
    if before.status is SubscriptionStatus.ACTIVE and before.expires_at is not None:
        taken = min(seconds, running)
        after = replace(after, expires_at=before.expires_at - timedelta(seconds=taken))
        return (_over(after) if taken == running else after), taken
    taken = min(seconds, before.pending_s)
    after = replace(after, pending_s=before.pending_s - taken)
    over = before.status is SubscriptionStatus.ACTIVATING and after.pending_s == 0
    return (_over(after) if over else after), taken


def paused(before: SubscriptionRow, record: UserRecord) -> SubscriptionRow:
    """The subscription without access; what is left of its time is kept, to the second."""
    kept = running_s(before, record)
    expires_at = before.expires_at
    if expires_at is not None:
        expires_at -= timedelta(seconds=kept)
    return replace(
        before,
        status=SubscriptionStatus.SUSPENDED,
        expires_at=expires_at,
        pending_s=before.pending_s + kept,
        version=before.version + 1,
    )


def resumed(before: SubscriptionRow) -> SubscriptionRow:
    """The subscription that waits for access again, or is over where nothing was left."""
    status = SubscriptionStatus.ACTIVATING if before.pending_s else SubscriptionStatus.EXPIRED
    return replace(before, status=status, version=before.version + 1)


def ended(before: SubscriptionRow) -> SubscriptionRow:
    """The subscription whose time is over."""
    return _over(replace(before, version=before.version + 1))


def ahead_s(subscription: SubscriptionRow, record: UserRecord) -> int:
    """How far ahead of now access reaches, what waits included, seconds."""
    return running_s(subscription, record) + subscription.pending_s


def bound_of(
    after: SubscriptionRow, record: UserRecord, plan: Plan | None, limits: Limits, gained_s: int
) -> TooMuch | None:
    """The bound that time would break if it grew by `gained_s` to `after`, if any."""
    if record.gained_today_s + gained_s > limits.user_day_s:
        return TooMuch(bound=Bound.USER_DAY, limit_s=limits.user_day_s)
    if plan is not None and ahead_s(after, record) > plan.reach_s:
        return TooMuch(bound=Bound.HORIZON, limit_s=plan.reach_s)
    return None


def step(
    after: SubscriptionRow, delta_s: int, source: tuple[str, str], reason: str, actor: str
) -> LedgerStep:
    """A row of the ledger; `source` is what it is there for once: a kind and an id."""
    kind, source_id = source
    entry = LedgerEntry(
        delta_s=delta_s, source_kind=kind, source_id=source_id, reason=reason, actor=actor
    )
    return LedgerStep(after=after, entry=entry)


def _source_of_change(entry: LedgerEntry) -> str:
    """Of a payment its own id, as a provider's name tells it from others."""
    if entry.source_kind == "payment":
        return entry.source_id
    return f"{entry.source_kind}:{entry.source_id}"


def _over(subscription: SubscriptionRow) -> SubscriptionRow:
    return replace(subscription, status=SubscriptionStatus.EXPIRED)
