"""Whatever is killed or cut, and whenever: nothing is lost, nothing happens twice."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from actors.notifier.ports import Progress
from actors.runtime.replies import ActorFailed, Unavailable
from actors.user.messages import (
    CreditPayment,
    CreditPaymentOutcome,
    PaymentAlreadyRecorded,
    PaymentCredited,
)
from storage.database import Database
from storage.errors import CallInTransaction, StorageUnavailable
from storage.links import LinkCipher
from storage.node_phases import NodePhases
from tests.integration.actors.world import World, charge, running
from tests.integration.database_fixtures import Rows
from tests.integration.node_fixtures import eventually
from tests.integration.shop import BUYER, MONTH_S
from tests.invariants import assert_invariants


async def pushed_until_taken(world: World, push: CreditPayment) -> CreditPaymentOutcome:
    """What the inbox does: the same message again, until there is an answer."""
    while True:
        try:
            return await world.ask(payer(push), push)
        except (Unavailable, ActorFailed):
            continue


def payer(push: CreditPayment) -> int:
    return push.chat_id


async def assert_one_purchase(world: World, user_id: int = BUYER) -> None:
    """One month, one credential, one link; a progress may be told twice."""
    await world.settle()
    assert len(world.node.running) == 1
    assert {call.uuid for call in world.puts()} == world.node.running
    assert set(world.courier.links(user_id)) == {world.node.link(*world.node.running)}
    assert world.courier.progress(user_id)[-1] is Progress.READY
    left = await world.rows.fetchval(
        "SELECT extract(epoch FROM expires_at - now())::float FROM subscriptions"
    )
    assert MONTH_S - 300 < left <= MONTH_S


async def test_a_provisioner_killed_during_a_call_repeats_the_same_request(world: World) -> None:
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()

    world.provisioner().kill()
    world.node.release_calls()

    await assert_one_purchase(world)
    assert len({(call.uuid, call.gen) for call in world.puts()}) == 1


async def test_a_provisioner_killed_after_the_node_applied_repeats_the_same_request(
    world: World,
) -> None:
    await world.meet_node()
    world.node.drop_next_reply_after_applying()
    await world.buy(BUYER)

    async def applied() -> bool:
        return bool(world.node.running)

    await eventually(applied)
    world.provisioner().kill()

    await assert_one_purchase(world)
    assert len({(call.uuid, call.gen) for call in world.puts()}) == 1


async def test_what_a_dead_provisioner_had_in_hand_waits_for_no_timer(world: World) -> None:
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()
    await world.rows.execute("UPDATE credentials SET next_at = now() + interval '1 day'")

    world.provisioner().kill()
    world.node.release_calls()

    async def repeated() -> bool:  # nobody hurries it along
        return bool(await world.rows.fetchval("SELECT applied_gen = gen FROM credentials"))

    await eventually(repeated)


async def test_a_user_s_actor_killed_in_the_middle_of_a_payment_credits_it_once(
    world: World,
) -> None:
    purchase_id = await world.order(BUYER)
    push = charge(BUYER, purchase_id)
    killed = asyncio.create_task(world.ask(BUYER, push))

    async def recorded() -> bool:
        return bool(await world.rows.fetchval("SELECT count(*) FROM payments"))

    await eventually(recorded)
    world.user(BUYER).kill()
    await asyncio.wait([killed])

    await pushed_until_taken(world, push)
    await assert_one_purchase(world)
    assert await world.rows.fetchval("SELECT count(*) FROM payments") == 1


@pytest.mark.parametrize("step", ["introduce", "receive_payment", "load", "record_credit"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_payment_whose_actor_dies_at_any_step_is_credited_once(
    world: World, step: str, when: str
) -> None:
    """After: the commit happened and nobody heard of it. The next actor takes the message on."""
    purchase_id = await world.order(BUYER)
    phases: Any = world.user(BUYER).phases  # type: ignore[attr-defined]  # a UserActor
    real = getattr(phases, step)

    async def dies(*args: Any) -> Any:
        if when == "after":
            await real(*args)
        raise ZeroDivisionError

    setattr(phases, step, dies)
    push = charge(BUYER, purchase_id)
    first = world.user(BUYER)

    assert isinstance(await world.ask(BUYER, push), PaymentCredited | PaymentAlreadyRecorded)

    assert world.user(BUYER) is not first
    await assert_one_purchase(world)


@pytest.mark.parametrize("step", ["receive_payment", "record_credit"])
async def test_an_outage_at_any_step_of_a_payment_is_weather(world: World, step: str) -> None:
    """The asker is told to come back; the actor lives on, and no restart is counted."""
    purchase_id = await world.order(BUYER)
    actor = world.user(BUYER)
    phases: Any = actor.phases  # type: ignore[attr-defined]  # a UserActor
    real = getattr(phases, step)

    async def unknown(*args: Any) -> Any:
        await real(*args)
        setattr(phases, step, real)
        raise StorageUnavailable("the commit's answer was lost")

    setattr(phases, step, unknown)
    push = charge(BUYER, purchase_id)
    with pytest.raises(Unavailable):
        await world.ask(BUYER, push)

    await pushed_until_taken(world, push)
    assert world.user(BUYER) is actor
    await assert_one_purchase(world)


@pytest.mark.parametrize(
    "step", ["due", "begin", "database_id", "record_outcome", "learn_epoch", "resume", "hasten"]
)
async def test_an_outage_at_any_step_of_provisioning_heals_by_itself(
    database: Database, rows: Rows, cipher: LinkCipher, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step once without its answer: what was committed is not undone, and not doubled."""
    real, failed = getattr(NodePhases, step), asyncio.Event()

    async def unknown(self: NodePhases, *args: Any, **options: Any) -> Any:
        answer = await real(self, *args, **options)
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(NodePhases, step, unknown)
    async with running(database, rows, cipher) as world:
        provisioner = world.provisioner()
        await world.buy(BUYER)
        await assert_one_purchase(world)
        assert failed.is_set()
        assert world.provisioner() is provisioner, "weather restarts nobody"


