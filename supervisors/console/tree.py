"""The live tree as lines. Pure: a view and a width go in.

An actor is one line; what troubles it is told below its line. Of actors that come and go only
those in trouble are drawn, unless all are asked for: there may be 100,000.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from actors.runtime.inspection import ActorState, ActorView
from supervisors.console.words import CUT, GAP, Colour, clean, cut, painted, span

#: Supervisors whose children come and go; a test holds the name to the class.
COME_AND_GO = "DynamicSupervisor"
#: A message in an inbox is taken within milliseconds where all is well.
WAITING_S = 1.0
#: Nothing that an actor does takes so long.
STUCK_S = 10.0
#: In less room than this the last column's words move below the line.
LEAST_NOW = 22

HEAD = ("ACTOR", "STATE", "RESTARTS", "INBOX", "OLDEST", "NOW")
NUMBERS = ("RESTARTS", "INBOX", "OLDEST")

BAD = {ActorState.PARKED, ActorState.STOPPED}
UNEASY = {ActorState.RESTARTING, ActorState.SUSPENDED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One actor's line, and what is told below it. Without cells only the latter."""

    cells: tuple[str, ...]
    now: str
    below: tuple[str, ...]
    indent: str
    colour: Colour | None


def draw_tree(top: ActorView, *, width: int, colour: bool, everyone: bool = False) -> list[str]:
    """The tree, aligned, and a line that counts. `everyone`: also those who are well."""
    rows = list(_rows(top, "", "", everyone=everyone))
    sizes = [
        max(len(HEAD[column]), *(len(row.cells[column]) for row in rows if row.cells))
        for column in range(len(HEAD) - 1)
    ]
    room = width - sum(sizes) - len(GAP) * len(sizes)
    beside = room >= min(LEAST_NOW, max(len(row.now) for row in rows))
    lines = [painted(_line(HEAD if beside else HEAD[:-1], sizes, width), _bold(colour))]
    for row in rows:
        cells = (*row.cells, row.now) if beside else row.cells
        below = row.below if beside or not row.now else (row.now, *row.below)
        told = [_line(cells, sizes, width)] if row.cells else []
        told += [cut(row.indent + words, width) for words in below]
        lines += [painted(line, row.colour if colour else None) for line in told]
    return [*lines, cut(_count(top), width)]


def trouble(view: ActorView) -> str | None:
    """What is wrong with an actor, in a word; None where all is well."""
    if view.state is not ActorState.RUNNING:
        return str(view.state)
    if view.oldest_s is not None and view.oldest_s >= WAITING_S:
        return "waiting"
    if view.in_hand_s is not None and view.in_hand_s >= STUCK_S:
        return "stuck"
    return None


def restarts_of(view: ActorView) -> str:
    """Restarts in the window, of how many."""
    return (
        f"{view.restarts}" if view.max_restarts is None else f"{view.restarts}/{view.max_restarts}"
    )


def in_hand_of(view: ActorView) -> str:
    """The message in hand, and for how long."""
    if view.in_hand is None:
        return ""
    return f"{clean(view.in_hand)} {span(view.in_hand_s or 0.0)}"


def told_below(view: ActorView) -> tuple[str, ...]:
    """What a line has no room for: until when an actor waits, and its last error."""
    lines = []
    if view.back_in_s is not None:
        lines.append(f"starts again in {span(view.back_in_s)}")
    if view.last_error is not None:
        ago = f"{span(view.last_error_s)} ago" if view.last_error_s is not None else "last error"
        lines.append(f"{ago}: {clean(view.last_error)}")
    return tuple(lines)


def _rows(view: ActorView, stem: str, indent: str, *, everyone: bool) -> Iterator[Row]:
    children = [child for child in view.children if everyone or _drawn(view, child)]
    hidden = len(view.children) - len(children) + view.more
    rest = _rest(view, hidden)
    tail = rest if hidden and children else ""
    yield Row(
        cells=(
            stem + clean(view.name),
            str(view.state),
            restarts_of(view),
            f"{view.inbox:,}" if view.inbox else "",
            span(view.oldest_s) if view.oldest_s is not None else "",
        ),
        now=in_hand_of(view) or (rest if hidden and not children else ""),
        below=told_below(view),
        indent=indent + ("│  " if children else "   "),
        colour=_colour(view),
    )
    for child in children:
        last = child is children[-1] and not tail
        yield from _rows(
            child,
            indent + ("└─ " if last else "├─ "),
            indent + ("   " if last else "│  "),
            everyone=everyone,
        )
    if tail:
        words = f"{indent}└─ {CUT} and {tail}"
        yield Row(cells=(), now="", below=(words,), indent="", colour=Colour.FAINT)


def _drawn(supervisor: ActorView, child: ActorView) -> bool:
    well = trouble(child) is None and child.restarts == 0
    return not (supervisor.kind == COME_AND_GO and well)


def _rest(supervisor: ActorView, hidden: int) -> str:
    """Children that are not drawn. Those in trouble come first, so one at rest vouches for more."""
    drawn = len(supervisor.children) + supervisor.more - hidden
    vouched = supervisor.more == 0 or any(_at_rest(child) for child in supervisor.children)
    what = "more" if drawn else "actor" if hidden == 1 else "actors"
    return f"{hidden:,} {what}" + (", all well" if vouched else "")


def _at_rest(view: ActorView) -> bool:
    return (
        view.state is ActorState.RUNNING
        and view.incarnation == 1
        and not view.inbox
        and view.last_error is None
    )


def _colour(view: ActorView) -> Colour | None:
    if view.state in BAD:
        return Colour.RED
    return Colour.YELLOW if trouble(view) else None


def _bold(colour: bool) -> Colour | None:
    return Colour.BOLD if colour else None


def _line(cells: tuple[str, ...], sizes: list[int], width: int) -> str:
    padded = [
        cell.rjust(size) if name in NUMBERS else cell.ljust(size)
        for name, cell, size in zip(HEAD, cells, (*sizes, 0), strict=False)
    ]
    return cut(GAP.join(padded).rstrip(), width)


def _count(top: ActorView) -> str:
    views = list(_all(top))
    total = len(views) + sum(view.more for view in views)
    troubles = Counter(word for word in map(trouble, views) if word)
    told = ", ".join(f"{count} {word}" for word, count in sorted(troubles.items()))
    return f"{total:,} {'actor' if total == 1 else 'actors'}: {told or 'all well'}"


def _all(view: ActorView) -> Iterator[ActorView]:
    yield view
    for child in view.children:
        yield from _all(child)
