"""Every setting of the node service: typed, frozen, secrets hidden. Names are a contract."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from config.loading import FileSettings, load
from config.network import ListenAddress

#: A key kept hashed: `sha256:` and the hash. Keys are 256 random bits, so one round suffices.
HASHED_KEY = re.compile(r"sha256:[0-9a-f]{64}")
SHORTEST_KEY = 16

#: A unit's name as systemd.unit(5) allows it, short of names that would read as an option.
UNIT_NAME = re.compile(r"[A-Za-z0-9:_.@\\][A-Za-z0-9:_.@\\-]*")

#: Top-level names in a shared file or environment that belong to the back-end.
BACKEND_SECTIONS = frozenset(
    {
        "data_dir",
        "telegram",
        "http",
        "database",
        "payments",
        "clients",
        "plans_file",
        "supervision_file",
        "demo",
        "security",
        "nodes",
        "reconciler",
        "breaker",
        "provisioner",
        "expiry",
        "testing",
    }
)


def checked_engine(value: str) -> str:
    """The value of `node.xray`, if it is one.

    Raises:
        ValueError: it is not.
    """
    kind, _, name = value.partition(":")
    if kind == "systemd" and name and not UNIT_NAME.fullmatch(name):
        raise ValueError("systemd:<unit> is followed by a unit's name, as in systemd:xray.service")
    if value == "embedded" or (kind in {"binary", "systemd"} and name):
        return value
    raise ValueError("must be embedded, binary:<path> or systemd:<unit>")


class NodeSection(BaseModel):
    """The `[node]` table."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    #: Where the API listens.
    listen: ListenAddress = "127.0.0.1:8090"
    #: Keys that callers may use, in clear or as `sha256:<hex>`; two during a rotation.
    api_keys: tuple[SecretStr, ...] = Field(min_length=1)
    tls_cert: Path | None = None
    tls_key: Path | None = None
    #: Lets the API leave this machine without TLS: a TLS proxy stands in front of the node.
    allow_plain_http: bool = False
    #: The host that stands in links.
    public_host: str = Field(min_length=1)
    #: The port that stands in links; the inbound's own when empty.
    public_port: int | None = Field(default=None, ge=1, le=65535)
    #: Everything that the service writes.
    state_dir: Path
    #: The operator's Xray template.
    xray_config: Path
    #: Which Xray runs: `embedded` (the wheel), `binary:<path>` or `systemd:<unit>`.
    xray: Annotated[str, AfterValidator(checked_engine)] = "embedded"
    #: Lets users reach loopback and private addresses through the node: demo and tests alone.
    allow_private_targets: bool = False

    @field_validator("api_keys")
    @classmethod
    def _keys_are_long(cls, keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        for number, key in enumerate(keys):
            text = key.get_secret_value()
            if text.startswith("sha256:") and not HASHED_KEY.fullmatch(text):
                raise ValueError(f"key {number}: sha256: is followed by 64 hex digits")
            if len(text) < SHORTEST_KEY:
                raise ValueError(f"key {number}: shorter than {SHORTEST_KEY} characters")
        return keys

    @model_validator(mode="after")
    def _tls_is_whole(self) -> "NodeSection":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert and tls_key are set together or not at all")
        return self


class NodeSettings(FileSettings):
    """The node service's settings."""

    node: NodeSection


def load_node_settings(config_file: Path | None = None) -> NodeSettings:
    """Read the node's settings.

    Raises:
        SettingsError: one line for each problem.
    """
    return load(NodeSettings, config_file=config_file, foreign=BACKEND_SECTIONS)
