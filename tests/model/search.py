"""Breadth-first search through every reachable state; a violation comes with a shortest trace."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

ENDLESS = "endless: a step that is taken by itself leads nowhere"

S = TypeVar("S", bound=Hashable)
#: A step: whether it is taken by itself, what it is, and where it leads.
Step = tuple[bool, tuple[object, ...], S]


class Model(Protocol[S]):
    """A start, steps, and what must hold."""

    def start(self) -> S:
        """The first state."""

    def steps(self, state: S) -> Iterable[Step[S]]:
        """All that can happen next."""

    def wrong(self, state: S) -> str | None:
        """The rule that a state breaks."""

    def wrong_step(self, before: S, after: S) -> str | None:
        """The rule that a step breaks."""

    def rank(self, state: S) -> int:
        """An upper bound of what is left to do; every step that is taken by itself lowers it."""

    def wrong_rest(self, state: S) -> str | None:
        """The rule that is broken where nothing more would happen by itself."""

    def show(self, state: S) -> str:
        """A state, on one line."""


@dataclass(frozen=True, slots=True)
class Found(Generic[S]):
    """What a search saw.

    Attributes:
        states: how many it reached; all of them, if `rule` is None.
        rule: the first one that was broken.
        trace: how to get there, a line a step.
        sights: of those that were looked for, the ones that were seen.
    """

    states: int
    rule: str | None = None
    trace: tuple[str, ...] = ()
    sights: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        """For people."""
        if self.rule is None:
            return f"{self.states:,} states, 0 violations"
        return "\n".join((f"{self.rule}, after {self.states:,} states:", *self.trace))


def search(
    model: Model[S],
    sights: Mapping[str, Callable[[S], bool]] | None = None,
    *,
    watch: frozenset[str] | None = None,
) -> Found[S]:
    """Reach every state, or the nearest one that breaks a rule.

    Args:
        model: what is searched.
        sights: what to look out for on the way, by name.
        watch: the only rules that count; None for all.
    """

    def counts(rule: str | None) -> bool:
        return rule is not None and (watch is None or rule in watch)

    first = model.start()
    parents: dict[S, S | None] = {first: None}
    queue = deque([first])
    missing, seen = dict(sights or {}), set[str]()
    while queue:
        state = queue.popleft()
        for name in [name for name, is_seen in missing.items() if is_seen(state)]:
            seen.add(name)
            del missing[name]
        known, rests, rank = len(parents), True, model.rank(state)
        rule = model.wrong(state)
        if counts(rule):
            return Found(known, rule, _trace(model, parents, state), frozenset(seen))
        for fair, _, after in model.steps(state):
            parents.setdefault(after, state)
            if len(parents) > known:
                known += 1
                queue.append(after)
            rule = model.wrong_step(state, after)
            if fair:
                rests = False
                rule = rule or (ENDLESS if model.rank(after) >= rank else None)
            if counts(rule):
                trace = (*_trace(model, parents, state), model.show(after))
                return Found(known, rule, trace, frozenset(seen))
        if rests and counts(rule := model.wrong_rest(state)):
            return Found(known, rule, _trace(model, parents, state), frozenset(seen))
    return Found(len(parents), sights=frozenset(seen))


def _trace(model: Model[S], parents: Mapping[S, S | None], last: S) -> tuple[str, ...]:
    """How a state was reached. Names of steps are found again, not kept: there are millions."""
    lines: list[str] = []
    state: S | None = last
    while state is not None:
        before = parents[state]
        if before is None:
            lines.append(f"{'start':<44} {model.show(state)}")
        else:
            label = next(label for _, label, after in model.steps(before) if after == state)
            lines.append(f"{' '.join(map(str, label)):<44} {model.show(state)}")
        state = before
    return tuple(reversed(lines))
