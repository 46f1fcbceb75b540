"""People leave a node that is drained or lost, and new ones go where there is room."""

import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog

from actors.expiry.actor import EXPIRY
from actors.notifier.ports import LinkReady
from actors.placement.actor import PLACEMENT, PlacementActor
from actors.placement.board import PlaceBoard
from actors.provisioner.actor import ProvisionerActor
from actors.provisioner.breaker import Hold
from actors.provisioner.health import NodeHealth
from actors.user.actor import UserActor
from actors.user.decisions.catalogue import Catalogue
from actors.user.messages import OpenPurchase, SalesPaused, ShowLink
from bot.ports import OperationRefused
from storage.database import Database, refuse_in_transaction
from storage.links import LinkCipher
from storage.node_phases import NodePhases, PlacementPhases, ReconcilePhases
from storage.operations import OperatorRecords
from storage.phases import UserPhases, announce_nodes
from storage.rows import NodeState
from supervisors.engine.snapshot import find
from supervisors.operators.nodes import NodeOperations
from tests.integration.actors.providers import FakeGateway
from tests.integration.actors.world import (
    LIMITS,
    OWNERS,
    PLAIN_LOG,
    PLANS,
    TERMS,
    FakeCourier,
    World,
)
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import MONTH_S, NODE, pass_time
from tests.invariants import assert_invariants
from tests.patience import patient_health
from xray_api.client.fake import FakeNodeClient

OTHER = "node-2"
WHO = "os:me"


@dataclass
class TwoNodes(World):
    """A back-end of two nodes, which looks after where people are."""

    other: FakeNodeClient = field(
        default_factory=lambda: FakeNodeClient(guard=refuse_in_transaction)
    )
    other_health: NodeHealth = field(default_factory=patient_health)
    capacities: dict[str, int | None] = field(default_factory=lambda: {NODE: None, OTHER: None})

    def _parts(self, source: random.Random) -> dict[str, Any]:
        board = PlaceBoard(self.capacities, self.healths(), lambda: 900.0, self.clock.now)
        catalogue = Catalogue(plans=PLANS, nodes=(NODE, OTHER), terms=TERMS, owners=OWNERS)
        usual = super()._parts(source)
        second = lambda: ProvisionerActor(  # noqa: E731 - as the first one's
            OTHER,
            self.other,
            NodePhases(self.database, self.cipher),
            lambda: LIMITS,
            self.other_health,
            self.directory,
            source,
            OWNERS,
        )
        return usual | {
            "provisioners": {**usual["provisioners"], OTHER: second},
            "placement": lambda: PlacementActor(
                board, PlacementPhases(self.database), self.directory
            ),
            "user": lambda user_id: UserActor(
                user_id,
                UserPhases(self.database, self.cipher),
                catalogue,
                self.directory,
                board.places,
                board.placing,
            ),
        }

    def healths(self) -> Mapping[str, NodeHealth]:
        """Of both."""
        return {NODE: self.health, OTHER: self.other_health}

    def operations(self) -> NodeOperations:
        """What operators can do."""
        return NodeOperations(
            directory=self.directory,
            phases=ReconcilePhases(self.database),
            records=OperatorRecords(self.database),
            healths=self.healths(),
            clock=self.clock,
            capacities=self.capacities,
        )

    async def check(self, *, healed: bool = True) -> None:
        """Database and both nodes agree; what a lost one has is not asked for."""
        await assert_invariants(self.rows, self.cipher, healed=False)
        assert healed
        for node_id, node in ((NODE, self.node), (OTHER, self.other)):
            wanted = await self.rows.fetch(
                "SELECT uuid FROM credentials WHERE desired = 'present' AND node_id = $1", node_id
            )
            assert {uuid for (uuid,) in wanted} == node.running, node_id

    async def looked_around(self, times: int = 2) -> None:
        """Until the board says what the database says; time for a new count has passed."""
        self.clock.ahead_s += 20.0
        found = find(self.root, PLACEMENT)
        assert found is not None
        handled = found[1].mailbox.statistics
        wanted = handled.handled + times

        async def enough() -> bool:
            self.directory.find(PLACEMENT).wake()
            return handled.handled >= wanted

        await eventually(enough)

    async def where(self, user_id: int) -> list[tuple[str, str]]:
        """Node and wish of a user's keys, oldest first."""
        found = await self.rows.fetch(
            "SELECT c.node_id, c.desired FROM credentials c JOIN subscriptions s "
            "ON s.id = c.subscription_id WHERE s.user_id = $1 ORDER BY c.created_at",
            user_id,
        )
        return [tuple(row) for row in found]

    async def moved(self, users: int) -> None:
        """Until so many users have left the first node, and nothing is left to do."""

        async def gone() -> bool:
            left = await self.rows.fetchval(
                "SELECT count(*) FROM credentials WHERE node_id = $1 AND desired = 'absent'", NODE
            )
            return bool(left == users)

        await self.until(gone)
        await self.until(self._settled)


