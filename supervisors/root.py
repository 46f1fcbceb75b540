"""The whole tree. Children start downwards and stop upwards: the public door opens last.

root (rest_for_one)
  operators (one_for_one)      journal, policies, patrol, control
  notifier (one_for_one)       notifier/telegram
  provisioners (one_for_one)   provisioner/<node> ...
  users (one_for_one)          users/00 .. users/15 (dynamic)   user/<telegram id> ...
  workers (one_for_one)        placement, expiry, payments, poller/<provider> ...,
                               reconciler/<node> ...
  door (one_for_one)           inbox, web, intake
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from actors.expiry.actor import EXPIRY
from actors.notifier.actor import NOTIFIER
from actors.payments.poller import POLLER
from actors.payments.sweep import PAYMENTS
from actors.placement.actor import PLACEMENT
from actors.provisioner.actor import PROVISIONER, ProvisionerActor
from actors.reconciler.actor import RECONCILER
from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Address, Directory
from actors.user.actor import USER, UserActor
from supervisors.engine.child import ChildSpec, Hosted
from supervisors.engine.dynamic import Cells, DynamicSupervisor, Partitions
from supervisors.engine.patrol import Patrol
from supervisors.engine.policy import Exceeded, Scope, Strategy, SupervisorSpec
from supervisors.engine.supervisor import Supervisor
from supervisors.operators.journal import JOURNAL
from supervisors.operators.operations import Charter
from supervisors.operators.policies import POLICIES, PolicyBoard

#: Users are spread over so many supervisors, so that a storm among some slows down few others.
USER_PARTITIONS = 16

PARTITIONS = tuple(f"users/{number:02}" for number in range(USER_PARTITIONS))

#: What each policy holds for, and what happens above it.
CHARTERS: Mapping[str, Charter] = {
    "root": Charter(
        supervisors=("root", "users"), exceeded=Exceeded.ESCALATE, scope=Scope.TOGETHER
    ),
    "operators": Charter(
        supervisors=("operators",), exceeded=Exceeded.KEEP_TRYING, scope=Scope.EACH
    ),
    "notifier": Charter(supervisors=("notifier",), exceeded=Exceeded.KEEP_TRYING, scope=Scope.EACH),
    "provisioners": Charter(
        supervisors=("provisioners",), exceeded=Exceeded.KEEP_TRYING, scope=Scope.EACH
    ),
    "users": Charter(supervisors=PARTITIONS, exceeded=Exceeded.PARK, scope=Scope.EACH),
    "workers": Charter(supervisors=("workers",), exceeded=Exceeded.KEEP_TRYING, scope=Scope.EACH),
    "door": Charter(supervisors=("door",), exceeded=Exceeded.ESCALATE, scope=Scope.TOGETHER),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How to make each actor; what they need from outside is inside these functions.

    `intake` and `web` are handed the address of the worker that they wake. Without `web` nothing
    from outside comes in but what is asked for.
    """

    journal: Callable[[], AsyncioActor]
    policies: Callable[[], AsyncioActor]
    control: Callable[[], AsyncioActor]
    notifier: Callable[[], AsyncioActor]
    provisioners: Mapping[str, Callable[[], ProvisionerActor]]
    user: Callable[[int], UserActor]
    inbox: Callable[[], AsyncioActor]
    intake: Callable[[Address], AsyncioActor]
    placement: Callable[[], AsyncioActor]
    expiry: Callable[[], AsyncioActor]
    payments: Callable[[], AsyncioActor]
    pollers: Mapping[str, Callable[[], AsyncioActor]]
    reconcilers: Mapping[str, Callable[[], AsyncioActor]]
    web: Callable[[Address], AsyncioActor] | None = None


