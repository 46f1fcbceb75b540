"""What is searched: full variants, with every bound, and ablations, which have to fail.

Bounds of the small ones: two payments (one buys, one renews), one new link, one end of time, one
timeout, one wipe. The deep ones add a crash and a duplicate: one of every fault. Two timeouts, two
ends of time, and an old answer about the epoch are searched beside them, with fewer other faults,
for each multiplies the states. At most two credentials; calls in flight one for each uuid.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from actors.user.decisions.access import decide_expiry
from actors.user.messages import NotExpired
from storage.rows import AccessChange, SubscriptionStatus, UserRecord
from tests.model import paid_time, properties
from tests.model.back_end import BackEnd
from tests.model.paid_rows import PERIOD
from tests.model.paid_time import PaidTimeModel
from tests.model.protocol import OK, WRONG_EPOCH, ProtocolModel
from tests.model.search import Found, search
from tests.model.states import Left, State

SMALL = Left(payments=2, reissues=1, lapses=1, timeouts=1, wipes=1)
DEEP = SMALL._replace(crashes=1, duplicates=1)
TWO_TIMEOUTS = SMALL._replace(timeouts=2)
TWO_LIVES = Left(payments=2, lapses=2, timeouts=2, wipes=1)
ECHO = Left(payments=2, reissues=1, lapses=1, wipes=1, echoes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One search and what it has to find.

    Attributes:
        name: for people.
        run: the search.
        states: how many there are; None where the search ends early, at its violation.
        rule: what has to be broken; None: nothing.
        sights: what has to be seen.
    """

    name: str
    run: Callable[[], Found[Any]]
    states: int | None = None
    rule: str | None = None
    sights: frozenset[str] = field(default_factory=frozenset)


def waits_after_a_lapse(state: State) -> bool:
    """A renewal came when access had ended, and waits for the node."""
    subscription = state.database.subscription
    return (
        subscription is not None
        and subscription.status is SubscriptionStatus.ACTIVATING
        and subscription.ran > 0
    )


def reissue_cut_by_expiry(state: State) -> bool:
    """Time was over before the new link ever worked."""
    subscription, rows = state.database.subscription, state.database.credentials
    expired = subscription is not None and subscription.status is SubscriptionStatus.EXPIRED
    return expired and len(rows) > 1 and not rows[1].was_applied


def wiped_during_a_reissue(state: State) -> bool:
    """The node took the new uuid and lost it before we heard that it had it."""
    return any(
        request.slot == 1 and answer and answer.status == OK and request.epoch < state.node.epoch
        for request, answer in state.calls
    )


def late_add_after_removal(state: State) -> bool:
    """The danger itself: an old PUT is under way, its uuid's removal is confirmed."""
    rows = state.database.credentials
    return any(
        request.present and not rows[request.slot].present and not rows[request.slot].due
        for request in state.late
    )


def stale_request(state: State) -> bool:
    """The fence is all that keeps a late request out."""
    epoch, seen = state.node
    return any(
        request.epoch == epoch and (held := seen[request.slot]) and held.gen > request.gen
        for request in state.late
    )


def refused_epoch(state: State) -> bool:
    """A call hears that the node has another store."""
    return any(answer and answer.status == WRONG_EPOCH for _, answer in state.calls)


SIGHTS: Mapping[str, Callable[[State], bool]] = {
    "a lapsed renewal waits": waits_after_a_lapse,
    "a reissue is cut by expiry": reissue_cut_by_expiry,
    "a wipe during a reissue": wiped_during_a_reissue,
    "a late add after its removal was confirmed": late_add_after_removal,
    "a stale request under way": stale_request,
    "a call that is refused for its epoch": refused_epoch,
}
NO_REISSUE = frozenset(SIGHTS) - {"a reissue is cut by expiry", "a wipe during a reissue"}
NO_LATE = frozenset(SIGHTS) - {
    "a late add after its removal was confirmed",
    "a stale request under way",
}


