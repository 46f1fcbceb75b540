"""SIGTERM: the door shuts first, what is in hand is finished, what is left waits for the start."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.sandbox import Fault, Paid, Person
from tests.e2e.conftest import PATIENCE_S, Shop
from tests.e2e.control import Control, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: More than the deadline of an orderly stop and the end of what was cut off, seconds.
STOP_WITHIN_S = 40.0


def ask_to_stop(shop: Shop) -> None:
    """What a service manager does."""
    os.kill(shop.programs.backend.pid, signal.SIGTERM)


async def exit_of(shop: Shop) -> str:
    """How the back-end ended."""
    async with asyncio.timeout(STOP_WITHIN_S):
        return str(await shop.programs.backend.ended())


def polls(shop: Shop) -> int:
    """How often updates were asked for."""
    return sum(call.method == "getUpdates" for call in shop.world.sandbox.calls)


def answers(shop: Shop) -> int:
    """How often something was said to anybody."""
    return sum(call.method == "sendMessage" for call in shop.world.sandbox.calls)


async def hold_answer(shop: Shop, buyer: Person) -> asyncio.Event:
    """Somebody writes, and the answer is on its way to Telegram until the event."""
    gate = asyncio.Event()
    shop.world.sandbox.faults.next("sendMessage", Fault.hold(gate))
    before = answers(shop)
    await buyer.say("/start")

    async def under_way() -> bool:
        return answers(shop) > before and shop.world.sandbox.pending_updates == 0

    await until(under_way)
    return gate


@asynccontextmanager
async def silent_node(shop: Shop) -> AsyncIterator[None]:
    """A node that takes requests and answers none."""
    os.kill(shop.programs.node.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(shop.programs.node.pid, signal.SIGCONT)


async def door_is_shut(control: Control) -> None:
    """Until no updates are taken in any more; operators still see it."""

    async def shut() -> bool:
        intake = (await control.tree()).get("intake")
        return intake is None or intake["state"] == "stopped"

    await until(shut)


async def assert_served_once(shop: Shop, buyer: Person) -> None:
    """Access, once."""
    link = await shop.link(buyer)
    assert (await shop.world.probe(link)).ok
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]
    assert len(await shop.credentials(buyer.id)) == 1


async def test_what_is_in_hand_is_finished_and_nothing_new_is_taken(
    shop: Shop, user_ids: Iterator[int], data_dir: Path
) -> None:
    first, second = shop.buyer(next(user_ids)), shop.buyer(next(user_ids))
    gate = await hold_answer(shop, first)
    ask_to_stop(shop)
    await door_is_shut(Control(data_dir))
    asked = polls(shop)
    await second.say("/start")
    gate.set()
    ended = await exit_of(shop)

    assert "status 0" in ended
    assert first.messages[-1].buttons, "its card came before the end"
    assert polls(shop) == asked
    assert not any(message.buttons for message in second.messages)
    assert shop.world.sandbox.pending_updates == 1
    await shop.programs.backend.start()
    await second.wait_for(lambda m: bool(m.buttons), timeout_s=PATIENCE_S)
    assert sum(bool(message.buttons) for message in first.messages) == 1, "it is not done again"


async def test_a_purchase_whose_node_is_silent_survives_a_stop_in_time(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    async with silent_node(shop):
        assert isinstance(await buyer.pay(invoice), Paid)
        await asked_of_the_node(shop, buyer)
        ask_to_stop(shop)
        ended = await exit_of(shop)

    assert "status 0" in ended
    assert buyer.link is None
    await shop.programs.backend.start()
    await assert_served_once(shop, buyer)


async def test_a_second_signal_ends_it_at_once_and_the_next_start_works(
    shop: Shop, user_ids: Iterator[int], data_dir: Path
) -> None:
    """The database of this machine is left running by it, and taken up again."""
    buyer, other = shop.buyer(next(user_ids)), shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    async with silent_node(shop):
        assert isinstance(await buyer.pay(invoice), Paid)
        await asked_of_the_node(shop, buyer)
        gate = await hold_answer(shop, other)
        ask_to_stop(shop)
        await door_is_shut(Control(data_dir))
        ask_to_stop(shop)
        ended = await exit_of(shop)
        gate.set()

    assert "ended by signal 15" in ended
    await shop.programs.backend.start()
    await assert_served_once(shop, buyer)
    await other.wait_for(lambda m: bool(m.buttons), timeout_s=PATIENCE_S)


async def asked_of_the_node(shop: Shop, buyer: Person) -> None:
    """Until an attempt to let somebody in has begun."""

    async def begun() -> bool:
        found = await shop.rows(
            "SELECT 1 FROM credentials c JOIN subscriptions s ON s.id = c.subscription_id "
            "WHERE s.user_id = $1 AND c.attempts > 0",
            buyer.id,
        )
        return bool(found)

    await until(begun)
