"""Our engine and a model of OTP's rules live through the same days, and their diaries agree.

Where ours differs on purpose, the model says what ours does:

- A restart comes after its back-off, here of no length, as a note to oneself: first everything
  that has ended is heard of, then the restarts happen, one after the other. In OTP a first try is
  made at once, and only a failed one is such a note.
- A child that fails to start with its supervisor has crashed: it is started again, at once counted.
  In OTP its supervisor fails to start. Siblings that build on it wait for it.
- A supervisor that gives up ends by an error, so a transient one is started again. In OTP it ends
  by `shutdown`, which for a transient child is a normal end.
- A killed supervisor stops its children in order before it is gone. In OTP `kill` asks nobody.
- A child that waits for a sibling's restart counts as alive for `all_significant`.

Weather, parking and directives are not OTP's; their rules are in the other files of this folder.

The examples are the same in every run, so that the verdict on a commit is no matter of luck, and a
planted mistake that is caught once is always caught. `make test-deep` looks at new ones each time.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from actors.runtime.actor import AsyncioActor, Ending, Post, Surroundings
from actors.runtime.mailbox import Mailbox
from supervisors.engine import nursery, restarts, strategies, supervisor
from supervisors.engine.child import Child, ChildSpec, Hosted
from supervisors.engine.nursery import Nursery
from supervisors.engine.policy import AutoShutdown, Policy, Strategy, SupervisorSpec
from supervisors.engine.restarts import RestartHistory
from supervisors.engine.strategies import Directive, Outcome, Restart
from supervisors.engine.supervisor import Supervisor
from tests.clock import ManualClock, patience, turn
from tests.puppets import Bug
from tests.unit.supervision import otp_model
from tests.unit.supervision.otp_model import Group, Otp, RestartType, Worker

EXAMPLES = 2_000
#: A tree has at most so many supervisors on top of one another, and so many children in a row.
DEPTH, WIDTH = 3, 3


class NoDelay(random.Random):
    """Jitter that makes every back-off nothing."""

    def random(self) -> float:
        """None."""
        return 0.0


@dataclass
class Stagehand:
    """The real engine on a tree of the model's specifications, writing the same diary."""

    top: Group
    clock: ManualClock = field(default_factory=ManualClock)
    failing: dict[str, int] = field(default_factory=dict)
    diary: list[str] = field(default_factory=list)
    ended: str = ""
    root: Nursery | None = None

    def __post_init__(self) -> None:
        self.surroundings = Surroundings(clock=self.clock)

    async def begin(self) -> None:
        """Start the tree."""
        self.root = self._supervisor(self.top)
        self.root.take_post(
            Post(
                name=self.top.name,
                mailbox=Mailbox(self.top.name, 10),
                surroundings=self.surroundings,
                ended=self._top_ended,
            )
        )
        await self._settle()

    async def crash(self, *names: str) -> None:
        """See the model."""
        for actor in [self._actor(name) for name in names]:
            actor.kill(Bug())
        await self._settle()

    async def end(self, name: str) -> None:
        """See the model."""
        self._actor(name).stop()
        await self._settle()

    def running(self) -> list[tuple[str, str]]:
        """See the model."""
        if self.root is None or self.ended:
            return []
        return [(above.name, child.key) for above, child in _walk(self.root)]

    async def _settle(self) -> None:
        """Until nobody has anything to do, now and after every restart that is due."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
        while True:
            await turn()
            if ready:
                continue
            if not self.clock.timers:
                return
            # One by one: what one restart brings about comes before the next one.
            timer = self.clock.timers.pop(0)
            assert timer.due == self.clock.now()
            timer.callback()

    def _actor(self, name: str) -> AsyncioActor:
        assert self.root is not None
        actor = next(child.actor for _, child in _walk(self.root) if child.key == name)
        assert actor is not None
        return actor

    def _top_ended(self, _: AsyncioActor, ending: Ending) -> None:
        self.ended = "error" if ending.error else "normal"

    def _supervisor(self, spec: Group) -> Supervisor:
        policy = Policy(
            strategy=Strategy(spec.strategy),
            max_restarts=spec.intensity,
            window_s=spec.period,
            backoff_base_s=1,
            backoff_cap_s=1,
        )
        return WatchedSupervisor(
            [Hosted.of(self._child(child)) for child in spec.children],
            SupervisorSpec(policy=lambda: policy, auto_shutdown=AutoShutdown(spec.auto_shutdown)),
            self.surroundings,
            NoDelay(),
            diary=self.diary,
        )

    def _child(self, spec: Worker | Group) -> ChildSpec:
        start = partial(self._supervisor, spec) if isinstance(spec, Group) else self._worker
        return ChildSpec(
            name=spec.name,
            start=start,
            restart=Restart(spec.restart),
            significant=spec.significant,
        )

    def _worker(self) -> AsyncioActor:
        return WatchedWorker(self.diary, self.failing)


class WatchedWorker(AsyncioActor):
    """Writes into the diary when it starts and ends."""

    def __init__(self, diary: list[str], failing: dict[str, int]) -> None:
        super().__init__()
        self.diary = diary
        self.failing = failing
        self.has_started = False

    async def prepare(self) -> None:
        """Start, or fail to."""
        if self.failing.get(self.name, 0) > 0:
            self.failing[self.name] -= 1
            self.diary.append(f"?{self.name}")
            raise Bug
        self.has_started = True
        self.diary.append(f"+{self.name}")

    async def finish(self) -> None:
        """An orderly end."""
        self.diary.append(f"-{self.name}")

    async def abandon(self) -> None:
        """A crash; who never started has said so already."""
        if self.has_started:
            self.diary.append(f"x{self.name}")


class WatchedSupervisor(Supervisor):
    """Writes into the diary when it starts, and when it and all its children have ended."""

    def __init__(self, *parts: Any, diary: list[str]) -> None:
        super().__init__(*parts)
        self.diary = diary

    async def prepare(self) -> None:
        """Start."""
        self.diary.append(f"+{self.name}")
        await super().prepare()

    async def finish(self) -> None:
        """An orderly end."""
        await super().finish()
        self.diary.append(f"-{self.name}")

    async def abandon(self) -> None:
        """It gave up, or was killed."""
        await super().abandon()
        self.diary.append(f"x{self.name}")


def _walk(top: Nursery) -> Iterator[tuple[Nursery, Child]]:
    for child in top.children.values():
        if child.actor is not None:
            yield top, child
            if isinstance(child.actor, Nursery):
                yield from _walk(child.actor)


# Trees and days


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens; `pick` chooses among those to whom it can happen."""

    kind: str
    pick: int
    much: int


