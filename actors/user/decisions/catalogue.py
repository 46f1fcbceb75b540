"""What the shop offers, as decisions see it: one value, read once at start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from config.plans import Plan, Plans
from config.providers import Terms
from storage.rows import AlertDraft


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Plans, the nodes that there are, ways to pay by name, and whom to tell of oddities."""

    plans: Plans
    nodes: tuple[str, ...]
    terms: Mapping[str, Terms]
    owners: tuple[int, ...] = ()

    def nodes_of(self, plan: Plan | None) -> tuple[str, ...]:
        """Nodes that a plan's buyers may be put on; all of them for a plan that is sold no more."""
        if plan is None or not plan.nodes:
            return self.nodes
        return tuple(node for node in self.nodes if node in plan.nodes)

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
