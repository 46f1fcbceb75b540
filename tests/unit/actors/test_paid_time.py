"""Every second that is bought or given is used, left, waiting or given back: none twice."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from actors.user.decisions.access import (
    decide_expiry,
    decide_grant,
    decide_reissue,
    decide_standing,
)
from actors.user.decisions.catalogue import Fresh
from actors.user.decisions.money import decide_credit, decide_refund
from actors.user.messages import GrantAccess, Reissue, Standing
from config.plans import Limits, Plans
from storage.rows import (
    AccessChange,
    ActDraft,
    CredentialRow,
    Credit,
    Desired,
    Disposition,
    NewCredential,
    PaymentRow,
    RaisedCredential,
    Refund,
    SubscriptionRow,
    SubscriptionStatus,
    UserRecord,
    UserStatus,
)
from tests.unit.actors.rows import (
    NOW,
    PLAN,
    SUBSCRIPTION_ID,
    catalogue,
    payment,
    purchase,
    record,
    unapplied,
    user,
)

#: Sums of a hundred small periods stay far below every bound.
SHOP = catalogue(plans=Plans(plans=(PLAN,), limits=Limits()))


@dataclass(frozen=True)
class Act:
    """One thing that happens, by the name of a method of `Life`."""

    name: str
    value: int = 0


NAMES = (
    "pay",
    "confirm",
    "wait",
    "sweep",
    "grant",
    "ban",
    "unban",
    "refund",
    "reissue",
    "reissue_leaked",
)
ACTS = st.lists(
    st.builds(Act, st.sampled_from(NAMES), st.integers(60, 400)),
    max_size=30,
)


class Life:
    """One user's rows and clock. Confirmation is as in state-machine.md, section 4."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.row: SubscriptionRow | None = None
        self.owned: list[CredentialRow] = []
        self.payments: list[PaymentRow] = []
        self.banned = False
        self.gained = 0
        self.used = 0

    def play(self, act: Act) -> None:
        """Let one thing happen."""
        getattr(self, f"_{act.name}")(act.value)

    @property
    def left(self) -> float:
        """Seconds that still run."""
        if self.row is None or self.row.status is not SubscriptionStatus.ACTIVE:
            return 0
        assert self.row.expires_at is not None
        return max(0.0, (self.row.expires_at - self.now).total_seconds())

    @property
    def waiting(self) -> int:
        """Seconds that have not begun."""
        return self.row.pending_s if self.row else 0

    @property
    def present(self) -> list[CredentialRow]:
        """Credentials that should let the user in."""
        return [owned for owned in self.owned if owned.desired is Desired.PRESENT]

    def _record(self) -> UserRecord:
        return record(
            now=self.now,
            user=user(status=UserStatus.BANNED if self.banned else UserStatus.ACTIVE),
            subscription=self.row,
            credentials=tuple(reversed(self.owned)),
        )

    def _pay(self, period_s: int) -> None:
        charge = payment(
            provider_payment_id=f"charge-{len(self.payments)}", purchase_id=UUID(int=period_s)
        )
        order = purchase(
            id=UUID(int=period_s),
            period_s=period_s,
            invoice_expires_at=self.now + timedelta(hours=1),
        )
        credit = decide_credit(self._record(), charge, order, SHOP, _fresh())
        if isinstance(credit, Credit):
            self.payments.append(replace(charge, disposition=Disposition.CREDITED))
            self._apply(credit.change)
        else:
            assert self.banned, "money that fits is held"

    def _grant(self, period_s: int) -> None:
        message = GrantAccess(
            operation_id=uuid4().hex, plan_id=None, period_s=period_s, who="owner", reason=""
        )
        self._apply(decide_grant(self._record(), message, SHOP, _fresh(), 0))

    def _refund(self, number: int) -> None:
        if not self.payments:
            return
        charge = self.payments.pop(number % len(self.payments))
        assert charge.purchase_id is not None
        order = purchase(id=charge.purchase_id, period_s=charge.purchase_id.int)
        refund = decide_refund(self._record(), charge, order, SHOP, reason="", actor="owner")
        assert isinstance(refund, Refund)
        self._apply(refund.change)

    def _ban(self, _: int) -> None:
        self._apply(decide_standing(self._record(), Standing.BANNED, _act(), SHOP, _fresh()))
        self.banned = True

    def _unban(self, _: int) -> None:
        self._apply(decide_standing(self._record(), Standing.UNBANNED, _act(), SHOP, _fresh()))
        self.banned = False

    def _reissue(self, _: int, *, leaked: bool = False) -> None:
        message = Reissue(operation_id="tap", leaked=leaked)
        self._apply(decide_reissue(self._record(), message, SHOP, _fresh()))

    def _reissue_leaked(self, _: int) -> None:
        self._reissue(_, leaked=True)

    def _sweep(self, _: int) -> None:
        self._apply(decide_expiry(self._record()))

    def _wait(self, seconds: int) -> None:
        self.used += int(min(seconds, self.left))
        self.now += timedelta(seconds=seconds)

    def _confirm(self, _: int) -> None:
        """The node answers for every wish."""
        for number, owned in enumerate(self.owned):
            if owned.applied:
                continue
            first = self.now if owned.desired is Desired.PRESENT else None
            self.owned[number] = replace(
                owned, applied_gen=owned.gen, first_applied_at=owned.first_applied_at or first
            )
            if owned.desired is Desired.PRESENT:
                self._let_in(owned)

    def _let_in(self, owned: CredentialRow) -> None:
        for number, old in enumerate(self.owned):
            if old.uuid == owned.replaces and old.desired is Desired.PRESENT:
                self.owned[number] = replace(old, desired=Desired.ABSENT, gen=old.gen + 1)
        row = self.row
        if row is not None and row.status is SubscriptionStatus.ACTIVATING:
            start = max(self.now, row.expires_at or self.now)
            self.row = replace(
                row,
                status=SubscriptionStatus.ACTIVE,
                pending_s=0,
                expires_at=start + timedelta(seconds=row.pending_s),
                version=row.version + 1,
            )

    def _apply(self, change: Any) -> None:
        if not isinstance(change, AccessChange):
            return
        assert change.before == self.row
        versions = [step.after.version for step in change.steps]
        first = self.row.version if self.row else 0
        assert versions == list(range(first + 1, first + 1 + len(versions)))
        self.gained += sum(step.entry.delta_s for step in change.steps)
        self.row = change.after
        for wish in change.wishes:
            self._wish(wish)

    def _wish(self, wish: Any) -> None:
        if isinstance(wish, NewCredential):
            self.owned.append(
                unapplied(
                    uuid=wish.uuid,
                    subscription_id=SUBSCRIPTION_ID,
                    replaces=wish.replaces,
                    origin=wish.origin,
                    created_at=self.now,
                )
            )
            return
        wanted = Desired.PRESENT if isinstance(wish, RaisedCredential) else Desired.ABSENT
        for number, owned in enumerate(self.owned):
            if owned.uuid == wish.uuid:
                self.owned[number] = replace(owned, desired=wanted, gen=owned.gen + 1)


