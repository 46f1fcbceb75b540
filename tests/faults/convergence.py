"""A whole back-end as the program wires it, two real nodes behind fault proxies, and trade on both.

All times of the back-end's own pass `FACTOR` times as fast, or as a town says, by its clock; what
processes and calls take does not shrink.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import structlog
from pydantic import SecretStr

from actors.runtime.clock import LoopClock, Timer
from actors.runtime.replies import Unavailable
from actors.user.messages import (
    ChangeStanding,
    GrantAccess,
    InvoiceDue,
    InvoiceSent,
    OpenPurchase,
    Standing,
    UserUnknown,
)
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.sandbox import Invoice, Person, Sandbox
from bot.sandbox.crypto_pay import CryptoPayDouble
from bot.sandbox.rates import RateLimit
from config.keys import MasterKeys
from config.settings import Settings, load_settings
from storage.links import LinkCipher
from supervisors.wiring import Backend, UserDirectory, wire
from supervisors.world import World
from tests.faults.proxy import FaultProxy, Identities
from tests.faults.scene import Machine
from tests.faults.tcp_proxy import TcpProxy
from tests.faults.turnstile import link_of, turnstile
from tests.integration.actors.world import PLAIN_LOG
from tests.integration.database_fixtures import connected
from tests.integration.node_fixtures import (
    NODE_PROGRAM,
    Files,
    Page,
    eventually,
    free_port,
    make_files,
    serving_page,
)
from tests.invariants import assert_invariants
from xray_api.camouflage import camouflage_target
from xray_api.client.client import NodeClient
from xray_api.client.errors import NodeCallError
from xray_api.contract import MAX_PAGE
from xray_api.node.keys import new_api_key

#: So many times as fast pass breaker, back-off, comparisons and holds, and so much shorter are
#: their bounds.
FACTOR = 10.0
#: What real processes and a busy machine may add to a bound, seconds.
MACHINE_S = 10.0
OWNER = 1000
FIRST, SECOND = "node-1", "node-2"
#: Messages that a chat of somebody who writes to the bot takes.
OFTEN = RateLimit(per_s=1_000, burst=1_000)
#: Between two people of one node, seconds.
PACE_S = 0.2
#: Between two looks whether a payment was decided about, seconds.
LOOK_EVERY_S = 0.1
#: Of the tests' `keys`.
MASTER = "a master secret for tests, long enough"
#: What Telegram shows with its calls.
SECRET = "0123456789abcdef0123"
HOOK, PUSHES = "/telegram/hook", "/webhooks/cryptopay"

SETTINGS = """
data_dir = "{folder}"
plans_file = "{folder}/plans.toml"

[telegram]
token = "{token}"
api_base = "{telegram}"
admins = {owners}
{called}
[http]
listen = "127.0.0.1:{port}"

[database]
url = "{database}"

[security]
keys = ["{master}"]

"""
#: For a town that Telegram calls, and is not polled by.
CALLED = """
mode = "webhook"
webhook_url = "http://127.0.0.1:{port}{hook}"
webhook_secret = "{secret}"
"""
#: For a town that sells for coins, and by hand.
MORE_WAYS = """
[payments.cryptopay]
token = "{token}"
network = "{url}"

[payments.manual]
enabled = true
instructions = "At the counter."

"""
#: For a town whose time is faster.
HASTY = """
# Real calls to real processes, which the clock does not make faster.
[provisioner]
attempt_timeout_s = 1
retry_base_s = 0.02
retry_cap_s = 6

[breaker]
slow_s = 20

# At this clock every two seconds.
[reconciler]
interval_s = 20
"""
NODE = """
[[nodes]]
id = "{id}"
title = "{id}"
url = "{url}"
api_keys = ["{key}", "{spare}"]
"""
PLAN = """
[[plans]]
id = "{id}"
title.en = "{id}"
title.ru = "{id}"
period_s = 2_592_000
price_stars = 150
prices = {{ USDT = "2.5", RUB = "200" }}
nodes = {nodes}
"""
PRICE_STARS = 150
#: Sold on any node.
ANYWHERE = "anywhere"
#: A node's own look at Xray is as much faster as the back-end.
HASTY_NODE = """
from xray_api.node import keeper
keeper.MEND_EVERY_S /= {factor}
""" + NODE_PROGRAM.replace(
    "run_node(settings,", "run_node(settings, settings_file=Path(sys.argv[1]),"
)

WANTED = "SELECT uuid, gen FROM credentials WHERE node_id = $1 AND desired = 'present'"
UNAPPLIED = "SELECT count(*) FROM credentials WHERE applied_gen < gen"
ENDING = """
SELECT count(*) FROM subscriptions
WHERE status = 'active' AND expires_at < now() + interval '1 minute'
"""
SERVED_SINCE = """
SELECT count(*) FROM credentials WHERE node_id = $1 AND created_at > $2
    AND first_applied_at IS NOT NULL
