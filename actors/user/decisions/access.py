"""Pure: access that no money changes: trial, grant, new link, pause, ban, and its end."""

from datetime import datetime, timedelta
from uuid import UUID

from actors.user.decisions.catalogue import Catalogue, Fresh
from actors.user.decisions.keys import choose_node, leave, let_in, may_be_sold, move, shut_out
from actors.user.decisions.money import run_away
from actors.user.decisions.paid_time import (
    bound_of,
    ended,
    grown,
    lengthened,
    paused,
    resumed,
    step,
)
from actors.user.decisions.standing import (
    left_s,
    may_buy,
    may_try,
    present,
    replacement,
    standing_of,
)
from actors.user.messages import (
    Bound,
    GrantAccess,
    NoAccess,
    NotExpired,
    NothingToMove,
    NothingToRepair,
    NotSoldToUser,
    NowhereToGo,
    PlanNotSold,
    Reissue,
    ReissueTooOften,
    ReissueUnderWay,
    SalesPaused,
    Standing,
    StandingUnchanged,
    Suspended,
    TooMuch,
    TrialNotOffered,
    UserUnknown,
)
from config.plans import Limits, Plan
from storage.rows import (
    AccessChange,
    ActDraft,
    AlertDraft,
    LedgerEntry,
    LedgerStep,
    NewCredential,
    NewsDraft,
    Origin,
    RaisedCredential,
    RemovedCredential,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
    Wish,
)

#: New links within a day, by the design's word; each is a uuid that the node remembers for ever.
REISSUES_A_DAY = 3
DAY = timedelta(days=1)
BANS = frozenset({Standing.BANNED, Standing.UNBANNED})
#: What each command is called in the ledger.
PAUSES = frozenset({Standing.REVOKED, Standing.BANNED})


def decide_expiry(record: UserRecord) -> AccessChange | NotExpired:
    """End access whose time is over, unless money has to be decided about first."""
    before = record.subscription
    if before is None or before.status is not SubscriptionStatus.ACTIVE or record.uncredited:
        return NotExpired()
    if before.expires_at is None or before.expires_at > record.now:
        return NotExpired()
    after = ended(before)
    key = f"{before.id}:{after.version}"
    return AccessChange(
        user_id=before.user_id,
        before=before,
        steps=(step(after, 0, ("expiry", key), "time is over", f"user/{before.user_id}"),),
        wishes=shut_out(record),
        news=(_news(before.user_id, f"expired:{key}", "news-expired"),),
    )


def decide_repair(record: UserRecord, uuid: UUID, gen: int) -> AccessChange | NothingToRepair:
    """Let the same key in again that a node lost, if that is still what should be."""
    lost = next((c for c in present(record) if c.uuid == uuid), None)
    if record.user is None or lost is None or not lost.applied or lost.gen != gen:
        return NothingToRepair()
    wish = RaisedCredential(uuid=uuid, node_id=lost.node_id)
    return AccessChange(user_id=record.user.tg_id, before=record.subscription, wishes=(wish,))


def decide_move(
    record: UserRecord, catalogue: Catalogue, fresh: Fresh
) -> AccessChange | NothingToMove | NowhereToGo:
    """Give whoever depends on a node that is drained or lost a key on another one."""
    subscription = record.subscription
    if subscription is None or record.user is None:
        return NothingToMove()
    plan = catalogue.plans.get(subscription.plan_id)
    wishes = leave(record, plan, catalogue, fresh.uuid)
    if wishes is None:
        return NowhereToGo()
    if not wishes:
        return NothingToMove()
    return AccessChange(user_id=record.user.tg_id, before=subscription, wishes=wishes)


def decide_trial(
    record: UserRecord, catalogue: Catalogue, fresh: Fresh, given_today_s: int
) -> AccessChange | TooMuch | TrialNotOffered | SalesPaused | NotSoldToUser:
    """What a person may try for nothing, once for ever; too much when the shop gave too much."""
    trial = catalogue.plans.trial
    if record.user is None or not may_buy(record):
        return NotSoldToUser()
    if trial is None or not may_try(record):
        return TrialNotOffered()
    most_s = catalogue.plans.limits.shop_day_s
    if given_today_s + trial.period_s > most_s:
        return TooMuch(bound=Bound.SHOP_DAY, limit_s=most_s)
    plan, user_id = catalogue.plans.get(trial.plan), record.user.tg_id
    node_id = choose_node(record, plan, catalogue)
    if plan is None or not catalogue.nodes_of(plan):
        return TrialNotOffered()
    if node_id is None or not may_be_sold(record, node_id, catalogue):
        return SalesPaused()
    after = lengthened(
        None,
        record,
        user_id=user_id,
        plan_id=plan.id,
        period_s=trial.period_s,
        fresh=fresh.subscription,
    )
    source = ("trial", str(user_id))
    return AccessChange(
        user_id=user_id,
        before=None,
        steps=(step(after, trial.period_s, source, "trial", f"user/{user_id}"),),
        wishes=let_in(record, node_id, catalogue, fresh.uuid),
    )


