"""A whole back-end in this process, as the program wires it.

Its Telegram is the sandbox, its node is scripted, its PostgreSQL is real, and operators come in by
the control socket.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from bot.sandbox import Message, Paid, Person, Refused, Sandbox
from config.logging import configure_logging
from config.settings import Settings, load_settings
from storage.database import refuse_in_transaction
from storage.links import LinkCipher
from supervisors.run import Stop, _serve
from supervisors.world import World
from tests.e2e.control import PATIENCE_S, Control, until
from tests.integration.actors.world import HURRY, POLICY
from tests.integration.database_fixtures import Rows
from tests.integration.shop import NODE
from tests.invariants import assert_invariants
from xray_api.client.fake import FakeNodeClient

OWNER = 1000
ANNA, BORIS = 1001, 1002
#: Of the tests' `keys`.
MASTER = "a master secret for tests, long enough"
SECTIONS = ("root", "operators", "notifier", "provisioners", "users", "workers", "door")

SETTINGS = """
data_dir = "{folder}"
supervision_file = "{folder}/supervision.toml"

[telegram]
token = "{token}"
api_base = "{telegram}"
admins = [{owner}]

[http]
listen = "127.0.0.1:0"

[database]
url = "{database}"

[security]
keys = ["{master}"]

[[nodes]]
id = "{node}"
title = "A node"
url = "http://127.0.0.1:9"
api_keys = ["no-secret-no-secret-no-secret-no-secret-no-"]

[provisioner]
attempt_timeout_s = 30
"""
#: An approval whose answer was lost keeps other payments of its order away for a while.
FORGET_APPROVALS = """
UPDATE purchases SET approved_at = now() - interval '1 hour'
WHERE approved_at < now() - interval '1 second'
"""


@dataclass
class Life:
    """A back-end from its start to its end."""

    stop: Stop
    serving: asyncio.Task[int]

    async def ended(self) -> int:
        """Its exit status."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.serving


@dataclass
class Stage:
    """What outlives a back-end: people, rows, the node, what was logged."""

    settings: Settings
    sandbox: Sandbox
    node: FakeNodeClient
    control: Control
    rows: Rows
    cipher: LinkCipher
    log: io.StringIO
    lives: list[Life] = field(default_factory=list)

    @property
    def anna(self) -> Person:
        """Somebody who buys."""
        return self.sandbox.person(ANNA)

    @property
    def owner(self) -> Person:
        """Who runs the shop."""
        return self.sandbox.person(OWNER)

    @property
    def boris(self) -> Person:
        """Somebody else who buys."""
        return self.sandbox.person(BORIS)

    @asynccontextmanager
    async def life(self) -> AsyncIterator[Life]:
        """A back-end that works; at the end it is stopped in order, unless it has ended before."""
        life = self.begin()
        await self.until_open(life)
        try:
            yield life
        finally:
            await self.end(life)

    def begin(self) -> Life:
        """Start a back-end."""
        stop = Stop(asyncio.Event())
        return Life(
            stop, asyncio.create_task(_serve(self.settings, stop, World(node=lambda _: self.node)))
        )

    async def until_open(self, life: Life) -> None:
        """Until it takes updates in."""

        async def works() -> bool:
            if life.serving.done():
                life.serving.result()
                raise AssertionError("it ended before it worked")
            tree = await self.control.tree_at_last()
            return "intake" in tree and tree["intake"]["state"] == "running"

        await until(works)

    async def end(self, life: Life) -> int:
        """Stop a back-end in order, and get its exit status."""
        life.stop.requested.set()
        return await life.ended()

    async def until_true(self, query: str, *arguments: object) -> None:
        """Until the database says so, whichever waits it keeps."""

        async def said() -> bool:
            await self.hurry()
            return bool(await self.rows.fetchval(query, *arguments))

        await until(said)

    async def until_done(self, tasks: list[asyncio.Task[None]]) -> None:
        """Until all have come to their end, whichever waits the database keeps."""

        async def done() -> bool:
            await self.hurry()
            return all(task.done() for task in tasks)

        await until(done)
        for task in tasks:
            task.result()

    async def hurry(self) -> None:
        """Let everything that waits in the database be due."""
        for statement in (*HURRY, FORGET_APPROVALS):
            await self.rows.execute(statement)

    async def invoice(self, buyer: Person) -> Message:
        """Walk from /start to the invoice of the first plan."""
        return await self.order(buyer, lambda message: message.invoice is not None)

    async def order(self, buyer: Person, payable: Callable[[Message], bool]) -> Message:
        """Walk from /start to what asks for the money of the first plan."""
        await buyer.say("/start")
        card = await self.shown(buyer, _offers("go:plans"))
        await buyer.tap(card, _data(card, "go:plans"))
        plans = await self.shown(buyer, _offers("plan:"))
        await buyer.tap(plans, _data(plans, "plan:"))
        return await self.shown(buyer, payable)

    async def pay(self, buyer: Person, invoice: Message) -> None:
        """A payment that goes through, at the first tap or a later one."""

        async def charged() -> bool:
            outcome = await buyer.pay(invoice)
            assert isinstance(outcome, Paid | Refused)
            return isinstance(outcome, Paid)

        await until(charged)

    async def buy(self, buyer: Person) -> None:
        """From /start to the link."""
        await self.pay(buyer, await self.invoice(buyer))
        await self.shown(buyer, lambda message: message.link is not None)

    async def shown(self, buyer: Person, wanted: Callable[[Message], bool]) -> Message:
        """The message wanted, as soon as the chat shows it."""
        return await buyer.wait_for(wanted, timeout_s=PATIENCE_S)

    async def assert_bought_once(self, *buyers: Person) -> None:
        """Each has access, once; the database is whole, and the node agrees with it."""
        for buyer in buyers:
            link = (await self.shown(buyer, lambda message: message.link is not None)).link
            (uuid,) = await self.rows.fetchrow(
                "SELECT uuid FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id "
                "WHERE s.user_id = $1 AND (SELECT count(*) FROM credentials o "
                "WHERE o.subscription_id = s.id) = 1",
                buyer.id,
            )
            ledger = await self.rows.fetch(
                "SELECT source_kind FROM ledger l JOIN subscriptions s ON s.id = l.subscription_id "
                "WHERE s.user_id = $1 ORDER BY l.id",
                buyer.id,
            )
            assert [row["source_kind"] for row in ledger] == ["payment", "activation"]
            assert uuid in self.node.running
            assert {m.link for m in buyer.messages if m.link} == {link} == {self.node.link(uuid)}
        await assert_invariants(self.rows, self.cipher, working=True, owners=True)


