"""A node that fails is spared, one probe at a time finds it healed, and then it is not flooded."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import aiobreaker
import circuitbreaker
import purgatory
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.provisioner.breaker import (
    Breaker,
    BreakerChange,
    BreakerLimits,
    BreakerState,
    Hold,
    Permit,
    Verdict,
)
from tests.unit.actors.breaker_model import Model

CALLERS = 100
MIDDLE = 0.5  # a random number that varies nothing

S, F, TLS = Verdict.SUCCESS, Verdict.FAILURE, Verdict.TLS
BUSY, NOTHING = Verdict.THROTTLED, Verdict.NEUTRAL
CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


class Bench:
    """A breaker and its clock; every question is put to the model too, and the answers agree."""

    def __init__(self, jitter: float = MIDDLE) -> None:
        self.now = 1_000.0
        self.changes: list[BreakerChange] = []
        self.breaker = Breaker(BreakerLimits, lambda: jitter, self.changes.append)
        self.model = Model(BreakerLimits(), jitter)
        self._probe: Permit | None = None

    @property
    def state(self) -> BreakerState | Hold:
        """The breaker's."""
        return self.breaker.state(self.now)

    def calls(self, *verdicts: Verdict, took: float = 0.1) -> None:
        """One after the other; what is not let through does not take place."""
        for verdict in verdicts:
            permit = self.breaker.call(self.now)
            assert (permit is not None) == self.model.lets_calls_through(self.now)
            if permit is None:
                continue
            series = self.model.series
            self.now += took
            self.breaker.ended(permit, verdict, self.now)
            self.model.tick(self.now)
            if series == self.model.series:
                self.model.call(self.now, verdict, took)
            self.compare()

    def wait(self, seconds: float) -> None:
        """Nothing happens for so long."""
        self.now += seconds
        self.compare()

    def probe(self) -> bool:
        """Whether one was let through."""
        permit = self.breaker.probe(self.now)
        assert (permit is not None) == self.model.lets_a_probe_through(self.now)
        self._probe = permit or self._probe
        self.compare()
        return permit is not None

    def probed(self, passed: bool | None) -> None:
        """The probe came to its end, if there is one."""
        if self._probe is not None:
            self.breaker.probed(self._probe, passed=passed, now=self.now)
            self.model.tick(self.now)
            self.model.probed(self.now, passed)
            self._probe = None
        self.compare()

    def order(self, hold: Hold, seconds: float | None) -> None:
        """An operator's, for so long, or until it is taken back."""
        until = None if seconds is None else self.now + seconds
        self.breaker.order(hold, until, self.now)
        self.model.order(hold, until, self.now)
        self.compare()

    def release(self) -> None:
        """An operator takes an order back."""
        self.breaker.release(self.now)
        self.model.tick(self.now)
        self.model.release(self.now)
        self.compare()

    def heal(self) -> None:
        """Until it is closed again."""
        self.wait(self.breaker.probe_in(self.now))
        for _ in range(2):
            assert self.probe()
            self.probed(passed=True)
            self.wait(1)
        assert self.state is CLOSED

    def compare(self) -> None:
        """Breaker and model agree."""
        self.model.tick(self.now)
        assert self.state == (self.model.hold or self.model.state)
        assert self.breaker.concurrency == self.model.concurrency


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("verdicts", "took", "state"),
    [
        pytest.param([], 0.1, CLOSED, id="new"),
        pytest.param([F] * 4, 0.1, CLOSED, id="too few to judge"),
        pytest.param([F] * 5, 0.1, OPEN, id="five in a row"),
        pytest.param([S] * 20 + [F] * 4, 0.1, CLOSED, id="four in a row"),
        pytest.param([S] * 20 + [F] * 5, 0.1, OPEN, id="five in a row among many"),
        pytest.param([F, S, F, S], 0.1, CLOSED, id="half of too few"),
        pytest.param([F, S, F, S, F], 0.1, OPEN, id="three of five"),
        pytest.param([S, S, S, F, F], 0.1, CLOSED, id="two of five"),
        pytest.param([S, S, S, F, F, F], 0.1, OPEN, id="half of six"),
        pytest.param([F, F, S, S] * 5, 0.1, OPEN, id="half of many"),
        pytest.param([F, S, S] * 30, 0.1, CLOSED, id="a third of many"),
        pytest.param([S] * 40 + [S, F] * 10, 0.1, OPEN, id="only the last twenty count"),
        pytest.param(
            [F, S, F, S, S, F], 16.0, CLOSED, id="what is older than a minute is forgotten"
        ),
        pytest.param([F] * 5, 100.0, OPEN, id="five in a row, however old"),
        pytest.param([S] * 9, 3.0, CLOSED, id="too few slow ones"),
        pytest.param([S] * 10, 3.0, OPEN, id="ten slow ones"),
        pytest.param([S] * 30, 2.0, CLOSED, id="just not slow"),
        pytest.param([TLS], 0.1, CLOSED, id="one bad certificate"),
        pytest.param([TLS, TLS], 45.0, OPEN, id="two bad certificates"),
        pytest.param([TLS, S, TLS], 0.1, CLOSED, id="a good certificate between"),
        pytest.param([TLS, F, TLS], 0.1, OPEN, id="nothing good between"),
        pytest.param([NOTHING] * 50, 5.0, CLOSED, id="our own faults say nothing of the node"),
        pytest.param([F, F, NOTHING, F, F, NOTHING], 0.1, CLOSED, id="our own fault is no failure"),
        pytest.param([F, F, F, F, NOTHING, F], 0.1, OPEN, id="our own fault is no success either"),
        pytest.param([BUSY] * 50, 0.1, CLOSED, id="a node that asks for patience is there"),
    ],
)
def test_calls_and_what_they_make_of_it(
    bench: Bench, verdicts: list[Verdict], took: float, state: BreakerState
) -> None:
    bench.calls(*verdicts, took=took)

    assert bench.state is state