def decide_grant(
    record: UserRecord,
    message: GrantAccess,
    catalogue: Catalogue,
    fresh: Fresh,
    given_today_s: int,
) -> AccessChange | TooMuch | UserUnknown | Suspended | PlanNotSold:
    """Time that an owner gives away, within bounds."""
    if record.user is None:
        return UserUnknown()
    if not may_buy(record):
        return Suspended()
    plan = _plan_granted(record, message, catalogue)
    allowed = catalogue.nodes_of(plan) if plan else ()
    if plan is None or not allowed:
        return PlanNotSold()
    # An owner's word fills a node beyond its capacity.
    node_id = choose_node(record, plan, catalogue) or catalogue.some_of(plan)
    period_s, user_id = message.period_s or plan.period_s, record.user.tg_id
    # Before anything is reckoned: an end that no calendar holds is an error, not an answer.
    too_much = _gift_bound(period_s, catalogue.plans.limits, given_today_s)
    if too_much is not None:
        return too_much
    given = LedgerEntry(
        delta_s=period_s,
        source_kind="grant",
        source_id=message.operation_id,
        reason=message.reason or "given by the shop",
        actor=message.who,
    )
    steps = grown(record, catalogue, given, user_id=user_id, plan_id=plan.id, fresh=fresh)
    after, gained_s = steps[-1].after, sum(step.entry.delta_s for step in steps)
    too_much = bound_of(after, record, plan, catalogue.plans.limits, gained_s)
    if too_much is not None:
        return too_much
    waits = after.status is not SubscriptionStatus.ACTIVE
    moved = move(record, plan, catalogue, fresh.uuid)
    return AccessChange(
        user_id=user_id,
        before=record.subscription,
        steps=steps,
        wishes=moved or (let_in(record, node_id, catalogue, fresh.uuid) if waits else ()),
        news=(
            _news(user_id, f"granted:{message.operation_id}", "news-granted", period_s=period_s),
        ),
        act=ActDraft(
            operation_id=message.operation_id,
            actor=message.who,
            action="grant",
            target=str(user_id),
            reason=message.reason,
            details={"plan": plan.id, "period_s": period_s},
        ),
    )


def alerts_of_grant(
    message: GrantAccess, user_id: int, too_much: TooMuch, catalogue: Catalogue
) -> tuple[AlertDraft, ...]:
    """A grant that broke a bound: either a slip, or somebody who should not be an owner."""
    return run_away(user_id, too_much, catalogue, f"grant:{message.operation_id}")


def alerts_of_trial(
    user_id: int, too_much: TooMuch, catalogue: Catalogue, now: datetime
) -> tuple[AlertDraft, ...]:
    """The shop's trials of a day are used up: a flood of accounts, or a good day. Once a day."""
    return run_away(user_id, too_much, catalogue, f"trials:{now.date()}")


def decide_standing(
    record: UserRecord,
    standing: Standing,
    act: ActDraft,
    catalogue: Catalogue,
    fresh: Fresh,
) -> AccessChange | StandingUnchanged | UserUnknown:
    """Revoke or restore access, ban or unban. The time that is left is kept to the second."""
    user = record.user
    if user is None:
        return UserUnknown()
    banned = user.status is UserStatus.BANNED
    if standing is Standing.RESTORED and banned:
        return StandingUnchanged(banned=True)
    steps, wishes = _standing_steps(record, standing, act, catalogue, fresh)
    wanted = UserStatus.BANNED if standing is Standing.BANNED else UserStatus.ACTIVE
    status = wanted if standing in BANS and wanted is not user.status else None
    if not steps and status is None:
        return StandingUnchanged(banned=banned)
    return AccessChange(
        user_id=user.tg_id,
        before=record.subscription,
        steps=steps,
        wishes=wishes,
        user_status=status,
        news=_news_of_standing(user.tg_id, standing, act) if steps else (),
        act=act,
    )


