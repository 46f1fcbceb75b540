"""The example file names every setting, and what it says of defaults is true."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from config.node_settings import NodeSettings, load_node_settings
from config.settings import CONFIG_FOLDER, Settings, load_settings

EXAMPLE = CONFIG_FOLDER / "tollgate.example.toml"
#: Settings without a default that can be written, or whose default is a file of this program.
EXAMPLES = {
    "plans_file",
    "supervision_file",
    "telegram.api_base",
    "telegram.webhook_url",
    "telegram.webhook_secret",
    "payments.cryptopay.token",
    "payments.card.provider_token",
    "http.public_url",
    "database.url",
    "security.keys",
    "nodes.capacity",
    "node.tls_cert",
    "node.tls_key",
    "node.public_port",
}


def everything() -> str:
    """The example with every setting active."""
    return re.sub(r"^#(?=\S)", "", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)


def table_of(info: Any) -> type[BaseModel] | None:
    """The model of a setting that is a table, or a list of tables."""
    for kind in (info, *getattr(info, "__args__", ())):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def settings_of(model: type[BaseModel], path: str = "") -> dict[str, Any]:
    """Every setting's path and default; undefined for one that must be given."""
    found: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        table = table_of(info.annotation)
        if table is not None:
            found |= settings_of(table, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = info.default
    return found


def written(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    """Every setting's path and value in a parsed file; of a list of tables the first."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        table = (
            value[0] if isinstance(value, list) and value and isinstance(value[0], dict) else value
        )
        if isinstance(table, dict):
            found |= written(table, f"{path}{name}.")
        else:
            found[f"{path}{name}"] = value
    return found


KNOWN = {
    name: default
    for name, default in (settings_of(Settings) | settings_of(NodeSettings)).items()
    if not name.startswith("testing.")  # no operator's
}


def test_the_example_names_every_setting_and_no_other() -> None:
    assert set(written(tomllib.loads(everything()))) == set(KNOWN)


def test_the_example_is_settings_that_load() -> None:
    assert load_settings(EXAMPLE).nodes[0].id == "berlin-1"


def test_the_example_loads_with_every_setting_active(folder: Path) -> None:
    file = folder / "all.toml"
    file.write_text(everything(), encoding="utf-8")

    assert len(load_settings(file).security.keys) == 1
    assert load_node_settings(file).node.public_port == 443


@pytest.mark.parametrize("name", sorted(set(KNOWN) - EXAMPLES))
def test_a_value_that_is_commented_out_is_the_default(name: str) -> None:
    shown = written(tomllib.loads(everything()))[name]
    active = name in written(tomllib.loads(EXAMPLE.read_text(encoding="utf-8")))
    default = KNOWN[name]

    if default is PydanticUndefined:
        assert active or name.startswith("node.")
        return
    assert not active
    default = str(default) if isinstance(default, Path) else default
    assert shown == (list(default) if isinstance(default, tuple) else default)
