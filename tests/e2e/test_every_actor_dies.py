"""Every actor and every supervisor dies while people buy: each purchase ends in access, once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from bot.sandbox import Paid, Person, Refused
from config.keys import master_keys
from config.settings import load_settings
from storage.links import LinkCipher
from tests.e2e.conftest import Shop
from tests.e2e.control import Control, until
from tests.invariants import assert_invariants

pytestmark = pytest.mark.asyncio(loop_scope="session")

SHOPPERS = 4
REASON = "a drill"
#: As long as an approved payment keeps others of its order away, and a bit; seconds.
REFUSED_FOR_S = 40.0

#: What is looked for in the journal and in the record of operators.
KILLED = "SELECT DISTINCT actor FROM supervision_events WHERE kind = 'restarted_by_hand'"
ORDERED = """
SELECT target, actor, details->>'at_once' AS at_once FROM admin_actions
WHERE action = 'actor_restart' AND reason = $1
"""
BOUGHT = """
SELECT s.status,
    (SELECT count(*) FROM purchases p WHERE p.user_id = s.user_id AND p.status = 'paid') AS paid,
    (SELECT count(*) FROM payments p WHERE p.user_id = s.user_id) AS payments,
    (SELECT count(*) FROM credentials c WHERE c.subscription_id = s.id) AS credentials,
    (SELECT count(*) FROM credentials c WHERE c.subscription_id = s.id
        AND c.applied_gen = c.gen AND c.desired = 'present') AS running
FROM subscriptions s WHERE s.user_id = $1
"""


@dataclass
class Shoppers:
    """People who buy, one after the other, until the shop closes."""

    shop: Shop
    user_ids: Iterator[int]
    served: list[Person] = field(default_factory=list)
    queues: list[asyncio.Task[None]] = field(default_factory=list)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def queueing(self, queues: int) -> AsyncIterator[None]:
        """Let people in, so many at a time; at the end those who are there are served."""
        self.queues = [asyncio.create_task(self._queue()) for _ in range(queues)]
        try:
            yield
            self._closing.set()
            await asyncio.gather(*self.queues)
        finally:
            for queue in self.queues:
                queue.cancel()

    async def _queue(self) -> None:
        """A new person comes whenever the one before has a link."""
        while not self._closing.is_set():
            buyer = self.shop.buyer(next(self.user_ids))
            await self._buy(buyer)
            self.served.append(buyer)

    async def _buy(self, buyer: Person) -> None:
        """From /start to the link."""
        invoice = await self.shop.invoice(buyer)

        async def charged() -> bool:
            outcome = await buyer.pay(invoice)
            assert isinstance(outcome, Paid | Refused)
            return isinstance(outcome, Paid)

        # Who is told to try again does; what may be refused meanwhile is a payment, not a purchase.
        await until(charged, patience_s=REFUSED_FOR_S)
        await self.shop.link(buyer)

    async def wait_for_more(self) -> None:
        """Until somebody has bought since."""
        before = len(self.served)

        async def more() -> bool:
            for queue in self.queues:
                assert not queue.done(), queue.exception()
            return len(self.served) > before

        await until(more)


async def kill(control: Control, name: str) -> None:
    """End an actor in the middle of whatever it does, and wait for its next life."""
    before = (await control.tree_at_last())[name]
    with suppress(OSError, aiohttp.ClientError):  # it may be who serves the socket
        await control.post("/actor", name=name, action="restart", at_once=True, reason=REASON)

    async def lives_again() -> bool:
        found = (await control.tree_at_last()).get(name)
        return (
            found is not None
            and found["incarnation"] > before["incarnation"]
            and found["state"] == "running"
        )

    await until(lives_again)


def by_kind(tree: dict[str, dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Actors, then supervisors from the smallest to the largest; not the top."""
    supervisors = [name for name, view in tree.items() if view["strategy"] is not None]
    actors = [name for name in tree if name not in supervisors]
    return actors, [name for name in reversed(supervisors) if name != "root"]


async def running_on_the_node(shop: Shop) -> set[UUID]:
    """Everybody whom the node lets in."""
    found: set[UUID] = set()
    after = None
    while True:
        page = await shop.world.node.list_users(after=after)
        found.update(user.uuid for user in page.users)
        if page.next is None:
            return found
        after = page.next


async def assert_bought_once(shop: Shop, buyer: Person, running: set[UUID]) -> None:
    """One payment, one credit, one credential, one link, and the node lets it in."""
    (bought,) = await shop.rows(BOUGHT, buyer.id)
    assert tuple(bought) == ("active", 1, 1, 1, 1), (buyer.id, tuple(bought))
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]
    (uuid,) = await shop.credentials(buyer.id)
    assert uuid in running
    links = {message.link for message in buyer.messages if message.link is not None}
    assert len(links) == 1
    assert str(uuid) in links.pop()


async def assert_recorded(shop: Shop, names: set[str]) -> None:
    """What became of each, and who wanted it and why."""

    async def journalled() -> bool:
        return names <= {row["actor"] for row in await shop.rows(KILLED)}

    await until(journalled)
    orders = await shop.rows(ORDERED, REASON)
    assert names <= {row["target"] for row in orders}
    assert {(row["actor"], row["at_once"]) for row in orders} == {(f"os:{getuser()}", "true")}


async def kill_everybody(shop: Shop, control: Control) -> set[str]:
    """Each actor, then each supervisor with all below it, but for the top: their names."""
    actors, supervisors = by_kind(await control.tree())
    assert [name for name in actors if name.startswith("user/")]
    assert len([name for name in supervisors if name.startswith("users/")]) == 16
    for name in (*actors, *supervisors):
        await kill(control, name)
    await assert_recorded(shop, {*actors, *supervisors})
    return {*actors, *supervisors}


async def kill_the_program(shop: Shop, control: Control) -> None:
    """The whole tree at once; the demo starts another one."""
    supervisors = by_kind(await control.tree())[1]
    watched = asyncio.create_task(shop.programs.backend.keep_alive())
    first_life = shop.programs.backend.pid
    await shop.kill(shop.programs.backend)

    async def stands_again() -> bool:
        if shop.programs.backend.pid == first_life:
            return False
        return by_kind(await control.tree_at_last())[1] == supervisors

    try:
        await until(stands_again)
    finally:
        watched.cancel()


async def assert_invariants_hold(shop: Shop) -> None:
    """What is always true of the database."""
    settings = load_settings(shop.programs.files.backend_file)
    cipher = LinkCipher(master_keys(settings.security.keys, settings.data_dir))
    connection = await asyncpg.connect(shop.database_url)
    try:
        await assert_invariants(connection, cipher, working=True)
    finally:
        await connection.close()


async def test_every_actor_dies_while_people_buy(
    shop: Shop, user_ids: Iterator[int], data_dir: Path
) -> None:
    """Each by name, the program itself at the end; nothing is lost and nothing is done twice."""
    control = Control(data_dir)
    shoppers = Shoppers(shop, user_ids)

    async with shoppers.queueing(SHOPPERS):
        await shoppers.wait_for_more()
        killed = await kill_everybody(shop, control)
        await shoppers.wait_for_more()
        await kill_the_program(shop, control)
        await shoppers.wait_for_more()

    assert len(killed) > 30
    assert len(shoppers.served) > SHOPPERS
    running = await running_on_the_node(shop)
    for buyer in shoppers.served:
        await assert_bought_once(shop, buyer, running)
    for buyer in (shoppers.served[0], shoppers.served[-1]):
        assert (await shop.world.probe(await shop.link(buyer))).ok
    await assert_invariants_hold(shop)
