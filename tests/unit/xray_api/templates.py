"""A good template, to be spoiled one place at a time."""

import copy
import json
from typing import Any

#: The private key of RFC 7748, section 6.1 (Alice), and the public key given there.
PRIVATE_KEY = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo"
PUBLIC_KEY = "hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"

_GOOD: dict[str, Any] = {
    "inbounds": [
        {
            "tag": "vless",
            "port": 443,
            "protocol": "vless",
            "settings": {"decryption": "none"},
            "streamSettings": {
                "network": "tcp",
                "security": "reality",
                "realitySettings": {
                    "dest": "www.example.com:443",
                    "serverNames": ["www.example.com", "example.com"],
                    "privateKey": PRIVATE_KEY,
                    "shortIds": ["0123", "abcdef"],
                },
            },
        }
    ],
    "outbounds": [{"tag": "direct", "protocol": "freedom"}],
}

INBOUND = ("inbounds", 0)
STREAM = (*INBOUND, "streamSettings")
REALITY = (*STREAM, "realitySettings")


class _Gone:
    """Marks a key to be taken out."""


GONE = _Gone()


def template(*changes: tuple[tuple[str | int, ...], Any]) -> str:
    """The good template as text, with values changed or taken out at their places."""
    good = copy.deepcopy(_GOOD)
    for (*way, last), value in changes:
        place: Any = good
        for step in way:
            place = place[step]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return json.dumps(good)
