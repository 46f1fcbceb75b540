"""A node that is away is left alone, its people are told, and nobody waits when it is back."""

import random
from uuid import UUID

import pytest

from actors.notifier.ports import Progress
from actors.provisioner.actor import PROVISIONER
from actors.provisioner.breaker import BreakerLimits, BreakerState
from actors.provisioner.budget import BudgetLimits, RetryBudget
from actors.provisioner.health import NodeHealth
from actors.user.messages import Standing
from storage.node_phases import NodePhases
from supervisors.engine.snapshot import find
from tests.integration.actors.world import OWNERS, Gate, World
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, NODE, pass_time
from xray_api.client.errors import (
    NodeRejected,
    NodeUnauthorized,
    OutcomeUnknown,
    StaleGeneration,
)
from xray_api.contract import BatchReply, Operation, OperationResult

#: So long that it does not end within a test.
LONG_S = 3_600.0
CALLERS = 100


@pytest.fixture
def limits() -> BreakerLimits:
    return BreakerLimits(
        open_s=LONG_S,
        open_cap_s=LONG_S,
        probe_interval_s=0.01,
        probe_patience_s=LONG_S,
        ramp_successes=1,
    )


@pytest.fixture
def judged(world: World, limits: BreakerLimits) -> NodeHealth:
    """The node's actor judges by these limits."""
    actor = world.provisioner()
    health = NodeHealth.new(lambda: limits, lambda: 0.5)
    world.health = actor.health = health  # type: ignore[attr-defined]  # a ProvisionerActor
    return health


def state(world: World, health: NodeHealth) -> BreakerState:
    found = health.state(world.clock.now())
    assert isinstance(found, BreakerState)
    return found


async def opened(world: World, health: NodeHealth) -> None:
    """Until the node is left alone; what waits is tried at once until then."""

    async def is_open() -> bool:
        return state(world, health) is BreakerState.OPEN

    await world.until(is_open)

    async def nothing_in_hand() -> bool:
        return bool(world.provisioner().describe()["wishes_in_hand"] == 0)

    await eventually(nothing_in_hand)


def time_passes(world: World) -> None:
    """The next probe is due."""
    world.clock.ahead_s += 2 * LONG_S


async def test_a_node_that_is_away_is_left_alone_and_those_who_buy_then_are_told(
    world: World, judged: NodeHealth
) -> None:
    await world.meet_node()
    world.node.stop_xray()
    await world.buy(1)
    await opened(world, judged)
    calls = len(world.changes())
    await world.rows.execute("UPDATE credentials SET next_at = now() - interval '1 s'")
    waits = await world.rows.fetch("SELECT uuid, next_at, attempts FROM credentials")

    await world.buy(2)

    async def told() -> bool:
        return Progress.DELAYED in world.courier.progress(2)

    await eventually(told)
    await world.looked(f"provisioner/{NODE}")
    assert len(world.changes()) == calls, "no change is sent"
    assert (
        await world.rows.fetch(
            "SELECT uuid, next_at, attempts FROM credentials ORDER BY created_at LIMIT 1"
        )
        == waits
    ), "and no wait is touched"


async def test_when_it_is_back_nobody_waits_for_a_timer_or_a_budget_of_before(
    world: World, judged: NodeHealth
) -> None:
    await world.meet_node()
    world.node.stop_xray()
    for user_id in range(1, 6):
        await world.buy(user_id)
    await opened(world, judged)
    await world.rows.execute(
        "UPDATE credentials SET next_at = now() + interval '1 h', attempts = attempts + 1"
    )
    judged.budget = RetryBudget(BudgetLimits(earned=0.0, cap=0.0, floor_per_s=1e-9))
    calls = len(world.node.calls)

    world.node.start_xray()
    time_passes(world)

    async def all_in() -> bool:
        return len(world.node.running) == 5

    await eventually(all_in)  # in no hurry of the test's
    kinds = [call.kind for call in world.node.calls[calls:]]
    before_the_first = kinds[: kinds.index("put")]
    assert len(before_the_first) >= 2, "two probes"
    assert set(before_the_first) == {"ready"}, "and nothing of a user's"
    assert state(world, judged) is BreakerState.CLOSED
    await world.settle()