@asynccontextmanager
async def two_nodes(
    database: Database, rows: Rows, cipher: LinkCipher, **changes: Any
) -> AsyncIterator[TwoNodes]:
    structlog.configure(processors=PLAIN_LOG)
    await announce_nodes(database, [NODE, OTHER])
    gateways = {name: FakeGateway(terms) for name, terms in TERMS.items()}
    node = FakeNodeClient(guard=refuse_in_transaction)
    world = TwoNodes(database, rows, cipher, node, FakeCourier(), gateways, {}, **changes)
    await world.begin()
    await world.looked_around()
    try:
        yield world
    finally:
        await world.end()
        structlog.reset_defaults()


@pytest.fixture
async def world(database: Database, rows: Rows, cipher: LinkCipher) -> AsyncIterator[TwoNodes]:
    async with two_nodes(database, rows, cipher) as made:
        yield made


async def on_the_first(world: TwoNodes, users: int) -> None:
    """People with access on the first node."""
    world.capacities[OTHER] = 0  # there is room for nobody
    for user_id in range(1, users + 1):
        await world.buy(user_id)
    await world.until(world._settled)
    assert len(world.node.running) == users
    world.capacities[OTHER] = None


async def test_who_is_on_a_drained_node_gets_a_new_link_and_loses_no_moment(
    world: TwoNodes,
) -> None:
    await on_the_first(world, 3)
    before = await world.ask(1, ShowLink(operation_id="before"))
    expires = await world.rows.fetch("SELECT user_id, expires_at FROM subscriptions ORDER BY 1")
    world.other.hold_calls()

    moving = await world.operations().drain(NODE, WHO, "the machine is old")

    assert moving == 3

    async def asked_for() -> bool:
        return any(call.kind == "put" for call in world.other.calls)

    await eventually(asked_for)
    assert len(world.node.running) == 3, "the old key works until the new one does"
    world.other.release_calls()
    await world.moved(3)
    await world.check()
    assert await world.where(1) == [(NODE, "absent"), (OTHER, "present")]
    assert world.node.running == set()
    assert len(world.courier.links(1)) == 2, "everybody is told the new link"
    assert await world.ask(1, ShowLink(operation_id="after")) != before
    assert expires == await world.rows.fetch(
        "SELECT user_id, expires_at FROM subscriptions ORDER BY 1"
    )


def told_of_moves(world: TwoNodes, user_id: int) -> list[bool]:
    """Of each link that a person got, whether it was told as one that takes another's place."""
    return [
        notice.moved
        for notice in world.courier.carried
        if isinstance(notice, LinkReady) and notice.chat_id == user_id
    ]


async def test_who_lapses_after_a_move_is_not_told_that_the_same_link_is_a_new_one(
    world: TwoNodes,
) -> None:
    await on_the_first(world, 1)
    await world.operations().drain(NODE, WHO, "")
    await world.moved(1)
    await pass_time(world.rows, MONTH_S + 60)

    async def over() -> bool:
        world.directory.find(EXPIRY).wake()
        return not world.other.running

    await world.until(over)
    await world.buy(1)
    await world.until(world._settled)

    links = world.courier.links(1)
    assert len(links) == 3
    assert links[1] == links[2]
    assert told_of_moves(world, 1) == [False, True, False]


async def test_who_had_no_link_yet_is_not_told_of_a_move(world: TwoNodes) -> None:
    world.node.hold_calls()
    world.capacities[OTHER] = 0
    await world.looked_around()
    await world.buy(1)
    world.capacities[OTHER] = None

    await world.operations().drain(NODE, WHO, "")

    async def here() -> bool:
        return len(world.courier.links(1)) == 1

    await world.until(here)
    world.node.release_calls()
    await world.until(world._settled)
    assert told_of_moves(world, 1) == [False]


async def test_nobody_new_comes_to_a_drained_node_until_it_is_active_again(
    world: TwoNodes,
) -> None:
    await world.operations().drain(NODE, WHO, "")
    await world.looked_around()

    await world.buy(1)
    await world.settle()
    await world.operations().activate(NODE, WHO, "")
    await world.looked_around()
    await world.buy(2)
    await world.settle()

    assert await world.where(1) == [(OTHER, "present")]
    assert await world.where(2) == [(NODE, "present")], "it is the emptier one"


async def test_who_is_on_a_lost_node_gets_a_new_link_and_is_removed_should_it_return(
    world: TwoNodes,
) -> None:
    await on_the_first(world, 2)
    world.node.stop_xray()

    await world.operations().lose(NODE, WHO, "it burned")

    async def all_elsewhere() -> bool:
        return len(world.other.running) == 2 and len(world.courier.links(1)) == 2

    await eventually(all_elsewhere)
    world.node.start_xray()
    await world.moved(2)
    await world.check()
    assert world.node.running == set()


