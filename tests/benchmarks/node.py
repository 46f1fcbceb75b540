"""What a change of one user costs on a node, against raw gRPC and against a restart: `make bench`.

Real Xray throughout, the node service in a process of its own. Ratios within one run count; it
judges nothing.
"""

import asyncio
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import structlog
from aiohttp import web

from tests.faults.turnstile import Turnstile, link_of, turnstile
from tests.integration.node_fixtures import (
    Files,
    free_port,
    fresh_files,
    node_process,
    xray_children,
)
from xray_api.client.client import NodeClient
from xray_api.contract import Operation
from xray_api.node.api_socket import fresh_socket
from xray_api.node.changes import Wish
from xray_api.node.config import read_template, render
from xray_api.node.hot_api import HotApi
from xray_api.node.process import ChildEngine, XrayProcess
from xray_api.node.run import STORE_FILE
from xray_api.node.store import Change, Store

TUNNELS = 20
CHANGES = 1_000
#: A restart takes so much longer than a change that fewer of them tell enough.
RESTARTS = 20
IN_FLIGHT = 32
ROUNDS = 5
SIZES = (1_000, 10_000, 100_000)


def say(text: str) -> None:
    """Shown at once."""
    print(text, flush=True)  # noqa: T201


def line(name: str, found: Iterable[float], shape: str = "{:,.2f}") -> None:
    """A figure: the middle of all rounds, and their ends."""
    values = sorted(found)
    middle = shape.format(statistics.median(values))
    ends = f"{shape.format(values[0])} to {shape.format(values[-1])}"
    say(f"{name:<58} {middle:>12}   ({ends})")


async def at_once(work: Callable[[UUID], Awaitable[object]], users: Iterable[UUID]) -> None:
    """Each user's work, so many in flight."""
    waiting = iter(users)

    async def worker() -> None:
        for user in waiting:
            await work(user)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))


# --- tunnels that carry traffic -------------------------------------------------------------


@asynccontextmanager
async def endless_page() -> AsyncIterator[tuple[str, int]]:
    """A server that sends for as long as somebody reads."""

    async def show(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):  # the reader has gone
            while True:
                await response.write(b"." * 1024)
                await asyncio.sleep(0.01)  # noqa: TID251 - traffic, and nothing waits for it
        return response

    app = web.Application()
    app.router.add_get("/", show)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield "127.0.0.1", port
    await runner.cleanup()


class Traffic:
    """One reader for each door, who connects again whenever his tunnel ends."""

    def __init__(self, doors: Turnstile, target: tuple[str, int]) -> None:
        self._doors = [door.socks for door in doors.doors.values()]
        self._target = target
        self._news = asyncio.Event()
        self._last = [0.0] * len(self._doors)
        self.carried = [0] * len(self._doors)
        self.silence_s = 0.0
        self.ended = 0
        self.refused = 0

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.gather(*(self._read_on(number) for number in range(len(self._doors))))

    async def all_carry(self) -> None:
        """Wait until every tunnel has carried more than until now."""
        before = list(self.carried)
        while any(now <= then for now, then in zip(self.carried, before, strict=True)):
            self._news.clear()
            await self._news.wait()

    async def _read_on(self, number: int) -> None:
        while True:
            if await self._read(number):
                self.ended += 1
            else:
                self.refused += 1
                await asyncio.sleep(0.05)  # noqa: TID251 - as a client does

    async def _read(self, number: int) -> bool:
        """Whether anything came."""
        before = self.carried[number]
        host, _, port = self._doors[number].partition(":")
        address, target_port = self._target
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(b"\5\1\0")
            await reader.readexactly(2)
            where = socket.inet_aton(address) + target_port.to_bytes(2, "big")
            writer.write(b"\5\1\0\1" + where)
            await reader.readexactly(10)
            writer.write(b"GET / HTTP/1.1\r\nHost: endless\r\n\r\n")
            while chunk := await reader.read(65_536):
                self._carry(number, len(chunk))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
        return self.carried[number] > before

    def _carry(self, number: int, size: int) -> None:
        now = time.perf_counter()
        if self._last[number]:
            self.silence_s = max(self.silence_s, now - self._last[number])
        self._last[number] = now
        self.carried[number] += size
        self._news.set()