def test_nothing_goes_to_the_node_while_it_is_open(bench: Bench) -> None:
    bench.calls(*[F] * 5)

    assert bench.breaker.call(bench.now) is None
    assert bench.breaker.probe_in(bench.now) == 5.0
    assert bench.breaker.probe(bench.now + 4.99) is None


def test_two_probes_a_second_apart_close_it_and_no_change_goes_before(bench: Bench) -> None:
    bench.calls(*[F] * 5)
    bench.wait(5)

    assert bench.probe()
    assert bench.state is HALF_OPEN
    assert bench.breaker.call(bench.now) is None
    bench.probed(passed=True)
    assert not bench.probe(), "too soon"
    bench.wait(1)
    assert bench.probe()
    assert bench.breaker.call(bench.now) is None
    bench.probed(passed=True)

    assert bench.state is CLOSED
    assert [(change.before, change.after, change.reason) for change in bench.changes] == [
        (CLOSED, OPEN, "5 failures in a row"),
        (OPEN, HALF_OPEN, "the time is up"),
        (HALF_OPEN, CLOSED, "2 probes passed"),
    ]


def test_each_failed_probe_doubles_the_time_up_to_the_cap(bench: Bench) -> None:
    bench.calls(*[F] * 5)

    waits = []
    for _ in range(6):
        waits.append(bench.breaker.probe_in(bench.now))
        bench.wait(waits[-1])
        assert bench.probe()
        bench.probed(passed=False)

    assert waits == pytest.approx([5, 10, 20, 40, 60, 60])


@pytest.mark.parametrize(("jitter", "opened_s"), [(0.0, 4.0), (1.0, 6.0)])
def test_the_time_varies_so_that_nodes_are_not_probed_at_once(
    jitter: float, opened_s: float
) -> None:
    bench = Bench(jitter)

    bench.calls(*[F] * 5)

    assert bench.breaker.probe_in(bench.now) == pytest.approx(opened_s)


def test_after_a_heal_calls_grow_from_one(bench: Bench) -> None:
    bench.calls(*[S] * 30)
    assert bench.breaker.concurrency == 8
    bench.calls(*[F] * 10)
    bench.heal()

    allowed = [bench.breaker.concurrency]
    for _ in range(4):
        bench.calls(*[S] * 10)
        allowed.append(bench.breaker.concurrency)

    assert allowed == [1, 2, 4, 8, 8]


