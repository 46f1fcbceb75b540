"""Kit: any part of the tree on virtual time, with faults on demand and a memory of what happened.

The page beside this file says how to use it.
"""

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Self, TypeVar

from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import DEFAULT_TIMEOUT_S, Address, Directory
from actors.runtime.events import DeadLetter
from actors.runtime.messages import Request
from actors.user.actor import USER
from config.supervision import load_supervision
from config.tuning import Tunables
from storage.errors import StorageUnavailable
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.dynamic import Cells, DynamicSupervisor, Partitions
from supervisors.engine.patrol import Patrol, supervisors
from supervisors.engine.policy import Exceeded, Policy, Scope, SupervisorSpec
from supervisors.engine.snapshot import find
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.policies import PolicyBoard
from supervisors.root import Parts, Tree
from tests.clock import turn
from tests.kit.faults import Fault, Faults
from tests.kit.record import Record
from tests.kit.settling import NeverQuiet, SteppingClock, drive, pass_time, settle
from tests.puppets import Bug, Outage, Puppet

Answer = TypeVar("Answer")

#: Where a kit without a seed of its own looks for one.
SEED_VARIABLE = "KIT_SEED"
SHIPPED = Path(__file__).parents[2] / "config" / "supervision.toml"
POLICY = Policy(max_restarts=5, window_s=60, backoff_base_s=0.1, backoff_cap_s=5)


def parts(**changes: Any) -> Parts:
    """What `start_tree` is made of: puppets, but for what the test brings."""
    puppets: dict[str, Any] = {
        "provisioners": {"n1": Puppet},
        "pollers": {"stars": Puppet},
        "reconcilers": {},
        "user": lambda _: Puppet(),
        "intake": lambda _: Puppet(),
    }
    alike = (
        "journal",
        "policies",
        "control",
        "notifier",
        "inbox",
        "placement",
        "expiry",
        "payments",
    )
    return Parts(**(dict.fromkeys(alike, Puppet) | puppets | changes))


