"""The commands that look at a running back-end and tune it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer
from typer.core import TyperGroup

from actors.runtime.inspection import ActorDetails, ActorView
from config.tuning import Forecast, Tunable, TuningError, parse_span
from storage.rows import AdminActionRow, DeadLetterRow, EventRow, SettingChangeRow
from supervisors.console import screen
from supervisors.console.answers import listed, parsed
from supervisors.console.errors import BackendOutage, ConsoleError, NotUnderstood
from supervisors.console.reports import (
    Moment,
    act_lines,
    actor_lines,
    change_lines,
    event_lines,
    forecast_lines,
    history_lines,
    letter_details,
    letter_lines,
    policy_lines,
    story_lines,
)
from supervisors.console.tree import draw_tree
from supervisors.console.words import clean

if TYPE_CHECKING:
    from supervisors.console.client import Control

#: How many children of a supervisor the back-end tells of: those in trouble first.
TOLD = 20
#: Events in a look inside one actor.
LAST_EVENTS = 10


class DefaultCommand(TyperGroup):
    """A group in which a first word that is no command is meant for one of them."""

    default: ClassVar[str] = "show"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command in front that was left out."""
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


class ListByDefault(DefaultCommand):
    """The same, for a group that lists."""

    default: ClassVar[str] = "list"


policy_app = typer.Typer(
    cls=DefaultCommand, help="Policies and tunables: look, change, take back. Alone: show."
)
actor_app = typer.Typer(
    cls=DefaultCommand,
    help="One actor: look inside, suspend, resume, restart. `actor NAME` is `actor show NAME`.",
)
letters_app = typer.Typer(
    cls=ListByDefault, help="Messages that were set aside: look, retry, drop. Alone: list."
)

Json = Annotated[bool, typer.Option("--json", help="As JSON, for programs.")]
Reason = Annotated[str, typer.Option(help="Why, for the record.", metavar="TEXT")]
Name = Annotated[str, typer.Argument(help="The actor's name, as in `tollgate tree`.")]
Letter = Annotated[int, typer.Argument(help="Its number, as in `dead-letters list`.", min=1)]
Limit = Annotated[int, typer.Option(help="At most so many.", min=1, max=1_000)]


def add_commands(app: typer.Typer) -> None:
    """Put them into the whole command."""
    app.command("tree")(tree)
    app.add_typer(policy_app, name="policy")
    app.add_typer(actor_app, name="actor")
    app.add_typer(letters_app, name="dead-letters")
    app.command("events")(events)
    app.command("why")(why)
    app.command("acts")(acts)


