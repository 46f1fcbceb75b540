"""Access that no money changes: trial, grant, new link, pause, ban, and its end."""

from datetime import timedelta
from typing import Any

import pytest

from actors.user.decisions.access import (
    REISSUES_A_DAY,
    alerts_of_trial,
    decide_expiry,
    decide_grant,
    decide_reissue,
    decide_standing,
    decide_trial,
)
from actors.user.messages import (
    Bound,
    GrantAccess,
    NoAccess,
    NotExpired,
    NotSoldToUser,
    PlanNotSold,
    Reissue,
    ReissueTooOften,
    ReissueUnderWay,
    Standing,
    StandingUnchanged,
    Suspended,
    TooMuch,
    TrialNotOffered,
    UserUnknown,
)
from config.plans import Limits, Plans, Trial
from storage.rows import (
    AccessChange,
    ActDraft,
    NewCredential,
    Origin,
    RaisedCredential,
    RemovedCredential,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
)
from tests.unit.actors.rows import (
    BUYER,
    FIRST,
    FRESH,
    IDS,
    MONTH_S,
    NODE,
    NOW,
    PLAN,
    SECOND,
    catalogue,
    credential,
    record,
    removed,
    subscription,
    unapplied,
    user,
)

ACTIVE, ACTIVATING = SubscriptionStatus.ACTIVE, SubscriptionStatus.ACTIVATING
EXPIRED, SUSPENDED = SubscriptionStatus.EXPIRED, SubscriptionStatus.SUSPENDED
DAY_S = 86_400
SHOP = catalogue(plans=Plans(plans=(PLAN,), trial=Trial(plan="month", period_s=DAY_S)))
SERVED = record(subscription=subscription(ACTIVE), credentials=(credential(),))
BANNED = record(user=user(status=UserStatus.BANNED))
OUT = RemovedCredential(uuid=FIRST, node_id=NODE)
ACT = ActDraft(operation_id="op", actor="owner", action="", target="", reason="", details={})


def change_of(decision: object) -> AccessChange:
    assert isinstance(decision, AccessChange)
    return decision


def after(change: AccessChange) -> SubscriptionRow:
    assert change.after is not None
    return change.after


def over(**changes: Any) -> UserRecord:
    """A user whose time is over and whose key still works."""
    row = subscription(ACTIVE, expires_at=NOW)
    return record(subscription=row, credentials=(credential(),), **changes)


def test_access_whose_time_is_over_ends() -> None:
    change = change_of(decide_expiry(over()))

    assert after(change).status is EXPIRED
    assert after(change).expires_at == NOW
    assert change.wishes == (OUT,)
    assert [news.text_id for news in change.news] == ["news-expired"]


def test_the_end_takes_a_key_that_was_to_replace_the_old_one_too() -> None:
    new = unapplied(uuid=SECOND, replaces=FIRST)
    rows = record(
        subscription=subscription(ACTIVE, expires_at=NOW), credentials=(new, credential())
    )

    assert {wish.uuid for wish in change_of(decide_expiry(rows)).wishes} == {FIRST, SECOND}


@pytest.mark.parametrize(
    "rows",
    [
        SERVED,
        over(uncredited=True),
        record(),
        record(subscription=subscription(ACTIVATING), credentials=(unapplied(),)),
        record(subscription=subscription(EXPIRED)),
    ],
    ids=["time is left", "money waits", "newcomer", "waits for access", "ended before"],
)
def test_nothing_else_ends(rows: UserRecord) -> None:
    assert decide_expiry(rows) == NotExpired()


def test_a_newcomer_may_try_and_the_entry_is_there_once_for_ever() -> None:
    change = change_of(decide_trial(record(), SHOP, IDS, 0))

    assert (after(change).status, after(change).pending_s) == (ACTIVATING, DAY_S)
    assert change.wishes == (NewCredential(uuid=FRESH, node_id=NODE),)
    (step,) = change.steps
    assert (step.entry.source_kind, step.entry.source_id) == ("trial", str(BUYER))


@pytest.mark.parametrize(
    ("rows", "outcome"),
    [
        (record(tried=True), TrialNotOffered()),
        (SERVED, TrialNotOffered()),
        (record(subscription=subscription(EXPIRED)), TrialNotOffered()),
        (BANNED, NotSoldToUser()),
    ],
    ids=["tried", "bought", "bought once", "banned"],
)
def test_others_may_not(rows: UserRecord, outcome: object) -> None:
    assert decide_trial(rows, SHOP, IDS, 0) == outcome