def test_a_node_that_fails_again_while_calls_grow_waits_longer(bench: Bench) -> None:
    bench.calls(*[F] * 5)
    bench.heal()
    bench.calls(*[S] * 20)
    bench.calls(*[F] * 5)
    assert bench.breaker.probe_in(bench.now) == 10

    bench.heal()
    bench.calls(*[S] * 30)
    bench.calls(*[F] * 10)
    assert bench.breaker.probe_in(bench.now) == 5, "it had healed"


def test_calls_about_many_users_take_their_time_and_are_no_slow_ones(bench: Bench) -> None:
    for _ in range(20):
        permit = bench.breaker.call(bench.now)
        assert permit is not None
        bench.now += 10.0
        bench.breaker.ended(permit, S, bench.now, of_many=True)

    assert bench.state is CLOSED


def test_a_node_that_asks_for_patience_gets_half_as_many_calls(bench: Bench) -> None:
    bench.calls(*[S] * 30)

    allowed = []
    for _ in range(4):
        bench.calls(BUSY)
        allowed.append(bench.breaker.concurrency)

    assert allowed == [4, 2, 1, 1]


def test_an_answer_from_before_the_opening_says_nothing(bench: Bench) -> None:
    late = bench.breaker.call(bench.now)
    assert late is not None
    bench.calls(*[F] * 5)
    bench.heal()

    for _ in range(5):
        bench.breaker.ended(late, F, bench.now)

    assert bench.state is CLOSED
    assert bench.breaker.concurrency == 1


def test_a_cancelled_probe_says_nothing_and_another_one_may_go(bench: Bench) -> None:
    bench.calls(*[F] * 5)
    bench.wait(5)
    assert bench.probe()

    bench.probed(passed=None)

    assert bench.state is HALF_OPEN
    assert bench.probe()


def test_a_probe_that_nobody_ended_is_taken_for_failed(bench: Bench) -> None:
    bench.calls(*[F] * 5)
    bench.wait(5)
    assert bench.probe()
    lost = bench._probe
    assert lost is not None
    bench.wait(9.9)
    assert not bench.probe()
    assert bench.breaker.probe_in(bench.now) == pytest.approx(0.1)

    bench.wait(0.2)
    assert not bench.probe()

    assert bench.state is OPEN
    assert bench.breaker.probe_in(bench.now) == 10
    bench.breaker.probed(lost, passed=True, now=bench.now)
    assert bench.state is OPEN


def test_what_is_isolated_gets_nothing_and_is_probed_before_it_is_used(bench: Bench) -> None:
    bench.order(Hold.ISOLATED, None)
    bench.wait(100_000)
    assert bench.breaker.call(bench.now) is None
    assert not bench.probe()

    bench.release()

    assert bench.state is OPEN
    bench.heal()


def test_an_order_ends_when_its_time_is_up(bench: Bench) -> None:
    bench.order(Hold.ISOLATED, 60)
    bench.wait(60)

    assert bench.state is OPEN
    assert bench.changes[-1].reason == "the order's time is up"


def test_what_is_held_closed_opens_at_nothing_until_the_order_ends(bench: Bench) -> None:
    bench.calls(*[F] * 5)
    bench.order(Hold.CLOSED, 60)
    bench.calls(*[F] * 50)
    assert bench.changes[-1].after is Hold.CLOSED

    bench.wait(60)

    assert bench.state is CLOSED
    bench.calls(*[F] * 4)
    assert bench.state is CLOSED, "what failed before says nothing"
    bench.calls(F)
    assert bench.state is OPEN


def test_limits_are_asked_for_at_each_decision() -> None:
    limits = [BreakerLimits()]
    breaker = Breaker(lambda: limits[0], lambda: MIDDLE)

    limits[0] = BreakerLimits(failures_in_row=1, open_s=1.0)
    permit = breaker.call(0.0)
    assert permit is not None
    breaker.ended(permit, F, 0.0)

    assert breaker.state(0.0) is OPEN
    assert breaker.probe_in(0.0) == 1.0


