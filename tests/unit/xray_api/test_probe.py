"""The probe refuses a link that a client app could not use, without saying the link."""

import pytest

from xray_api.probe import LOOPBACK_SOURCE, LinkError, client_config, probe_link

USER = "3f1c9a52-6d2e-4b7a-9c41-0d5e8f7a6b12"
GOOD = f"vless://{USER}@vpn.example.com:443?security=reality&sni=a&fp=chrome&pbk=k&sid=&type=tcp"


@pytest.mark.parametrize(
    ("link", "reason"),
    [
        ("", "not vless"),
        (GOOD.replace("vless://", "vmess://"), "not vless"),
        (GOOD.replace(":443", ""), "not vless"),
        (GOOD.replace(":443", ":99999"), "not a link"),
        (GOOD.replace("vpn.example.com", "[::"), "not a link"),
        (GOOD.replace(USER, "hello"), "the user is no UUID"),
        (GOOD.replace(USER, USER.upper()), "the user is no UUID"),
        (GOOD + "&sni=b", "a key stands twice"),
        (GOOD.replace("security=reality", "security=tls"), "security must be reality"),
        (GOOD.replace("&pbk=k", ""), "pbk is missing"),
        (GOOD.replace("type=tcp", "type=ws"), "type must be tcp or xhttp"),
    ],
)
async def test_a_wrong_link_is_refused(link: str, reason: str) -> None:
    with pytest.raises(LinkError, match=reason) as refused:
        client_config(link, 1080)

    assert USER not in str(refused.value)
    result = await probe_link(link, "http://192.0.2.1/")
    assert not result.ok
    assert result.detail.startswith(reason)


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("127.0.0.1", LOOPBACK_SOURCE),
        ("localhost", LOOPBACK_SOURCE),
        ("[::1]", None),
        ("192.0.2.7", None),
        ("vpn.example.com", None),
    ],
)
def test_a_node_on_loopback_is_reached_from_another_address(host: str, source: str | None) -> None:
    config = client_config(GOOD.replace("vpn.example.com", host), 1080)

    assert config["outbounds"][0].get("sendThrough") == source


def test_xhttp_has_a_path() -> None:
    config = client_config(GOOD.replace("type=tcp", "type=xhttp&path=%2Fab&mode=auto"), 1080)

    stream = config["outbounds"][0]["streamSettings"]
    assert stream["xhttpSettings"] == {"path": "/ab", "mode": "auto"}