class Kit:
    """One tree, its time and its chance; the tree ends with the `async with` block.

    A block that fails tells the seed. One in which a planned fault never happened has failed.
    """

    def __init__(self, seed: int | None = None) -> None:
        chosen = os.environ.get(SEED_VARIABLE) or random.randrange(2**32)  # noqa: S311 - no secret
        self.seed = int(chosen) if seed is None else seed
        self.source = random.Random(self.seed)  # noqa: S311 - the same for the same seed
        self.clock = SteppingClock()
        self.faults = Faults()
        self.record = Record(clock=self.clock, before_message=self._before_message)
        self.top: Supervisor | None = None
        self._began = self.clock.now()
        self._families: dict[str, Callable[[str], Address]] = {}
        self._fixed: dict[str, Address] = {}
        self._above: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        missed = self.faults.end()
        failure = error
        try:
            if self.top is not None:
                self.top.stop()
                await drive(self.clock, self.top.wait_ended())
        except NeverQuiet as endless:
            failure = error or endless
        if failure is None and missed:
            failure = AssertionError("never happened: " + "; ".join(missed))
        if failure is not None:
            test = os.environ.get("PYTEST_CURRENT_TEST", "").removesuffix(" (call)")
            failure.add_note(f"again by the same chance: {SEED_VARIABLE}={self.seed} pytest {test}")
        if failure is not None and failure is not error:
            raise failure

    # Start a part of the tree

    @property
    def surroundings(self) -> Surroundings:
        """What all actors of the kit share."""
        return replace(self.record.surroundings, weather=(Outage, StorageUnavailable))

    async def start(self, *children: ChildSpec, policy: Policy = POLICY, **spec: Any) -> None:
        """A supervisor `top` of these children, be it one; `spec` as in `SupervisorSpec`."""
        hosted = [Hosted.of(child) for child in children]
        wanted = SupervisorSpec(policy=lambda: policy, **spec)
        await self.start_top(Supervisor(hosted, wanted, self.surroundings, self.source), "top")

    async def start_family(
        self,
        kind: str,
        start: Callable[[str], AsyncioActor],
        *,
        partitions: int = 4,
        policy: Policy = POLICY,
    ) -> None:
        """Children by key, as users are: `<kind>/<key>`, started by their first message."""
        family = Partitions(kind, partitions, self.surroundings)
        self._families[kind] = family.address
        spec = SupervisorSpec(policy=lambda: policy, exceeded=Exceeded.PARK, scope=Scope.EACH)

        def partition(number: int, cells: Cells) -> ChildSpec:
            return ChildSpec(
                name=f"{kind}s/{number:02}",
                start=lambda: DynamicSupervisor(
                    cells, start, 32, spec, self.surroundings, self.source
                ),
            )

        children = [partition(number, cells) for number, cells in enumerate(family.cells)]
        await self.start(*children, self.patrol())

    async def start_tree(self, tree_parts: Parts, directory: Directory | None = None) -> None:
        """The whole tree around these parts, by the policies of the shipped file."""
        book = directory or Directory()
        board = PolicyBoard(Tunables.of(load_supervision(SHIPPED)))
        self._families[USER] = lambda key: book.find(USER, key)
        tree = Tree(tree_parts, board, book, self.surroundings, self.source)
        await self.start_top(tree.root, "root")

    async def start_top(self, top: Supervisor, name: str) -> None:
        """A tree of the test's own making."""
        if self.top is not None:
            raise ValueError("a kit has one tree")
        self.top = top
        top.begin_life(name)
        await self.quiet()

    def patrol(self) -> ChildSpec:
        """Who cuts off actors that hang, as a child for `start`; the whole tree has its own."""
        return ChildSpec(name="patrol", start=lambda: Patrol(lambda: self.top))

    # Let something go wrong

    def fail(
        self,
        name: str,
        *,
        at: int = 1,
        on: type = object,
        times: int | None = 1,
        error: Exception | type[Exception] = Bug,
    ) -> None:
        """Let an actor fail at its `at`-th message; see `Fault` for how they are counted."""

        async def act(_: str, __: Any) -> None:
            raise error

        self._plan(name, "fails", act, at=at, on=on, times=times)

    def hang(self, name: str, *, at: int = 1, on: type = object) -> None:
        """Let an actor hang at its `at`-th message, until `release` or until it is killed."""
        self._plan(name, "hangs", self.faults.hang, at=at, on=on)

    def release(self, name: str) -> None:
        """Let an actor that hangs handle its message."""
        self.faults.release(name)

    def kill(self, name: str, *, at: int | None = None, on: type = object) -> None:
        """Kill an actor or a supervisor: now, or with its `at`-th message in hand.

        Raises:
            LookupError: it is to be killed now, and is not running.
        """
        if at is None:
            self.actor(name).kill()
            return

        async def act(_: str, __: Any) -> None:
            self.actor(name).kill()
            await turn()  # the kill arrives here, and not in the middle of the handler

        self._plan(name, "is killed", act, at=at, on=on)

    # Let time pass, and messages through

    async def quiet(self) -> dict[str, str]:
        """Wait until nothing more happens without time moving.

        The answer names who is in the middle of something all the same, and of what: it hangs, or
        waits for time to pass, or for somebody who does.

        Raises:
            NeverQuiet: somebody goes on and on; names who.
        """
        await settle(self.clock)
        return self._in_hand()

    async def pass_time(self, seconds: float) -> dict[str, str]:
        """Let virtual time pass from timer to timer, everything settling between; as `quiet`."""
        await pass_time(self.clock, seconds)
        return self._in_hand()

    async def ask(
        self, name: str, message: Request[Answer], *, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> Answer:
        """Ask an actor. As much time passes as the answer takes, at most until the deadline."""
        return await drive(self.clock, self.address(name).ask(message, timeout_s=timeout_s))

    def tell(self, name: str, message: Any) -> None:
        """Tell an actor; nothing happens before the test waits."""
        self.address(name).tell(message)

    # See what happened

    def address(self, name: str) -> Address:
        """Where an actor is reached, alive or not."""
        kind, _, key = name.partition("/")
        if key and kind in self._families:
            return self._families[kind](key)
        self._learn()
        if name not in self._fixed:
            raise LookupError(f"there is no {name}; there are {', '.join(self._fixed)}")
        return self._fixed[name]

    def actor(self, name: str) -> AsyncioActor:
        """The object behind a name just now.

        Raises:
            LookupError: there is none.
        """
        found = find(self._tree(), name)
        if found is None or found[1].actor is None:
            raise LookupError(f"{name} is not running")
        return found[1].actor

    def history(self, name: str) -> list[str]:
        """What supervision did to an actor, in words; empty for an undisturbed life."""
        return self.record.history(name)

    def assert_restarted(self, name: str, *, times: int = 1) -> None:
        """It was started again so often, no more and no less."""
        count = self.record.restarts(name)
        if count != times:
            self._fail(name, f"{name} was started again {count} times, not {times}")

    def assert_untouched(self, name: str) -> None:
        """It was left alone, and so were the supervisors above it."""
        self._learn()
        if name not in self._above:
            self._fail(name, f"{name} never lived, so nothing could touch it")
        if self.history(name):
            self._fail(name, f"{name} was not left alone")
        above = self._above.get(name)
        while above is not None:
            # In a storm those who are well go on, so it is no touch.
            if any(not line.startswith("storm") for line in self.history(above)):
                self._fail(above, f"{name} was left alone, but {above} above it was not")
            above = self._above.get(above)

    def assert_dead_letter(
        self, name: str, message: type, *, error: type[BaseException] = BaseException
    ) -> DeadLetter:
        """Exactly one message of this type was set aside, by such an error; the answer is it."""
        letters = [
            letter
            for letter in self.record.letters
            if letter.actor == name
            and isinstance(letter.message, message)
            and isinstance(letter.error, error)
        ]
        if len(letters) != 1:
            by = f"{message.__name__} set aside by {error.__name__}"
            self._fail(name, f"{name} has {len(letters)} dead letters, not 1: {by}")
        return letters[0]

    def _fail(self, name: str, what: str) -> NoReturn:
        raise AssertionError(f"{what}\n{self.record.story(name, self._began)}")

    def _plan(
        self, name: str, what: str, act: Callable[[str, Any], Awaitable[None]], **when: Any
    ) -> None:
        self.faults.planned.append(Fault(actor=name, what=what, act=act, **when))

    async def _before_message(self, name: str, message: Any) -> None:
        if name not in self._above:  # who is above may be gone when somebody wants to know
            self._learn()
        self.record.taken(name, message)
        await self.faults.before_message(name, message)

    def _tree(self) -> Supervisor:
        if self.top is None:
            raise LookupError("nothing was started")
        return self.top

    def _learn(self) -> None:
        for supervisor in supervisors(self._tree()):
            for child in supervisor.children.values():
                name = child.spec.name
                self._above[name] = supervisor.name
                if not supervisor.passivates:
                    self._fixed[name] = Address(name, child.mailbox.put, self.clock)

    def _in_hand(self) -> dict[str, str]:
        found = {}
        for supervisor in supervisors(self._tree()):
            for child in supervisor.children.values():
                actor = child.actor
                if actor is None or actor.actor_stopped.is_set():
                    continue
                # What the runtime itself reports as `during`: it knows `prepare` and `finish` too.
                if actor._during != "waiting":
                    found[child.spec.name] = actor._during
        return found
