"""Who really gets through a node: one VPN client with a door for each user, all tried at once."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from typing import Any
from uuid import UUID

from tests.integration.node_fixtures import free_port
from xray_api.node.process import ChildEngine, XrayProcess
from xray_api.probe import VlessClient, client_config


class Turnstile:
    """The doors; each goes through the node as one user."""

    def __init__(self, doors: Mapping[UUID, VlessClient]) -> None:
        self.doors = doors

    async def let_in(self, url: str, *, timeout_s: float = 20) -> set[UUID]:
        """Have every user fetch the page; those who get it, each within so long, seconds."""
        tries = [door.fetch(url, timeout_s=timeout_s) for door in self.doors.values()]
        results = await asyncio.gather(*tries)
        return {uuid for uuid, result in zip(self.doors, results, strict=True) if result.ok}


@asynccontextmanager
async def turnstile(links: Mapping[UUID, str]) -> AsyncIterator[Turnstile]:
    """Run the client for as long as the context lasts."""
    with ExitStack() as held:
        listeners = [
            held.enter_context(socket.create_server(("127.0.0.1", free_port())))
            for _ in range(len(links))
        ]
        ports: list[int] = [listener.getsockname()[1] for listener in listeners]
    client = await XrayProcess.start(
        ChildEngine(),
        one_client(
            [client_config(link, port) for link, port in zip(links.values(), ports, strict=True)]
        ),
    )
    try:
        yield Turnstile(
            {
                uuid: VlessClient(f"127.0.0.1:{port}")
                for uuid, port in zip(links, ports, strict=True)
            }
        )
    finally:
        await client.stop()


def one_client(configs: list[dict[str, Any]]) -> dict[str, Any]:
    """Clients of one door each as one client, in which each door has its own way out."""
    inbounds: list[dict[str, Any]] = []
    outbounds: list[dict[str, Any]] = []
    rules: list[dict[str, Any]] = []
    for number, config in enumerate(configs):
        (inbound,), (outbound,) = config["inbounds"], config["outbounds"]
        inbounds.append({**inbound, "tag": f"in-{number}"})
        outbounds.append({**outbound, "tag": f"out-{number}"})
        rules.append({"inboundTag": [f"in-{number}"], "outboundTag": f"out-{number}"})
    return {
        "log": configs[0]["log"],
        "inbounds": inbounds,
        "outbounds": outbounds,
        "routing": {"rules": rules},
    }


def link_of(link: str, uuid: UUID) -> str:
    """Somebody else's link, with a uuid of one's own in it."""
    return f"vless://{uuid}@{link.partition('@')[2]}"
