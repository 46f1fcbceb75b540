"""Another project's client library reads in a link what stands in the inbound."""

import json
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest

from tests.unit.xray_api.templates import PUBLIC_KEY, STREAM, template
from xray_api.node.config import read_template
from xray_api.node.links import Links

#: In a process of its own: the library brings protobuf files that have the names of ours.
PROGRAM = """
import dataclasses, json, sys
from python_v2ray.config_parser import parse_uri
print(json.dumps(dataclasses.asdict(parse_uri(sys.stdin.read()))))
"""


def parsed(link: str) -> dict[str, Any]:
    """The link's fields as the other library names them."""
    done = subprocess.run(  # noqa: S603 - a program of ours
        [sys.executable, "-c", PROGRAM], input=link, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("host", ["vpn.example.com", "203.0.113.7", "2001:db8::7"])
def test_a_tcp_link(host: str) -> None:
    read = read_template(template(), allow_private_targets=False)
    user = uuid4()

    found = parsed(Links(read, host, 8443).link(user))

    assert (
        found
        | {
            "protocol": "vless",
            "id": str(user),
            "address": host,
            "port": 8443,
            "encryption": "none",
            "flow": "xtls-rprx-vision",
            "network": "tcp",
            "security": "reality",
            "sni": "www.example.com",
            "pbk": PUBLIC_KEY,
            "sid": "0123",
            "spx": "/",
        }
        == found
    )
    assert found["fp"] in {"chrome", "firefox", "safari"}


def test_an_xhttp_link() -> None:
    changes = (
        ((*STREAM, "network"), "xhttp"),
        ((*STREAM, "xhttpSettings"), {"path": "/news/feed", "mode": "stream-one"}),
    )
    read = read_template(template(*changes), allow_private_targets=False)
    user = uuid4()

    found = parsed(Links(read, "vpn.example.com").link(user))

    assert (
        found
        | {
            "id": str(user),
            "address": "vpn.example.com",
            "port": 443,
            "flow": "",
            "network": "xhttp",
            "path": "/news/feed",
            "sni": "www.example.com",
            "pbk": PUBLIC_KEY,
            "sid": "0123",
        }
        == found
    )