async def measure_tunnels(folder: Path) -> None:
    """Hot changes against "rewrite and restart", each under the same tunnels."""
    async with AsyncExitStack() as stack:
        dest = await stack.enter_async_context(fresh_files(folder))
        target = await stack.enter_async_context(endless_page())
        open_private_targets(dest)
        travellers = [uuid4() for _ in range(TUNNELS)]
        async with node_process(dest), dest.client() as client:
            epoch = (await client.ready()).epoch
            link = ""
            for user in travellers:
                link = (await client.put(user, 1, epoch)).vless_link
            links = {user: link_of(link, user) for user in travellers}
            doors = await stack.enter_async_context(turnstile(links))
            hot = await under_traffic(doors, target, lambda: hot_changes(client, epoch))
        restarts = await restarts_under_traffic(dest, doors, target, travellers)
    each = hot.took_s / (2 * CHANGES)
    each_restart = restarts.took_s / RESTARTS
    say(f"{2 * CHANGES:,} adds and removes, {TUNNELS} tunnels: {hot}")
    say(f"{RESTARTS} times rewrite and restart, {TUNNELS} tunnels: {restarts}")
    say(f"a change: {each * 1000:.2f} ms hot, {each_restart * 1000:.0f} ms by a restart")
    say(f"ratio: restart / hot {each_restart / each:,.0f}")


@dataclass(frozen=True, slots=True)
class Seen:
    """What the tunnels went through."""

    took_s: float
    ended: int
    refused: int
    silence_s: float

    def __str__(self) -> str:
        return (
            f"{self.took_s:.2f} s, {self.ended} tunnels ended, {self.refused} attempts refused, "
            f"the longest silence {self.silence_s:.2f} s"
        )


async def under_traffic(
    doors: Turnstile, target: tuple[str, int], work: Callable[[], Awaitable[object]]
) -> Seen:
    """Do it while every tunnel carries, and wait until every one does again."""
    traffic = Traffic(doors, target)
    running = asyncio.create_task(traffic.run())
    await traffic.all_carry()
    ended, refused, traffic.silence_s = traffic.ended, traffic.refused, 0.0
    began = time.perf_counter()
    await work()
    took_s = time.perf_counter() - began
    await traffic.all_carry()
    seen = Seen(took_s, traffic.ended - ended, traffic.refused - refused, traffic.silence_s)
    running.cancel()
    await asyncio.wait({running})
    return seen


async def hot_changes(client: NodeClient, epoch: UUID) -> None:
    """Add and remove; a failed request would raise."""
    users = [uuid4() for _ in range(CHANGES)]
    await at_once(lambda user: client.put(user, 1, epoch), users)
    await at_once(lambda user: client.remove(user, 2, epoch), users)


async def restarts_under_traffic(
    files: Files, doors: Turnstile, target: tuple[str, int], users: list[UUID]
) -> Seen:
    """The legacy way: the file is written anew, and Xray started again with it."""
    template = read_template(files.template_file.read_text(), allow_private_targets=True)
    known = list(users)
    xray: list[XrayProcess] = []

    async def start() -> None:
        api = fresh_socket(files.folder)
        config = render(template, known, api_socket=api, allow_private_targets=True)
        xray.append(await XrayProcess.start(ChildEngine(), config))

    async def restart() -> None:
        for _ in range(RESTARTS):
            known.append(uuid4())
            await xray.pop().stop()
            await start()

    await start()
    try:
        return await under_traffic(doors, target, restart)
    finally:
        await xray.pop().stop()


