"""Model of paid time: the seconds that people get are the seconds that they paid for.

Two payments, each perhaps handled twice; a commit whose outcome nobody learns, which may still
happen; a confirmation that is recorded again; a node that answers at once or, after an outage, any
number of ticks later. Time goes in ticks; a period is two of them. A transaction ends within
its tick, for it has a timeout; everything else may take any number of ticks.

Real: `decide_credit`, `decide_expiry`. Mirrored: the confirmation and wishes (`statements`), and
the guards of a credit's transaction: the payment is still `received` (which stands for the unique
key of the ledger, too), the subscription has the version that was read.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from storage.rows import SubscriptionStatus, Wish
from tests.model.paid_rows import PERIOD, Time, confirm, credit, expire, write
from tests.model.search import Step
from tests.model.states import Credential

#: How far money has come.
NOT_YET, RECEIVED, CREDITED = range(3)

MORE = "more time than was bought"
FELL = "a version fell"
LESS = "less time than was bought"
UNPAID = "a payment waits although nothing is left to do"
UNSTARTED = "time waits although nothing is left to do"
RECEIVED_COSTS, OVER_COSTS, TELLING_COSTS, RECORDING_COSTS = 1000, 100, 10, 5


class Decision(NamedTuple):
    """A credit that is decided and not committed."""

    payment: int
    before: int
    after: Time
    wishes: tuple[Wish, ...]


class Answer(NamedTuple):
    """The node did what `gen` asked; `pending` is what waited then, where an ablation keeps it."""

    gen: int
    pending: int


class Left(NamedTuple):
    """How often each thing may still happen."""

    ticks: int = 7
    unknown_commits: int = 1
    repeated_answers: int = 1
    repeated_credits: int = 1


class State(NamedTuple):
    """Everything at a moment. Decisions in `limbo` may be committed, or not."""

    now: int
    time: Time | None
    key: Credential | None
    payments: tuple[int, ...]
    hand: tuple[Decision, ...]
    limbo: tuple[Decision, ...]
    answers: tuple[Answer, ...]
    used: int
    left: Left


class PaidTimeModel:
    """The rules of paid time; each flag that is off takes one away."""

    def __init__(
        self,
        left: Left | None = None,
        *,
        once: bool = True,
        starts_with_access: bool = True,
        compare_and_set: bool = True,
    ) -> None:
        self._left = left or Left()
        self._once = once
        self._starts_with_access = starts_with_access
        self._compare_and_set = compare_and_set
        self._decide = lru_cache(None)(self._decided)

    def start(self) -> State:
        """See `Model`."""
        return State(0, None, None, (NOT_YET, NOT_YET), (), (), (), 0, self._left)

    def steps(self, state: State) -> Iterator[Step[State]]:
        """See `Model`."""
        yield from self._credits(state)
        yield from self._node(state)
        yield from self._world(state)
        after = _expired(state)
        if after is not None:
            yield True, ("expire",), after

    def _credits(self, state: State) -> Iterator[Step[State]]:
        """Money comes, is decided about, and is committed."""
        for payment, stands in enumerate(state.payments):
            if stands == NOT_YET:
                come = _put(state.payments, payment, RECEIVED)
                yield False, ("pay", payment), state._replace(payments=come)
            again = not self._once and stands == CREDITED and state.left.repeated_credits > 0
            if not state.hand and (stands == RECEIVED or again):
                decision = self._decide(state.now, state.time, state.key, payment)
                spent = state.left._replace(repeated_credits=state.left.repeated_credits - again)
                after = state._replace(hand=(decision,), left=spent)
                yield stands == RECEIVED, ("decide", payment), after
        for decision in state.hand:
            after = self._committed(state._replace(hand=()), decision)
            yield True, ("commit", decision.payment), after
            if state.left.unknown_commits:
                spent = state.left._replace(unknown_commits=state.left.unknown_commits - 1)
                limbo = (*state.limbo, decision)
                after = state._replace(hand=(), limbo=limbo, left=spent)
                yield False, ("lose sight of the commit", decision.payment), after
        for decision in state.limbo:
            gone = state._replace(limbo=())
            yield False, ("roll back", decision.payment), gone
            yield False, ("commit after all", decision.payment), self._committed(gone, decision)

    def _node(self, state: State) -> Iterator[Step[State]]:
        """The node answers, and its answer is recorded, perhaps twice."""
        key, time = state.key, state.time
        if key is None or time is None:
            return
        if key.due and not any(answer.gen == key.gen for answer in state.answers):
            answer = Answer(key.gen, 0 if self._compare_and_set else time.pending)
            yield True, ("answer", key.gen), state._replace(answers=(*state.answers, answer))
        for answer in dict.fromkeys(state.answers):
            others = list(state.answers)
            others.remove(answer)
            after = self._recorded(state, answer)
            yield True, ("record", answer.gen), after._replace(answers=tuple(others))
            if state.left.repeated_answers:
                spent = state.left._replace(repeated_answers=state.left.repeated_answers - 1)
                yield False, ("record, and again", answer.gen), after._replace(left=spent)

    def _world(self, state: State) -> Iterator[Step[State]]:
        """Time passes. No transaction outlives its tick."""
        if state.left.ticks and not state.hand and not state.limbo:
            spent = state.left._replace(ticks=state.left.ticks - 1)
            used = state.used + bool(_running(state))
            yield False, ("tick",), state._replace(now=state.now + 1, used=used, left=spent)

    def _decided(
        self, now: int, time: Time | None, key: Credential | None, payment: int
    ) -> Decision:
        after, wishes = credit(now, time, key, payment)
        if not self._starts_with_access and after.pending:
            ends = max(now, after.ends or now) + after.pending
            after = after._replace(ends=ends, pending=0)
        return Decision(payment, time.version if time else 0, after, wishes)

    def _committed(self, state: State, decision: Decision) -> State:
        version = state.time.version if state.time else 0
        stands = state.payments[decision.payment]
        if version != decision.before or (self._once and stands != RECEIVED):
            return state
        paid = _put(state.payments, decision.payment, CREDITED)
        time, key = write(state.now, decision.after, state.key, decision.wishes)
        return state._replace(time=time, key=key, payments=paid)

    def _recorded(self, state: State, answer: Answer) -> State:
        assert state.time is not None
        if not self._compare_and_set and answer.pending:
            ends = max(state.now, state.time.ends or state.now) + answer.pending
            active = SubscriptionStatus.ACTIVE
            return state._replace(
                time=Time(active, ends, 0, state.time.version + 1), key=_applied(state.key)
            )
        time, key = confirm(state.now, state.time, state.key, answer.gen)
        return state._replace(time=time, key=key)

    def wrong(self, state: State) -> str | None:
        """See `Model`: used, left and waiting are bought."""
        bought = PERIOD * sum(stands == CREDITED for stands in state.payments)
        time = state.time
        given = state.used
        if time is not None:
            given += time.pending + max(0, (time.ends or 0) - state.now)
        if given == bought:
            return None
        return MORE if given > bought else LESS

    def wrong_step(self, before: State, after: State) -> str | None:
        """See `Model`: versions only grow."""
        versions = [state.time.version if state.time else 0 for state in (before, after)]
        return FELL if versions[1] < versions[0] else None

    def rank(self, state: State) -> int:
        """See `Model`."""
        return _rank(state)

    def wrong_rest(self, state: State) -> str | None:
        """See `Model`: money is credited and its time started."""
        if RECEIVED in state.payments:
            return UNPAID
        activating = SubscriptionStatus.ACTIVATING
        return UNSTARTED if state.time and state.time.status is activating else None

    def show(self, state: State) -> str:
        """See `Model`."""
        time = state.time
        stands = " ".join(("none", "received", "credited")[stand] for stand in state.payments)
        rest = f"{time.status} until {time.ends}, {time.pending} wait" if time else "nothing"
        return f"tick {state.now}: {stands} | {rest} | used {state.used}"


def _running(state: State) -> bool:
    time = state.time
    active = time is not None and time.status is SubscriptionStatus.ACTIVE
    return active and time is not None and (time.ends or 0) > state.now


def _rank(state: State) -> int:
    """An upper bound of what is left to do; every fair step lowers it."""
    version = state.time.version if state.time else 0
    total = RECEIVED_COSTS * state.payments.count(RECEIVED) + len(state.answers)
    total += sum(-1 if decision.before == version else 1 for decision in state.hand)
    if state.time and state.time.status is SubscriptionStatus.ACTIVE:
        total += OVER_COSTS * (not _running(state))
    if state.key and state.key.due:
        answered = any(answer.gen == state.key.gen for answer in state.answers)
        total += RECORDING_COSTS if answered else TELLING_COSTS
    return total


def _expired(state: State) -> State | None:
    """What is left when time that is over was ended."""
    if state.time is None or state.time.status is not SubscriptionStatus.ACTIVE:
        return None
    ended = expire(state.now, state.time, state.key, uncredited=RECEIVED in state.payments)
    return None if ended is None else state._replace(time=ended[0], key=ended[1])


def _put(payments: tuple[int, ...], payment: int, stands: int) -> tuple[int, ...]:
    return (*payments[:payment], stands, *payments[payment + 1 :])


def _applied(key: Credential | None) -> Credential | None:
    return key and key._replace(applied_gen=key.gen, was_applied=True)
