"""Every second that is bought is used, left or waiting: none is lost, none is given twice."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from actors.user.decisions import decide_credit
from storage.rows import (
    CredentialRow,
    Credit,
    Desired,
    NewCredential,
    SubscriptionRow,
    SubscriptionStatus,
)
from tests.unit.actors.rows import (
    NODE,
    NOW,
    SUBSCRIPTION_ID,
    payment,
    purchase,
    record,
    unapplied,
)


@dataclass(frozen=True)
class Pay:
    """A plan of this length is paid for."""

    period_s: int


@dataclass(frozen=True)
class Confirm:
    """The node answers for the present wish."""


@dataclass(frozen=True)
class Wait:
    """Time passes."""

    seconds: int


@dataclass(frozen=True)
class Sweep:
    """The expiry batch passes by."""


Event = Pay | Confirm | Wait | Sweep

EVENTS = st.lists(
    st.one_of(
        st.builds(Pay, st.integers(60, 400)),
        st.just(Confirm()),
        st.builds(Wait, st.integers(1, 700)),
        st.just(Sweep()),
    ),
    max_size=25,
)


class Life:
    """One user's rows and clock. Confirmation and expiry are as state-machine.md, 2 and 4."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.row: SubscriptionRow | None = None
        self.owned: CredentialRow | None = None
        self.bought = 0
        self.used = 0
        self.activations = 0

    def play(self, event: Event) -> None:
        """Let one thing happen."""
        match event:
            case Pay(period_s=period_s):
                self._pay(period_s)
            case Confirm():
                self._confirm()
            case Wait(seconds=seconds):
                self._wait(seconds)
            case Sweep():
                self._sweep()

    def left(self) -> float:
        """Seconds that still run."""
        if self.row is None or self.row.status is not SubscriptionStatus.ACTIVE:
            return 0
        assert self.row.expires_at is not None
        return max(0.0, (self.row.expires_at - self.now).total_seconds())

    def waiting(self) -> int:
        """Seconds that have not begun."""
        return self.row.pending_s if self.row else 0

    def _pay(self, period_s: int) -> None:
        rows = record(
            now=self.now,
            subscription=self.row,
            credentials=(self.owned,) if self.owned else (),
        )
        order = purchase(period_s=period_s, invoice_expires_at=self.now + timedelta(hours=1))
        credit = decide_credit(
            rows, payment(), order, [NODE], fresh=uuid4(), fresh_subscription=SUBSCRIPTION_ID
        )
        assert isinstance(credit, Credit)
        self.bought += period_s
        self.row = credit.after
        if isinstance(credit.wish, NewCredential):
            assert self.owned is None, "a second uuid"
            self.owned = unapplied(uuid=credit.wish.uuid, subscription_id=SUBSCRIPTION_ID)
        elif credit.wish is not None:
            assert self.owned is not None
            self.owned = replace(
                self.owned, desired=Desired.PRESENT, gen=self.owned.gen + 1, last_class=None
            )

    def _confirm(self) -> None:
        if self.owned is None or self.owned.applied:
            return
        self.owned = replace(self.owned, applied_gen=self.owned.gen)
        row = self.row
        if (
            row is None
            or row.status is not SubscriptionStatus.ACTIVATING
            or self.owned.desired is not Desired.PRESENT
        ):
            return
        self.activations += 1
        start = max(self.now, row.expires_at or self.now)
        self.row = replace(
            row,
            status=SubscriptionStatus.ACTIVE,
            pending_s=0,
            expires_at=start + timedelta(seconds=row.pending_s),
        )

    def _wait(self, seconds: int) -> None:
        self.used += int(min(seconds, self.left()))
        self.now += timedelta(seconds=seconds)

    def _sweep(self) -> None:
        row = self.row
        if row is None or row.status is not SubscriptionStatus.ACTIVE or self.left() > 0:
            return
        self.row = replace(row, status=SubscriptionStatus.EXPIRED)
        assert self.owned is not None
        self.owned = replace(self.owned, desired=Desired.ABSENT, gen=self.owned.gen + 1)


@given(EVENTS)
def test_seconds_bought_are_used_left_or_waiting(events: list[Event]) -> None:
    life = Life()

    for event in events:
        life.play(event)
        assert life.used + life.left() + life.waiting() == life.bought


@given(EVENTS)
def test_what_is_bought_runs_in_the_end(events: list[Event]) -> None:
    """However it went: one answer of the node, and every second that waits begins."""
    life = Life()
    for event in [*events, Pay(60), Confirm()]:
        life.play(event)

    assert life.waiting() == 0
    assert life.row is not None
    assert life.row.status is SubscriptionStatus.ACTIVE
    assert life.left() >= 60