@asynccontextmanager
async def staged(
    folder: Path,
    database_url: str,
    rows: Rows,
    cipher: LinkCipher,
    **policies: dict[str, Any],
) -> AsyncIterator[Stage]:
    """A stage for back-ends; `policies` are of supervisors that need others than `POLICY`."""
    node = FakeNodeClient(guard=refuse_in_transaction)
    sandbox = Sandbox(admin_id=OWNER)
    with logged_as_by_the_program() as log:
        async with sandbox.serve() as address:
            settings = _settings(folder, database_url, address.url, sandbox.token, policies)
            yield Stage(settings, sandbox, node, Control(folder), rows, cipher, log)


@contextmanager
def logged_as_by_the_program() -> Iterator[io.StringIO]:
    """The log of `tollgate run`, for this test alone."""
    log = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", log)
        patch.setattr("logging.basicConfig", lambda **_: None)  # pytest's own stays
        configure_logging("machines")
    structlog.configure(cache_logger_on_first_use=False)
    try:
        yield log
    finally:
        structlog.reset_defaults()


def _settings(
    folder: Path, database: str, telegram: str, token: str, policies: dict[str, dict[str, Any]]
) -> Settings:
    lines = []
    for section in SECTIONS:
        lines += [f"[{section}]"]
        lines += [f"{k} = {v}" for k, v in (POLICY | policies.get(section, {})).items()]
    (folder / "supervision.toml").write_text("\n".join(lines))
    file = folder / "tollgate.toml"
    file.write_text(
        SETTINGS.format(
            folder=folder,
            token=token,
            telegram=telegram,
            owner=OWNER,
            database=database,
            master=MASTER,
            node=NODE,
        )
    )
    return load_settings(file)


def _offers(prefix: str) -> Callable[[Message], bool]:
    return lambda message: any((b.data or "").startswith(prefix) for b in message.buttons)


def _data(message: Message, prefix: str) -> str:
    return next(b.data for b in message.buttons if b.data and b.data.startswith(prefix))
