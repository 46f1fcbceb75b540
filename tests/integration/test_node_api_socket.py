"""Xray's own API is the service's alone, wherever the state folder lies."""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.node_fixtures import Files, eventually, running, xray_children
from xray_api.node.api_socket import FOLDER, LONGEST_PATH
from xray_api.node.errors import NodeStartError
from xray_api.node.run import run_node

#: Connects as another account, whose number it is given, and says how that went.
STRANGER = """
import os, socket, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except OSError as error:
    print(error.strerror)
else:
    print("connected")
"""
NOBODY = "65534"


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path that every account may enter."""
    with TemporaryDirectory(prefix="node-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def long_folder(folder: Path, excess: int) -> Path:
    """One below it in which the API's socket has the longest path there is, and more."""
    rest = LONGEST_PATH + excess - len(os.fsencode(folder / "_" / FOLDER / "000000"))
    return folder / ("s" * (rest + 1))


async def stranger(socket: Path) -> str:
    """What another account gets."""
    asking = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STRANGER, str(socket), NOBODY), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asking.communicate()
    return said.decode().strip()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_another_account_does_not_reach_the_api(node_files: Files, short: Path) -> None:
    """Given a state folder that all may enter, and a folder of the API that they could."""
    state_dir = short / "state"
    (state_dir / FOLDER).mkdir(parents=True)
    for folder in (state_dir, state_dir / FOLDER):
        folder.chmod(0o755)

    async with running(node_files.settings(state_dir=state_dir)):
        (socket,) = (entry for entry in (state_dir / FOLDER).iterdir() if entry.is_socket())
        assert await stranger(socket) == "Permission denied"

        socket.parent.chmod(0o755)
        assert await stranger(socket) == "connected", "else the test shows nothing"


@pytest.mark.parametrize("name", ["a b", "a%41", "a#b?c", "a:b", "\u00e4"])
async def test_a_folder_may_have_any_name(node_files: Files, short: Path, name: str) -> None:
    async with running(node_files.settings(state_dir=short / name)), node_files.client() as node:
        assert (await node.ready()).ready


async def test_the_longest_path_is_served(node_files: Files, short: Path) -> None:
    longest = long_folder(short, 0)

    async with running(node_files.settings(state_dir=longest)), node_files.client() as node:
        assert (await node.ready()).ready


@pytest.mark.parametrize(
    ("folder", "says"),
    [
        (lambda short: long_folder(short, 1), "1 bytes too long a path"),
        (lambda short: short / "a,b", "no comma"),
    ],
)
async def test_where_no_socket_can_be_the_setting_is_named(
    node_files: Files, short: Path, folder: Any, says: str
) -> None:
    with pytest.raises(NodeStartError, match=says) as refused:
        await run_node(node_files.settings(state_dir=folder(short)))

    assert str(refused.value).startswith("node.state_dir: ")
    assert "choose another folder" in str(refused.value)


async def test_what_a_killed_xray_leaves_is_removed(node_files: Files) -> None:
    """Xray refuses to start where a killed one left its socket."""
    async with running(node_files.settings()), node_files.client() as node:
        await node.put(uuid4(), 1, (await node.ready()).epoch)
        left = node_files.api_socket
        (xray,) = xray_children()
        os.kill(xray, signal.SIGKILL)

        async def healed() -> bool:
            readiness = await node.ready()
            return readiness.ready and readiness.xray.restarts == 1

        await eventually(healed)
        assert node_files.api_socket != left
        assert not left.exists()

    assert not list((node_files.settings().node.state_dir / FOLDER).iterdir())
