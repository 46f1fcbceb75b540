"""The tree of actors, and a look inside one: trouble first, and never more than a message holds."""

from collections.abc import Iterator
from dataclasses import dataclass

from actors.runtime.inspection import ActorDetails, ActorState, ActorView, HandledMessage
from bot.replies import Reply
from bot.reports.fitting import ROOM, cut, fitting, one_line, span, units

#: A message that waits or is in hand for longer is trouble, seconds.
SLOW_S = 10.0
LONGEST_LINE = 160
SEVERITY = {
    ActorState.RUNNING: 0,
    ActorState.SUSPENDED: 2,
    ActorState.RESTARTING: 3,
    ActorState.PARKED: 4,
    ActorState.STOPPED: 4,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One actor's line; `worst` is the worst trouble of the actor and all below it."""

    line: str
    trouble: int
    worst: int


def tree(top: ActorView) -> Reply:
    """The whole tree; when it does not fit, those who are well are left out first."""
    rows = list(_rows(top, 0))
    shown, left_out = _selected(rows)
    return Reply(
        text_id="actors",
        values={
            "tree": "\n".join(row.line for row in shown),
            "actors": len(rows) + _unseen(top),
            "troubled": _troubled(rows),
            "more": len(left_out) + _unseen(top),
            "more_troubled": _troubled(left_out),
        },
    )


def details(found: ActorDetails) -> Reply:
    """One actor: its figures, what it says of itself, and what it did last."""
    view = found.view
    rows = [f"{name:<11}{one_line(value, LONGEST_LINE)}" for name, value in _figures(found)]
    rows += [one_line(f"{name} = {value}", LONGEST_LINE) for name, value in found.state.items()]
    rows += [_handled(message) for message in found.recent]
    block, more = fitting(rows)
    return Reply(
        text_id="actor", values={"actor": cut(view.name, 200), "figures": block, "more": more}
    )


def _rows(view: ActorView, depth: int) -> Iterator[Row]:
    trouble = _trouble(view)
    mark = "!" if trouble else "·"
    line = one_line(" ".join((mark, view.name, *_remarks(view))), LONGEST_LINE)
    yield Row(line=" " * depth + line, trouble=trouble, worst=_worst(view))
    for child in sorted(view.children, key=_worst, reverse=True):
        yield from _rows(child, depth + 1)


def _selected(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows to show, in their order, and the others. A row's ancestors come before it."""
    kept: set[int] = set()
    room = ROOM
    for number in sorted(range(len(rows)), key=lambda number: rows[number].worst == 0):
        room -= units(rows[number].line) + 1
        if room < 0:
            break
        kept.add(number)
    shown = [row for number, row in enumerate(rows) if number in kept]
    return shown, [row for number, row in enumerate(rows) if number not in kept]


def _troubled(rows: list[Row]) -> int:
    return sum(row.trouble > 0 for row in rows)


def _worst(view: ActorView) -> int:
    return max(_trouble(view), *(_worst(child) for child in view.children), 0)


def _trouble(view: ActorView) -> int:
    slow = max(view.oldest_s or 0.0, view.in_hand_s or 0.0) > SLOW_S
    return SEVERITY[view.state] or int(slow or view.restarts > 0)


def _unseen(view: ActorView) -> int:
    return view.more + sum(_unseen(child) for child in view.children)


def _remarks(view: ActorView) -> Iterator[str]:
    """What is remarkable about an actor; nothing about most."""
    if view.strategy is not None:
        yield view.strategy
    if view.state is not ActorState.RUNNING:
        yield view.state
    if view.back_in_s is not None:
        yield f"back in {span(view.back_in_s)}"
    if view.restarts:
        yield f"restarts {_of(view)}"
    if view.inbox:
        yield f"inbox {_inbox(view)}"
    if view.in_hand and (view.in_hand_s or 0.0) > SLOW_S:
        yield f"in hand {_in_hand(view)}"
    if view.last_error and _trouble(view):
        yield f"({view.last_error})"


def _figures(found: ActorDetails) -> Iterator[tuple[str, str]]:
    view = found.view
    yield "kind", view.kind or "-"
    yield "under", found.supervisor
    yield "state", f"{view.state}, incarnation {view.incarnation}"
    yield "restarts", _of(view)
    if view.back_in_s is not None:
        yield "back in", span(view.back_in_s)
    yield "inbox", _inbox(view)
    if view.in_hand:
        yield "in hand", _in_hand(view)
    if view.last_error:
        ago = "" if view.last_error_s is None else f", {span(view.last_error_s)} ago"
        yield "last error", f"{view.last_error}{ago}"
    yield "handled", f"{found.handled}, failed {found.failed}"
    if found.mean_s is not None and found.longest_s is not None:
        yield "took", f"mean {span(found.mean_s)}, longest {span(found.longest_s)}"


def _of(view: ActorView) -> str:
    return f"{view.restarts}" + ("" if view.max_restarts is None else f"/{view.max_restarts}")


def _inbox(view: ActorView) -> str:
    return f"{view.inbox}" + ("" if view.oldest_s is None else f", oldest {span(view.oldest_s)}")


def _in_hand(view: ActorView) -> str:
    return f"{view.in_hand}" + ("" if view.in_hand_s is None else f" for {span(view.in_hand_s)}")


def _handled(message: HandledMessage) -> str:
    line = f"{span(message.at)} ago {message.message}: {message.outcome} in {span(message.took_s)}"
    return one_line(line, LONGEST_LINE)
