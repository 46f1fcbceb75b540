"""Pure: the cells of a row, computed from what was observed; a scenario never writes one down."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from statistics import fmean
from uuid import UUID

#: May be true inside the bound, never at the close.
WITHIN = "No†"
NO, YES, FROZEN, OPEN, CLOSED, JITTER = "No", "Yes", "frozen", "open", "closed", "jitter"
#: Nothing was tried twice.
NOTHING = "none"
#: Nothing of the kind can be observed in this row.
NOT_APPLICABLE = "–"  # noqa: RUF001 - a dash

#: Wishes sent for each different one, and so many besides, before repeats are an amplification.
MOST_SENT = 1.1
BURST = 10
#: From so many distances on their average and their spread say something.
MANY_GAPS = 5
#: They are even when their spread is below this part of the largest, of many and of few.
EVEN_MANY, EVEN_FEW = 0.1, 0.01


@dataclass(frozen=True, slots=True)
class Doors:
    """One round in which people tried to get through, by real connections.

    `without_right` got in; `shut_out` has a right and did not. Whoever's right changed during the
    round is in neither.
    """

    without_right: frozenset[UUID] = frozenset()
    shut_out: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What one run of a scenario showed."""

    #: On nodes at the close, and in no row that wants them.
    leaked: frozenset[UUID] = frozenset()
    #: Nodes from which nobody is removed at the close, with an alert that said so.
    frozen: frozenset[str] = frozenset()
    #: Tried while the scenario ran and healed, and at the close.
    meanwhile: Sequence[Doors] = ()
    close: Doors = Doors()
    #: Wishes at the proxies, and how many different ones.
    sent: int = 0
    different: int = 0
    #: States to which the breakers came, in order, by node.
    breakers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: The node that is meant to suffer.
    node: str = ""
    #: Distances between attempts at one thing, seconds of the policies' time.
    gaps: Sequence[float] = ()
    #: What an operator did after the fault had ended.
    commands: Sequence[str] = ()
    #: From the end of the fault until the closing check held, seconds; None when it never did.
    healed_s: float | None = None
    bound_s: float = 0.0
    #: How often the fault met something.
    hits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A row of the table."""

    ul: str = NO
    ua: str = NO
    dx: str = WITHIN
    ra: str = NO
    sh: str = YES
    cb: str = CLOSED
    bo: str = NOT_APPLICABLE


#: Names of the columns, as the table has them.
COLUMNS = {f.name: f.name.upper() for f in fields(Cells)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Between which distances a policy lets attempts be, and how far at least on average, seconds.

    Attempts at different things are pooled, and the first one after an outage may come at once:
    so it is the average that tells whether anybody waits.
    """

    shortest_s: float = 0.0
    mean_s: float = 0.0
    longest_s: float


def cells(seen: Observed, envelope: Envelope) -> Cells:
    """The whole row."""
    return Cells(
        ul=_leak(seen),
        ua=_access(seen, "without_right", FROZEN if seen.frozen else YES),
        dx=_access(seen, "shut_out", YES),
        ra=YES if seen.sent > MOST_SENT * seen.different + BURST else NO,
        sh=_heals(seen),
        cb=_breaker(seen),
        bo=back_off(seen.gaps, envelope),
    )


def misses(seen: Cells, target: Cells) -> dict[str, tuple[str, str]]:
    """Columns off target: what was expected, what was seen. *No* is better than *No†*.

    Where back-off is not what a row is about, nothing need be repeated, but what is must wait.
    """
    found = {}
    for column in COLUMNS:
        expected, got = getattr(target, column), getattr(seen, column)
        better = expected == WITHIN and got == NO
        if column == "bo" and expected == NOT_APPLICABLE:
            better = got in {NOTHING, JITTER}
        elif expected == NOT_APPLICABLE:
            better = True
        if got != expected and not better:
            found[column] = (expected, got)
    return found


def _leak(seen: Observed) -> str:
    if not seen.leaked:
        return NO
    return FROZEN if seen.frozen else YES


def _access(seen: Observed, of: str, at_close: str) -> str:
    if getattr(seen.close, of):
        return at_close
    return WITHIN if any(getattr(doors, of) for doors in seen.meanwhile) else NO


def _heals(seen: Observed) -> str:
    if seen.healed_s is None or seen.healed_s > seen.bound_s or seen.commands:
        return NO
    return FROZEN if seen.frozen else YES


def _breaker(seen: Observed) -> str:
    """Of the node that suffers alone; named when another one's opened as well."""
    spread = sorted(n for n, states in seen.breakers.items() if OPEN in states and n != seen.node)
    if spread:
        return f"open: {', '.join(spread)}"
    return OPEN if OPEN in seen.breakers.get(seen.node, ()) else CLOSED


def back_off(gaps: Sequence[float], envelope: Envelope) -> str:
    """Whether attempts at one thing are as far apart as the policy says, and not all equally."""
    if not gaps:
        return NOTHING
    many = len(gaps) >= MANY_GAPS
    even = EVEN_MANY if many else EVEN_FEW
    if any(gap > envelope.longest_s for gap in gaps):
        return "late"
    if any(gap < envelope.shortest_s for gap in gaps):
        return "hasty"
    if many and fmean(gaps) < envelope.mean_s:
        return "hasty"
    if len(gaps) > 1 and max(gaps) - min(gaps) < even * max(gaps):
        return "even"
    return JITTER
