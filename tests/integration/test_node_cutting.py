"""A removed user's open connections end, his neighbour's at another address do not."""

import asyncio
import gc
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from tests.integration.node_fixtures import (
    Files,
    eventually,
    free_port,
    fresh_files,
    is_alive,
    running,
)
from xray_api import probe
from xray_api.node import cutting, run
from xray_api.node.cutting import Cutter, machine_cuts
from xray_api.node.hot_api import HotApi
from xray_api.probe import VlessClient, vless_client

ABLE = pytest.mark.skipif(not machine_cuts(), reason="needs ss and CAP_NET_ADMIN")


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[Files]:
    async with fresh_files(tmp_path / "node") as made:
        yield made


@pytest.fixture
async def drip() -> AsyncIterator[str]:
    """A page that never ends: a dot at a time, for as long as somebody listens."""

    async def show(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        pause = asyncio.Event()
        while True:
            await response.write(b".")
            asyncio.get_running_loop().call_later(0.02, pause.set)
            await pause.wait()
            pause.clear()

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield f"http://127.0.0.1:{port}/"
    await runner.cleanup()


class Tunnel:
    """A connection through the node that is read for as long as it lives."""

    def __init__(self, client: VlessClient, url: str) -> None:
        self.received = 0
        self._task = asyncio.create_task(self._read(client, url))

    async def _read(self, client: VlessClient, url: str) -> None:
        host, _, port = client.socks.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        target = url.removeprefix("http://").rstrip("/")
        address, _, target_port = target.partition(":")
        writer.write(b"\5\1\0")
        await reader.readexactly(2)
        writer.write(
            b"\5\1\0\1" + bytes(map(int, address.split("."))) + int(target_port).to_bytes(2, "big")
        )
        await reader.readexactly(10)
        writer.write(f"GET / HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
        try:
            while chunk := await reader.read(4096):
                self.received += len(chunk)
        finally:
            writer.close()

    @property
    def ended(self) -> bool:
        """Whether the node, or what is between, has closed it."""
        return self._task.done()

    async def flows(self) -> bool:
        """Wait until more has come, or it has ended."""
        before = self.received

        async def more() -> bool:
            return self.ended or self.received > before

        await eventually(more)
        return not self.ended

    async def close(self) -> None:
        """Give it up."""
        self._task.cancel()
        await asyncio.wait({self._task})


@asynccontextmanager
async def tunnel(
    link: str, url: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Tunnel]:
    monkeypatch.setattr(probe, "LOOPBACK_SOURCE", source)
    async with vless_client(link) as client:
        made = Tunnel(client, url)
        try:
            assert await made.flows()
            yield made
        finally:
            await made.close()


@ABLE
@pytest.mark.parametrize("way", ["remove", "batch", "disconnect"])
async def test_who_is_cut_is_cut_and_nobody_else(
    files: Files, drip: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with running(files.settings(allow_private_targets=True)), files.client() as node:
        epoch = (await node.ready()).epoch
        user, other = uuid4(), uuid4()
        links = [(await node.put(one, 1, epoch)).vless_link for one in (user, other)]
        async with (
            tunnel(links[0], drip, "127.0.0.2", monkeypatch) as cut,
            tunnel(links[1], drip, "127.0.0.3", monkeypatch) as kept,
        ):
            if way == "disconnect":
                answer = await call(files, "POST", f"/v1/users/{user}:disconnect")
                assert answer == {"closed": 1, "method": "socket"}
            elif way == "remove":
                assert (await node.remove(user, 2, epoch)).method == "socket"
            else:
                operation = {"op": "delete", "uuid": str(user), "gen": 2}
                body = {"epoch": str(epoch), "operations": [operation]}
                await call(files, "POST", "/v1/users:batch", json=body)

            async def ended() -> bool:
                return cut.ended

            await eventually(ended)
            assert await kept.flows()


async def call(files: Files, method: str, path: str, **request: Any) -> Any:
    """The JSON that the node answers."""
    async with (
        aiohttp.ClientSession(files.url, headers={"X-API-Key": files.api_key}) as session,
        session.request(method, path, **request) as response,
    ):
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_machine_that_cannot_cut_says_so(
    files: Files, drip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unable(*args: Any) -> Cutter:
        return Cutter(*args, able=False)

    monkeypatch.setattr(run, "Cutter", unable)
    async with running(files.settings(allow_private_targets=True)), files.client() as node:
        epoch = (await node.ready()).epoch
        user = uuid4()
        link = (await node.put(user, 1, epoch)).vless_link
        async with tunnel(link, drip, "127.0.0.2", monkeypatch) as held:
            assert (await node.remove(user, 2, epoch)).method == "none"
            answer = await call(files, "POST", f"/v1/users/{user}:disconnect")

            assert answer == {"closed": 0, "method": "none"}
            assert await held.flows()


async def test_traffic_and_who_is_online(
    files: Files, drip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(files.settings(allow_private_targets=True)), files.client() as node:
        epoch = (await node.ready()).epoch
        user = uuid4()
        link = (await node.put(user, 1, epoch)).vless_link
        assert await call(files, "GET", "/v1/traffic") == {"users": []}
        async with tunnel(link, drip, "127.0.0.2", monkeypatch) as held:
            assert await held.flows()
            (seen,) = (await call(files, "GET", "/v1/traffic?reset=true"))["users"]
            assert (seen["uuid"], seen["online"]) == (str(user), 1)
            assert seen["downlink"] >= 1
            assert seen["uplink"] >= 1

        (again,) = (await call(files, "GET", "/v1/traffic"))["users"]
        assert again["uplink"] == 0, "the request was counted before the reset"


async def test_who_was_never_here_cannot_be_disconnected(files: Files) -> None:
    async with (
        running(files.settings()),
        aiohttp.ClientSession(files.url, headers={"X-API-Key": files.api_key}) as session,
        session.post(f"/v1/users/{uuid4()}:disconnect") as response,
    ):
        assert response.status == 404


class SeenFrom:
    """An Xray that shows a user at some addresses."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def addresses(self, _: str) -> list[str]:
        """Where he is connected from."""
        return list(self._addresses)


def seen_from(*addresses: str) -> HotApi:
    return cast("HotApi", SeenFrom(*addresses))


@ABLE
async def test_an_ipv4_user_of_an_ipv6_door_is_cut() -> None:
    door = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = door.getsockname()[1]
    with (
        door,
        socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)),
        socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.3", 0)),
    ):
        cutter = Cutter(port, lambda _: False)

        assert await cutter.cut(seen_from("127.0.0.2"), "u") == 1
        assert await cutter.cut(seen_from("127.0.0.2"), "u") == 0
        assert await cutter.cut(seen_from("127.0.0.3"), "u") == 1
        assert cutter.method == "socket"


@ABLE
async def test_who_comes_by_ipv6_is_cut_and_does_not_save_the_others() -> None:
    door = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    port = door.getsockname()[1]
    with (
        door,
        socket.create_connection(("::1", port)),
        socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)),
    ):
        cutter = Cutter(port, lambda _: False)

        assert await cutter.cut(seen_from("::1", "127.0.0.2"), "u") == 2
        assert cutter.method == "socket"


@ABLE
async def test_a_connection_that_has_ended_by_itself_is_not_counted() -> None:
    """The kernel remembers it for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        address = door.getsockname()
        with socket.create_connection(address, source_address=("127.0.0.2", 0)) as user:
            door.accept()[0].close()  # who closes first remembers
            assert user.recv(1) == b""
        remembered = ["ss", "-Htn", "state", "time-wait", "sport", "=", f":{address[1]}"]

        async def ended() -> bool:
            return bool(await asyncio.to_thread(subprocess.check_output, remembered))

        await eventually(ended)
        cutter = Cutter(address[1], lambda _: False)

        assert await cutter.cut(seen_from("127.0.0.2"), "u") == 0
        assert await asyncio.to_thread(subprocess.check_output, remembered)


class ShowsLate:
    """An Xray that shows its one user as connected from the second look on."""

    def __init__(self, address: str) -> None:
        self.looks = 0
        self._address = address

    async def online(self) -> dict[str, list[str]]:
        """Who is connected, and from where."""
        self.looks += 1
        return {"u": [self._address]} if self.looks > 1 else {}


@ABLE
async def test_who_shows_as_connected_only_after_his_removal_is_cut() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection(door.getsockname(), source_address=("127.0.0.2", 0)) as held,
    ):
        cutter = Cutter(door.getsockname()[1], lambda _: False)
        xray = cast("HotApi", ShowsLate("127.0.0.2"))
        working = asyncio.create_task(cutter.run(lambda: xray))
        cutter.cut_soon("u")

        async def ended() -> bool:
            held.setblocking(False)
            try:
                return held.recv(1) == b""
            except BlockingIOError:
                return False
            except ConnectionError:
                return True

        await eventually(ended)
        working.cancel()


@pytest.mark.parametrize("ss", ["fails", "is gone"])
async def test_nothing_is_claimed_when_nobody_can_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ss: str
) -> None:
    if ss == "fails":
        (tmp_path / "ss").write_text("#!/bin/sh\necho ESTAB 0 0 127.0.0.1:1 127.0.0.2:2\nexit 1\n")
        (tmp_path / "ss").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert await Cutter(1, lambda _: False, able=True).cut(seen_from("127.0.0.2"), "u") == 0


async def test_a_cut_that_is_given_up_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given an `ss` that hangs; when the service ends during a cut; then so does `ss`."""
    monkeypatch.setattr(cutting, "_SS_TIMEOUT_S", 1.0)
    (tmp_path / "ss").write_text("#!/bin/sh\necho $$ > $0.pid\nexec sleep 600\n")
    (tmp_path / "ss").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pid = tmp_path / "ss.pid"
    cut = asyncio.create_task(Cutter(1, lambda _: False, able=True).cut(seen_from("::1"), "u"))

    async def runs() -> bool:
        return pid.exists() and pid.read_text() != ""

    await eventually(runs)
    cut.cancel()
    await asyncio.wait({cut})

    async def ended() -> bool:
        return not is_alive(int(pid.read_text()))

    await eventually(ended)
    gc.collect()  # what was left behind complains now