DURATIONS = st.sampled_from([0.0, 0.1, 2.1, 4.0])
STEPS = st.one_of(
    st.tuples(st.just("calls"), st.lists(st.sampled_from(Verdict), max_size=8), DURATIONS),
    st.tuples(st.just("calls"), st.integers(1, 35).map(lambda n: [S] * n), DURATIONS),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 4.0, 5.0, 12.0, 72.0, 600.0])),
    st.tuples(st.just("probe")),
    st.tuples(st.just("probed"), st.sampled_from([True, True, False, None])),
    st.tuples(st.just("order"), st.sampled_from(Hold), st.sampled_from([None, 0.0, 3.0, 90.0])),
    st.tuples(st.just("release")),
    st.tuples(st.just("heal")),
)


@given(steps=st.lists(STEPS, max_size=30), jitter=st.sampled_from([0.0, 0.3, 0.999]))
@settings(max_examples=300, deadline=None)
def test_it_does_what_the_model_does(steps: list[tuple[Any, ...]], jitter: float) -> None:
    bench = Bench(jitter)

    for step in steps:
        match step:
            case ("calls", verdicts, took):
                bench.calls(*verdicts, took=took)
            case ("heal",):
                bench.wait(bench.breaker.probe_in(bench.now))
                bench.probe()
                bench.probed(passed=True)
                bench.wait(1)
                bench.probe()
                bench.probed(passed=True)
            case (name, *arguments):
                getattr(bench, name)(*arguments)


async def let_through(attempt: Callable[[Callable[[], Awaitable[None]]], Awaitable[Any]]) -> int:
    """How many of a hundred callers at once reach a node that hangs."""
    reached = 0
    gate = asyncio.Event()

    async def node() -> None:
        nonlocal reached
        reached += 1
        await gate.wait()

    callers = [asyncio.ensure_future(attempt(node)) for _ in range(CALLERS)]
    for _ in range(10):
        await asyncio.sleep(0)  # noqa: TID251 - every caller gets its turn
    gate.set()
    await asyncio.gather(*callers)
    return reached


async def fail() -> None:
    raise ConnectionError


async def test_half_open_lets_one_of_a_hundred_callers_through() -> None:
    breaker = Breaker(BreakerLimits, lambda: MIDDLE)
    for _ in range(5):
        permit = breaker.call(0.0)
        assert permit is not None
        breaker.ended(permit, F, 0.0)

    async def attempt(node: Callable[[], Awaitable[None]]) -> None:
        permit = breaker.probe(5.0)
        if permit is not None:
            await node()
            breaker.probed(permit, passed=True, now=5.0)

    assert await let_through(attempt) == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
async def test_aiobreaker_lets_all_of_them_through() -> None:
    breaker = aiobreaker.CircuitBreaker(fail_max=1, timeout_duration=timedelta(microseconds=1))
    with pytest.raises(aiobreaker.CircuitBreakerError):
        await breaker.call_async(fail)

    assert await let_through(breaker.call_async) == CALLERS


async def test_circuitbreaker_lets_all_of_them_through() -> None:
    breaker = circuitbreaker.CircuitBreaker(failure_threshold=1, recovery_timeout=1e-9)
    with pytest.raises(ConnectionError):
        await breaker.call_async(fail)
    assert breaker.state == circuitbreaker.STATE_HALF_OPEN

    async def attempt(node: Callable[[], Awaitable[None]]) -> None:
        await breaker.decorate(node)()

    assert await let_through(attempt) == CALLERS


async def test_purgatory_lets_all_of_them_through() -> None:
    factory = purgatory.AsyncCircuitBreakerFactory(default_threshold=1, default_ttl=0)
    with pytest.raises(ConnectionError):
        async with await factory.get_breaker("node"):
            await fail()

    async def attempt(node: Callable[[], Awaitable[None]]) -> None:
        async with await factory.get_breaker("node"):
            await node()

    assert await let_through(attempt) == CALLERS
