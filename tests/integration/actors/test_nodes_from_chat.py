"""The story of a woken owner with a real comparison: the alert's command, a look, the way out."""

from collections.abc import AsyncIterator

import pytest
from aiogram import Bot
from aiogram.client.default import DefaultBotProperties
from aiogram.enums import ParseMode
from aiogram.methods import EditMessageText, SendMessage
from pydantic import SecretStr

from bot.dispatcher import build_dispatcher
from bot.gateways.payload import PayloadSigner
from bot.texts import Texts
from config.keys import MasterKeys
from config.plans import Plans
from storage.database import Database
from storage.links import LinkCipher
from storage.node_phases import ReconcilePhases
from storage.operations import OperatorRecords
from supervisors.operators.nodes import NodeOperations
from tests.integration.actors.test_reconciling import GUARD, add_stale, served
from tests.integration.actors.world import World, running
from tests.integration.database_fixtures import Rows
from tests.integration.shop import NODE
from tests.unit.bot import conftest as chat
from tests.unit.bot.test_operators import WHO, pressed, said, wish
from tests.unit.bot.test_owners_nodes import answered, buttons, edited


class Operations(chat.FakeOperations):
    """Real nodes; of the rest nothing is asked here."""

    real: NodeOperations

    @property
    def nodes(self) -> NodeOperations:
        """The real ones."""
        return self.real


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[World]:
    async with running(database, rows, cipher, reconciling=True) as made:
        yield made


@pytest.fixture
def owner(world: World) -> chat.World:
    operations = Operations()
    operations.real = NodeOperations(
        directory=world.directory,
        phases=ReconcilePhases(world.database),
        records=OperatorRecords(world.database),
        healths={NODE: world.health},
        clock=world.clock,
    )
    telegram, users, queries = chat.FakeTelegram(), chat.FakeUsers(), chat.FakeQueries()
    default = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    signer = PayloadSigner(MasterKeys([SecretStr("a master secret for tests, long enough")]))
    dispatcher = build_dispatcher(
        users=users,
        queries=queries,
        plans=Plans(plans=(chat.month(),)),
        nodes=lambda: chat.NODES_NOW,
        texts=Texts(),
        signer=signer,
        gateways={},
        admins=(chat.OWNER,),
        operations=operations,
    )
    bot = Bot(chat.TOKEN, session=telegram, default=default)
    return chat.World(telegram, bot, users, queries, signer, dispatcher, operations)


async def test_an_owner_who_is_woken_by_a_frozen_node_looks_and_ends_it(
    world: World, owner: chat.World
) -> None:
    mine = await served(world)
    add_stale(world, GUARD + 1)
    await owner.operations.nodes.reconcile(NODE, dry_run=False)

    await owner.feed(wish(f"/nodes {NODE}"))
    page = said(owner)
    assert f"{GUARD + 1} of its" in page
    assert f"/nodes confirm {NODE} {GUARD + 1} reason" in page

    compare = buttons(owner.telegram.called(SendMessage)[0])[0]
    owner.telegram.calls.clear()
    await owner.feed(pressed(compare))
    assert f"without a right {GUARD + 1}." in said(owner)

    owner.telegram.calls.clear()
    await owner.feed(wish(f"/nodes confirm {NODE} {GUARD + 1} looked at the list"))
    assert len(world.node.running) == len(mine) + GUARD + 1
    yes = buttons(owner.telegram.called(SendMessage)[0])[0]
    await owner.feed(answered(yes, "looked at the list"))

    assert f"that were removed: {GUARD + 1}" in edited(owner)
    assert world.node.running == set(mine)
    acts = await world.rows.fetch("SELECT actor, action, target, reason FROM admin_actions")
    assert (WHO, "node_confirm", NODE, "looked at the list") in [tuple(row) for row in acts]

    owner.telegram.calls.clear()
    await owner.feed(answered(yes, "looked at the list"))  # a second finger
    assert "is not frozen" in said(owner)
    assert not owner.telegram.called(EditMessageText)
