"""The `tollgate` command. Exit status: 0 success, 1 failure, 2 usage, 70 the tree gave up.

Each command imports what it runs when it runs: aiogram alone takes seconds to import, and a node
has no use for it.
"""
# ruff: noqa: PLC0415 - see above

import asyncio
import gc
import sys
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from config.loading import SettingsError
from config.logging import configure_logging
from storage.errors import StorageSetupError, StorageUnavailable
from supervisors.console import expiry as expiry_commands
from supervisors.console import nodes as node_commands
from supervisors.console.commands import add_commands
from supervisors.console.errors import ConsoleError
from supervisors.demo.errors import DemoError
from supervisors.doctor import command as doctor_command
from supervisors.matrix import MatrixError, become_matrix
from xray_api.node.errors import NodeStartError
from xray_api.node.init import (
    InitError,
    InitOptions,
    MissingOptions,
    init_node,
    target_warnings,
)

Result = TypeVar("Result")

FAILED = 1

#: Errors whose text is for the person who typed the command.
TELLING = (
    StorageSetupError,
    StorageUnavailable,
    NodeStartError,
    InitError,
    DemoError,
    ConsoleError,
    MatrixError,
)

app = typer.Typer(
    name="tollgate",
    help="Sells VLESS access through Telegram: every payment becomes working access exactly once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
node_app = typer.Typer(help="The service that runs beside Xray.", no_args_is_help=True)
app.add_typer(node_app, name="node")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file.", envvar="TOLLGATE_CONFIG", show_envvar=True),
]


@app.callback()
def options(context: typer.Context, config: ConfigOption = None) -> None:
    """Options that every command has."""
    context.obj = config


@app.command()
def demo(
    context: typer.Context,
    check: Annotated[
        bool, typer.Option("--check", help="Walk the journey without a person, then stop.")
    ] = False,
) -> None:
    """Show the whole product on this machine: no account, no token, no server."""
    from config.settings import load_demo_settings
    from supervisors.demo.start import start_demo

    settings = load_demo_settings(context.obj)
    configure_logging("people")
    raise typer.Exit(_run(start_demo(settings, check=check)))


@app.command()
def run(context: typer.Context) -> None:
    """Run the back-end: bot, actors, supervisors."""
    from config.settings import load_settings

    settings = load_settings(context.obj)
    from supervisors.run import run_backend  # after the settings: a wrong one is told at once

    configure_logging()
    raise typer.Exit(_run(run_backend(settings)))


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database's schema up to date; `run` does it too."""
    from config.settings import load_settings
    from storage.embedded import database_url
    from storage.migrate import apply_migrations

    settings = load_settings(context.obj)

    async def apply() -> None:
        async with database_url(settings.database.url, settings.data_dir) as url:
            await apply_migrations(url)

    _run(apply())
    typer.echo("The schema is up to date.")


@app.command()
def matrix(
    row: Annotated[
        list[int] | None, typer.Option(help="Only this row; may be given again.", min=1)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The table for a machine.")] = False,
    html: Annotated[
        Path | None, typer.Option(help="Write the table as a page too.", dir_okay=False)
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="What chance decides, as a failed row names it.", min=0)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Rows at a time.", min=1)] = 1,
    full_times: Annotated[
        bool, typer.Option("--full-times", help="Wait as long as a real shop does.")
    ] = False,
) -> None:
    """Break everything that can break, row by row, and show what came of it (a checkout only)."""
    words = [word for number in row or () for word in ("--row", str(number))]
    words += ["--json"] * as_json + ["--full-times"] * full_times + ["--jobs", str(jobs)]
    words += ["--html", str(html.absolute())] if html else []
    words += ["--seed", str(seed)] if seed is not None else []
    become_matrix(words)


@node_app.command("run")
def node_run(context: typer.Context) -> None:
    """Run the node service and its Xray."""
    from config.loading import find_file
    from config.node_settings import load_node_settings
    from xray_api.node.run import run_node

    settings = load_node_settings(context.obj)
    configure_logging()
    _run(run_node(settings, settings_file=find_file(context.obj)))


@node_app.command("check")
def node_check(context: typer.Context) -> None:
    """Try the node's settings and its Xray; opens no port and changes nothing."""
    from config.node_settings import load_node_settings
    from xray_api.node.check import check_node

    settings = load_node_settings(context.obj)
    configure_logging()
    typer.echo(_run(check_node(settings.node)))


@node_app.command("init")
def node_init(
    directory: Annotated[Path, typer.Option("--dir", help="Where the files go.")],
    listen: Annotated[
        str, typer.Option(help="Where the node's API listens, HOST:PORT.")
    ] = "127.0.0.1:8090",
    public_host: Annotated[str | None, typer.Option(help="The host that stands in links.")] = None,
    port: Annotated[int, typer.Option(help="Xray's port.", min=1, max=65535)] = 443,
    dest: Annotated[
        str | None,
        typer.Option(help="The TLS 1.3 site that REALITY hides behind, HOST:PORT."),
    ] = None,
    server_name: Annotated[
        str | None, typer.Option(help="The name that clients show; the host of --dest.")
    ] = None,
    xray: Annotated[
        str, typer.Option(help="embedded, binary:<path> or systemd:<unit>.")
    ] = "embedded",
) -> None:
    """Make a node's keys, its settings and the template of Xray's configuration."""
    if sys.stdin.isatty():
        public_host = public_host or typer.prompt("Host that stands in links (--public-host)")
        dest = dest or typer.prompt("TLS 1.3 site to hide behind, HOST:PORT (--dest)")
    chosen = InitOptions(
        directory=directory,
        listen=listen,
        public_host=public_host,
        port=port,
        dest=dest,
        server_name=server_name,
        xray=xray,
    )
    try:
        lines = init_node(chosen)
    except MissingOptions as missing:
        raise typer.BadParameter(f"give {', '.join(missing.names)}") from None
    typer.echo(f"Wrote {directory / 'node.toml'} and {directory / 'xray.json'}.", err=True)
    typer.echo("Add these lines to the back-end's settings; the key is shown only here:", err=True)
    typer.echo(lines)
    for warning in target_warnings(chosen):
        typer.echo(f"Warning: --dest: {warning}.", err=True)


add_commands(app)
node_commands.add_commands(app)
expiry_commands.add_commands(app)
doctor_command.add_commands(app)


def _run(work: Coroutine[Any, Any, Result]) -> Result:
    calm_collector()
    return asyncio.run(work)


def calm_collector() -> None:
    """Let Python look for garbage less often: what lives here lives long.

    What was imported is not looked at again. With the usual thresholds 50,000 users' actors were
    activated at 3,000 a second, with these at 8,000 (`make bench`).
    """
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def main() -> None:
    """Run a command; whatever is wrong becomes a line that a person can act on."""
    try:
        app()
    except SettingsError as error:
        _fail(f"settings: {problem}" for problem in error.problems)
    except TELLING as error:
        _fail(str(error).splitlines())


def _fail(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(f"tollgate: {line}", err=True)
    raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
