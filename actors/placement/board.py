"""How the nodes stand at this moment, for all who sell or place; nothing is asked for it.

What operators made of a node and how many are there is read now and then; whether it answers is
known in the same process.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

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
        calls_go: Callable[[], bool] = lambda: True,
    ) -> None:
        """Begin with nothing known against any node.

        Args:
            capacities: for how many users each node of the settings is meant.
            healths: whether each of them answers.
            pause_after_s: a node that has taken no change for so many seconds sells no more.
            now: a monotonic clock, in seconds.
            calls_go: whether nodes are called at all.
        """
        self._calls_go = calls_go
        self._capacities = capacities
        self._healths = healths
        self._pause_after_s = pause_after_s
        self._now = now
        self._states: dict[str, NodeState] = dict.fromkeys(capacities, NodeState.ACTIVE)
        self._users: dict[str, int] = {}
        #: Put there since the last count began, since the one that goes on, and at this moment.
        self._since: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._silent_since: dict[str, float] = {}

    def note_states(self, rows: Sequence[PlaceRow]) -> None:
        """What operators made of the nodes."""
        self._states = {row.node_id: row.state for row in rows}

    def count_begins(self) -> None:
        """What is written from now on the count may miss, and what is being written already."""
        self._missed = Counter(self._under_way)

    def note_users(self, users: Mapping[str, int]) -> None:
        """How many should be let in on each node, by the count that began last."""
        self._users = dict(users)
        self._since, self._missed = self._missed, Counter()

    @contextmanager
    def placing(self, node_ids: Collection[str]) -> Iterator[None]:
        """One more each is put there while this lasts: others find the room taken at once."""
        for counted in (self._since, self._missed, self._under_way):
            counted.update(node_ids)
        try:
            yield
        finally:
            self._under_way.subtract(node_ids)

    def users(self, node_id: str) -> int:
        """How many should be let in there: when it was counted last, and put there since."""
        return self._users.get(node_id, 0) + self._since[node_id]

    def places(self) -> Mapping[str, Place]:
        """How each node stands now."""
        now = self._now()
        return {node_id: self._place(node_id, now) for node_id in self._states}

    def _place(self, node_id: str, now: float) -> Place:
        health = self._healths.get(node_id)
        answers = self._calls_go() and health is not None and health.takes_changes(now)
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