"""
DECIDED = """
SELECT count(*) FROM payments WHERE provider = $1 AND provider_payment_id = $2
    AND disposition <> 'received'
"""
LONGEST_WAIT = """
SELECT max(extract(epoch FROM first_applied_at - created_at))::float8
FROM credentials WHERE node_id = $1
"""
BREAKER = """
SELECT details->>'after' FROM supervision_events
WHERE kind = 'breaker_changed' AND actor = 'provisioner/' || $1 ORDER BY seq
"""
HAPPENED = "SELECT count(*) FROM supervision_events WHERE kind = $1 AND details->>'node' = $2"
OWNERS_OF = """
SELECT c.uuid, s.user_id, c.node_id, c.desired = 'present' AS present
FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id
"""


class FastClock(LoopClock):
    """The loop's time, so many times as fast."""

    def __init__(self, factor: float = FACTOR) -> None:
        self._factor = factor

    def now(self) -> float:
        """Seconds, from any beginning."""
        return super().now() * self._factor

    async def sleep(self, delay_s: float) -> None:
        """A part of the wait."""
        await super().sleep(delay_s / self._factor)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """After a part of the delay."""
        return super().call_later(delay_s / self._factor, callback)


@dataclass
class Site:
    """A node on its machine, and the proxy before it."""

    id: str
    files: Files
    machine: Machine
    proxy: FaultProxy
    #: Past the proxy.
    direct: NodeClient
    #: The back-end has it too; the node does not take it.
    spare_key: str = field(default_factory=new_api_key)

    async def listed(self) -> set[tuple[UUID, int]] | None:
        """Whom the running Xray lets in; None while the node does not say."""
        try:
            page = await self.direct.list_users(limit=MAX_PAGE)
        except NodeCallError:
            return None
        return {(user.uuid, user.gen) for user in page.users}

    @property
    def state_dir(self) -> Path:
        """What the node writes."""
        return self.files.settings().node.state_dir


