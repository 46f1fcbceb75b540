"""The command about the end of access: what was ended, and why nothing may be ended now."""

import typer

from bot.node_views import ExpiryView
from supervisors.console.answers import parsed
from supervisors.console.commands import DefaultCommand, Json, Reason, ask, show
from supervisors.console.words import clean

#: What does not happen while a switch is off.
OFF = {"expiry.enabled": "nobody's access ends", "expiry.reminders": "nobody is reminded"}

expiry_app = typer.Typer(
    cls=DefaultCommand, help="The end of access: look, confirm that it is so late. Alone: show."
)


def add_commands(app: typer.Typer) -> None:
    """Put them into the whole command."""
    app.add_typer(expiry_app, name="expiry")


@expiry_app.command("show")
def expiry_show(context: typer.Context, as_json: Json = False) -> None:
    """Show whether access ends as it should, and why it does not."""
    answer = ask(context, lambda control: control.look("/expiry"))
    show(answer, as_json, lambda: expiry_lines(parsed(ExpiryView, answer)))


@expiry_app.command("confirm")
def expiry_confirm(context: typer.Context, reason: Reason = "", as_json: Json = False) -> None:
    """It is as late as the database's clock says: let access end again."""
    answer = ask(context, lambda control: control.change("/expiry/confirm", reason=reason))
    show(answer, as_json, lambda: [clean(str(answer.get("outcome", "done")))])


def expiry_lines(view: ExpiryView) -> list[str]:
    """What was done since the start, and what is in the way."""
    lines = [f"ended {view.ended}, reminded {view.reminded} since the start"]
    lines += [
        f"switched off: {OFF.get(name, '')}; on again: tollgate policy set {clean(name)} on"
        for name in view.off
    ]
    if view.held:
        lines.append(f"held: {clean(view.held)}")
        lines.append("look at the clocks; if it is that late: tollgate expiry confirm")
    return lines