class Tree:
    """Builds the supervisors around the parts, and fills the directory with their addresses."""

    def __init__(
        self,
        parts: Parts,
        board: PolicyBoard,
        directory: Directory,
        surroundings: Surroundings,
        source: random.Random,
    ) -> None:
        self.parts = parts
        self.board = board
        self.directory = directory
        self.surroundings = surroundings
        self.source = source
        self.root = self._root()

    def _root(self) -> Supervisor:
        return Supervisor(
            [
                self._branch("operators", self._operators()),
                self._branch("notifier", self._notifier()),
                self._branch("provisioners", self._provisioners()),
                self._branch("users", self._users()),
                self._branch("workers", self._workers()),
                self._branch("door", self._door()),
            ],
            self._spec("root"),
            self.surroundings,
            self.source,
        )

    def _operators(self) -> list[Hosted]:
        """First to start and last to stop: what happens meanwhile is recorded and can be seen."""
        return [
            self._listed(JOURNAL, self.parts.journal),
            self._listed(POLICIES, self.parts.policies),
            self._hosted("patrol", lambda: Patrol(lambda: self.root)),
            self._hosted("control", self.parts.control),
        ]

    def _notifier(self) -> list[Hosted]:
        child = self._hosted(f"{NOTIFIER}/telegram", self.parts.notifier)
        self.directory.register(NOTIFIER, child.address(self.surroundings.clock))
        return [child]

    def _provisioners(self) -> list[Hosted]:
        """A node in trouble is its own trouble."""
        children = []
        for node_id, start in self.parts.provisioners.items():
            child = self._hosted(f"{PROVISIONER}/{node_id}", start)
            self.directory.register(PROVISIONER, child.address(self.surroundings.clock), node_id)
            children.append(child)
        return children

    def _users(self) -> list[Hosted]:
        """A user's actor starts on the first message to it and leaves when idle."""
        partitions = Partitions(USER, USER_PARTITIONS, self.surroundings)
        self.directory.register_family(USER, partitions.address)
        spec = self._spec("users")

        def start(cells: Cells) -> Callable[[], AsyncioActor]:
            return lambda: DynamicSupervisor(
                cells,
                lambda key: self.parts.user(int(key)),
                UserActor.mailbox_bound,
                spec,
                self.surroundings,
                self.source,
            )

        named = zip(PARTITIONS, partitions.cells, strict=True)
        return [self._hosted(name, start(cells)) for name, cells in named]

    def _workers(self) -> list[Hosted]:
        """They ask users' actors, so those are there; whatever they miss is found a round later."""
        children = [
            self._listed(PLACEMENT, self.parts.placement),
            self._listed(EXPIRY, self.parts.expiry),
            self._listed(PAYMENTS, self.parts.payments),
        ]
        for provider, start in self.parts.pollers.items():
            child = self._hosted(f"{POLLER}/{provider}", start)
            self.directory.register(POLLER, child.address(self.surroundings.clock), provider)
            children.append(child)
        for node_id, start in self.parts.reconcilers.items():
            child = self._hosted(f"{RECONCILER}/{node_id}", start)
            self.directory.register(RECONCILER, child.address(self.surroundings.clock), node_id)
            children.append(child)
        return children

    def _door(self) -> list[Hosted]:
        """Opens last and shuts first: the worker is there before anything is taken in."""
        inbox = self._hosted("inbox", self.parts.inbox)
        worker = inbox.address(self.surroundings.clock)
        intake = self._hosted("intake", lambda: self.parts.intake(worker))
        web = self.parts.web
        if web is None:
            return [inbox, intake]
        return [inbox, self._hosted("web", lambda: web(worker)), intake]

    def _branch(self, name: str, children: list[Hosted]) -> Hosted:
        # The partitions are parts of the program like the branches; `users` is for the users.
        spec = self._together() if name == "users" else self._spec(name)
        return self._hosted(
            name, lambda: Supervisor(children, spec, self.surroundings, self.source)
        )

    def _spec(self, name: str) -> SupervisorSpec:
        charter = CHARTERS[name]
        return SupervisorSpec(
            policy=self.board.policy(name), exceeded=charter.exceeded, scope=charter.scope
        )

    def _together(self) -> SupervisorSpec:
        policy = self.board.policy("root")
        return SupervisorSpec(policy=lambda: replace(policy(), strategy=Strategy.ONE_FOR_ONE))

    def _listed(self, kind: str, start: Callable[[], AsyncioActor]) -> Hosted:
        child = self._hosted(kind, start)
        self.directory.register(kind, child.address(self.surroundings.clock))
        return child

    def _hosted(self, name: str, start: Callable[[], AsyncioActor]) -> Hosted:
        return Hosted.of(ChildSpec(name=name, start=start))
