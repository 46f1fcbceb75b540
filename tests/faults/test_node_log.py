"""What a node writes to its log while it is used and misused holds no key, no user, no link."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp

from tests.integration.node_fixtures import (
    Files,
    eventually,
    fresh_files,
    xray_children,
)
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.contract import Operation

COMMAND = "from supervisors.cli import main; main()"


async def use(node: NodeClient, users: list[UUID]) -> list[str]:
    """Every call once; the links that were given."""
    epoch = (await node.ready()).epoch
    links = [(await node.put(user, 1, epoch)).vless_link for user in users]
    await node.remove(users[0], 2, epoch)
    await node.batch(epoch, [Operation(op="put", uuid=user, gen=3) for user in users])
    await node.snapshot(epoch, dict.fromkeys(users[1:], 4))
    await node.disconnect(users[1])
    await node.traffic()
    await node.digest()
    await node.list_users()
    return links


async def misuse(files: Files, user: UUID) -> None:
    """Wrong keys, wrong epochs, secrets where none belong."""
    right, wrong = {"X-API-Key": files.api_key}, {"X-API-Key": files.api_key[:-1]}
    path = f"/v1/users/{user}"
    async with aiohttp.ClientSession(files.url) as session:
        for headers in (right, wrong):
            for body in (b"", b"{", json.dumps({"gen": 1, "epoch": str(user)}).encode()):
                async with session.put(path, data=body, headers=headers):
                    pass
            async with session.get(f"/v1/{files.api_key}/{user}", headers=headers):
                pass
            async with session.get(path, params={"key": files.api_key}, headers=headers):
                pass


async def is_ready(node: NodeClient) -> bool:
    try:
        return (await node.ready()).ready
    except NodeCallError:
        return False


async def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    users = [uuid4() for _ in range(6)]
    async with fresh_files(tmp_path / "node") as files, files.client() as node:
        command = ["-c", COMMAND, "--config", str(files.settings_file), "node", "run"]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        heard = asyncio.create_task(process.stdout.read())
        try:
            await eventually(lambda: is_ready(node))
            (xray,) = xray_children(process.pid)
            links = await use(node, users)
            await misuse(files, users[2])
            os.kill(xray, signal.SIGKILL)
            await eventually(lambda: is_ready(node))
        finally:
            process.terminate()
            said = (await heard).decode()
            await process.wait()

        template = json.loads(files.template_file.read_text())
    reality = template["inbounds"][0]["streamSettings"]["realitySettings"]
    secrets = [*map(str, users), *links, files.api_key, files.api_key[:-1], reality["privateKey"]]
    assert "user_put" in said, "the log was read"
    assert "xray_restarted" in said
    assert [secret[:8] for secret in secrets if secret in said] == []