def decide_reissue(
    record: UserRecord, message: Reissue, catalogue: Catalogue, fresh: Fresh
) -> AccessChange | ReissueUnderWay | ReissueTooOften | NoAccess:
    """A new link: the old one goes when the new one works or, if it has leaked, at once."""
    subscription, standing = record.subscription, standing_of(record)
    if standing is SubscriptionStatus.ACTIVATING:
        return ReissueUnderWay()
    if subscription is None or standing is not SubscriptionStatus.ACTIVE:
        return NoAccess(status=standing)
    waiting = replacement(record)
    current = tuple(c for c in present(record) if c is not waiting)
    stuck = waiting is not None and waiting.quarantined
    if waiting is not None and not stuck and (not message.leaked or not current):
        return ReissueUnderWay()
    if waiting is None and _reissued_today(record) >= REISSUES_A_DAY:
        return ReissueTooOften(per_day=REISSUES_A_DAY)
    plan = catalogue.plans.get(subscription.plan_id)
    node_id = choose_node(record, plan, catalogue) or catalogue.some_of(plan)
    wishes: tuple[Wish, ...] = ()
    if message.leaked:
        wishes = tuple(RemovedCredential(uuid=c.uuid, node_id=c.node_id) for c in current)
    if waiting is not None and stuck:  # a mended node may take it; nobody else asks again
        wishes = (*wishes, RaisedCredential(uuid=waiting.uuid, node_id=waiting.node_id))
    if waiting is None:
        replaces = current[0].uuid if current else None
        new = NewCredential(
            uuid=fresh.uuid,
            node_id=node_id,
            replaces=replaces,
            origin=Origin.REISSUE,
            operation_id=message.operation_id,
        )
        wishes = (*wishes, new)
    return AccessChange(user_id=subscription.user_id, before=subscription, wishes=wishes)


def _plan_granted(record: UserRecord, message: GrantAccess, catalogue: Catalogue) -> Plan | None:
    """The plan named; else the user's own; else the first that is sold."""
    if message.plan_id is not None:
        return catalogue.plans.get(message.plan_id)
    subscription = record.subscription
    own = catalogue.plans.get(subscription.plan_id) if subscription else None
    return own or catalogue.plans.plans[0]


def _gift_bound(period_s: int, limits: Limits, given_today_s: int) -> TooMuch | None:
    if period_s > limits.grant_s:
        return TooMuch(bound=Bound.ROW, limit_s=limits.grant_s)
    if given_today_s + period_s > limits.shop_day_s:
        return TooMuch(bound=Bound.SHOP_DAY, limit_s=limits.shop_day_s)
    return None


def _standing_steps(
    record: UserRecord, standing: Standing, act: ActDraft, catalogue: Catalogue, fresh: Fresh
) -> tuple[tuple[LedgerStep, ...], tuple[Wish, ...]]:
    before = record.subscription
    if before is None:
        return (), ()
    if standing in PAUSES:
        running = before.status is SubscriptionStatus.ACTIVE and left_s(record) > 0
        if not running and before.status is not SubscriptionStatus.ACTIVATING:
            return (), ()
        after, reason = paused(before, record), "access paused"
        entry = step(after, 0, ("suspend", act.operation_id), act.reason or reason, act.actor)
        return (entry,), shut_out(record)
    if before.status is not SubscriptionStatus.SUSPENDED:
        return (), ()
    after, reason = resumed(before), "access restored"
    entry = step(after, 0, ("restore", act.operation_id), act.reason or reason, act.actor)
    plan = catalogue.plans.get(before.plan_id)
    node_id = choose_node(record, plan, catalogue) or catalogue.some_of(plan)
    if after.status is not SubscriptionStatus.ACTIVATING:
        return (entry,), ()
    return (entry,), let_in(record, node_id, catalogue, fresh.uuid)


def _news_of_standing(user_id: int, standing: Standing, act: ActDraft) -> tuple[NewsDraft, ...]:
    text_id = "news-suspended" if standing in PAUSES else "news-restored"
    return (_news(user_id, f"standing:{act.operation_id}", text_id),)


def _reissued_today(record: UserRecord) -> int:
    made = (c for c in record.credentials if c.origin is Origin.REISSUE)
    return sum(credential.created_at > record.now - DAY for credential in made)


def _news(user_id: int, key: str, text_id: str, **arguments: str | int) -> NewsDraft:
    return NewsDraft(dedupe_key=key, user_id=user_id, text_id=text_id, arguments=arguments)
