"""A whole shop on this machine: the demo's world, whose programs may be killed."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio

from bot.sandbox import Message, Paid, Person
from config.settings import DemoSection, DemoSettings
from storage.embedded import EmbeddedPostgres
from supervisors.demo.children import ChildProgram
from supervisors.demo.programs import Programs, demo_programs, until_ready
from supervisors.demo.world import DemoWorld, demo_world
from tests.integration.node_fixtures import free_port

#: For everything that other processes do; far above what any of it takes.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Shop:
    """The demo's world, and ways to break it."""

    world: DemoWorld
    programs: Programs
    database_url: str

    def buyer(self, user_id: int, language: str = "en") -> Person:
        """Someone who never wrote before."""
        return self.world.sandbox.person(
            user_id, first_name=f"Buyer {user_id}", language_code=language
        )

    async def invoice(self, buyer: Person) -> Message:
        """Walk from /start to the invoice of the first plan."""
        await buyer.say("/start")
        card = await buyer.wait_for(_offers("go:plans"), timeout_s=PATIENCE_S)
        await buyer.tap(card, _callback(card, "go:plans"))
        plans = await buyer.wait_for(_offers("plan:"), timeout_s=PATIENCE_S)
        await buyer.tap(plans, _callback(plans, "plan:"))
        ways = await buyer.wait_for(_offers("way:"), timeout_s=PATIENCE_S)
        await buyer.tap(ways, _callback(ways, "way:"))
        return await buyer.wait_for(lambda m: m.invoice is not None, timeout_s=PATIENCE_S)

    async def paid(self, buyer: Person) -> None:
        """Walk from /start to a payment that went through."""
        outcome = await buyer.pay(await self.invoice(buyer))
        assert isinstance(outcome, Paid)

    async def link(self, buyer: Person) -> str:
        """The link that the chat shows, once it is there."""
        message = await buyer.wait_for(lambda m: m.link is not None, timeout_s=PATIENCE_S)
        assert message.link is not None
        return message.link

    async def kill(self, program: ChildProgram) -> None:
        """SIGKILL: no goodbye, no flush."""
        os.kill(program.pid, signal.SIGKILL)
        await program.ended()

    async def start_node(self) -> None:
        """Start the node again, and wait until it lets users in."""

        async def answers() -> bool:
            return await _ready(self.world)

        await self.programs.node.start()
        await until_ready(self.programs.node, answers)

    async def rows(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """What the database says."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    async def credentials(self, user_id: int) -> set[UUID]:
        """Every uuid that a user ever had."""
        found = await self.rows(
            "SELECT uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id "
            "WHERE s.user_id = $1",
            user_id,
        )
        return {row["uuid"] for row in found}

    async def ledger(self, user_id: int) -> list[tuple[str, int]]:
        """Why a user's time changed, and by how many seconds."""
        found = await self.rows(
            "SELECT source_kind, delta_s FROM ledger l JOIN subscriptions s "
            "ON s.id = l.subscription_id WHERE s.user_id = $1 ORDER BY l.id",
            user_id,
        )
        return [(row["source_kind"], row["delta_s"]) for row in found]


@pytest.fixture(scope="session")
def free_listen() -> str:
    """An address that nobody listens on just now."""
    return f"127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's data folder."""
    return tmp_path_factory.mktemp("shop")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shop(data_dir: Path, free_listen: str) -> AsyncIterator[Shop]:
    """A running shop, shared by all tests: starting one takes seconds."""
    settings = DemoSettings(data_dir=data_dir, demo=DemoSection(listen=free_listen))
    async with demo_programs(settings) as programs, demo_world(programs, lambda _: None) as world:
        postgres = EmbeddedPostgres.start(data_dir / "postgres")
        try:
            yield Shop(world, programs, postgres.url)
        finally:
            # Before their servers: nobody listened to them while other tests ran, and who still
            # knocks when a server closes is let in by nobody and shut out by nobody.
            for program in world.programs:
                await program.stop()
            postgres.stop()


@pytest.fixture
def user_ids() -> Iterator[int]:
    """Numbers that no other test uses."""
    return _USER_IDS


_USER_IDS = iter(range(50_001, 60_000))


async def _ready(world: DemoWorld) -> bool:
    from xray_api.client.errors import NodeCallError  # noqa: PLC0415

    try:
        return (await world.node.ready()).ready
    except NodeCallError:
        return False


def _offers(prefix: str) -> Callable[[Message], bool]:
    return lambda message: any(b.data and b.data.startswith(prefix) for b in message.buttons)


def _callback(message: Message, prefix: str) -> str:
    return next(b.data for b in message.buttons if b.data and b.data.startswith(prefix))
