"""An empty folder and an empty environment, and settings that are just enough."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from config.loading import SettingsError

Write = Callable[[str], Path]

#: The least that a back-end needs.
LEAST = """
[telegram]
token = "123456:a-token"

[[nodes]]
id = "berlin"
title = "Berlin"
url = "https://node.example:8443"
api_keys = ["0123456789abcdef"]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with no settings file, and with no variables of ours."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper().startswith("TOLLGATE_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Write:
    """Write `tollgate.toml`."""

    def to_file(text: str) -> Path:
        file = folder / "tollgate.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return to_file


def problems_of(load: Callable[[], object]) -> list[str]:
    """The lines that a person would read; fails if there is nothing to complain about."""
    with pytest.raises(SettingsError) as refusal:
        load()
    assert str(refusal.value) == "\n".join(refusal.value.problems)
    return refusal.value.problems