def forgetful_expiry(record: UserRecord) -> AccessChange | NotExpired:
    """A wrong decision: time ends, and nobody is shut out."""
    decision = decide_expiry(record)
    return replace(decision, wishes=()) if isinstance(decision, AccessChange) else decision


def _full(
    name: str,
    left: Left,
    states: int,
    *,
    leaked: bool = False,
    sights: frozenset[str] = frozenset(SIGHTS),
) -> Variant:
    def run() -> Found[State]:
        return search(ProtocolModel(left, BackEnd(leaked=leaked)), SIGHTS)

    return Variant(name=name, run=run, states=states, sights=sights)


def _ablation(
    name: str, left: Left, rule: str, back_end: Mapping[str, Any], **flags: bool
) -> Variant:
    def run() -> Found[State]:
        model = ProtocolModel(left, BackEnd(leaked=False, **back_end), **flags)
        return search(model, watch=frozenset({rule}))

    return Variant(name=name, run=run, rule=rule)


def _ablations(prefix: str, left: Left) -> tuple[Variant, ...]:
    revived, diverged = properties.REVIVED, properties.DIVERGED
    wrong = {"expiry": forgetful_expiry}
    return (
        _ablation(f"{prefix}no fence", left, revived, {}, fence=False),
        _ablation(f"{prefix}no compare-and-set", left, revived, {"compare_and_set": False}),
        _ablation(f"{prefix}no reconciler", left, diverged, {}, visits=False),
        _ablation(f"{prefix}no epoch", left, revived, {}, epoch=False),
        _ablation(f"{prefix}expiry forgets to shut out", left, properties.UNENTITLED, wrong),
    )


def _paid(name: str, model: PaidTimeModel, rule: str) -> Variant:
    return Variant(
        name=f"paid time: {name}",
        run=lambda: search(model, watch=frozenset({rule})),
        rule=rule,
    )


PAID_TIME_SIGHTS: Mapping[str, Callable[[paid_time.State], bool]] = {
    "time waits while time passes": lambda s: s.now > 0 and s.used == 0 and _waits(s) > 0,
    "two payments wait": lambda s: _waits(s) == 2 * PERIOD,
    "a renewal after the end": lambda s: s.used > 0 and _waits(s) > 0,
    "a commit that was overtaken": lambda s: any(
        s.payments[decision.payment] == paid_time.CREDITED for decision in s.limbo
    ),
    "all that was bought is used": lambda s: s.used == 2 * PERIOD,
}


def _waits(state: paid_time.State) -> int:
    return state.time.pending if state.time else 0


SMALL_VARIANTS = (
    _full("small, make-before-break", SMALL, 29_131),
    _full("small, break-first", SMALL, 28_564, leaked=True),
    _full("two lives, two timeouts", TWO_LIVES, 4_469, sights=NO_REISSUE),
    *_ablations("", SMALL),
    Variant(
        name="paid time: full",
        run=lambda: search(PaidTimeModel(), PAID_TIME_SIGHTS),
        states=11_508,
        sights=frozenset(PAID_TIME_SIGHTS),
    ),
    _paid("a retry adds the period again", PaidTimeModel(once=False), paid_time.MORE),
    _paid("time starts at payment", PaidTimeModel(starts_with_access=False), paid_time.LESS),
    _paid("activation not compare-and-set", PaidTimeModel(compare_and_set=False), paid_time.MORE),
)
DEEP_VARIANTS = (
    _full("full, make-before-break", DEEP, 956_013),
    _full("full, break-first", DEEP, 909_328, leaked=True),
    _full("two timeouts, make-before-break", TWO_TIMEOUTS, 126_550),
    _full("two timeouts, break-first", TWO_TIMEOUTS, 121_028, leaked=True),
    _full("old epoch learned late", ECHO, 55_268, sights=NO_LATE),
    *_ablations("full bounds, ", DEEP),
)