@dataclass
class Town:
    """The back-end, its people, and all that it is looked at with."""

    settings: Settings
    database_url: str
    cipher: LinkCipher
    sandbox: Sandbox
    coins: CryptoPayDouble
    page: Page
    sites: dict[str, Site]
    #: Before PostgreSQL, for a back-end that goes through it.
    database_proxy: TcpProxy
    factor: float = FACTOR
    links: dict[UUID, str] = field(default_factory=dict)
    #: How often somebody was told to come back later.
    turned_away: int = 0
    #: Which plan each order is of.
    ordered: dict[UUID, str] = field(default_factory=dict)
    _backend: Backend | None = None
    _wired: AsyncExitStack = field(default_factory=AsyncExitStack)
    _ids: Any = field(default_factory=lambda: count(10_001))

    @property
    def signer(self) -> PayloadSigner:
        """As the back-end has it."""
        return PayloadSigner(MasterKeys([SecretStr(MASTER)]))

    @property
    def door(self) -> str:
        """Where the back-end is called, without a path."""
        return f"http://{self.settings.http.listen}"

    # The back-end

    async def open(self) -> None:
        """Start the back-end."""
        wiring = wire(self.settings, World(clock=lambda: FastClock(self.factor)))
        self._backend = await self._wired.enter_async_context(wiring)
        self._backend.root.begin_life("root")
        await self._backend.root.started

    async def close(self) -> None:
        """Stop it in order."""
        if self._backend is None:
            return
        backend, self._backend = self._backend, None
        backend.root.stop(drain=True)
        await backend.root.wait_ended()
        await backend.journal.flush(backend.records)
        await self._wired.aclose()

    async def sql(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """What the database says."""
        async with connected(self.database_url) as rows:
            return list(await rows.fetch(query, *arguments))

    async def value(self, query: str, *arguments: object) -> Any:
        """The one thing that the database says."""
        return (await self.sql(query, *arguments))[0][0]

    async def until(self, query: str, *arguments: object) -> None:
        """Until the database says so."""

        async def said() -> bool:
            return bool(await self.value(query, *arguments))

        await eventually(said)

    # People

    async def ask(self, user_id: int, message: Any) -> Any:
        """Ask a user's actor, again while it is busy, as people do."""
        while True:
            assert self._backend is not None
            users = cast("UserDirectory", self._backend.door._users)
            try:
                return await users.ask(user_id, message)
            except Unavailable:
                self.turned_away += 1
            await _pause(LOOK_EVERY_S)

    async def newcomer(self) -> Person:
        """Somebody who has a chat with the bot."""
        person = self.sandbox.person(next(self._ids))
        await person.say("/start")
        return person

    async def buy(self, person: Person, plan_id: str) -> None:
        """A month on a node, or anywhere, paid."""
        await self.pay(person, await self.order(person, plan_id))

    async def order(self, person: Person, plan_id: str) -> UUID:
        """An order with its invoice."""
        operation = uuid4().hex
        order = OpenPurchase(
            operation_id=operation,
            plan_id=plan_id,
            language="en",
            chat_id=person.id,
            provider="stars",
        )
        due = await self.ask(person.id, order)
        assert isinstance(due, InvoiceDue), due
        sent = InvoiceSent(operation_id=operation, purchase_id=due.purchase_id)
        await self.ask(person.id, sent)
        self.ordered[due.purchase_id] = plan_id
        return due.purchase_id

    def invoice(self, person: Person, purchase_id: UUID) -> Invoice:
        """What an order for Stars asks for."""
        plan_id = self.ordered[purchase_id]
        claim = InvoiceClaim(purchase_id=purchase_id, user_id=person.id, plan_id=plan_id)
        return Invoice(
            title=plan_id,
            description="",
            payload=self.signer.sign(claim),
            currency="XTR",
            amount=PRICE_STARS,
        )

    async def pay(self, person: Person, purchase_id: UUID) -> None:
        """Telegram takes the money for an order and says so, and something becomes of it."""
        charge = self.sandbox.charge(person.id, self.invoice(person, purchase_id))
        while True:  # however long the database is away
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await self.value(DECIDED, "stars", charge):
                    return
            await _pause(LOOK_EVERY_S)

    async def grant(self, person: Person, node_id: str, period_s: int) -> None:
        """A little time from an owner, which ends by itself."""
        given = GrantAccess(
            operation_id=uuid4().hex,
            plan_id=node_id,
            period_s=period_s,
            who=f"tg:{OWNER}",
            reason="to try",
        )
        while isinstance(await self.ask(person.id, given), UserUnknown):
            await _pause(LOOK_EVERY_S)  # their first word is on its way

    async def command(self, *words: str) -> str:
        """What an operator's terminal says."""
        program = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("tollgate")), "--config"),
            str(self.settings.data_dir / "tollgate.toml"),
            *words,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await program.communicate()
        assert program.returncode == 0, said.decode()
        return said.decode()

    async def revoke(self, person: Person) -> None:
        """No more access for somebody."""
        order = ChangeStanding(
            operation_id=uuid4().hex,
            standing=Standing.REVOKED,
            who=f"tg:{OWNER}",
            reason="asked for",
        )
        await self.ask(person.id, order)

    # What is seen from outside

    async def equal(self) -> bool:
        """Whether each node has what its rows want, all of it confirmed."""
        if await self.value(UNAPPLIED):
            return False
        for site in self.sites.values():
            wanted = {tuple(row) for row in await self.sql(WANTED, site.id)}
            if await site.listed() != wanted:
                return False
        return True

    async def breaker(self, node_id: str) -> list[str]:
        """The states that a node's breaker came to, in order."""
        return [row[0] for row in await self.sql(BREAKER, node_id)]

    async def check_doors(self, besides: Mapping[str, set[UUID]] | None = None) -> int:
        """Exactly those with a right get through, by the links in their chats; how many tried.

        Args:
            besides: who gets through which node without a right, where nobody may be removed now.
        """
        besides = besides or {}
        owners = await self.sql(OWNERS_OF)
        present = {row["uuid"]: row["user_id"] for row in owners if row["present"]}
        for uuid, user_id in present.items():
            person = self.sandbox.person(user_id)
            await eventually(lambda p=person, u=uuid: _shows(p, u))  # type: ignore[misc]
            assert person.link is not None
            self.links[uuid] = person.link
        for site in self.sites.values():
            example = next(
                self.links[row["uuid"]]
                for row in owners
                if row["node_id"] == site.id and row["uuid"] in self.links
            )
            gone = {r["uuid"] for r in owners if r["node_id"] == site.id and not r["present"]}
            for uuid in (*gone, *besides.get(site.id, ()), uuid4()):
                self.links.setdefault(uuid, link_of(example, uuid))
        right = set(present).union(*besides.values())
        async with turnstile(self.links) as doors:
            wrong: set[UUID] = set()

            async def right_ones() -> bool:
                nonlocal wrong
                wrong = await doors.let_in(self.page.url) ^ right
                return not wrong

            with suppress(TimeoutError):
                await eventually(right_ones)
            assert not wrong, f"in or out without a reason: {wrong}"
        return len(self.links)

    async def check(self, strangers: frozenset[UUID] = frozenset(), *, equal: bool = True) -> None:
        """The rows are whole; each wish that a node saw has one, but for those to end strangers.

        Not `equal`: where nobody may be removed now, nodes have more.
        """
        await self.until(f"SELECT ({ENDING}) = 0")
        if equal:
            await eventually(self.equal)
        requests = [seen for site in self.sites.values() for seen in site.proxy.requests]
        wishes = [wish for seen in requests for wish in seen.wishes if wish[0] not in strangers]
        async with connected(self.database_url) as rows:
            await assert_invariants(
                rows,
                self.cipher,
                working=True,
                owners=True,
                seen=wishes,
                lists={site.id: await site.listed() or () for site in self.sites.values()},
            )


