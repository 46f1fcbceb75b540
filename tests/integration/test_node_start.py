"""From `node init` to a running node; what cannot work stops it at start, with one clear line."""

import asyncio
import json
import socket
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import structlog
from pydantic import SecretStr

from config.settings import NodeEntry
from tests.integration.node_fixtures import Files, free_port, make_files, running
from xray_api.node.errors import NodeStartError
from xray_api.node.init import InitError, InitOptions, MissingOptions, init_node
from xray_api.node.run import run_node


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    template = json.loads(path.read_text())
    change(template)
    path.write_text(json.dumps(template))


async def test_init_makes_a_node_that_runs(node_files: Files) -> None:
    async with running(node_files.settings()), node_files.client() as node:
        readiness = await node.ready()

    assert readiness.ready
    assert readiness.inbound.server_name == "localhost"
    for file in (node_files.settings_file, node_files.template_file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert node_files.api_key not in node_files.settings_file.read_text()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({}, ["--public-host", "--dest"]),
        ({"public_host": "vpn.example.com"}, ["--dest"]),
        ({"public_host": "h", "dest": "192.0.2.1:443"}, ["--server-name"]),
        ({"dest": "www.example.com:443"}, ["--public-host"]),
    ],
)
def test_missing_options_are_listed(
    tmp_path: Path, given: dict[str, str], missing: list[str]
) -> None:
    folder = tmp_path / "node"
    options = InitOptions(
        directory=folder, public_host=given.get("public_host"), dest=given.get("dest")
    )

    with pytest.raises(MissingOptions) as error:
        init_node(options)

    assert error.value.names == missing
    assert not folder.exists()


