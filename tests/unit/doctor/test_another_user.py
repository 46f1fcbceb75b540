"""Whoever may not look into the data folder is told whom to run the doctor as."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from config.settings import NodeEntry, Settings, TelegramSection
from supervisors import cli
from supervisors.doctor.asking import ask_database, look_at_folder, look_at_keys
from supervisors.doctor.facts import Trouble
from tests.unit.doctor.test_judging import TOKEN

NOBODY = 65_534

SETTINGS = """
data_dir = "{folder}/data"

[telegram]
token = "{token}"
api_base = "http://127.0.0.1:9"

[http]
listen = "127.0.0.1:0"

[[nodes]]
id = "de-1"
title = "Germany"
url = "http://127.0.0.1:9"
api_keys = ["a key that nobody may read here, long enough"]
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder into whose `data` nobody else may look."""
    with TemporaryDirectory(prefix="tollgate-doctor-", dir="/tmp") as made:
        whole = Path(made)
        whole.chmod(0o755)
        (whole / "data").mkdir()
        file = whole / "tollgate.toml"
        file.write_text(SETTINGS.format(folder=whole, token=TOKEN))
        file.chmod(0o644)
        yield whole


@contextmanager
def another_user(folder: Path) -> Iterator[None]:
    """Somebody who may not look into a folder; root becomes one, for whom else its rights do."""
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_closed_data_folder_is_told_by_each_question(folder: Path) -> None:
    settings = Settings(
        data_dir=folder / "data",
        telegram=TelegramSection(token=SecretStr(TOKEN)),
        nodes=(
            NodeEntry(
                id="de-1",
                title="Germany",
                url="http://127.0.0.1:9",
                api_keys=(SecretStr("a key that nobody may read here"),),
            ),
        ),
    )

    asyncio.run(ask_database(settings))  # what is imported late may lie where only we may read
    with another_user(settings.data_dir):
        found = look_at_folder(settings, None)
        prints, keys = look_at_keys(settings)
        database = asyncio.run(ask_database(settings))

    assert "Permission denied" in found.closed
    assert prints == ()
    assert keys is not None
    assert "Permission denied" in keys.text
    assert isinstance(database, Trouble)
    assert database.kind == "closed"


def of_data(folder: Path) -> Path:
    return folder / "data"


def of_settings(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize(("closed", "about"), [(of_data, "data folder"), (of_settings, "settings")])
def test_the_command_tells_it_as_json_too(
    folder: Path, closed: Callable[[Path], Path], about: str
) -> None:
    words = ["--config", str(folder / "tollgate.toml"), "doctor", "--json"]

    CliRunner().invoke(cli.app, words)  # as above
    with another_user(closed(folder)):
        result = CliRunner().invoke(cli.app, words)

    assert result.exit_code == 1
    told = {one["about"]: one for one in json.loads(result.stdout)["findings"]}
    assert "Permission denied" in told[about]["text"]
    assert "as the owner of that folder" in told[about]["mend"]