def test_a_shop_without_a_trial_offers_none_and_a_day_has_its_bound() -> None:
    bounded = Plans(
        plans=(PLAN,), trial=Trial(plan="month", period_s=DAY_S), limits=Limits(shop_day_s=DAY_S)
    )

    assert decide_trial(record(), catalogue(), IDS, 0) == TrialNotOffered()
    assert isinstance(decide_trial(record(), catalogue(plans=bounded), IDS, 0), AccessChange)
    assert decide_trial(record(), catalogue(plans=bounded), IDS, 1) == TooMuch(
        bound=Bound.SHOP_DAY, limit_s=DAY_S
    )


def test_owners_hear_once_a_day_that_trials_are_used_up() -> None:
    used_up = TooMuch(bound=Bound.SHOP_DAY, limit_s=DAY_S)

    keys = {
        alert.dedupe_key
        for user_id, now in ((BUYER, NOW), (78, NOW), (BUYER, NOW + timedelta(days=1)))
        for alert in alerts_of_trial(user_id, used_up, SHOP, now)
    }

    assert len(keys) == 2


def granted(
    rows: UserRecord, given_s: int = 0, limits: Limits | None = None, **changes: Any
) -> Any:
    usual: dict[str, Any] = {
        "operation_id": "op-1",
        "plan_id": None,
        "period_s": DAY_S,
        "who": "telegram:1000",
        "reason": "sorry",
    }
    shop = catalogue(plans=Plans(plans=(PLAN,), limits=limits or Limits()))
    return decide_grant(rows, GrantAccess(**(usual | changes)), shop, IDS, given_s)


def test_a_grant_extends_what_runs_and_is_recorded_with_who_and_why() -> None:
    change = granted(SERVED)

    assert after(change).expires_at == NOW + timedelta(seconds=MONTH_S + DAY_S)
    assert change.wishes == ()
    (step,) = change.steps
    assert (step.entry.source_id, step.entry.actor) == ("op-1", "telegram:1000")
    assert change.act.operation_id == "op-1"


def test_a_grant_opens_access_for_a_newcomer_and_gives_the_saved_link_back() -> None:
    lapsed = record(subscription=subscription(EXPIRED), credentials=(removed(),))

    assert granted(record()).wishes == (NewCredential(uuid=FRESH, node_id=NODE),)
    assert granted(lapsed).wishes == (RaisedCredential(uuid=FIRST, node_id=NODE),)


def test_a_grant_without_a_span_gives_the_plans_own() -> None:
    assert granted(record(), period_s=None, plan_id="month").steps[0].entry.delta_s == MONTH_S
    assert granted(record(), plan_id="year") == PlanNotSold()


@pytest.mark.parametrize(
    ("rows", "given_s", "limits", "bound"),
    [
        (SERVED, 0, Limits(grant_s=DAY_S - 1), Bound.ROW),
        (SERVED, 1, Limits(shop_day_s=DAY_S), Bound.SHOP_DAY),
        (record(gained_today_s=1), 0, Limits(user_day_s=DAY_S), Bound.USER_DAY),
    ],
)
def test_no_grant_breaks_a_bound(
    rows: UserRecord, given_s: int, limits: Limits, bound: Bound
) -> None:
    refusal = granted(rows, given_s, limits)

    assert isinstance(refusal, TooMuch)
    assert refusal.bound is bound
    assert isinstance(granted(record(), 0, limits, period_s=60), AccessChange)


def test_a_slip_of_the_finger_is_refused_and_is_no_error() -> None:
    """The longest span that can be written ends in a year that no calendar has."""
    assert granted(SERVED, period_s=999_999 * 7 * DAY_S) == TooMuch(
        bound=Bound.ROW, limit_s=Limits().grant_s
    )


def test_no_grant_reaches_further_than_the_plan() -> None:
    """The legacy system once gave ten years away by a sentinel date."""
    near = PLAN.model_copy(update={"horizon_s": MONTH_S + DAY_S - 1})
    message = GrantAccess(operation_id="op", plan_id=None, period_s=DAY_S, who="", reason="")

    assert decide_grant(SERVED, message, catalogue(near), IDS, 0) == TooMuch(
        bound=Bound.HORIZON, limit_s=MONTH_S + DAY_S - 1
    )


def test_nobody_unknown_or_banned_is_given_anything() -> None:
    assert granted(record(user=None)) == UserUnknown()
    assert granted(BANNED) == Suspended()


def stood(rows: UserRecord, standing: Standing) -> Any:
    return decide_standing(rows, standing, ACT, SHOP, IDS)


@pytest.mark.parametrize("standing", [Standing.REVOKED, Standing.BANNED])
def test_a_pause_keeps_the_time_and_shuts_out(standing: Standing) -> None:
    change = stood(SERVED, standing)

    assert (after(change).status, after(change).pending_s) == (SUSPENDED, MONTH_S)
    assert after(change).expires_at == NOW
    assert change.wishes == (OUT,)
    assert change.user_status is (UserStatus.BANNED if standing is Standing.BANNED else None)


