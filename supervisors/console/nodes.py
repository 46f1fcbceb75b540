"""The commands about nodes: how they stand, their breakers, comparing them with the database."""

from typing import Annotated, Any

import typer

from bot.node_views import PATIENCE_S, BreakerView, NodeView
from config.tuning import TuningError, parse_span
from storage.rows import ReconcileRun
from supervisors.console.answers import listed
from supervisors.console.commands import Json, ListByDefault, Reason, ask, show
from supervisors.console.words import clean

nodes_app = typer.Typer(
    cls=ListByDefault,
    help="Nodes: look, drain, freeze and what follows. Alone: list.",
)
breaker_app = typer.Typer(
    cls=ListByDefault, help="Circuit breakers of nodes: look, isolate, close, release. Alone: list."
)

Node = Annotated[str, typer.Argument(help="The node's id, as in the settings.", metavar="NODE")]
For = Annotated[
    str | None,
    typer.Option(
        "--for", help="Take it back by itself after 90, 60s, 15m, 2h, 1d.", metavar="SPAN"
    ),
]


def add_commands(app: typer.Typer) -> None:
    """Put them into the whole command."""
    app.add_typer(nodes_app, name="nodes")
    app.add_typer(breaker_app, name="breaker")
    app.command("reconcile")(reconcile)


