"""The demo's own settings files: made once, so that links of an earlier demo still work."""

import json
import os
import secrets
import socket
import tomllib
from dataclasses import dataclass
from pathlib import Path

from config.settings import DEMO_FOLDER
from xray_api.node.init import SETTINGS_FILE, TEMPLATE_FILE, InitOptions, init_node

BACKEND_FILE = "tollgate.toml"
SECRETS_FILE = "demo.json"
#: The bot's number at the emulator; the rest of the token is random.
BOT_ID = 1_000_001
#: The name that the camouflage target shows, and clients ask for.
SERVER_NAME = "localhost"
#: Any will do at the emulator's cash desk.
CARD_TOKEN = "1000001:TEST:demo"  # noqa: S105 - opens nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFiles:
    """Where the demo's programs find their settings, and what the demo itself needs of them."""

    folder: Path
    node_file: Path
    backend_file: Path
    token: str
    node_url: str
    node_key: str
    camouflage_port: int
    crypto_token: str
    crypto_port: int
    push_url: str


def prepare_files(data_dir: Path, sandbox_url: str, admin_id: int) -> DemoFiles:
    """Write what is missing, and the back-end's file anew, since the page's address may differ.

    Raises:
        OSError: a file cannot be read or written.
        InitError: the node's files cannot be made.
    """
    folder = data_dir / DEMO_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    node_file = folder / SETTINGS_FILE
    if not node_file.exists() or not (folder / SECRETS_FILE).exists():
        _first_files(folder)
    kept = _kept(folder / SECRETS_FILE)
    http_port, crypto_port = _free_ports(2)
    node = tomllib.loads(kept["nodes"])["nodes"][0]
    template = json.loads((folder / TEMPLATE_FILE).read_text(encoding="utf-8"))
    reality = template["inbounds"][0]["streamSettings"]["realitySettings"]
    files = DemoFiles(
        folder=folder,
        node_file=node_file,
        backend_file=folder / BACKEND_FILE,
        token=kept["token"],
        node_url=node["url"],
        node_key=node["api_keys"][0],
        camouflage_port=int(reality["dest"].rpartition(":")[2]),
        crypto_token=kept["crypto_token"],
        crypto_port=crypto_port,
        push_url=f"http://127.0.0.1:{http_port}/webhooks/cryptopay",
    )
    backend = [
        *_backend(data_dir, files.token, sandbox_url, admin_id),
        *_ways_to_pay(http_port, crypto_port, files.crypto_token),
        kept["nodes"],
    ]
    _write_private(files.backend_file, "\n".join(backend))
    return files


def _kept(file: Path) -> dict[str, str]:
    """What stays the same from demo to demo; a file of an older one lacks the newest secret."""
    kept: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    if "crypto_token" not in kept:
        kept["crypto_token"] = f"{BOT_ID}:{secrets.token_urlsafe(26)}"
        _write_private(file, json.dumps(kept))
    return kept


def _first_files(folder: Path) -> None:
    for name in (SETTINGS_FILE, TEMPLATE_FILE):
        (folder / name).unlink(missing_ok=True)
    api_port, vless_port, camouflage_port = _free_ports(3)
    lines = init_node(
        InitOptions(
            directory=folder,
            listen=f"127.0.0.1:{api_port}",
            public_host="127.0.0.1",
            port=vless_port,
            dest=f"127.0.0.1:{camouflage_port}",
            server_name=SERVER_NAME,
            xray="embedded",
        )
    )
    with (folder / SETTINGS_FILE).open("a", encoding="utf-8") as file:
        file.write("# The demo's page is on this machine; a real node never allows this.\n")
        file.write("allow_private_targets = true\n")
    nodes = lines.replace('id = "127-0-0-1"', 'id = "demo"').replace(
        'title = "127.0.0.1"', 'title = "This machine"'
    )
    token = f"{BOT_ID}:{secrets.token_urlsafe(26)}"
    _write_private(folder / SECRETS_FILE, json.dumps({"token": token, "nodes": nodes}))


def _backend(data_dir: Path, token: str, sandbox_url: str, admin_id: int) -> list[str]:
    return [
        "# Written by `tollgate demo` at each start.",
        f"data_dir = {json.dumps(str(data_dir))}",
        "",
        "[telegram]",
        f"token = {json.dumps(token)}",
        f"api_base = {json.dumps(sandbox_url)}",
        f"admins = [{admin_id}]",
        "",
    ]


def _ways_to_pay(http_port: int, crypto_port: int, crypto_token: str) -> list[str]:
    """Every way to pay, with play money."""
    return [
        "[http]",
        f'listen = "127.0.0.1:{http_port}"',
        "",
        "[payments.cryptopay]",
        f"token = {json.dumps(crypto_token)}",
        f'network = "http://127.0.0.1:{crypto_port}"',
        "",
        "[payments.card]",
        f"provider_token = {json.dumps(CARD_TOKEN)}",
        "",
        "[payments.manual]",
        "enabled = true",
        'instructions = "This is a demo: nothing is to be paid. Tap the button below."',
        "",
    ]


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        handle.write(text)


def _free_ports(count: int) -> list[int]:
    """Different ports that nobody listens on just now."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