async def test_who_pays_while_the_node_is_lost_gets_access_elsewhere(world: TwoNodes) -> None:
    purchase_id = await world.order(1)
    node_id = await world.rows.fetchval("SELECT node_id FROM purchases")
    assert node_id == NODE
    await world.operations().lose(NODE, WHO, "")
    await world.looked_around()

    await world.pay(1, purchase_id)
    await world.settle()

    assert await world.where(1) == [(OTHER, "present")]


async def test_nobody_is_moved_where_no_other_node_can_take_them(world: TwoNodes) -> None:
    await on_the_first(world, 1)
    world.other_health.breaker.order(Hold.ISOLATED, None, world.clock.now())

    await world.operations().drain(NODE, WHO, "")
    await world.looked_around(times=5)

    assert await world.where(1) == [(NODE, "present")]
    assert world.actor(PLACEMENT).describe()["nowhere_to_go"] == [NODE]
    world.other_health.breaker.release(world.clock.now())

    async def answers() -> bool:
        return world.other_health.takes_changes(world.clock.now())

    await eventually(answers)
    for _ in range(4):  # for a minute nobody is asked again
        await world.looked_around()
    await world.moved(1)
    await world.check()


async def test_no_more_are_moved_at_once_than_there_is_room_for(world: TwoNodes) -> None:
    await on_the_first(world, 12)
    world.capacities[OTHER] = 5
    await world.looked_around()

    await world.operations().drain(NODE, WHO, "")

    async def full() -> bool:
        stuck = world.actor(PLACEMENT).describe()["nowhere_to_go"] == [NODE]
        return stuck and len(world.other.running) >= 5

    await world.until(full)
    await world.looked_around()
    await world.until(world._settled)
    assert len(world.other.running) == 5
    assert len(world.node.running) == 7, "the rest keep what they have"


async def test_a_full_node_is_sold_to_nobody_new_and_who_is_there_extends(
    database: Database, rows: Rows, cipher: LinkCipher
) -> None:
    async with two_nodes(database, rows, cipher, capacities={NODE: 1, OTHER: 1}) as world:
        await world.buy(1)
        await world.looked_around()
        await world.buy(2)
        await world.settle()
        await world.looked_around()
        assert {*await world.where(1), *await world.where(2)} == {
            (NODE, "present"),
            (OTHER, "present"),
        }

        tap = OpenPurchase(
            operation_id="tap", plan_id="month", language="en", chat_id=3, provider="stars"
        )

        assert await world.ask(3, tap) == SalesPaused()
        await world.buy(2)
        await world.settle()


async def test_a_node_is_removed_only_when_nobody_is_left_there(world: TwoNodes) -> None:
    await on_the_first(world, 1)
    operations = world.operations()

    with pytest.raises(OperationRefused, match="still has 1 users"):
        await operations.remove(NODE, WHO, "")
    await operations.drain(NODE, WHO, "")
    await world.moved(1)
    await operations.remove(NODE, WHO, "done")

    shown = {view.id: view for view in await operations.nodes()}
    assert shown[NODE].state == "removed"
    assert shown[OTHER].users == 1
    with pytest.raises(OperationRefused, match="removed already"):
        await operations.remove(NODE, WHO, "")


async def test_who_was_put_on_a_node_at_the_moment_of_its_removal_is_moved(
    world: TwoNodes,
) -> None:
    """Nothing is added to a removed node: they would have paid for nothing, for ever."""
    await on_the_first(world, 1)
    await world.rows.execute("UPDATE nodes SET state = 'removed' WHERE id = $1", NODE)

    await world.looked_around()

    await world.moved(1)
    await world.check()
    assert await world.where(1) == [(NODE, "absent"), (OTHER, "present")]


async def test_a_drained_node_that_was_frozen_meanwhile_is_drained_on(world: TwoNodes) -> None:
    phases = ReconcilePhases(world.database)
    await world.operations().drain(NODE, WHO, "")
    await phases.freeze(NODE, "a sign", OWNERS)

    assert await phases.unfreeze(NODE, WHO, "looked") is NodeState.DRAINING


async def test_what_operators_do_with_nodes_is_recorded(world: TwoNodes) -> None:
    operations = world.operations()
    await operations.drain(NODE, WHO, "old")
    await operations.remove(NODE, WHO, "gone")
    await operations.activate(NODE, WHO, "back")

    found = await world.rows.fetch("SELECT action, target, reason FROM admin_actions ORDER BY id")

    assert [tuple(row) for row in found] == [
        ("node_draining", NODE, "old"),
        ("node_removed", NODE, "gone"),
        ("node_active", NODE, "back"),
    ]


async def test_an_unknown_node_is_named_with_those_there_are(world: TwoNodes) -> None:
    with pytest.raises(OperationRefused, match="no node mars is in the settings"):
        await world.operations().drain("mars", WHO, "")
