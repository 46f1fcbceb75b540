"""Nodes for whoever is woken by one: what happened, what is safe meanwhile, and what ends it."""

from collections.abc import Mapping, Sequence

from bot.callbacks import (
    NodeAct,
    NodeActConfirmed,
    NodesCompared,
    NodeShown,
    NodesShown,
    NothingDone,
)
from bot.keyboards import Button, Keyboard
from bot.node_views import BreakerView, NodeView
from bot.replies import Reply
from bot.reports.fitting import fitting, one_line
from bot.reports.frozen import kind_of
from bot.reports.names import who_acts
from bot.texts import Texts, Value

LONGEST_NAME = 40
LONGEST_REASON = 500
#: Nodes that have a button in the list; a keyboard holds a hundred.
BUTTONS = 24
ALL = "*"
#: Signs for what nobody acted on yet.
PROGRAM = "tollgate"
#: How much a node asks to be looked at, the worst first.
MARKS = ("🧊", "🔴", "🟡", "🟢", "⚫")
GONE = frozenset({"lost", "removed"})
OVER = Button(text_id="button-no", callback=NothingDone())


def nodes(
    found: Sequence[NodeView], breakers: Sequence[BreakerView], texts: Texts, language: str
) -> Reply:
    """A line a node, those to be looked at first, and a button each."""
    if not found:
        return Reply(text_id="node-list-none")
    calls = _calls_of(breakers)
    ordered = sorted(found, key=lambda one: (MARKS.index(_mark(one, calls)), one.id))
    lines = [
        texts.get("node-line", language, mark=_mark(one, calls), **_figures(one, calls))
        for one in ordered
    ]
    block, more = fitting(lines)
    buttons = [
        Button(
            text_id="button-node",
            callback=NodeShown(node=one.id),
            values={"mark": _mark(one, calls), "node": one.id},
        )
        for one in ordered[:BUTTONS]
    ]
    troubled = sum(_mark(one, calls) in MARKS[:3] for one in found)
    return Reply(
        text_id="node-list",
        values={"nodes": len(found), "troubled": troubled, "list": block, "more": more},
        keyboard=tuple(tuple(buttons[at : at + 2]) for at in range(0, len(buttons), 2)),
    )


def node(found: Sequence[NodeView], breakers: Sequence[BreakerView], node_id: str) -> Reply:
    """One node: how it stands, and what to do about it."""
    view = next((one for one in found if one.id == node_id), None)
    if view is None:
        return none_such(found, node_id)
    calls = _calls_of(breakers)
    values: dict[str, Value] = {
        **_figures(view, calls),
        **who_acts(view.changed_by or PROGRAM),
        "mark": _mark(view, calls),
        "at": view.changed_at,
        "reason": one_line(view.reason, LONGEST_REASON) or "-",
    }
    if view.state == "frozen":
        # As text: it is typed, and 1,204 would not be understood.
        number = str(view.orphans) if view.orphans else "N"
        values |= {"cause": kind_of(view.reason), "orphans": number}
        return Reply(text_id="node-frozen", values=values, keyboard=_ways(view))
    values["advice"] = _advice(view, calls)
    return Reply(text_id="node-page", values=values, keyboard=_ways(view))


def none_such(found: Sequence[NodeView], node_id: str) -> Reply:
    """There is no such node."""
    names, more = fitting([one.id for one in found], 500)
    listed = ", ".join(names.split()) + (", …" if more else "")
    name = one_line(node_id, LONGEST_NAME)
    return Reply(text_id="node-none", values={"node": name, "nodes": listed or "-"})


def done(text_id: str, node_id: str, users: int = 0) -> Reply:
    """A wish was done; `users` is whom it is about."""
    return Reply(
        text_id=text_id, values={"node": node_id, "users": users}, keyboard=(look_button(node_id),)
    )


def question(act: NodeAct, node_id: str, users: int, reason: str) -> Reply:
    """The second tap, which names how many it is about. The reason is read from the question."""
    yes = NodeActConfirmed(act=act, node=node_id, users=users)
    return Reply(
        text_id=f"ask-node-{act}",
        values={
            "node": node_id,
            "users": users,
            "reason": one_line(reason, LONGEST_REASON) or "-",
        },
        keyboard=(
            (Button(text_id=f"button-yes-node-{act}", callback=yes, values={"users": users}),),
            (OVER,),
        ),
    )


def more_than_said(node_id: str, found: int, users: int) -> Reply:
    """More have no right than somebody counted; the number is typed, so it has no commas."""
    values: dict[str, Value] = {"node": node_id, "found": str(found), "users": str(users)}
    return Reply(text_id="node-more-than-said", values=values, keyboard=(look_button(node_id),))


def not_compared(node_id: str, outcome: str) -> Reply:
    """The node was not reached, so nobody knows whom it is about."""
    values: dict[str, Value] = {"node": node_id, "outcome": outcome_of(outcome)}
    return Reply(text_id="node-not-compared", values=values, keyboard=(look_button(node_id),))


def _ways(view: NodeView) -> Keyboard:
    compare = Button(
        text_id="button-compare",
        callback=NodesCompared(node=view.id, really=False),
        values={"node": view.id},
    )
    again = Button(text_id="button-node-again", callback=NodeShown(node=view.id))
    back = Button(text_id="button-nodes", callback=NodesShown())
    below = ((again, back),)
    return below if view.state in GONE else ((compare,), *below)


def look_button(node_id: str) -> tuple[Button]:
    """A row that leads to a node's page, below what was tapped."""
    shown = NodeShown(node=node_id, anew=True)
    return (Button(text_id="button-node-look", callback=shown, values={"node": node_id}),)


def _calls_of(breakers: Sequence[BreakerView]) -> Mapping[str, str]:
    return {one.node: calls_of(one) for one in breakers}


def calls_of(breaker: BreakerView) -> str:
    """How a node is called: its breaker's state, unless no key of ours is taken."""
    return "key" if breaker.key_refused else breaker.state


def outcome_of(outcome: str | None) -> str:
    """An outcome of a comparison as the texts name it."""
    return "never" if outcome is None else one_line(outcome, LONGEST_NAME).replace(" ", "-")


def _figures(view: NodeView, calls: Mapping[str, str]) -> dict[str, Value]:
    return {
        "node": view.id,
        "state": view.state,
        "calls": calls.get(view.id, "unknown"),
        "users": view.users,
        "capacity": "none" if view.capacity is None else view.capacity,
        "waiting": view.waiting,
        "moving": view.moving,
        "aside": view.set_aside,
        "outcome": outcome_of(view.last_outcome),
        "missing": view.missing,
        "found": view.orphans,
        "why": "none" if view.last_why in ("", view.reason) else one_line(view.last_why, 300),
    }


def _mark(view: NodeView, calls: Mapping[str, str]) -> str:
    if view.state == "frozen":
        return "🧊"
    if view.state in GONE:
        return "⚫"
    match _advice(view, calls):
        case "open" | "key" | "unknown":
            return "🔴"
        case "well":
            return "🟢"
        case _:
            return "🟡"


def _advice(view: NodeView, calls: Mapping[str, str]) -> str:
    """What is most urgent about a node that is not frozen."""
    called = calls.get(view.id, "unknown")
    if view.state in GONE:
        return view.state
    if called != "closed":
        return "open" if called == "half_open" else called
    if view.set_aside:
        return "aside"
    return "draining" if view.state == "draining" else "well"
