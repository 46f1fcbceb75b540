"""Where a user stands, and which link may be shown."""

import pytest

from actors.user.decisions.standing import decide_link, decide_status
from actors.user.messages import LinkNotReady, NoAccess, StatusShown
from config.plans import Plans, Trial
from storage.rows import SubscriptionStatus, UserRecord
from tests.unit.actors.rows import (
    FIRST,
    MONTH,
    MONTH_S,
    NOW,
    PLAN,
    SECOND,
    credential,
    record,
    removed,
    subscription,
    unapplied,
    user,
)

ACTIVE = subscription(SubscriptionStatus.ACTIVE)
PLANS = Plans(plans=(PLAN,), trial=Trial(plan="month", period_s=86_400))


def shown(rows: UserRecord) -> StatusShown:
    """The status in a shop with a trial."""
    return decide_status(rows, PLANS)


def test_a_newcomer_has_nothing() -> None:
    assert shown(record(user=user(language="ru"))) == StatusShown(
        language="ru",
        now=NOW,
        status=SubscriptionStatus.NONE,
        plan_id=None,
        expires_at=None,
        pending_s=0,
        has_link=False,
        trial_s=86_400,
    )


def test_a_user_with_access_has_a_link() -> None:
    assert shown(record(subscription=ACTIVE, credentials=(credential(),))) == StatusShown(
        language="en",
        now=NOW,
        status=SubscriptionStatus.ACTIVE,
        plan_id="month",
        expires_at=NOW + MONTH,
        pending_s=0,
        has_link=True,
        can_reissue=True,
    )


def test_a_user_who_waits_sees_what_waits() -> None:
    rows = record(
        subscription=subscription(SubscriptionStatus.ACTIVATING), credentials=(unapplied(),)
    )
    status = shown(rows)

    assert (status.status, status.pending_s) == (SubscriptionStatus.ACTIVATING, MONTH_S)
    assert not status.has_link


def test_a_stranger_has_no_status() -> None:
    with pytest.raises(ValueError, match="not introduced"):
        shown(record(user=None))


def test_the_link_of_access_that_is_on_is_shown() -> None:
    owned = credential()

    assert decide_link(record(subscription=ACTIVE, credentials=(owned,))) is owned


def test_the_link_stays_while_a_new_generation_waits_for_the_node() -> None:
    again = credential(gen=2)

    assert decide_link(record(subscription=ACTIVE, credentials=(again,))) is again


def test_the_link_that_works_is_shown_while_its_replacement_is_made() -> None:
    replacement, working = unapplied(uuid=SECOND, replaces=FIRST), credential()

    found = decide_link(record(subscription=ACTIVE, credentials=(replacement, working)))

    assert found is working


@pytest.mark.parametrize("owned", [unapplied(), removed()], ids=["no link yet", "shut out"])
def test_active_access_without_a_usable_link_is_not_ready(owned: object) -> None:
    rows = record(subscription=ACTIVE, credentials=(owned,))

    assert decide_link(rows) == LinkNotReady()


def test_paid_and_waiting_is_not_ready_even_with_an_old_link() -> None:
    waiting = subscription(SubscriptionStatus.ACTIVATING)

    assert decide_link(record(subscription=waiting, credentials=(credential(),))) == LinkNotReady()


@pytest.mark.parametrize(
    "status",
    [SubscriptionStatus.NONE, SubscriptionStatus.EXPIRED, SubscriptionStatus.SUSPENDED],
)
def test_no_link_is_shown_without_access(status: SubscriptionStatus) -> None:
    rows = record(subscription=subscription(status), credentials=(credential(),))

    assert decide_link(rows) == NoAccess(status=status)


def test_no_link_is_shown_to_who_never_bought() -> None:
    assert decide_link(record()) == NoAccess(status=SubscriptionStatus.NONE)


def test_access_whose_time_is_over_has_ended_whatever_is_written() -> None:
    """The row says so a little later; nobody is shown a link meanwhile."""
    over = subscription(SubscriptionStatus.ACTIVE, expires_at=NOW)
    rows = record(subscription=over, credentials=(credential(),))

    assert decide_link(rows) == NoAccess(status=SubscriptionStatus.EXPIRED)
    status = shown(rows)
    assert (status.status, status.has_link) == (SubscriptionStatus.EXPIRED, False)
