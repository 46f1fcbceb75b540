"""The whole tree. Children start downwards and stop upwards: the public door opens last.

root (one_for_one)
  notifier
  provisioners (one_for_one)   provisioner/<node> ...
  users (dynamic)              user/<telegram id> ...
  door (one_for_one)           inbox, intake
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.notifier.actor import NOTIFIER
from actors.provisioner.actor import PROVISIONER, ProvisionerActor
from actors.runtime.actor import AsyncioActor, Surroundings
from actors.runtime.address import Address, Directory
from actors.user.actor import USER, UserActor
from config.supervision import RestartPolicy, SupervisionPolicies
from supervisors.engine.child import ChildSpec
from supervisors.engine.dynamic import Cells, DynamicSupervisor
from supervisors.engine.policy import Exceeded, RestartLimits
from supervisors.engine.supervisor import Hosted, Supervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How to make each actor; what they need from outside is inside these functions.

    `intake` is handed the address of the worker that it wakes.
    """

    notifier: Callable[[], AsyncioActor]
    provisioners: Mapping[str, Callable[[], ProvisionerActor]]
    user: Callable[[int], UserActor]
    inbox: Callable[[], AsyncioActor]
    intake: Callable[[Address], AsyncioActor]


class Tree:
    """Builds the supervisors around the parts, and fills the directory with their addresses."""

    def __init__(
        self,
        parts: Parts,
        policies: SupervisionPolicies,
        directory: Directory,
        surroundings: Surroundings,
        source: random.Random,
    ) -> None:
        self.parts = parts
        self.policies = policies
        self.directory = directory
        self.surroundings = surroundings
        self.source = source

    def root(self) -> Supervisor:
        """The root supervisor, not started yet."""
        notifier = self._hosted(
            NOTIFIER, self.parts.notifier, self.policies.notifier, Exceeded.KEEP_TRYING
        )
        self.directory.register(NOTIFIER, notifier.address(self.surroundings))
        branches = [
            notifier,
            self._branch("provisioners", self._provisioners()),
            self._branch("users", self._users()),
            self._branch("door", self._door()),
        ]
        return Supervisor(branches, self.surroundings, self.source)

    def _provisioners(self) -> Callable[[], AsyncioActor]:
        """A node in trouble is its own trouble."""
        children = []
        for node_id, start in self.parts.provisioners.items():
            name = f"{PROVISIONER}/{node_id}"
            child = self._hosted(name, start, self.policies.provisioners, Exceeded.KEEP_TRYING)
            self.directory.register(PROVISIONER, child.address(self.surroundings), node_id)
            children.append(child)
        return lambda: Supervisor(children, self.surroundings, self.source)

    def _users(self) -> Callable[[], AsyncioActor]:
        """A user's actor starts on the first message to it and leaves when idle."""
        cells = Cells(USER, self.surroundings)
        self.directory.register_family(USER, cells.address)
        limits = limits_of(self.policies.users, Exceeded.PARK)
        return lambda: DynamicSupervisor(
            cells,
            lambda key: self.parts.user(int(key)),
            limits,
            UserActor.mailbox_bound,
            self.surroundings,
            self.source,
        )

    def _door(self) -> Callable[[], AsyncioActor]:
        """Opens last and shuts first: the worker is there before anything is taken in."""
        inbox = self._hosted("inbox", self.parts.inbox, self.policies.door, Exceeded.ESCALATE)
        worker = inbox.address(self.surroundings)
        intake = self._hosted(
            "intake", lambda: self.parts.intake(worker), self.policies.door, Exceeded.ESCALATE
        )
        return lambda: Supervisor([inbox, intake], self.surroundings, self.source)

    def _branch(self, name: str, start: Callable[[], AsyncioActor]) -> Hosted:
        return self._hosted(name, start, self.policies.root, Exceeded.ESCALATE)

    def _hosted(
        self,
        name: str,
        start: Callable[[], AsyncioActor],
        policy: RestartPolicy,
        exceeded: Exceeded,
    ) -> Hosted:
        return Hosted.of(ChildSpec(name=name, start=start, limits=limits_of(policy, exceeded)))


def limits_of(policy: RestartPolicy, exceeded: Exceeded) -> RestartLimits:
    """The engine's limits for a policy of the operator's file."""
    return RestartLimits(
        max_restarts=policy.max_restarts,
        window_s=policy.window_s,
        backoff_base_s=policy.backoff_base_s,
        backoff_cap_s=policy.backoff_cap_s,
        shutdown_s=policy.shutdown_s,
        exceeded=exceeded,
    )