def open_private_targets(files: Files) -> None:
    """Let users reach the page on loopback."""
    text = files.settings_file.read_text()
    text = text.replace("[node]", "[node]\nallow_private_targets = true", 1)
    files.settings_file.write_text(text)


# --- changes in a second --------------------------------------------------------------------


async def measure_rates(folder: Path) -> None:
    """Through the HTTP API, one by one and in batches, as a share of raw gRPC."""
    async with fresh_files(folder / "node") as files, fresh_files(folder / "raw") as raw:
        template = read_template(raw.template_file.read_text(), allow_private_targets=False)
        api = fresh_socket(raw.folder)
        config = render(template, [], api_socket=api, allow_private_targets=False)
        xray = await XrayProcess.start(ChildEngine(), config)
        hot = HotApi(api, template.inbound.tag, template.flow)
        try:
            await hot.uptime()
            async with node_process(files), files.client() as client:
                await compare_rates(hot, client)
        finally:
            await hot.close()
            await xray.stop()


async def compare_rates(hot: HotApi, client: NodeClient) -> None:
    """Rounds in turn, so that a busy moment hits all alike."""
    epoch = (await client.ready()).epoch
    rates: dict[str, list[float]] = {"raw gRPC": [], "HTTP": [], "HTTP, batches of 1,000": []}

    async def rate(name: str, add: Callable[[list[UUID]], Awaitable[object]]) -> None:
        users = [uuid4() for _ in range(CHANGES * 2)]
        began = time.perf_counter()
        await add(users)
        rates[name].append(len(users) / (time.perf_counter() - began))

    async def batches(users: list[UUID]) -> None:
        for start in range(0, len(users), CHANGES):
            part = users[start : start + CHANGES]
            reply = await client.batch(
                epoch, [Operation(op="put", uuid=user, gen=1) for user in part]
            )
            assert all(result.status == "applied" for result in reply.results)

    for _ in range(ROUNDS):
        await rate("raw gRPC", lambda users: at_once(hot.add, users))
        await rate("HTTP", lambda users: at_once(lambda u: client.put(u, 1, epoch), users))
        await rate("HTTP, batches of 1,000", batches)
    for name, found in rates.items():
        line(f"changes/s, {name}", found, "{:,.0f}")
        if name != "raw gRPC":
            shares = [a / b for a, b in zip(found, rates["raw gRPC"], strict=True)]
            line(f"ratio: {name} / raw gRPC", shares)


# --- starts ---------------------------------------------------------------------------------


async def measure_starts(folder: Path) -> None:
    """From the process's start to readiness, and the memory of both processes then."""
    for size in SIZES:
        async with fresh_files(folder / str(size)) as files:
            await fill(files, size)
            took: list[float] = []
            for _ in range(3):
                began = time.perf_counter()
                async with node_process(files) as service:
                    took.append(time.perf_counter() - began)
                    (xray,) = xray_children(service.pid)
                    memory = f"{resident_mb(service.pid):.0f} MB, Xray {resident_mb(xray):.0f} MB"
            line(f"start to ready in s, {size:,} users; service {memory}", took)


async def fill(files: Files, size: int) -> None:
    """A store with so many present users."""
    state = files.settings().node.state_dir
    state.mkdir(parents=True, exist_ok=True)
    store = await Store.open(state / STORE_FILE)
    deadline = asyncio.get_running_loop().time() + 60
    changes = [Change(uuid4(), Wish(1, present=True)) for _ in range(size)]
    await store.write_many(changes, None, deadline)
    await store.close()


def resident_mb(pid: int) -> float:
    """Memory that a process really has, from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


async def main() -> None:
    """All of it, one after the other."""
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(40),
    )
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        await measure_tunnels(Path(folder) / "tunnels")
        await measure_rates(Path(folder) / "rates")
        await measure_starts(Path(folder) / "starts")


if __name__ == "__main__":
    asyncio.run(main())