async def test_one_of_a_hundred_who_want_to_call_is_let_through_and_it_is_a_probe(
    world: World, judged: NodeHealth
) -> None:
    await world.meet_node()
    world.node.stop_xray()
    await world.buy(1)
    await opened(world, judged)
    for user_id in range(2, CALLERS + 2):
        await world.buy(user_id)
    world.node.start_xray()
    world.node.hold_calls()
    world.node.calls.clear()

    time_passes(world)
    await woken(world, CALLERS)

    async def probed() -> bool:
        return bool(world.node.calls)

    await eventually(probed)
    await woken(world, CALLERS)
    assert state(world, judged) is BreakerState.HALF_OPEN
    assert [call.kind for call in world.node.calls] == ["ready"]

    world.node.release_calls()

    async def all_in() -> bool:
        return len(world.node.running) == CALLERS + 1

    await eventually(all_in)
    await world.settle()


async def woken(world: World, wakes: int) -> None:
    """The node's actor is woken so often, and has looked each time whether it may call."""
    child = find(world.root, f"{PROVISIONER}/{NODE}")
    assert child is not None
    statistics = child[1].mailbox.statistics
    wanted = statistics.handled + wakes
    for _ in range(wakes):
        world.directory.find(PROVISIONER, NODE).wake()

    async def enough() -> bool:
        return statistics.handled >= wanted

    await eventually(enough)


async def test_an_outage_of_a_minute_costs_a_tenth_more_requests_and_ten_at_most(
    world: World,
) -> None:
    actor, source = world.provisioner(), random.Random(7)  # noqa: S311 - the same in every run
    health = NodeHealth.new(BreakerLimits, source.random)
    world.health = actor.health = health  # type: ignore[attr-defined]  # a ProvisionerActor
    await world.meet_node()
    await world.buy(1)
    await world.settle()
    world.node.stop_xray()

    for second in range(60):
        await world.buy(2 + second)
        await woken(world, 3)
        world.clock.ahead_s += 1
        await pass_time(world.rows, 1)
    world.node.start_xray()

    async def all_in() -> bool:
        world.clock.ahead_s += 1
        return len(world.node.running) == 61

    await eventually(all_in)
    changes = [c for c in world.node.calls if c.kind in {"put", "remove", "batch"}]
    wanted = await world.rows.fetchval("SELECT count(*) FROM credentials")
    assert wanted == 61
    assert len(changes) <= 1.1 * wanted + 10


async def test_a_node_that_is_not_ready_stays_alone(world: World, judged: NodeHealth) -> None:
    await world.meet_node()
    world.node.stop_xray()
    await world.buy(1)
    await opened(world, judged)
    calls, changes = len(world.node.calls), len(world.changes())

    time_passes(world)

    async def probed() -> bool:
        return len(world.node.calls) > calls and state(world, judged) is BreakerState.OPEN

    await eventually(probed)
    await world.looked(f"provisioner/{NODE}")
    assert [call.kind for call in world.node.calls[calls:]] == ["ready"]
    assert len(world.changes()) == changes


async def test_what_is_known_of_a_node_outlives_its_actor(world: World, judged: NodeHealth) -> None:
    await world.meet_node()
    world.node.stop_xray()
    await world.buy(1)
    await opened(world, judged)
    before, changes = world.provisioner(), len(world.changes())

    before.kill(RuntimeError("a bug"))

    await world.succeeded(f"provisioner/{NODE}", before)
    await world.looked(f"provisioner/{NODE}")
    assert state(world, judged) is BreakerState.OPEN
    assert len(world.changes()) == changes


async def test_without_a_key_that_it_takes_the_node_is_not_called(world: World) -> None:
    await world.meet_node()
    world.node.fail_next(NodeUnauthorized("status 401"), visits=False)
    await world.buy(1)

    async def held() -> bool:
        return world.health.auth_hold_until is not None

    await eventually(held)
    await world.buy(2)
    await world.hurry()
    await world.looked(f"provisioner/{NODE}")
    assert len(world.changes()) == 1

    world.clock.ahead_s += 61

    async def all_in() -> bool:
        return len(world.node.running) == 2

    await eventually(all_in)
    assert world.health.auth_hold_until is None
    await world.settle()


async def test_a_node_that_knows_more_is_frozen_and_owners_are_told(world: World) -> None:
    await world.buy(1)
    await world.settle()
    await world.meet_node()
    world.node.fail_next(StaleGeneration(9), visits=False)
    await world.buy(BUYER)

    async def frozen() -> bool:
        return bool(
            await world.rows.fetchval("SELECT state = 'frozen' FROM nodes WHERE id = $1", NODE)
        )

    await eventually(frozen)
    removals = [call for call in world.changes() if call.kind == "remove"]
    await world.standing(1, Standing.REVOKED)
    await world.buy(3)

    async def let_in() -> bool:
        return len(world.courier.links(3)) == 1

    await world.until(let_in)
    assert [call for call in world.changes() if call.kind == "remove"] == removals
    alerts = "SELECT count(*) FROM outbox WHERE payload->>'text_id' = 'alert-node-frozen'"
    assert await world.rows.fetchval(alerts) == len(OWNERS)

    await world.rows.execute("UPDATE nodes SET state = 'active'")
    await world.settle()