async def test_what_could_not_be_confirmed_does_not_wait_for_as_long_as_a_call_may_take(
    database: Database, rows: Rows, cipher: LinkCipher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call may take a minute here, which is longer than this test waits."""
    real, failed = NodePhases.record_outcome, asyncio.Event()

    async def away(self: NodePhases, *args: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("away")
        return await real(self, *args)

    async def confirmed() -> bool:
        return bool(await rows.fetchval("SELECT count(*) FROM credentials WHERE applied_gen = gen"))

    monkeypatch.setattr(NodePhases, "record_outcome", away)
    async with running(database, rows, cipher) as world:
        await world.buy(BUYER)
        await failed.wait()
        await eventually(confirmed)

        assert len(world.puts()) == 2
        assert len({(call.uuid, call.gen) for call in world.puts()}) == 1, "the very same wish"


@pytest.mark.parametrize("step", ["generation", "postpone"])
async def test_an_outage_while_a_failure_is_recorded_heals_by_itself(
    database: Database, rows: Rows, cipher: LinkCipher, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    real = getattr(NodePhases, step)

    async def away(self: NodePhases, *args: Any) -> Any:
        if not failed.is_set():
            failed.set()
            raise StorageUnavailable("away")
        return await real(self, *args)

    monkeypatch.setattr(NodePhases, step, away)
    async with running(database, rows, cipher) as world:
        world.node.refuse_connections()
        await world.buy(BUYER)
        await asyncio.wait_for(failed.wait(), 60)
        world.node.accept_connections()
        await assert_one_purchase(world)


async def test_connections_cut_again_and_again_lose_nothing(world: World) -> None:
    """Cut at any moment: while a credit, a call, a confirmation or a message is under way."""
    buyers = range(1, 9)
    orders: dict[int, UUID] = {}
    for user_id in buyers:
        orders[user_id] = await world.order(user_id)
    pushes = [charge(user_id, orders[user_id]) for user_id in buyers]
    buying = [asyncio.create_task(pushed_until_taken(world, push)) for push in pushes]

    for _ in range(12):
        await world.cut_connections()
        await world.rows.fetchval("SELECT pg_sleep(0.01)")

    await asyncio.gather(*buying)
    await world.settle()
    assert len(world.node.running) == len(buyers)
    for user_id in buyers:
        assert len(set(world.courier.links(user_id))) == 1
    assert await world.rows.fetchval("SELECT count(*) FROM ledger") == 2 * len(buyers)


async def test_connections_cut_while_the_node_is_asked_lose_nothing(world: World) -> None:
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()
    await world.cut_connections()
    world.node.release_calls()

    await assert_one_purchase(world)


async def test_connections_cut_while_a_message_is_carried_lose_nothing(world: World) -> None:
    world.courier.hold()
    await world.buy(BUYER)

    async def carrying() -> bool:
        return bool(world.courier.under_way)

    await eventually(carrying)
    await world.cut_connections()
    world.courier.release()

    await assert_one_purchase(world)


async def test_no_node_and_nobody_is_called_while_a_connection_is_held(world: World) -> None:
    """The guards of the fakes are the guard of the database: a call inside would be refused."""
    async with world.database.transaction():
        with pytest.raises(CallInTransaction):
            await world.node.ready()
        with pytest.raises(CallInTransaction):
            await world.courier.carry(None)  # type: ignore[arg-type]  # refused before it is read

    await world.buy(BUYER)
    await assert_one_purchase(world)


async def test_no_transaction_is_open_while_the_node_is_asked(world: World) -> None:
    await world.meet_node()
    world.trust_node()
    world.node.hold_calls()
    for user_id in range(1, 9):
        await world.buy(user_id)

    async def all_asked() -> bool:
        return len(world.puts()) == 8

    await world.until(all_asked)

    async def none_open() -> bool:  # others come and go; one around a call would stay
        return not await world.rows.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'tollgate' AND state LIKE 'idle in transaction%'"
        )

    await eventually(none_open)
    assert len(world.puts()) == 8
    world.node.release_calls()
    await world.settle()


async def test_a_back_end_that_was_taken_over_changes_nothing_any_more(
    world: World, database_url: str, cipher: LinkCipher, rows: Rows
) -> None:
    """Its successor finishes what it began."""
    world.node.refuse_connections()
    await world.buy(BUYER)

    async def all_is_told() -> bool:
        return Progress.DELAYED in world.courier.progress(BUYER)

    await world.until(all_is_told)
    order = await world.order(5)
    successor = await Database.connect(database_url)
    await successor.take_over(UUID(int=1))
    await asyncio.wait_for(world.database.fenced.wait(), 60)
    told = len(world.courier.carried)
    world.node.accept_connections()

    with pytest.raises(Unavailable):
        await world.pay(5, order)

    assert world.puts() == []
    assert await rows.fetchval("SELECT count(*) FROM payments") == 1
    async with running(successor, rows, cipher) as heir:
        assert await heir.pay(5, order) == PaymentCredited(purchase_id=order)
        await heir.settle()
        assert len(heir.node.running) == 2
    assert world.puts() == []
    assert len(world.courier.carried) == told
    await assert_invariants(rows, cipher)
    await successor.close()


async def test_a_back_end_that_starts_again_finishes_what_was_begun(
    database: Database, rows: Rows, cipher: LinkCipher
) -> None:
    async with running(database, rows, cipher) as before:
        before.node.refuse_connections()
        await before.buy(BUYER)

    async with running(database, rows, cipher) as world:
        await assert_one_purchase(world)