def reconcile(
    context: typer.Context,
    node: Annotated[str | None, typer.Option(help="Only this node.", metavar="NODE")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only tell what differs; nothing is changed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare nodes with the database now, and mend what differs."""
    answer = ask(
        context,
        lambda control: control.change("/reconcile", node=node, dry_run=dry_run),
        timeout_s=PATIENCE_S,
    )
    show(answer, as_json, lambda: run_lines(listed(ReconcileRun, answer, "runs")))


@nodes_app.command("list")
def nodes_list(context: typer.Context, as_json: Json = False) -> None:
    """Show every node: its state, whom it serves, and what the last comparison found."""
    answer = ask(context, lambda control: control.look("/nodes"))
    show(answer, as_json, lambda: node_lines(listed(NodeView, answer, "nodes")))


@nodes_app.command("freeze")
def nodes_freeze(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Remove nobody from a node until it is unfrozen; new access works."""
    _act(context, node, "freeze", reason, as_json=as_json)


@nodes_app.command("unfreeze")
def nodes_unfreeze(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Go on: the database is right. Users without a right go as always, within the guard."""
    _act(context, node, "unfreeze", reason, as_json=as_json)


@nodes_app.command("adopt")
def nodes_adopt(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Go on, and let all users of the node stay whom the database does not know."""
    _act(context, node, "adopt", reason, as_json=as_json)


@nodes_app.command("confirm")
def nodes_confirm(
    context: typer.Context,
    node: Node,
    removals: Annotated[
        int,
        typer.Option(help="How many users may be removed: as the dry run says.", min=0),
    ],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Remove that many users without a right, above the guard, and go on."""
    _act(context, node, "confirm", reason, removals=removals, as_json=as_json)


@nodes_app.command("drain")
def nodes_drain(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Put nobody new on a node, and give whoever is there a key on another one of their plan."""
    _act(context, node, "drain", reason, as_json=as_json)


@nodes_app.command("lost")
def nodes_lost(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Give a node up that does not come back: whoever was there gets a new link elsewhere."""
    _act(context, node, "lose", reason, as_json=as_json)


@nodes_app.command("remove")
def nodes_remove(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Be done with a node on which nobody is left."""
    _act(context, node, "remove", reason, as_json=as_json)


@nodes_app.command("activate")
def nodes_activate(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Work with a node again that was drained, lost or removed."""
    _act(context, node, "activate", reason, as_json=as_json)


@breaker_app.command("list")
def breaker_list(context: typer.Context, as_json: Json = False) -> None:
    """Show whether nodes are called, and when one that is away is asked again."""
    answer = ask(context, lambda control: control.look("/breakers"))
    show(answer, as_json, lambda: breaker_lines(listed(BreakerView, answer, "breakers")))


@breaker_app.command("isolate")
def breaker_isolate(
    context: typer.Context, node: Node, span: For = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Call a node no more, whatever its answers; what waits for it waits."""
    _order(context, node, "isolate", span, reason, as_json=as_json)


@breaker_app.command("close")
def breaker_close(
    context: typer.Context, node: Node, span: For = None, reason: Reason = "", as_json: Json = False
) -> None:
    """Call a node, whatever its answers."""
    _order(context, node, "close", span, reason, as_json=as_json)


@breaker_app.command("release")
def breaker_release(
    context: typer.Context, node: Node, reason: Reason = "", as_json: Json = False
) -> None:
    """Let its answers decide again; one that was isolated is asked first."""
    _order(context, node, "release", None, reason, as_json=as_json)


def _act(
    context: typer.Context, node: str, action: str, reason: str, *, as_json: bool, **wish: Any
) -> None:
    answer = ask(
        context,
        lambda control: control.change(f"/nodes/{action}", node=node, reason=reason, **wish),
        timeout_s=PATIENCE_S,
    )
    show(answer, as_json, lambda: [clean(str(answer.get("outcome", "done")))])


def _order(
    context: typer.Context,
    node: str,
    order: str,
    span: str | None,
    reason: str,
    *,
    as_json: bool,
) -> None:
    try:
        for_s = None if span is None else parse_span(span)
    except TuningError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    answer = ask(
        context,
        lambda control: control.change(
            "/breakers", node=node, order=order, for_s=for_s, reason=reason
        ),
    )
    show(answer, as_json, lambda: breaker_lines(listed(BreakerView, answer, "breakers")))


def node_lines(nodes: list[NodeView]) -> list[str]:
    """A line a node, and one more where something should be looked at."""
    if not nodes:
        return ["no nodes are known"]
    lines = []
    for node in nodes:
        last = node.last_outcome or "nothing to tell yet"
        lines.append(
            f"{clean(node.id):<16} {node.state:<9} breaker {node.breaker:<12} "
            f"users {_users(node):<7} waiting {node.waiting:<5} set aside {node.set_aside:<4} "
            f"last comparison: {clean(last)}"
        )
        if node.moving:
            lines.append(f"{'':<16} {node.moving} users are to be moved to other nodes")
        why = node.reason if node.state == "frozen" else node.last_why
        if why:
            lines.append(f"{'':<16} {clean(why)}")
        if node.state == "frozen":
            lines.append(
                f"{'':<16} look: tollgate reconcile --dry-run --node {clean(node.id)}; then: "
                "tollgate nodes unfreeze, adopt or confirm"
            )
    return lines


def _users(node: NodeView) -> str:
    return str(node.users) if node.capacity is None else f"{node.users}/{node.capacity}"


def breaker_lines(breakers: list[BreakerView]) -> list[str]:
    """A line a node."""
    lines = []
    for one in breakers:
        told = f"{clean(one.node):<16} {one.state:<12} {one.at_a_time} calls at a time"
        if one.next_probe_s > 0:
            told += f", asked again in {one.next_probe_s:g} s"
        if one.away_s is not None:
            told += f", away for {one.away_s:g} s"
        if one.key_refused:
            told += ", takes none of our keys"
        lines.append(told)
    return lines or ["no nodes are in the settings"]


def run_lines(runs: list[ReconcileRun]) -> list[str]:
    """What comparisons found, a few lines each."""
    lines = []
    for run in runs:
        lines.append(
            f"{clean(run.node_id):<16} {clean(run.outcome)}: {run.on_node} on the node, "
            f"{run.wanted} wanted, {run.missing} missing, {run.orphans} without a right; "
            f"{run.raised} asked for again, {run.removed} removed, in {run.took_s:.2f} s"
        )
        if run.why:
            lines.append(f"{'':<16} {clean(run.why)}")
        lines += [f"{'':<16} {clean(uuid)}" for uuid in run.sample]
    return lines or ["no nodes are in the settings"]