EVENTS = st.lists(
    st.builds(
        Event,
        st.sampled_from(
            ["crash", "crash", "crash", "crash both", "end", "wait", "fail starts", "kill", "stop"]
        ),
        st.integers(0, 11),
        st.integers(1, 3),
    ),
    min_size=1,
    max_size=14,
)
RESTARTS: st.SearchStrategy[RestartType] = st.sampled_from(
    ["permanent", "permanent", "transient", "temporary"]
)


@st.composite
def trees(draw: st.DrawFn) -> Group:
    """A supervisor of workers and of supervisors."""
    numbers = iter(range(1_000))

    def child(depth: int, *, may_be_significant: bool) -> Worker | Group:
        restart = draw(RESTARTS)
        significant = may_be_significant and restart != "permanent" and draw(st.booleans())
        if depth < DEPTH and draw(st.integers(0, 2)) == 0:
            return group(depth + 1, restart=restart, significant=significant)
        return Worker(name=f"w{next(numbers)}", restart=restart, significant=significant)

    def group(depth: int, **place: Any) -> Group:
        auto_shutdown: otp_model.AutoShutdown = draw(
            st.sampled_from(["never", "any_significant", "all_significant"])
        )
        may_be = auto_shutdown != "never"  # a mistake otherwise
        return Group(
            name=f"s{next(numbers)}",
            strategy=draw(st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"])),
            intensity=draw(st.integers(0, 3)),
            period=draw(st.integers(1, 4)),
            auto_shutdown=auto_shutdown,
            children=tuple(
                child(depth, may_be_significant=may_be) for _ in range(draw(st.integers(1, WIDTH)))
            ),
            **place,
        )

    return group(1)


async def live_through(top: Group, events: Sequence[Event]) -> Otp:
    """Let the same things happen in both worlds, and compare after each."""
    model, engine = Otp(top), Stagehand(top)
    model.begin()
    await engine.begin()
    compare(model, engine)
    for event in events:
        if model.ended or model.raced:
            break
        happens = choose(model, event)
        match happens:
            case ["wait"]:
                model.now += event.much
                engine.clock.advance(event.much)
            case ["fail starts", name]:
                model.failing[name] = engine.failing[name] = event.much
            case ["crash", *names]:
                model.crash(*names)
                await engine.crash(*names)
            case ["end", name]:
                model.end(name)
                await engine.end(name)
        compare(model, engine)
    if engine.root is not None:
        engine.root.stop()
        await engine.root.wait_ended()
    return model


def choose(model: Otp, event: Event) -> list[str]:
    """To whom it happens; nothing, if there is nobody."""
    running = model.running()
    workers = [name for _, name in running if name.startswith("w")]
    groups = [name for _, name in running if name.startswith("s")]
    match event.kind:
        case "wait":
            return ["wait"]
        case "crash" | "end" | "fail starts" if workers:
            return [event.kind, workers[event.pick % len(workers)]]
        case "crash both" if workers:
            first = workers[event.pick % len(workers)]
            above = next(above for above, name in running if name == first)
            others = [name for at, name in running if at == above and name in workers]
            others.remove(first)
            return ["crash", first, *others[: event.much - 1]]
        case "kill" if groups:
            return ["crash", groups[event.pick % len(groups)]]
        case "stop" if groups:
            return ["end", groups[event.pick % len(groups)]]
    return []


def compare(model: Otp, engine: Stagehand) -> None:
    """The same happened, in the same order, with the same end."""
    if model.raced:
        return
    if model.blurred:
        assert sorted(model.diary) == sorted(engine.diary)
        for names in families(model.top):
            assert of(names, model.diary) == of(names, engine.diary)
    else:
        assert model.diary == engine.diary
    assert model.ended == engine.ended
    assert model.running() == engine.running()


def of(names: set[str], diary: list[str]) -> list[str]:
    """What a diary says of these."""
    return [entry for entry in diary if entry[1:] in names]


def families(top: Group) -> Iterator[set[str]]:
    """Every supervisor with its children."""
    yield {top.name, *(child.name for child in top.children)}
    for child in top.children:
        if isinstance(child, Group):
            yield from families(child)


# The property


def run_examples(*, shown: list[Otp] | None = None, **changes: Any) -> None:
    """Look at many trees and days; stop at one at which the diaries differ."""
    fixed = {"derandomize": True, "max_examples": EXAMPLES, "phases": [Phase.generate]}

    @settings(**{**fixed, **changes}, deadline=None, suppress_health_check=list(HealthCheck))
    @given(top=trees(), events=EVENTS)
    def check(top: Group, events: list[Event]) -> None:
        with structlog.testing.capture_logs(), patience():
            model = runner.run(live_through(top, events))
        if shown is not None:
            shown.append(model)

    with asyncio.Runner() as runner:
        check()


def test_the_engine_keeps_the_rules_of_otp() -> None:
    shown: list[Otp] = []

    run_examples(shown=shown)

    assert len(shown) >= EXAMPLES
    # Enough of everything: days that end in each way, and few that say nothing.
    assert sum(model.ended == "error" for model in shown) > EXAMPLES / 10
    assert sum(model.ended == "normal" for model in shown) > EXAMPLES / 20
    assert sum(model.raced or model.blurred for model in shown) < EXAMPLES / 10


@pytest.mark.deep
def test_the_engine_keeps_the_rules_of_otp_in_new_examples() -> None:
    """Other ones in every run; a failure prints how to see it again."""
    run_examples(
        derandomize=False,
        print_blob=True,
        max_examples=10 * EXAMPLES,
        phases=[Phase.generate, Phase.shrink],
    )


# Planted mistakes: what the examples would say of an engine that is wrong


def strict_window(history: RestartHistory, now: float, policy: Policy) -> tuple[float, ...]:
    """A restart exactly one period ago is forgotten."""
    return tuple(at for at in history.restarts if now - at < policy.window_s)


def endless_window(history: RestartHistory, now: float, policy: Policy) -> tuple[float, ...]:
    """No restart is ever forgotten."""
    del now, policy
    return history.restarts


async def stop_in_start_order(self: Nursery) -> None:
    """The first child is stopped first."""
    for child in list(self.children.values()):
        await self.stop_child(child)


def rest_without_the_next(strategy: Strategy, children: Sequence[str], failed: str) -> list[str]:
    """One that started after the failed child is not taken along."""
    taken = strategies.taken_along(strategy, children, failed)
    return taken[1:] if strategy is Strategy.REST_FOR_ONE else taken


def all_but_the_last(strategy: Strategy, children: Sequence[str], failed: str) -> list[str]:
    """The last child survives what should restart all."""
    taken = strategies.taken_along(strategy, children, failed)
    return taken[:-1] if strategy is Strategy.ONE_FOR_ALL else taken


def mends_temporary(restart: Restart, directive: Directive | None) -> Outcome:
    """A temporary child that crashed is started again."""
    if restart is Restart.TEMPORARY and directive is not None:
        return Outcome.RESTART
    return strategies.decide_outcome(restart, directive)


def mends_orderly_ends(restart: Restart, directive: Directive | None) -> Outcome:
    """A transient child that ended in order is started again."""
    if restart is Restart.TRANSIENT:
        return Outcome.RESTART
    return strategies.decide_outcome(restart, directive)


def leaves_permanent(restart: Restart, directive: Directive | None) -> Outcome:
    """A permanent child that ended in order stays down."""
    if directive is None and restart is Restart.PERMANENT:
        return Outcome.STAY_DOWN
    return strategies.decide_outcome(restart, directive)


def ends_with_the_first(auto_shutdown: AutoShutdown, *, significant_left: int) -> bool:
    """One significant child is enough, where it should be all of them."""
    del significant_left
    return auto_shutdown is not AutoShutdown.NEVER


def never_ends(auto_shutdown: AutoShutdown, *, significant_left: int) -> bool:
    """A supervisor outlives its significant children."""
    del auto_shutdown, significant_left
    return False


async def start_in_any_order(self: Nursery, children: Sequence[Child]) -> None:
    """The last of those who wait starts first."""
    for child in reversed([child for child in children if child.actor is None]):
        self.begin(child)


MISTAKES = [
    (restarts, "restarts_within", strict_window),
    (restarts, "restarts_within", endless_window),
    (Nursery, "stop_children", stop_in_start_order),
    (Nursery, "begin_all", start_in_any_order),
    (supervisor, "taken_along", rest_without_the_next),
    (supervisor, "taken_along", all_but_the_last),
    (nursery, "decide_outcome", mends_temporary),
    (nursery, "decide_outcome", mends_orderly_ends),
    (nursery, "decide_outcome", leaves_permanent),
    (nursery, "decide_shutdown", ends_with_the_first),
    (nursery, "decide_shutdown", never_ends),
]


@pytest.mark.parametrize(
    ("where", "what", "mistake"), MISTAKES, ids=[mistake.__name__ for *_, mistake in MISTAKES]
)
def test_a_planted_mistake_is_found(
    monkeypatch: pytest.MonkeyPatch, where: Any, what: str, mistake: Any
) -> None:
    monkeypatch.setattr(where, what, mistake)

    with pytest.raises(AssertionError) as found:
        run_examples()

    assert found.traceback[-1].name == "compare"
