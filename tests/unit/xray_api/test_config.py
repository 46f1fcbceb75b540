"""Every template from which no correct Xray or link can be made is refused, with its place."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.xray_api.templates import (
    GONE,
    INBOUND,
    PRIVATE_KEY,
    REALITY,
    STREAM,
    template,
)
from xray_api.node.config import TemplateError, read_template, render
from xray_api.node.template import VISION

SOCKET = Path("/state/api/1")
OUTBOUND = ("outbounds", 0)
ALLOW = {"finalRules": [{"action": "allow", "network": "tcp,udp"}]}
SECOND = {"tag": "direct", "protocol": "blackhole"}
RULE = {"outboundTag": "api", "inboundTag": ["vless"]}

WRONG = [
    (("api",), {}, "api: is written by the service"),
    (("stats",), {}, "stats: is written by the service"),
    (("policy",), {}, "policy: is written by the service"),
    (("inbound",), [], "inbound: unknown key"),
    (("log",), {"loglevel": "none"}, "log.loglevel: "),
    (("log",), {"access": "access.log"}, "log.access: unknown key"),
    (("inbounds",), [], "inbounds: "),
    ((*INBOUND, "tag"), GONE, "inbounds[0].tag: "),
    ((*INBOUND, "tag"), "api", "template: the tag api belongs to the service"),
    ((*INBOUND, "tag"), "direct", "template: two parts have the same tag"),
    ((*INBOUND, "port"), "443-445", "inbounds[0].port: "),
    ((*INBOUND, "port"), 0, "inbounds[0].port: "),
    ((*INBOUND, "port"), 65536, "inbounds[0].port: "),
    ((*INBOUND, "port"), True, "inbounds[0].port: "),
    ((*INBOUND, "listen"), "/run/x.sock", "inbounds[0].listen: "),
    ((*INBOUND, "protocol"), "vmess", "inbounds[0].protocol: "),
    ((*INBOUND, "settings"), {}, "inbounds[0].settings.decryption: "),
    (
        (*INBOUND, "settings", "clients"),
        [{"id": "x"}],
        "inbounds[0].settings.clients: must be absent or empty",
    ),
    ((*INBOUND, "settings", "flow"), VISION, "inbounds[0].settings.flow: unknown key"),
    ((*STREAM, "network"), "ws", "inbounds[0].streamSettings.network: "),
    ((*STREAM, "security"), "tls", "inbounds[0].streamSettings.security: "),
    ((*STREAM, "security"), GONE, "inbounds[0].streamSettings.security: "),
    ((*STREAM, "xhttpSettings"), {}, "inbounds[0].streamSettings: xhttpSettings need"),
    ((*STREAM, "sockopts"), {}, "inbounds[0].streamSettings.sockopts: unknown key"),
    ((*REALITY, "dest"), GONE, "inbounds[0].streamSettings.realitySettings: needs either dest"),
    ((*REALITY, "target"), "a.example:1", "inbounds[0].streamSettings.realitySettings: needs"),
    ((*REALITY, "dest"), "www.example.com", "inbounds[0].streamSettings.realitySettings.dest: "),
    ((*REALITY, "dest"), "a.example:0", "inbounds[0].streamSettings.realitySettings.dest: "),
    ((*REALITY, "serverNames"), [], "inbounds[0].streamSettings.realitySettings.serverNames: "),
    ((*REALITY, "serverNames"), ["*.x"], "realitySettings.serverNames[0]: must be a host name"),
    ((*REALITY, "serverNames"), [""], "realitySettings.serverNames[0]: must be a host name"),
    ((*REALITY, "privateKey"), "short", "realitySettings.privateKey: must be an X25519"),
    ((*REALITY, "shortIds"), [], "realitySettings.shortIds: "),
    ((*REALITY, "shortIds"), [""], "realitySettings.shortIds[0]: must be 2 to 16"),
    ((*REALITY, "shortIds"), ["abc"], "realitySettings.shortIds[0]: must be 2 to 16"),
    ((*REALITY, "shortIds"), ["hello!"], "realitySettings.shortIds[0]: must be 2 to 16"),
    ((*REALITY, "shortIds"), ["0" * 18], "realitySettings.shortIds[0]: must be 2 to 16"),
    ((*REALITY, "mldsa65Seed"), "x", "realitySettings.mldsa65Seed: unknown key"),
    ((*REALITY, "serverName"), "x", "realitySettings.serverName: unknown key"),
    (("outbounds",), [], "outbounds: "),
    ((*OUTBOUND, "protocol"), "socks", "outbounds[0].protocol: "),
    ((*OUTBOUND, "settings"), {"redirect": "127.0.0.1:1"}, "outbounds[0].settings.redirect: "),
    ((*OUTBOUND, "settings"), ALLOW, "outbounds[0].settings.finalRules: may open loopback"),
    (("outbounds",), [SECOND, SECOND], "template: two parts have the same tag"),
    (("routing",), {"rules": [RULE]}, "template: routing: there is no outbound 'api'"),
]


@pytest.mark.parametrize(
    ("place", "value", "problem"), WRONG, ids=[row[2].removesuffix(": ") for row in WRONG]
)
def test_a_wrong_template_is_refused_with_the_place(
    place: tuple[str | int, ...], value: Any, problem: str
) -> None:
    with pytest.raises(TemplateError) as refused:
        read_template(template((place, value)), allow_private_targets=False)

    (line,) = refused.value.problems
    assert problem in line
    assert PRIVATE_KEY not in line


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON: "),
        ("[]", "template: "),
        ('{"log": {}, "log": {}}', "log: stands twice in one object"),
    ],
)
def test_what_is_no_object_of_json_is_refused(text: str, problem: str) -> None:
    with pytest.raises(TemplateError, match=problem):
        read_template(text, allow_private_targets=False)


def test_all_problems_are_told_at_once() -> None:
    text = template(((*INBOUND, "port"), 0), (("api",), {}))

    with pytest.raises(TemplateError) as refused:
        read_template(text, allow_private_targets=False)

    assert len(refused.value.problems) == 2


FULL = template(
    (("log",), {"loglevel": "info"}),
    (("dns",), {"servers": ["1.1.1.1"]}),
    (("routing",), {"rules": [{"type": "field", "port": 25, "outboundTag": "direct"}]}),
    ((*INBOUND, "sniffing"), {"enabled": True, "destOverride": ["tls"], "routeOnly": True}),
    ((*INBOUND, "listen"), "::"),
    ((*REALITY, "minClientVer"), "1.8.2"),
    ((*OUTBOUND, "settings"), {"domainStrategy": "UseIPv4v6"}),
    ((*OUTBOUND, "sendThrough"), "192.0.2.1"),
)


def test_what_the_operator_wrote_reaches_xray_unchanged() -> None:
    written = json.loads(FULL)
    user = uuid4()

    config = render(
        read_template(FULL, allow_private_targets=False),
        [user],
        api_socket=SOCKET,
        allow_private_targets=False,
    )

    clients = config["inbounds"][0]["settings"].pop("clients")
    assert clients == [{"id": str(user), "email": str(user), "flow": VISION, "level": 0}]
    assert config["log"] == {"loglevel": "info", "access": "none"}
    for part in ("dns", "routing", "inbounds", "outbounds"):
        assert config[part] == written[part]


def test_the_api_is_on_its_socket_alone() -> None:
    config = render(
        read_template(template(), allow_private_targets=False),
        [],
        api_socket=SOCKET,
        allow_private_targets=False,
    )

    assert config["api"]["listen"] == "/state/api/1,0666"
    assert config["stats"] == {}
    assert config["policy"]["levels"]["0"]["statsUserOnline"] is True


def test_production_opens_no_private_target() -> None:
    config = render(
        read_template(template(), allow_private_targets=False),
        [],
        api_socket=SOCKET,
        allow_private_targets=False,
    )

    assert "allow" not in json.dumps(config)


@pytest.mark.parametrize("text", [template(), template(((*OUTBOUND, "settings"), ALLOW))])
def test_demo_and_tests_open_private_targets_without_touching_the_template(text: str) -> None:
    read = read_template(text, allow_private_targets=True)

    config = render(read, [], api_socket=SOCKET, allow_private_targets=True)

    assert config["outbounds"][0]["settings"] == ALLOW


def test_xhttp_has_no_flow() -> None:
    text = template(((*STREAM, "network"), "xhttp"))

    config = render(
        read_template(text, allow_private_targets=False),
        [uuid4()],
        api_socket=SOCKET,
        allow_private_targets=False,
    )

    assert config["inbounds"][0]["settings"]["clients"][0]["flow"] == ""
