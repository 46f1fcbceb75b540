"""What users have sent and received, and who is connected, as the running Xray counts it."""

import re
from uuid import UUID

from xray_api.contract import UserTraffic
from xray_api.node.hot_api import HotApi

_COUNTER = re.compile(
    r"user>>>(?P<uuid>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})>>>traffic>>>(?P<way>uplink|downlink)"
)


async def traffic(hot: HotApi, *, reset: bool) -> tuple[UserTraffic, ...]:
    """Everybody who has had traffic since Xray's start, by uuid, removed users too.

    Args:
        hot: the running Xray.
        reset: whether counters begin anew; what is answered is counted once then.

    Raises:
        HotApiError: Xray does not answer.
    """
    online = await hot.online()
    bytes_of: dict[str, dict[str, int]] = {}
    for name, value in (await hot.counters(reset=reset)).items():
        if match := _COUNTER.fullmatch(name):
            bytes_of.setdefault(match["uuid"], {})[match["way"]] = value
    return tuple(
        UserTraffic(
            uuid=UUID(uuid),
            uplink=ways.get("uplink", 0),
            downlink=ways.get("downlink", 0),
            online=len(online.get(uuid, ())),
        )
        for uuid, ways in sorted(bytes_of.items())
    )
