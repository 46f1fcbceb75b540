"""The command: lines for people, JSON for programs, and the exit status."""

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from config.loading import SettingsError
from supervisors.console.commands import Json
from supervisors.doctor.findings import Finding, failed, is_well, line

if TYPE_CHECKING:
    from config.settings import Settings

#: A long look tells so often how far it is, in users.
TELL_EVERY = 20_000


def add_commands(app: typer.Typer) -> None:
    """Put it into the whole command."""
    app.command("doctor")(doctor)


def doctor(
    context: typer.Context,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Also hold every user's rows and every node's list to the invariants.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check settings, database, Telegram, nodes and clocks; says how to mend what is wrong.

    Changes nothing, and works whether a back-end runs or not. Exit status 1 when something failed.
    """
    findings: list[Finding] = []

    def tell(found: Finding) -> None:
        findings.append(found)
        if not as_json:
            typer.echo(line(found))

    asyncio.run(_examine(context.obj, tell, deep=deep))
    well = is_well(findings)
    if as_json:
        told = [{**asdict(one), "line": line(one)} for one in findings]
        typer.echo(json.dumps({"ok": well, "findings": told}, indent=2))
    raise typer.Exit(0 if well else 1)


async def _examine(config: Path | None, tell: Callable[[Finding], None], *, deep: bool) -> None:
    # Here, since aiogram takes seconds to import, and a wrong setting is told before that.
    from config.loading import find_file  # noqa: PLC0415
    from config.settings import load_settings  # noqa: PLC0415

    try:
        settings, file = load_settings(config), find_file(config)
    except SettingsError as error:
        for problem in error.problems:
            tell(failed("settings", problem, "correct it, then run this again"))
        return
    except OSError as error:
        told = f"{error.filename}: {error.strerror}"
        tell(failed("settings", told, "run doctor as the owner of that folder"))
        return
    await _ask(settings, file, tell, deep=deep)


async def _ask(
    settings: "Settings", file: Path | None, tell: Callable[[Finding], None], *, deep: bool
) -> None:
    from storage.errors import StorageSetupError, StorageUnavailable  # noqa: PLC0415
    from storage.looking import DatabaseStanding  # noqa: PLC0415
    from supervisors.doctor.asking import ask_everything  # noqa: PLC0415
    from supervisors.doctor.deep import look_deep  # noqa: PLC0415
    from supervisors.doctor.judging import judge  # noqa: PLC0415

    facts = await ask_everything(settings, file)
    for found in judge(facts, settings):
        tell(found)
    standing = facts.database
    if not deep or not isinstance(standing, DatabaseStanding) or standing.pending != []:
        return
    try:
        for found in await look_deep(settings, facts, _progress()):
            tell(found)
    except (StorageSetupError, StorageUnavailable) as error:
        tell(failed("database", f"the look ended: {error}", "run this again"))


def _progress() -> Callable[[str, int, int], None]:
    told: dict[str, int] = {}

    def progress(what: str, done: int, total: int) -> None:
        if done - told.get(what, 0) >= TELL_EVERY:
            told[what] = done
            sys.stderr.write(f"{what}: {done:,} of {max(done, total):,}\n")

    return progress
