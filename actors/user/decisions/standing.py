"""Pure: where a user stands at a moment, whatever is written."""

from actors.user.messages import LinkNotReady, NoAccess, StatusShown
from config.plans import Plans
from storage.rows import (
    CredentialRow,
    Desired,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
)


def decide_status(record: UserRecord, plans: Plans) -> StatusShown:
    """Where a user stands. The user's row must be there."""
    if record.user is None:
        raise ValueError("the user was not introduced")
    subscription = record.subscription
    standing = standing_of(record)
    return StatusShown(
        language=record.user.language,
        now=record.now,
        status=standing,
        plan_id=subscription.plan_id if subscription else None,
        expires_at=subscription.expires_at if subscription else None,
        pending_s=subscription.pending_s if subscription else 0,
        has_link=isinstance(decide_link(record), CredentialRow),
        trial_s=plans.trial.period_s if plans.trial and may_try(record) else None,
        can_reissue=standing is SubscriptionStatus.ACTIVE,
        banned=record.user.status is UserStatus.BANNED,
    )


def decide_link(record: UserRecord) -> CredentialRow | LinkNotReady | NoAccess:
    """The credential whose link may be shown, or why there is none."""
    status = standing_of(record)
    if status is SubscriptionStatus.ACTIVATING:
        return LinkNotReady()
    if status is not SubscriptionStatus.ACTIVE:
        return NoAccess(status=status)
    for credential in present(record):
        # A raised generation that waits for its confirmation leaves the link what it was.
        if credential.link_enc is not None:
            return credential
    return LinkNotReady()


def standing_of(record: UserRecord) -> SubscriptionStatus:
    """The status that time makes of the one that is written."""
    subscription = record.subscription
    if subscription is None:
        return SubscriptionStatus.NONE
    if subscription.status is SubscriptionStatus.ACTIVE and left_s(record) <= 0:
        return SubscriptionStatus.EXPIRED
    return subscription.status


def left_s(record: UserRecord) -> int:
    """Whole seconds of running time that are left."""
    subscription = record.subscription
    if subscription is None:
        return 0
    return running_s(subscription, record)


def running_s(subscription: SubscriptionRow, record: UserRecord) -> int:
    """Whole seconds that still run of a subscription at the record's moment."""
    if subscription.status is not SubscriptionStatus.ACTIVE or subscription.expires_at is None:
        return 0
    return max(0, int((subscription.expires_at - record.now).total_seconds()))


def may_buy(record: UserRecord) -> bool:
    """Whether we sell to this user."""
    suspended = (
        record.subscription is not None
        and record.subscription.status is SubscriptionStatus.SUSPENDED
    )
    return record.user is not None and record.user.status is UserStatus.ACTIVE and not suspended


def may_try(record: UserRecord) -> bool:
    """Whether this user may still try for nothing: who had any time has tried."""
    return may_buy(record) and not record.tried and record.subscription is None


def present(record: UserRecord) -> tuple[CredentialRow, ...]:
    """Credentials that should let the user in, newest first."""
    return tuple(c for c in record.credentials if c.desired is Desired.PRESENT)


def replacement(record: UserRecord) -> CredentialRow | None:
    """The credential that is to take another's place and has not been let in yet."""
    waiting = (c for c in present(record) if c.replaces is not None and c.first_applied_at is None)
    return next(waiting, None)
