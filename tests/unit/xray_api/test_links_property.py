"""Any template that is accepted gives a link that says what the inbound says, always the same."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.xray_api.templates import INBOUND, PUBLIC_KEY, REALITY, STREAM, template
from xray_api.node.config import read_template
from xray_api.node.links import Links
from xray_api.probe import client_config

LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
SHORT_IDS = st.integers(1, 8).flatmap(lambda n: st.binary(min_size=n, max_size=n)).map(bytes.hex)
PATHS = st.from_regex(r"/[!-~]{0,30}", fullmatch=True)
MODES = st.sampled_from(["auto", "packet-up", "stream-up", "stream-one"])
TRANSPORTS = st.one_of(
    st.just({"type": "tcp", "flow": "xtls-rprx-vision"}),
    st.builds(lambda path, mode: {"type": "xhttp", "path": path, "mode": mode}, PATHS, MODES),
)


@given(
    user=st.uuids(version=4),
    host=NAMES,
    port=st.integers(1, 65_535),
    names=st.lists(NAMES, min_size=1, max_size=4),
    short_ids=st.lists(SHORT_IDS, min_size=1, max_size=4, unique=True),
    transport=TRANSPORTS,
)
def test_a_link_says_what_the_inbound_says(
    user: UUID,
    host: str,
    port: int,
    names: list[str],
    short_ids: list[str],
    transport: dict[str, str],
) -> None:
    changes: list[tuple[tuple[str | int, ...], Any]] = [
        ((*INBOUND, "port"), port),
        ((*STREAM, "network"), transport["type"]),
        ((*REALITY, "serverNames"), names),
        ((*REALITY, "shortIds"), short_ids),
    ]
    if transport["type"] == "xhttp":
        xhttp = {"path": transport["path"], "mode": transport["mode"]}
        changes.append(((*STREAM, "xhttpSettings"), xhttp))
    text = template(*changes)

    link = Links(read_template(text, allow_private_targets=False), host).link(user)

    again = Links(read_template(text, allow_private_targets=False), host).link(user)
    assert again == link
    parts = urlsplit(link)
    assert (parts.scheme, parts.username, parts.hostname, parts.port) == (
        "vless",
        str(user),
        host,
        port,
    )
    found = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True))
    assert found.pop("fp") in {"chrome", "firefox", "safari"}
    assert found == {
        **transport,
        "encryption": "none",
        "security": "reality",
        "sni": names[0],
        "pbk": PUBLIC_KEY,
        "sid": short_ids[0],
        "spx": "/",
    }
    assert client_config(link, 1080)["outbounds"][0]["settings"]["vnext"][0]["address"] == host
