"""`node init`: the first files of a node. Nothing that exists is overwritten."""

import ipaddress
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from config.network import is_loopback, split_address
from config.node_settings import checked_engine
from xray_api.node.config import TemplateError, read_template
from xray_api.node.keys import hashed, new_api_key, new_private_key, new_short_id
from xray_api.node.links import Links, NoLinkError
from xray_api.node.target import warnings_about

SETTINGS_FILE = "node.toml"
TEMPLATE_FILE = "xray.json"
STATE_FOLDER = "state"
DEFAULT_LISTEN = "127.0.0.1:8090"
DEFAULT_PORT = 443
#: The back-end takes no longer ids of nodes.
LONGEST_ID = 32


class InitError(Exception):
    """The files cannot be made; the text says why."""


class MissingOptions(InitError):  # noqa: N818 - says what happened
    """Options without a default were not given; `names` are as on the command line."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"missing options: {', '.join(names)}")
        self.names = names


@dataclass(frozen=True, slots=True, kw_only=True)
class InitOptions:
    """What `node init` is told.

    Attributes:
        directory: where the files go.
        listen: where the node's API will listen, HOST:PORT.
        public_host: the host that stands in links.
        port: Xray's port.
        dest: the camouflage target, HOST:PORT: a real TLS 1.3 site.
        server_name: the name that clients show; the host of `dest` if that is a name.
        xray: which Xray runs.
    """

    directory: Path
    listen: str = DEFAULT_LISTEN
    public_host: str | None = None
    port: int = DEFAULT_PORT
    dest: str | None = None
    server_name: str | None = None
    xray: str = "embedded"

    def missing(self) -> list[str]:
        """The options that have no default and no value."""
        values = {
            "--public-host": self.public_host,
            "--dest": self.dest,
            "--server-name": self.server_name or (self.dest is None or _name_in(self.dest)),
        }
        return [name for name, value in values.items() if not value]


def init_node(options: InitOptions) -> str:
    """Write `node.toml` and the template; both are for their owner's eyes alone.

    Returns:
        The lines for the back-end's `nodes` setting, as TOML. They hold the API key in
        clear, which the node keeps only hashed.

    Raises:
        MissingOptions: an option without default was not given.
        InitError: an option is wrong, or a file is there already or cannot be written.
    """
    if options.missing() or options.public_host is None or options.dest is None:
        raise MissingOptions(options.missing())
    _check_engine(options.xray)
    api_key = new_api_key()
    template = _template(options, options.public_host, options.dest)
    files = {
        options.directory / SETTINGS_FILE: _settings(options, options.public_host, api_key),
        options.directory / TEMPLATE_FILE: template,
    }
    _write_new(options.directory, files)
    return _nodes_lines(options, options.public_host, api_key)


def target_warnings(options: InitOptions) -> list[str]:
    """What speaks against the camouflage target, where others than this machine will see it."""
    if options.dest is None or is_loopback(options.public_host or ""):
        return []
    return warnings_about(options.dest, options.server_name or _name_in(options.dest))


def _check_engine(xray: str) -> None:
    try:
        checked_engine(xray)
    except ValueError as error:
        raise InitError(f"--xray: {error}") from None


def _template(options: InitOptions, public_host: str, dest: str) -> str:
    template = {
        "log": {"loglevel": "warning"},
        "inbounds": [
            {
                "tag": "vless",
                # A node for this machine alone need not be reachable from others.
                "listen": "127.0.0.1" if is_loopback(public_host) else "0.0.0.0",  # noqa: S104
                "port": options.port,
                "protocol": "vless",
                "settings": {"decryption": "none"},
                "streamSettings": {
                    "network": "tcp",
                    "security": "reality",
                    "realitySettings": {
                        "dest": dest,
                        "serverNames": [options.server_name or _name_in(dest)],
                        "privateKey": new_private_key(),
                        "shortIds": [new_short_id()],
                    },
                },
            }
        ],
        "outbounds": [
            {"tag": "direct", "protocol": "freedom"},
            {"tag": "block", "protocol": "blackhole"},
        ],
    }
    text = json.dumps(template, indent=2) + "\n"
    try:
        Links(read_template(text, allow_private_targets=False), public_host)
        split_address(options.listen)
    except TemplateError as error:
        raise InitError("\n".join(error.problems)) from None
    except NoLinkError as error:
        raise InitError(f"--public-host: {error}") from None
    except ValueError as error:
        raise InitError(f"--listen: {error}") from None
    return text


def _settings(options: InitOptions, public_host: str, api_key: str) -> str:
    folder = options.directory.absolute()
    values = {
        "listen": options.listen,
        "public_host": public_host,
        "state_dir": str(folder / STATE_FOLDER),
        "xray_config": str(folder / TEMPLATE_FILE),
        "xray": options.xray,
    }
    lines = [f"{name} = {_quoted(value)}" for name, value in values.items()]
    return "\n".join(
        [
            "[node]",
            "# Kept hashed; the key itself is in the back-end's settings.",
            f"api_keys = [{_quoted(hashed(api_key))}]",
            *lines,
            *_tls_lines(options),
            "",
        ]
    )


def _tls_lines(options: InitOptions) -> list[str]:
    if _is_local(options):
        return []
    return [
        "# The API listens beyond this machine, so the node does not start without a certificate:",
        "# write the files' names and remove the # before both lines. With a TLS proxy in front of",
        "# the node, write allow_plain_http = true instead.",
        '# tls_cert = "/path/to/fullchain.pem"',
        '# tls_key = "/path/to/privkey.pem"',
    ]


def _is_local(options: InitOptions) -> bool:
    return is_loopback(split_address(options.listen)[0])


def _nodes_lines(options: InitOptions, public_host: str, api_key: str) -> str:
    _, port = split_address(options.listen)
    # The back-end talks plain HTTP to this machine alone.
    local = _is_local(options)
    url = f"http://{options.listen}" if local else f"https://{_bracketed(public_host)}:{port}"
    hint = f"# The node needs a certificate for this url: see tls_cert in its {SETTINGS_FILE}."
    return "\n".join(
        [
            "[[nodes]]",
            *([] if local else [hint]),
            f"id = {_quoted(_slug(public_host))}",
            f"title = {_quoted(public_host)}",
            f"url = {_quoted(url)}",
            f"api_keys = [{_quoted(api_key)}]",
            "",
        ]
    )


def _write_new(directory: Path, files: dict[Path, str]) -> None:
    there = [str(path) for path in files if path.exists()]
    if there:
        raise InitError(f"will not overwrite {', '.join(there)}")
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, text in files.items():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise InitError(f"{error.filename}: {error.strerror}") from None


def _name_in(dest: str) -> str:
    """The host of HOST:PORT if it is a name, which an address is not."""
    host = (dest.rpartition(":")[0] or dest).strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return ""


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _slug(host: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", host.lower()).strip("-")
    return words[:LONGEST_ID].rstrip("-") or "node"


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, as long as it escapes no surrogates.
    return json.dumps(text, ensure_ascii=False)