async def raised(world: World, users: int) -> list[UUID]:
    """So many people are to be let in again, all at once."""
    for user_id in range(1, users + 1):
        await world.buy(user_id)
    await world.settle()
    world.node.running.clear()
    world.node.wishes.clear()
    world.node.calls.clear()
    found = await world.rows.fetch("UPDATE credentials SET gen = gen + 1 RETURNING uuid")
    return [uuid for (uuid,) in found]


async def test_many_wishes_go_together(world: World) -> None:
    uuids = await raised(world, 60)
    await world.settle()

    assert world.node.running == set(uuids)
    assert "batch" in {call.kind for call in world.node.calls}
    assert len(world.changes()) < 60


async def test_one_wrong_wish_among_many_is_set_aside_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = await raised(world, 60)
    wrong = uuids[7]
    put, batch = world.node.put, world.node.batch

    async def refusing_put(uuid: UUID, *args: object, **options: object) -> object:
        if uuid == wrong:
            raise NodeRejected(422, "uuid")
        return await put(uuid, *args, **options)  # type: ignore[arg-type]

    async def refusing_batch(epoch: UUID, operations: list[Operation], **options: object) -> object:
        if any(operation.uuid == wrong for operation in operations):
            raise NodeRejected(422, "operations.7.uuid")
        return await batch(epoch, operations, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(world.node, "put", refusing_put)
    monkeypatch.setattr(world.node, "batch", refusing_batch)
    await world.until(lambda: _in(world, set(uuids) - {wrong}))

    aside = await world.rows.fetch("SELECT uuid FROM credentials WHERE quarantined_at IS NOT NULL")
    assert [uuid for (uuid,) in aside] == [wrong]
    assert state(world, world.health) is BreakerState.CLOSED


async def test_a_batch_of_which_nothing_was_done_is_a_failure_and_earns_no_repeats(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Xray went away while the node service had the batch in hand."""
    health, batch = strict(world), world.node.batch

    async def failing(epoch: UUID, operations: list[Operation], **options: object) -> BatchReply:
        if operations[0].gen == 1:
            return await batch(epoch, operations, **options)  # type: ignore[arg-type]
        while health.budget.kept >= 1:
            health.budget.spend(0.0)
        results = tuple(
            OperationResult(uuid=one.uuid, gen=one.gen, status="failed", detail="Xray is away")
            for one in operations
        )
        return BatchReply(epoch=epoch, results=results)

    monkeypatch.setattr(world.node, "batch", failing)
    await raised(world, 60)

    async def opened() -> bool:
        return state(world, health) is BreakerState.OPEN

    await world.until(opened)
    assert health.budget.kept < 1


async def test_a_breaker_hears_of_a_failed_batch_before_its_many_rows_are_put_off(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    health, batch = strict(world), world.node.batch

    async def cut(epoch: UUID, operations: list[Operation], **options: object) -> BatchReply:
        if operations[0].gen == 1:
            return await batch(epoch, operations, **options)  # type: ignore[arg-type]
        raise OutcomeUnknown("cut")

    monkeypatch.setattr(world.node, "batch", cut)
    gate = Gate(world.provisioner(), "postpone")
    await raised(world, 60)
    await gate.reached.wait()

    assert state(world, health) is BreakerState.OPEN
    gate.open()


def strict(world: World) -> NodeHealth:
    """The node is away at its first failure, and for long."""
    health = NodeHealth.new(lambda: BreakerLimits(failures_in_row=1, open_s=LONG_S), lambda: 0.5)
    world.health = world.provisioner().health = health  # type: ignore[attr-defined]  # as above
    return health


async def _in(world: World, wanted: set[UUID]) -> bool:
    return world.node.running == wanted


async def test_the_number_of_a_batch_is_acknowledged(world: World) -> None:
    await raised(world, 40)
    await world.settle()
    marks = [call.writer for call in world.node.calls if call.writer]

    known = await NodePhases(world.database, world.cipher).node(NODE)
    assert known is not None
    assert known.writer_seq == max(mark.seq for mark in marks)
