"""A link says what the inbound is, whoever asks and however often."""

import base64
from dataclasses import replace
from uuid import UUID

import pytest

from tests.unit.xray_api.templates import (
    PRIVATE_KEY,
    PUBLIC_KEY,
    REALITY,
    STREAM,
    template,
)
from xray_api.node.config import read_template
from xray_api.node.links import (
    Links,
    NoLinkError,
    RunningInbound,
    describe,
    differences,
    public_key,
)
from xray_api.node.template import Template
from xray_api.probe import client_config

USER = UUID("3f1c9a52-6d2e-4b7a-9c41-0d5e8f7a6b12")


def read(*changes: tuple[tuple[str | int, ...], object]) -> Template:
    return read_template(template(*changes), allow_private_targets=False)


def test_the_link_in_full() -> None:
    link = Links(read(), "vpn.example.com").link(USER)

    assert link == (
        f"vless://{USER}@vpn.example.com:443?encryption=none&flow=xtls-rprx-vision&type=tcp"
        f"&security=reality&sni=www.example.com&fp=chrome&pbk={PUBLIC_KEY}&sid=0123&spx=%2F"
        "#vpn.example.com"
    )


def test_xhttp_links_have_a_path_and_no_flow() -> None:
    text = read(
        ((*STREAM, "network"), "xhttp"),
        ((*STREAM, "xhttpSettings"), {"path": "/ab"}),
    )

    link = Links(text, "vpn.example.com").link(USER)

    assert "&type=xhttp&path=%2Fab&mode=auto&security=reality" in link
    assert "flow" not in link


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("vpn.example.com", 8443, "vpn.example.com:8443"),
        ("192.0.2.7", None, "192.0.2.7:443"),
        ("2001:db8::1", None, "[2001:db8::1]:443"),
        ("[2001:DB8::1]", None, "[2001:db8::1]:443"),
        ("bücher.example", None, "xn--bcher-kva.example:443"),
        ("localhost", None, "localhost:443"),
    ],
)
def test_the_operator_gives_host_and_public_port(host: str, port: int | None, address: str) -> None:
    link = Links(read(), host, port).link(USER)

    assert link.startswith(f"vless://{USER}@{address}?")
    assert link.isascii()


@pytest.mark.parametrize("host", ["", "a b", "host:443", "https://x", "a/b", "a@b", "-a", "a..b"])
def test_a_host_that_is_none_stops_the_service(host: str) -> None:
    with pytest.raises(NoLinkError, match="must be a host name"):
        Links(read(), host)


def test_the_public_key_is_derived() -> None:
    assert public_key(PRIVATE_KEY) == PUBLIC_KEY


def test_raw_is_another_name_of_tcp() -> None:
    assert describe(read(((*STREAM, "network"), "raw"))) == describe(read())


def test_the_probe_understands_the_link_by_itself() -> None:
    config = client_config(Links(read(), "vpn.example.com").link(USER), 1080)

    (outbound,) = config["outbounds"]
    assert outbound["settings"]["vnext"] == [
        {
            "address": "vpn.example.com",
            "port": 443,
            "users": [{"id": str(USER), "encryption": "none", "flow": "xtls-rprx-vision"}],
        }
    ]
    assert outbound["streamSettings"]["realitySettings"] == {
        "serverName": "www.example.com",
        "fingerprint": "chrome",
        "publicKey": PUBLIC_KEY,
        "shortId": "0123",
        "spiderX": "/",
    }


RUNNING = RunningInbound(
    tag="vless",
    ports=((443, 443),),
    network="tcp",
    security="xray.transport.internet.reality.Config",
    server_names=("example.com", "www.example.com"),
    short_ids=(bytes.fromhex("0123000000000000"), bytes.fromhex("abcdef0000000000")),
    private_key=base64.urlsafe_b64decode(PRIVATE_KEY + "="),
)


def test_the_running_inbound_is_the_linked_one() -> None:
    other = replace(RUNNING, tag="other")

    assert differences(read(), [other, RUNNING]) == []
    assert (
        differences(read(((*STREAM, "network"), "xhttp")), [replace(RUNNING, network="splithttp")])
        == []
    )


@pytest.mark.parametrize(
    ("running", "key"),
    [
        (replace(RUNNING, tag="other"), "tag"),
        (replace(RUNNING, ports=((443, 444),)), "port"),
        (replace(RUNNING, network="splithttp"), "network"),
        (replace(RUNNING, security=""), "security"),
        (replace(RUNNING, server_names=("example.com",)), "serverNames"),
        (replace(RUNNING, short_ids=(b"\0" * 8,)), "shortIds"),
        (replace(RUNNING, private_key=b"\1" * 32), "privateKey"),
    ],
)
def test_another_running_inbound_is_noticed(running: RunningInbound, key: str) -> None:
    assert differences(read(), [running]) == [key]
    assert "\\x01" not in repr(running)


def test_the_first_name_and_short_id_stand_in_links() -> None:
    changed = read(((*REALITY, "serverNames"), ["b.example", "a.example"]))

    assert describe(changed).server_name == "b.example"
    assert describe(changed).short_id == "0123"
