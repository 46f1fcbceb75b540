"""How the nodes stand at this moment, for all who sell or place; nothing is asked for it.

What operators made of a node and how many are there is read now and then; whether it answers is
known in the same process.
"""

from collections.abc import Callable, Mapping, Sequence

from actors.provisioner.health import NodeHealth
from actors.user.decisions.catalogue import Place
from storage.rows import NodeState, PlaceRow


class PlaceBoard:
    """The nodes of the settings, and those that the database remembers besides."""

    def __init__(
        self,
        capacities: Mapping[str, int | None],
        healths: Mapping[str, NodeHealth],
        pause_after_s: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        """Begin with nothing known against any node.

        Args:
            capacities: for how many users each node of the settings is meant.
            healths: whether each of them answers.
            pause_after_s: a node that has taken no change for so many seconds sells no more.
            now: a monotonic clock, in seconds.
        """
        self._capacities = capacities
        self._healths = healths
        self._pause_after_s = pause_after_s
        self._now = now
        self._states: dict[str, NodeState] = dict.fromkeys(capacities, NodeState.ACTIVE)
        self._users: dict[str, int] = {}
        self._silent_since: dict[str, float] = {}

    def note_states(self, rows: Sequence[PlaceRow]) -> None:
        """What operators made of the nodes."""
        self._states = {row.node_id: row.state for row in rows}

    def note_users(self, users: Mapping[str, int]) -> None:
        """How many should be let in on each node."""
        self._users = dict(users)

    def users(self, node_id: str) -> int:
        """How many should be let in there, when it was counted last."""
        return self._users.get(node_id, 0)

    def places(self) -> Mapping[str, Place]:
        """How each node stands now."""
        now = self._now()
        return {node_id: self._place(node_id, now) for node_id in self._states}

    def _place(self, node_id: str, now: float) -> Place:
        health = self._healths.get(node_id)
        answers = health is not None and health.takes_changes(now)
        if answers:
            self._silent_since.pop(node_id, None)
        since = None if answers else self._silent_since.setdefault(node_id, now)
        return Place(
            state=self._states[node_id],
            answers=answers,
            sells=since is None or now - since < self._pause_after_s(),
            users=self.users(node_id),
            capacity=self._capacities.get(node_id),
        )