def _fresh() -> Fresh:
    return Fresh(uuid=uuid4(), subscription=SUBSCRIPTION_ID)


def _act() -> ActDraft:
    return ActDraft(
        operation_id=uuid4().hex, actor="owner", action="", target="", reason="", details={}
    )


def _always(acts: list[Act], rule: Callable[[Life], None]) -> Life:
    life = Life()
    for act in acts:
        life.play(act)
        rule(life)
    return life


@given(ACTS)
def test_seconds_are_used_left_or_waiting(acts: list[Act]) -> None:
    def conserved(life: Life) -> None:
        assert life.used + life.left + life.waiting == life.gained

    _always(acts, conserved)


@given(ACTS)
def test_access_follows_the_paid_time(acts: list[Act]) -> None:
    """Time that runs or waits has a key, other time has none, and two only in a replacement."""

    def fits(life: Life) -> None:
        status = life.row.status if life.row else SubscriptionStatus.NONE
        open_ = status in {SubscriptionStatus.ACTIVE, SubscriptionStatus.ACTIVATING}
        assert bool(life.present) is open_
        if len(life.present) > 1:
            old, new = life.present
            assert (new.replaces, new.first_applied_at) == (old.uuid, None)

    _always(acts, fits)


@given(ACTS)
def test_a_key_that_leaked_never_comes_back(acts: list[Act]) -> None:
    leaked: set[UUID] = set()

    def stays_out(life: Life) -> None:
        assert not leaked & {owned.uuid for owned in life.present}

    life = Life()
    for act in acts:
        before = {owned.uuid for owned in life.present}
        life.play(act)
        if act.name == "reissue_leaked":
            leaked |= before - {owned.uuid for owned in life.present}
        stays_out(life)


@given(ACTS)
def test_what_is_bought_runs_in_the_end(acts: list[Act]) -> None:
    """However it went: one answer of the node, and every second that waits begins."""
    life = _always([*acts, Act("unban"), Act("pay", 60), Act("confirm")], lambda _: None)

    assert life.waiting == 0
    assert life.row is not None
    assert life.row.status is SubscriptionStatus.ACTIVE
    assert life.left >= 60
