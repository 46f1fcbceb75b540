"""A node under load, a client with a door for each user, and what a fault and its end look like.

The seed of a failed run is in its message; TEST_SEED repeats it.
"""

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from tests.faults.turnstile import Turnstile, link_of, turnstile
from tests.integration.node_fixtures import (
    NODE_PROGRAM,
    PATIENCE_S,
    Files,
    Page,
    eventually,
    fresh_files,
    is_alive,
    serving_page,
    xray_children,
)
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError, RetriableError, StaleGeneration
from xray_api.node.hot_api import HotApi, _typed
from xray_api.proto.handler_pb2 import AddUserOperation
from xray_api.proto.user_pb2 import User as XrayUser
from xray_api.proto.vless_pb2 import Account

FLOW = "xtls-rprx-vision"
CALLERS = 4
USERS_EACH = 4
#: Answers after which a kill comes, at random.
BEFORE_KILL = (5, 150)


@dataclass
class User:
    """One user as the back-end knows him: his last wish, and whether the node confirmed it."""

    uuid: UUID = field(default_factory=uuid4)
    gen: int = 0
    present: bool = False
    confirmed: bool = True


class Machine:
    """A node service that whoever runs the machine starts again when it has ended."""

    def __init__(self, files: Files, program: str = NODE_PROGRAM) -> None:
        self._files = files
        self._program = program
        self._process: asyncio.subprocess.Process | None = None
        self._heard: asyncio.Task[bytes] | None = None

    @property
    def pid(self) -> int:
        """The service's."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Until it is ready, again and again while its predecessor's port is held."""
        async with asyncio.timeout(PATIENCE_S):
            while not await self._started():
                pass

    async def _started(self) -> bool:
        command = [sys.executable, "-c", self._program, str(self._files.settings_file)]
        self._process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            if b"ready" in line:
                # A full pipe would hold the service up.
                self._heard = asyncio.create_task(self._process.stdout.read())
                return True
        await self._process.wait()
        return False

    @property
    def xray(self) -> int:
        """Xray's process id."""
        (pid,) = xray_children(self.pid)
        return pid

    async def kill(
        self,
        what: str,
        meanwhile: Callable[[], None] = lambda: None,
        until: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """End Xray, the service, or both, without a chance to say anything.

        Args:
            what: `xray`, `service` or `both`.
            meanwhile: done before the service is started again.
            until: awaited before that.
        """
        assert self._process is not None
        xray = self.xray
        if what != "service":
            os.kill(xray, signal.SIGKILL)
        if what != "xray":
            self._process.kill()
            await self._process.wait()

            async def gone() -> bool:
                return not is_alive(xray)

            await eventually(gone)
            meanwhile()
            if until is not None:
                await until()
            await self.start()

    async def stop(self) -> None:
        """As the machine is shut down."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


class Load:
    """Callers who wish at random, each for users of his own, one wish after the other."""

    def __init__(self, client: NodeClient, epoch: UUID, users: list[User], seed: int) -> None:
        self._client = client
        self.epoch = epoch
        self._users = users
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self.answers = 0
        self.news = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """All callers, until `stop`."""
        shares = [self._users[caller::CALLERS] for caller in range(CALLERS)]
        await asyncio.gather(*(self._caller(share, stop) for share in shares))

    async def _caller(self, users: list[User], stop: asyncio.Event) -> None:
        while not stop.is_set():
            user = self._random.choice(users)
            if user.confirmed:
                user.gen += 1
                user.present = self._random.random() < 0.6
                user.confirmed = False
            try:
                await self.drive(user)
            except RetriableError:
                await asyncio.wait({asyncio.create_task(stop.wait())}, timeout=0.02)
            else:
                await self._try_a_late_one(user)
                self.answers += 1
                self.news.set()

    async def drive(self, user: User) -> None:
        """His wish once more, until it is confirmed; the same wish, however often."""
        call = self._client.put if user.present else self._client.remove
        await call(user.uuid, user.gen, self.epoch)
        user.confirmed = True

    async def _try_a_late_one(self, user: User) -> None:
        """What was overtaken changes nothing, whatever it wished."""
        if self._random.random() < 0.8 or user.gen < 2:
            return
        call = self._client.remove if user.present else self._client.put
        try:
            await call(user.uuid, user.gen - 1, self.epoch)
        except StaleGeneration:
            return
        except RetriableError:
            return
        raise AssertionError("a late wish was taken")

    async def settle(self) -> None:
        """As the back-end does in the end: everything unconfirmed is driven again."""
        for user in self._users:

            async def confirmed(user: User = user) -> bool:
                try:
                    await self.drive(user)
                except RetriableError:
                    return False
                return True

            if not user.confirmed:
                await eventually(confirmed)


@dataclass
class Scene:
    """All that a round needs."""

    files: Files
    machine: Machine
    client: NodeClient
    epoch: UUID
    users: list[User]
    doors: Turnstile
    page: Page

    async def round(self, what: str, seed: int) -> float:
        """Load, kill, heal, and look who gets in; the seconds from the kill to readiness."""
        load = Load(self.client, self.epoch, self.users, seed)
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        kill_after = random.Random(seed).randint(*BEFORE_KILL)  # noqa: S311 - repeatable
        while load.answers < kill_after and not running.done():
            load.news.clear()
            await asyncio.wait(
                {asyncio.create_task(load.news.wait()), running},
                return_when=asyncio.FIRST_COMPLETED,
            )
        loop = asyncio.get_running_loop()
        killed = loop.time()
        await self.machine.kill(what)
        await eventually(self.is_ready)
        healed_s = loop.time() - killed
        stop.set()
        await running
        await load.settle()
        await self.check(f"{what} was killed after {kill_after} answers, seed {seed}")
        assert (await self.client.ready()).epoch == self.epoch
        return healed_s

    async def work(self, seed: int, answers: int = 40) -> Load:
        """Random wishes for a while, all of them confirmed in the end."""
        load = Load(self.client, self.epoch, self.users, seed)
        stop = asyncio.Event()
        running = asyncio.create_task(load.run(stop))
        while load.answers < answers:
            load.news.clear()
            await load.news.wait()
        stop.set()
        await running
        await load.settle()
        return load

    @property
    def right(self) -> set[UUID]:
        """Who is to be let in."""
        return {user.uuid for user in self.users if user.present}

    async def check(self, story: str) -> None:
        """Exactly the right users are listed, and get through."""
        listed = {user.uuid for user in (await self.client.list_users()).users}
        assert listed == self.right, story
        assert await self.let_in() == self.right, story

    async def let_in(self) -> set[UUID]:
        """Who gets through now."""
        return await self.doors.let_in(self.page.url)

    def xray_api(self) -> AbstractAsyncContextManager[HotApi]:
        """Xray's own API, past the service."""
        return xray_api(self.files, self.client)

    async def is_ready(self) -> bool:
        """Whether the node says so."""
        try:
            return (await self.client.ready()).ready
        except NodeCallError:
            return False


async def add_past_the_service(hot: HotApi, email: str, uuid: UUID) -> None:
    """Whoever can reach Xray's API can do this."""
    account = _typed(Account(id=str(uuid), flow=FLOW))
    await hot._alter(AddUserOperation(user=XrayUser(email=email, account=account)), unless="")


@asynccontextmanager
async def xray_api(files: Files, client: NodeClient) -> AsyncIterator[HotApi]:
    """The own API of a node's Xray, past the service."""
    inbound = (await client.ready()).inbound
    hot = HotApi(files.api_socket, inbound.tag, inbound.flow)
    yield hot
    await hot.close()


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with fresh_files(folder) as files, serving_page() as page, files.client() as client:
        settings = files.settings_file
        text = settings.read_text().replace("[node]", "[node]\nallow_private_targets = true", 1)
        settings.write_text(text)
        machine = Machine(files)
        await machine.start()
        try:
            epoch = (await client.ready()).epoch
            users = [User() for _ in range(CALLERS * USERS_EACH)]
            link = (await client.put(users[0].uuid, 1, epoch)).vless_link
            users[0].gen, users[0].present = 1, True
            stranger = uuid4()
            links = {uuid: link_of(link, uuid) for uuid in (*(u.uuid for u in users), stranger)}
            async with turnstile(links) as doors:
                yield Scene(files, machine, client, epoch, users, doors, page)
        finally:
            await machine.stop()


def first_seed() -> int:
    """From the environment, or another one in every run."""
    return int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(10**9))
