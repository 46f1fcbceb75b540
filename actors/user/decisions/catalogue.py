"""What the shop offers, as decisions see it, and how the nodes stand: one value of a moment."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from config.plans import Plan, Plans
from config.providers import Terms
from storage.rows import AlertDraft, NodeState

#: What a node without a stated capacity is taken for when nodes are weighed against each other.
USUAL_CAPACITY = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """How a node stands for people who are there, or are to be put there.

    Attributes:
        state: what operators made of it.
        answers: whether it takes changes just now.
        sells: whether nobody would pay there for what is long in coming.
        users: how many should be let in there.
        capacity: for how many it is meant; None: nobody said.
    """

    state: NodeState = NodeState.ACTIVE
    answers: bool = True
    sells: bool = True
    users: int = 0
    capacity: int | None = None

    @property
    def serves(self) -> bool:
        """Whether who is there can stay, and extend."""
        return self.state in {NodeState.ACTIVE, NodeState.FROZEN, NodeState.DRAINING}

    @property
    def welcomes(self) -> bool:
        """Whether people may be put there, or come back there."""
        return self.state in {NodeState.ACTIVE, NodeState.FROZEN}

    @property
    def leaving(self) -> bool:
        """Whether who is there has to go elsewhere."""
        return self.state in {NodeState.DRAINING, NodeState.LOST, NodeState.REMOVED}

    @property
    def takes(self) -> bool:
        """Whether one more may be put there."""
        return self.welcomes and (self.capacity is None or self.users < self.capacity)

    @property
    def fullness(self) -> float:
        """Which share of what it is meant for is taken."""
        return self.users / (self.capacity or USUAL_CAPACITY)


#: A node of which nothing is known to speak against it.
USUAL_PLACE = Place()


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Plans, the nodes of the settings, ways to pay by name, and whom to tell of oddities."""

    plans: Plans
    nodes: tuple[str, ...]
    terms: Mapping[str, Terms]
    owners: tuple[int, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict)

    def place(self, node_id: str) -> Place:
        """How a node stands."""
        return self.places.get(node_id, USUAL_PLACE)

    @property
    def serving(self) -> tuple[str, ...]:
        """Nodes that serve whoever is there."""
        return tuple(node for node in self.nodes if self.place(node).serves)

    def nodes_of(self, plan: Plan | None) -> tuple[str, ...]:
        """Nodes that serve a plan's buyers; all that serve for a plan that is sold no more."""
        if plan is None or not plan.nodes:
            return self.serving
        return tuple(node for node in self.serving if node in plan.nodes)

    def some_of(self, plan: Plan | None) -> str:
        """A node of a plan, whatever speaks against it: from there people can be moved."""
        return (self.nodes_of(plan) or self.serving or self.nodes)[0]

    def best_of(self, nodes: Iterable[str]) -> str | None:
        """Where somebody new goes: to a node with room, best one that answers, the emptiest."""
        taking = (node_id for node_id in nodes if self.place(node_id).takes)
        return min(taking, key=self._weight, default=None)

    def _weight(self, node_id: str) -> tuple[bool, bool, float]:
        place = self.place(node_id)
        return (not place.answers, not place.sells, place.fullness)

    def alerts(
        self, key: str, text_id: str, arguments: Mapping[str, str | int]
    ) -> tuple[AlertDraft, ...]:
        """The same news for each owner, once for each `key`."""
        return tuple(
            AlertDraft(
                dedupe_key=f"{key}:{owner}", owner=owner, text_id=text_id, arguments=arguments
            )
            for owner in self.owners
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """New random ids, for what a decision may make: a credential and a subscription."""

    uuid: UUID
    subscription: UUID


def first_of(nodes: Sequence[str]) -> str | None:
    """The node that people are put on when nothing speaks for another."""
    return nodes[0] if nodes else None