@pytest.mark.parametrize("existing", ["node.toml", "xray.json"])
def test_nothing_is_overwritten(tmp_path: Path, existing: str) -> None:
    (tmp_path / existing).write_text("mine")

    with pytest.raises(InitError, match=f"will not overwrite .*{existing}"):
        make_files(tmp_path, "127.0.0.1:443")

    assert [file.name for file in tmp_path.iterdir()] == [existing]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dest": "nowhere"}, "dest"),
        ({"server_name": "*.example"}, "serverNames"),
        ({"port": 0}, "port"),
        ({"public_host": "a b"}, "--public-host"),
        ({"listen": "here"}, "--listen"),
        ({"xray": "foo"}, "--xray: must be embedded, binary:<path> or systemd:<unit>"),
    ],
)
def test_wrong_options_are_named(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    good = {"public_host": "vpn.example.com", "dest": "www.example.com:443"}

    with pytest.raises(InitError, match=reason):
        init_node(InitOptions(directory=tmp_path / "node", **{**good, **change}))

    assert not (tmp_path / "node").exists()


def test_a_public_node_is_announced_by_https(tmp_path: Path) -> None:
    lines = init_node(
        InitOptions(
            directory=tmp_path,
            listen="0.0.0.0:8090",
            public_host="vpn.example.com",
            dest="www.example.com:443",
        )
    )

    (node,) = tomllib.loads(lines)["nodes"]
    assert node["url"] == "https://vpn.example.com:8090"
    assert (node["id"], node["title"]) == ("vpn-example-com", "vpn.example.com")
    template = json.loads((tmp_path / "xray.json").read_text())
    (inbound,) = template["inbounds"]
    assert inbound["listen"] == "0.0.0.0"  # noqa: S104 - the example is public
    assert inbound["streamSettings"]["realitySettings"]["serverNames"] == ["www.example.com"]


def test_a_public_node_is_told_that_it_needs_a_certificate(tmp_path: Path) -> None:
    """What the lines say holds: with the # removed they are the settings."""
    lines = init_node(
        InitOptions(
            directory=tmp_path,
            listen="0.0.0.0:8090",
            public_host="vpn.example.com",
            dest="www.example.com:443",
        )
    )

    assert "# The node needs a certificate for this url" in lines
    text = (tmp_path / "node.toml").read_text()
    for name in ("tls_cert", "tls_key"):
        assert name not in tomllib.loads(text)["node"]
        assert name in tomllib.loads(text.replace("# tls_", "tls_"))["node"]


@pytest.mark.parametrize(
    "host", ["a-very-long-name-of-a-host.vpn.example.com", f"{'x' * 31}.example.com", "10.0.0.1"]
)
def test_the_id_is_one_that_the_back_end_takes(tmp_path: Path, host: str) -> None:
    lines = init_node(InitOptions(directory=tmp_path, public_host=host, dest="www.example.com:443"))

    (node,) = tomllib.loads(lines)["nodes"]
    assert NodeEntry.model_validate(node).id == node["id"]


def reality_of(files: Files) -> dict[str, Any]:
    (inbound,) = json.loads(files.template_file.read_text())["inbounds"]
    reality: dict[str, Any] = inbound["streamSettings"]["realitySettings"]
    return reality


async def refusal(files: Files, **changes: Any) -> str:
    async with asyncio.timeout(60):
        with pytest.raises(NodeStartError) as error:
            await run_node(files.settings(**changes))
    return str(error.value)


@pytest.mark.parametrize(
    ("engine", "reason"),
    [
        ("binary:/bin/false", "exited at once with status 1; is it Xray?"),
        ("binary:/does/not/exist", "there is no such file"),
    ],
)
async def test_an_engine_that_is_no_xray(node_files: Files, engine: str, reason: str) -> None:
    line = await refusal(node_files, xray=engine)

    assert line.startswith(f"node.xray: {engine}: ")
    assert reason in line
    assert "\n" not in line


async def test_a_busy_api_port(node_files: Files) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        assert await refusal(node_files, listen=address) == (
            f"node.listen: {address}: Address already in use"
        )


async def test_a_busy_inbound_port(node_files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        edit(node_files.template_file, lambda t: t["inbounds"][0].update(port=port))

        line = await refusal(node_files)

    assert line.startswith("node.xray_config: ")
    assert f"inbounds[0].port: {port}: Address already in use" in line


async def test_a_template_that_opens_private_targets(node_files: Files) -> None:
    rules = {"finalRules": [{"action": "allow", "network": "tcp,udp"}]}
    edit(node_files.template_file, lambda t: t["outbounds"][0].update(settings=rules))

    assert "outbounds[0].settings.finalRules: may open" in await refusal(node_files)


async def test_a_template_that_xray_alone_refuses(node_files: Files) -> None:
    """Our model lets it pass; Xray ends with its configuration status and no text."""
    rule = {"outboundTag": "direct", "domain": ["geosite:no-such-list"]}
    edit(node_files.template_file, lambda t: t.update(routing={"rules": [rule]}))

    line = await refusal(node_files)

    assert line.startswith("node.xray: embedded: refuses its configuration")


async def test_files_that_are_not_there(node_files: Files, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"

    assert "node.xray_config: " in await refusal(node_files, xray_config=nowhere)
    tls = await refusal(node_files, tls_cert=nowhere, tls_key=nowhere)
    assert tls.startswith("node.tls_cert, node.tls_key: ")
    in_a_file = node_files.template_file / "state"
    assert "node.state_dir: " in await refusal(node_files, state_dir=in_a_file)


async def test_beyond_this_machine_the_api_needs_tls(node_files: Files) -> None:
    line = await refusal(node_files, listen=f"0.0.0.0:{free_port()}")

    assert line.startswith("node.listen: 0.0.0.0:")
    for name in ("node.tls_cert", "node.tls_key", "node.allow_plain_http"):
        assert name in line
    assert "\n" not in line


async def test_plain_http_before_a_proxy_is_told_at_every_start(
    node_files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if it were public: nothing in these tests listens beyond this machine."""
    monkeypatch.setattr("xray_api.node.run.is_loopback", lambda _: False)
    with structlog.testing.capture_logs() as logs:
        async with running(node_files.settings(allow_plain_http=True)):
            pass

    warnings = [log for log in logs if log["event"] == "plain_http_allowed"]
    assert [log["log_level"] for log in warnings] == ["warning"]


async def test_a_host_that_cannot_stand_in_a_link(node_files: Files) -> None:
    assert "node.public_host: " in await refusal(node_files, public_host="a b")


async def test_the_public_port_stands_in_links(node_files: Files) -> None:
    async with (
        running(node_files.settings(public_port=8443, public_host="vpn.example.com")),
        node_files.client() as node,
    ):
        readiness = await node.ready()
        link = (await node.put(uuid4(), 1, readiness.epoch)).vless_link

    assert "@vpn.example.com:8443?" in link
    assert readiness.inbound.port != 8443


async def test_open_private_targets_are_told_at_every_start(node_files: Files) -> None:
    with structlog.testing.capture_logs() as logs:
        async with running(node_files.settings(allow_private_targets=True)):
            pass
        async with running(node_files.settings()):
            pass

    warnings = [log for log in logs if log["event"] == "private_targets_allowed"]
    assert [log["log_level"] for log in warnings] == ["warning"]


async def test_logs_hold_no_key_link_or_whole_uuid(node_files: Files) -> None:
    user = uuid4()
    with structlog.testing.capture_logs() as logs:
        async with running(node_files.settings()), node_files.client() as node:
            epoch = (await node.ready()).epoch
            await node.put(user, 1, epoch)
            await node.remove(user, 2, epoch)

    text = str(logs)
    private_key = reality_of(node_files)["privateKey"]
    assert "user_put" in text
    for secret in (str(user), node_files.api_key, private_key, "vless://"):
        assert secret not in text


async def test_a_second_service_on_the_same_folder_is_kept_out(
    node_files: Files, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    second = make_files(other, "127.0.0.1:443")
    state = node_files.settings().node.state_dir
    async with running(node_files.settings()):
        line = await refusal(second, state_dir=state, api_keys=(SecretStr("x" * 20),))
        assert node_files.api_socket.exists(), "that of the first one is left alone"

    assert line.startswith("node.state_dir: ")
    assert line.endswith("another node service uses it")