class Trade:
    """People of each node who buy, renew, are stopped, or run out of time."""

    def __init__(self, town: Town) -> None:
        self._town = town
        self._stop = asyncio.Event()
        self._running = [asyncio.create_task(self._of(node_id)) for node_id in town.sites]

    async def end(self, *, at_once: bool = False) -> None:
        """No more of it; nothing of it is half done, unless people are to leave `at_once`."""
        self._stop.set()
        if at_once:
            for person in self._running:
                person.cancel()
        ends = await asyncio.gather(*self._running, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _of(self, node_id: str) -> None:
        customers: list[Person] = []
        for turn in count():
            person = await self._town.newcomer()
            match turn % 4:
                case 0 | 1:
                    await self._town.buy(person, node_id)
                    customers.append(person)
                case 2:
                    await self._town.grant(person, node_id, 1)
                    await self._town.buy(customers[-1], node_id)  # renews
                case 3:
                    await self._town.revoke(customers.pop())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), PACE_S)
            if self._stop.is_set():
                return


@dataclass
class Case:
    """A fault under trade: what happened, and how long it took to heal."""

    town: Town
    trade: Trade
    began: Any = None
    healed_s: float = 0.0
    bound_s: float = 0.0

    async def served_meanwhile(self, node_id: str = SECOND, people: int = 3) -> None:
        """Until so many who came after the fault began have access on a node that has none."""
        town = self.town

        async def served() -> bool:
            found = await town.value(SERVED_SINCE, node_id, self.began)
            return bool(found >= people)

        await eventually(served)

    async def over(self, bound_s: float, *, divided: bool = True) -> None:
        """The fault is over: see how long it takes until both sides are equal.

        Args:
            bound_s: the design's bound, seconds.
            divided: whether it shrinks with the back-end's times.
        """
        loop = asyncio.get_running_loop()
        over = loop.time()
        await self.trade.end()
        await eventually(self.town.equal)
        self.healed_s, self.bound_s = loop.time() - over, bound_s
        most = (bound_s / self.town.factor if divided else bound_s) + MACHINE_S
        assert self.healed_s <= most, f"healed after {self.healed_s:.1f} s, not {most:.1f} s"

    async def report(self) -> str:
        """What was measured, for people."""
        sent, different = self.town.sites[FIRST].proxy.amplification()
        waited = await self.town.value(LONGEST_WAIT, SECOND)
        return (
            f"healed after {self.healed_s:.2f} s, bound {self.bound_s:g} s; "
            f"{sent} wishes sent for {different}; the other node's longest wait {waited:.2f} s"
        )

    async def assert_other_undisturbed(self) -> None:
        """The other node went on; that people there were served meanwhile is waited for."""
        assert await self.town.breaker(SECOND) == [], "its breaker was to stay closed"