def tree(
    context: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it anew until Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option(help="Seconds between two drawings.", min=0.1, max=3_600)
    ] = 1.0,
    count: Annotated[
        int | None, typer.Option(help="With --watch: draw so many times, then end.", min=1)
    ] = None,
    everyone: Annotated[
        int | None,
        typer.Option(
            "--all",
            help="Also users' actors that are well, up to so many a partition.",
            metavar="N",
            min=1,
            max=10_000,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw the actors of the running back-end: how they stand, wait, work and fail."""
    control = _control(context)

    async def picture() -> list[str]:
        answer = await control.look("/tree", shown=everyone or TOLD)
        if as_json:
            return [json.dumps(answer, indent=None if watch else 2)]
        return draw_tree(
            parsed(ActorView, answer),
            width=screen.columns(),
            colour=screen.in_colour(),
            everyone=everyone is not None,
        )

    async def picture_or_why_not() -> list[str]:
        # A back-end that starts anew meanwhile is what one watches for.
        try:
            return await picture()
        except ConsoleError as error:
            return [json.dumps({"error": str(error)})] if as_json else [f"tollgate: {error}"]

    if watch:
        screen.watch(picture_or_why_not, every_s=interval, count=count)
    else:
        screen.write(asyncio.run(picture()))


@policy_app.command("show")
def policy_show(
    context: typer.Context,
    prefix: Annotated[
        str, typer.Argument(help="Only names that begin so.", metavar="[KEY-PREFIX]")
    ] = "",
    as_json: Json = False,
) -> None:
    """Show every value, what it may be, and what was changed."""
    answer = ask(context, lambda control: control.look("/policy"))
    policies = [one for one in listed(Tunable, answer, "policies") if one.key.startswith(prefix)]
    if not policies:
        raise ConsoleError(f"no policy's name begins with {prefix}; see: tollgate policy")
    if as_json:
        keys = {policy.key for policy in policies}
        _show_json({"policies": [one for one in answer["policies"] if one["key"] in keys]})
    else:
        screen.write(policy_lines(policies, width=screen.columns()))


@policy_app.command("set")
def policy_set(
    context: typer.Context,
    key: Annotated[str, typer.Argument(help="As in `tollgate policy`: users.max_restarts.")],
    value: Annotated[str, typer.Argument(help="The new value.")],
    revert: Annotated[
        str | None,
        typer.Option(
            "--for", help="Take it back by itself after 90, 60s, 15m, 2h, 1d.", metavar="SPAN"
        ),
    ] = None,
    reason: Reason = "",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only tell what it would have done in the last hour."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Change a value; it counts from the next decision."""
    try:
        revert_after_s = None if revert is None else parse_span(revert)
    except TuningError as error:
        raise typer.BadParameter(str(error), param_hint="--for") from None
    answer = ask(
        context,
        lambda control: control.change(
            "/policy",
            key=key,
            value=value,
            reason=reason,
            revert_after_s=revert_after_s,
            dry_run=dry_run,
        ),
    )
    if dry_run:
        show(answer, as_json, lambda: forecast_lines(parsed(Forecast, answer)))
    else:
        show(answer, as_json, lambda: change_lines(parsed(SettingChangeRow, answer)))


@policy_app.command("undo")
def policy_undo(
    context: typer.Context,
    change: Annotated[
        int | None,
        typer.Argument(
            help="The change's number; without it the newest, if no undo.", metavar="[ID]", min=1
        ),
    ] = None,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Take a change back."""
    answer = ask(context, lambda control: control.change("/policy/undo", id=change, reason=reason))
    show(answer, as_json, lambda: change_lines(parsed(SettingChangeRow, answer)))


@policy_app.command("history")
def policy_history(context: typer.Context, limit: Limit = 20, as_json: Json = False) -> None:
    """Show who changed what, when and why; newest first."""
    answer = ask(context, lambda control: control.look("/policy/history", limit=limit))
    changes = listed(SettingChangeRow, answer, "changes")
    show(answer, as_json, lambda: history_lines(changes, width=screen.columns()))


@actor_app.command("show")
def actor_show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Look inside: its state without secrets, its last messages and events, its timing."""

    async def look(control: "Control") -> tuple[Any, Any]:
        details = await control.look("/actor", name=name)
        try:
            return details, await control.look("/events", limit=LAST_EVENTS, actor=name)
        except BackendOutage:  # events are in the database; the actor itself is not
            return details, None

    answer, happened = ask(context, look)
    details = parsed(ActorDetails, answer)
    rows = None if happened is None else listed(EventRow, happened, "events")
    if as_json:
        _show_json({**answer, "events": None if happened is None else happened["events"]})
    else:
        screen.write(actor_lines(details, rows, width=screen.columns()))


@actor_app.command("suspend")
def actor_suspend(
    context: typer.Context, name: Name, reason: Reason = "", as_json: Json = False
) -> None:
    """Let its messages wait."""
    _act(context, name, "suspend", reason, as_json=as_json)


@actor_app.command("resume")
def actor_resume(
    context: typer.Context, name: Name, reason: Reason = "", as_json: Json = False
) -> None:
    """Let them through again."""
    _act(context, name, "resume", reason, as_json=as_json)


@actor_app.command("restart")
def actor_restart(
    context: typer.Context,
    name: Name,
    reason: Reason = "",
    now: Annotated[
        bool, typer.Option("--now", help="Not after its message in hand, but at once.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start it anew, after the message that it has in hand."""
    _act(context, name, "restart", reason, at_once=now, as_json=as_json)


@letters_app.command("list")
def letters_list(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """Show the messages that wait for a decision, newest first."""
    answer = ask(context, lambda control: control.look("/dead-letters", limit=limit))
    letters = listed(DeadLetterRow, answer, "dead_letters")
    show(answer, as_json, lambda: letter_lines(letters, width=screen.columns()))


@letters_app.command("show")
def letters_show(context: typer.Context, letter: Letter, as_json: Json = False) -> None:
    """Show one of them whole, with what went wrong."""
    answer = ask(context, lambda control: control.look(f"/dead-letters/{letter}"))
    show(answer, as_json, lambda: letter_details(parsed(DeadLetterRow, answer)))


@letters_app.command("retry")
def letters_retry(
    context: typer.Context, letter: Letter, reason: Reason = "", as_json: Json = False
) -> None:
    """Have it worked on again."""
    _decide(context, letter, "retry", reason, as_json=as_json)


@letters_app.command("drop")
def letters_drop(
    context: typer.Context, letter: Letter, reason: Reason = "", as_json: Json = False
) -> None:
    """Never work on it again."""
    _decide(context, letter, "drop", reason, as_json=as_json)


def events(
    context: typer.Context,
    actor: Annotated[
        str | None, typer.Option(help="Only those of one actor.", metavar="NAME")
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """Show what happened in the tree, newest first."""
    query = {} if actor is None else {"actor": actor}
    answer = ask(context, lambda control: control.look("/events", limit=limit, **query))
    rows = listed(EventRow, answer, "events")
    show(answer, as_json, lambda: event_lines(rows, width=screen.columns()))


def why(
    context: typer.Context,
    user: Annotated[int, typer.Argument(help="The numeric Telegram id.", metavar="USER", min=1)],
    limit: Annotated[int, typer.Option(help="The last so many moments.", min=1, max=2_000)] = 2_000,
    as_json: Json = False,
) -> None:
    """Tell the story of one user in order: orders, payments, access, keys, messages."""
    answer = ask(context, lambda control: control.look("/why", user=user, limit=limit))
    story = listed(Moment, answer, "story")
    left_out = answer.get("left_out", 0)
    show(answer, as_json, lambda: story_lines(user, story, left_out, width=screen.columns()))


def acts(context: typer.Context, limit: Limit = 50, as_json: Json = False) -> None:
    """Show what operators did, newest first."""
    answer = ask(context, lambda control: control.look("/acts", limit=limit))
    rows = listed(AdminActionRow, answer, "acts")
    show(answer, as_json, lambda: act_lines(rows, width=screen.columns()))


def _act(
    context: typer.Context,
    name: str,
    action: str,
    reason: str,
    *,
    at_once: bool = False,
    as_json: bool,
) -> None:
    answer = ask(
        context,
        lambda control: control.change(
            "/actor", name=name, action=action, reason=reason, at_once=at_once
        ),
    )
    done = {
        "suspend": f"{name} takes no messages. Let them through: tollgate actor resume {name}",
        "resume": f"{name} takes messages again.",
        "restart": f"{name} starts anew" + ("." if at_once else ", after its message in hand."),
    }
    show(answer, as_json, lambda: [done[action]])


def _decide(
    context: typer.Context, letter: int, action: str, reason: str, *, as_json: bool
) -> None:
    path = f"/dead-letters/{letter}"
    answer = ask(context, lambda control: control.change(path, action=action, reason=reason))
    show(answer, as_json, lambda: [f"Dead letter {letter}: {_outcome(answer)}"])


def _outcome(answer: Any) -> str:
    outcome = answer.get("outcome") if isinstance(answer, dict) else None
    if not isinstance(outcome, str):
        raise NotUnderstood("no outcome")
    return clean(outcome)


def _control(context: typer.Context, timeout_s: float | None = None) -> "Control":
    # Here, since aiohttp takes longer to import than all the rest of the command.
    from config.settings import load_data_dir  # noqa: PLC0415
    from supervisors.console.client import TIMEOUT_S, Control  # noqa: PLC0415

    config: Path | None = context.obj
    return Control(load_data_dir(config), timeout_s=timeout_s or TIMEOUT_S)


def ask(
    context: typer.Context,
    question: Callable[["Control"], Awaitable[Any]],
    timeout_s: float | None = None,
) -> Any:
    """Put a question to the running back-end; `timeout_s` where an answer may take longer."""

    async def asked() -> Any:
        return await question(_control(context, timeout_s))

    return asyncio.run(asked())


def show(answer: Any, as_json: bool, lines: Callable[[], list[str]]) -> None:
    """Write an answer, for programs or for people."""
    if as_json:
        _show_json(answer)
    else:
        screen.write(lines())


def _show_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=2))  # escaped: nothing that a terminal obeys