@pytest.mark.parametrize("standing", [Standing.RESTORED, Standing.UNBANNED])
def test_what_was_kept_waits_for_access_again(standing: Standing) -> None:
    kept = subscription(SUSPENDED, expires_at=NOW, pending_s=MONTH_S)
    change = stood(record(subscription=kept, credentials=(removed(),)), standing)

    assert (after(change).status, after(change).pending_s) == (ACTIVATING, MONTH_S)
    assert change.wishes == (RaisedCredential(uuid=FIRST, node_id=NODE),)


def test_a_ban_holds_for_who_has_nothing_yet() -> None:
    change = stood(record(), Standing.BANNED)

    assert (change.user_status, change.steps) == (UserStatus.BANNED, ())


def test_a_banned_user_is_unbanned_and_not_restored() -> None:
    assert stood(BANNED, Standing.RESTORED) == StandingUnchanged(banned=True)
    assert stood(BANNED, Standing.UNBANNED).user_status is UserStatus.ACTIVE
    assert stood(BANNED, Standing.BANNED) == StandingUnchanged(banned=True)


def test_what_is_so_already_does_not_change() -> None:
    kept = record(subscription=subscription(SUSPENDED, expires_at=NOW, pending_s=1))

    assert stood(kept, Standing.REVOKED) == StandingUnchanged(banned=False)
    assert stood(SERVED, Standing.RESTORED) == StandingUnchanged(banned=False)
    assert stood(record(user=None), Standing.BANNED) == UserUnknown()


def reissued(rows: UserRecord, *, leaked: bool = False) -> Any:
    return decide_reissue(rows, Reissue(operation_id="tap", leaked=leaked), SHOP, IDS)


NEW = NewCredential(
    uuid=FRESH, node_id=NODE, replaces=FIRST, origin=Origin.REISSUE, operation_id="tap"
)


def test_a_new_link_works_before_the_old_one_goes() -> None:
    change = reissued(SERVED)

    assert change.wishes == (NEW,)
    assert change.steps == (), "the time runs on"


def test_a_leaked_link_goes_at_once() -> None:
    assert reissued(SERVED, leaked=True).wishes == (OUT, NEW)


def test_a_second_wish_finds_the_first_under_way() -> None:
    pending = unapplied(uuid=SECOND, replaces=FIRST)
    rows = record(subscription=subscription(ACTIVE), credentials=(pending, credential()))

    assert reissued(rows) == ReissueUnderWay()
    assert reissued(rows, leaked=True).wishes == (OUT,), "the new one is being made already"


def test_a_third_wish_for_a_leaked_link_changes_nothing() -> None:
    pending = unapplied(uuid=SECOND, replaces=FIRST)
    rows = record(subscription=subscription(ACTIVE), credentials=(pending, removed()))

    assert reissued(rows, leaked=True) == ReissueUnderWay()


def test_new_links_are_counted_by_the_day() -> None:
    def made(hours_ago: int, count: int) -> UserRecord:
        old = [
            removed(origin=Origin.REISSUE, created_at=NOW - timedelta(hours=hours_ago))
            for _ in range(count)
        ]
        return record(subscription=subscription(ACTIVE), credentials=(credential(), *old))

    assert reissued(made(1, REISSUES_A_DAY)) == ReissueTooOften(per_day=REISSUES_A_DAY)
    assert isinstance(reissued(made(1, REISSUES_A_DAY - 1)), AccessChange)
    assert isinstance(reissued(made(24, REISSUES_A_DAY)), AccessChange)


def test_without_access_there_is_no_link_to_renew() -> None:
    assert reissued(record()) == NoAccess(status=SubscriptionStatus.NONE)
    assert reissued(over()) == NoAccess(status=EXPIRED)
    waiting = record(subscription=subscription(ACTIVATING), credentials=(unapplied(),))
    assert reissued(waiting) == ReissueUnderWay()


@pytest.mark.parametrize("leaked", [False, True])
def test_a_new_link_that_was_set_aside_is_asked_for_again(*, leaked: bool) -> None:
    """Else the leaked one would go, and nothing ever come in its place."""
    waiting = unapplied(uuid=SECOND, replaces=FIRST, quarantined=True)
    rows = record(subscription=subscription(ACTIVE), credentials=(waiting, credential()))
    again = RaisedCredential(uuid=SECOND, node_id=NODE)

    assert change_of(reissued(rows, leaked=leaked)).wishes == ((OUT, again) if leaked else (again,))