async def _pause(seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def _shows(person: Person, uuid: UUID) -> bool:
    return person.link is not None and person.link.startswith(f"vless://{uuid}@")


@asynccontextmanager
async def town(  # noqa: PLR0913 - a knob each, nearly all with defaults
    folder: Path,
    database_url: str,
    cipher: LinkCipher,
    identities: Identities | None = None,
    *,
    factor: float = FACTOR,
    toml: str = "",
    database_proxy: bool = False,
    of: type["Town"] | None = None,
    owners: Sequence[int] = (OWNER,),
    called: bool = False,
    more_ways: bool = False,
    node: str = "",
) -> AsyncIterator[Town]:
    """Everything runs.

    With `database_proxy` the back-end reaches PostgreSQL by a fault proxy, the town directly; `of`
    is another kind of town; `called` by Telegram, it does not poll; with `more_ways` people can pay
    by Crypto Pay and by hand too.
    """
    structlog.configure(processors=PLAIN_LOG)
    # Who writes much is answered as often: that is no row's fault but one's, which does without.
    sandbox = Sandbox(admin_id=OWNER, chat_rate=OFTEN) if of else Sandbox(admin_id=OWNER)
    async with AsyncExitStack() as stack:
        stack.callback(structlog.reset_defaults)
        address = await stack.enter_async_context(sandbox.serve())
        coins = CryptoPayDouble()
        bank = await stack.enter_async_context(coins.serve())
        page = await stack.enter_async_context(serving_page())
        dest = await stack.enter_async_context(camouflage_target())
        program = node + HASTY_NODE.format(factor=factor)
        sites = {
            node_id: await _site(node_id, folder / node_id, dest, stack, identities, program)
            for node_id in (FIRST, SECOND)
        }
        await asyncio.gather(*(site.machine.start() for site in sites.values()))
        proxy = TcpProxy(database_url)
        await stack.enter_async_context(proxy.serve())
        seen_url = proxy.url if database_proxy else database_url
        port = free_port()
        text = SETTINGS.format(
            folder=folder,
            token=sandbox.token,
            telegram=address.url,
            owners=list(owners),
            called=CALLED.format(port=port, hook=HOOK, secret=SECRET) if called else "",
            port=port,
            database=seen_url,
            master=MASTER,
        )
        if more_ways:
            text += MORE_WAYS.format(token=coins.token, url=bank.url)
        settings = _settings(folder, text + (HASTY if factor > 1 else "") + toml, sites)
        made = (of or Town)(
            settings, database_url, cipher, sandbox, coins, page, sites, proxy, factor
        )
        coins.push_to(made.door + PUSHES)
        stack.push_async_callback(made.close)
        for owner in owners:
            await sandbox.person(owner).say("/start")
        await made.open()
        yield made


@asynccontextmanager
async def case(made: Town) -> AsyncIterator[Case]:
    """Trade runs on both nodes, and has been served, when the fault may begin."""
    trade = Trade(made)
    run = Case(made, trade)
    run.began = await made.value("SELECT now()")
    try:
        for node_id in made.sites:
            await run.served_meanwhile(node_id)
        run.began = await made.value("SELECT now()")
        yield run
    finally:
        await trade.end()


async def _site(
    node_id: str,
    folder: Path,
    dest: str,
    stack: AsyncExitStack,
    identities: Identities | None,
    program: str,
) -> Site:
    files = make_files(folder, dest)
    text = files.settings_file.read_text()
    files.settings_file.write_text(
        text.replace("[node]", "[node]\nallow_private_targets = true", 1)
    )
    machine = Machine(files, program)
    stack.push_async_callback(machine.stop)
    proxy = await stack.enter_async_context(FaultProxy(files.url, identities).serve())
    direct = await stack.enter_async_context(files.client())
    return Site(node_id, files, machine, proxy, direct)


def _settings(folder: Path, text: str, sites: dict[str, Site]) -> Settings:
    plans = {**{node_id: f'["{node_id}"]' for node_id in sites}, ANYWHERE: "[]"}
    (folder / "plans.toml").write_text(
        "".join(PLAN.format(id=plan_id, nodes=nodes) for plan_id, nodes in plans.items())
    )
    file = folder / "tollgate.toml"
    nodes = [
        NODE.format(id=site.id, url=site.proxy.url, key=site.files.api_key, spare=site.spare_key)
        for site in sites.values()
    ]
    file.write_text(text + "".join(nodes))
    return load_settings(file)
