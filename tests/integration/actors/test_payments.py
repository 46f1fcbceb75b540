"""Money that a provider took is credited once, and money that goes back goes once."""

import asyncio
from uuid import uuid4

import pytest

from actors.notifier.actor import NOTIFIER
from actors.payments.poller import POLLER
from actors.payments.ports import Charge, GiveBackLater
from actors.payments.sweep import PAYMENTS
from actors.user.messages import (
    NoteRefund,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    RefundedBefore,
    RefundNoted,
    RefundStarted,
)
from tests.integration.actors.world import OWNERS, Gate, World
from tests.integration.shop import BUYER, pass_time

STARS, CRYPTO = f"{POLLER}/stars", f"{POLLER}/cryptopay"
DISPOSITION = "SELECT disposition FROM payments WHERE provider_payment_id = $1"
CREDITS = "SELECT count(*) FROM ledger WHERE source_kind = 'payment'"
REFUNDS = "SELECT count(*) FROM ledger WHERE source_kind = 'refund'"
ALERTS = """
SELECT dedupe_key FROM outbox
WHERE kind = 'alert' AND payload->>'text_id' = $1 ORDER BY dedupe_key
"""
CURSOR = "SELECT cursor FROM pollers WHERE provider = $1"
HOUR_S = 3_600.0


async def disposition(world: World, charge: Charge) -> str | None:
    found: str | None = await world.rows.fetchval(DISPOSITION, charge.provider_payment_id)
    return found


async def is_now(world: World, charge: Charge, wanted: str) -> None:
    """Until a charge has come so far."""

    async def there() -> bool:
        return await disposition(world, charge) == wanted

    await world.until(there)


async def alerts(world: World, text_id: str) -> list[str]:
    return [row["dedupe_key"] for row in await world.rows.fetch(ALERTS, text_id)]


async def credits_of(world: World) -> int:
    count: int = await world.rows.fetchval(CREDITS)
    return count


async def credited(world: World, provider: str = "stars") -> Charge:
    """A month that somebody bought, with access."""
    charge = await world.charged(BUYER, provider=provider)
    await world.push(charge, provider)
    await world.settle()
    return charge


# What was recorded and not decided about


async def test_a_payment_whose_back_end_died_before_the_credit_is_credited_by_the_sweep(
    world: World,
) -> None:
    charge = await world.charged(BUYER, provider="card")
    gate = Gate(world.user(BUYER), "record_credit")
    push = asyncio.create_task(world.push(charge, "card"))
    await asyncio.wait_for(gate.reached.wait(), 60)
    assert await disposition(world, charge) == "received"

    await world.crash()
    push.cancel()
    await asyncio.wait([push])
    await world.restart()
    await pass_time(world.rows, 3)

    await is_now(world, charge, "credited")
    await world.settle()
    assert await credits_of(world) == 1
    assert isinstance(await world.push(charge, "card"), PaymentAlreadyRecorded)


# What no push told of


@pytest.mark.parametrize("provider", ["stars", "cryptopay"])
async def test_a_charge_whose_push_was_swallowed_is_credited_by_the_poller_once(
    world: World, provider: str
) -> None:
    charge = await world.charged(BUYER, provider=provider)

    await is_now(world, charge, "credited")
    await world.settle()

    await world.looked(f"{POLLER}/{provider}")
    assert isinstance(await world.push(charge, provider), PaymentAlreadyRecorded)
    assert await credits_of(world) == 1
    assert len(world.courier.links(BUYER)) == 1


async def test_a_push_that_overtakes_the_poll_is_the_one_credit(world: World) -> None:
    gate = Gate(world.actor(STARS), "known")
    charge = await world.charged(BUYER)
    await asyncio.wait_for(gate.reached.wait(), 60)

    assert isinstance(await world.push(charge), PaymentCredited)
    gate.open()

    await world.looked(STARS)
    await world.settle()
    assert await credits_of(world) == 1


async def test_a_poll_that_overtakes_the_push_is_the_one_credit(world: World) -> None:
    """The push comes while the poll's credit is under way, and waits behind it."""
    purchase_id = await world.order(BUYER)
    gate = Gate(world.user(BUYER), "record_credit")
    charge = world.gateways["stars"].take(BUYER, purchase_id, 150)
    await asyncio.wait_for(gate.reached.wait(), 60)

    push = asyncio.create_task(world.push(charge))
    await world.waiting(BUYER)
    gate.open()

    assert isinstance(await push, PaymentAlreadyRecorded)
    await world.settle()
    assert await credits_of(world) == 1


async def test_a_poll_that_died_in_the_middle_of_a_page_is_read_again(world: World) -> None:
    """The cursor moves only when all of a page is recorded."""
    buyers = range(1, 6)
    orders = {user_id: await world.order(user_id) for user_id in buyers}
    await world.looked(STARS)
    before = await world.rows.fetchval(CURSOR, "stars")
    gate = Gate(world.user(3), "receive_payment")
    stars = world.gateways["stars"]
    charges = [stars.take(user_id, orders[user_id], 150) for user_id in buyers]
    await asyncio.wait_for(gate.reached.wait(), 60)
    for charge in charges[3:]:
        await is_now(world, charge, "credited")

    await world.crash()

    assert await world.rows.fetchval(CURSOR, "stars") == before
    assert await disposition(world, charges[2]) is None
    await world.restart()
    for charge in charges:
        await is_now(world, charge, "credited")
    await world.settle()
    assert await credits_of(world) == len(buyers)


async def test_an_old_charge_below_many_known_ones_is_found_within_an_hour(world: World) -> None:
    """Crypto Pay lists by invoice: one that is paid late lies deep, and its push may be lost."""
    crypto = world.gateways["cryptopay"]
    crypto.page_size = 2
    purchase_id = await world.order(BUYER, provider="cryptopay")
    for _ in range(3):
        await world.push(await world.charged(5, provider="cryptopay"), "cryptopay")
    await world.looked(CRYPTO)
    late = crypto.take(BUYER, purchase_id, 300)
    crypto.listed.insert(0, crypto.listed.pop())

    await world.looked(CRYPTO)
    assert await disposition(world, late) is None, "the first page says that all is known"
    assert await world.rows.fetchval(CURSOR, "cryptopay") is None
    world.clock.ahead_s += HOUR_S

    await is_now(world, late, "credited")
    await world.settle()


async def test_a_provider_that_is_away_is_not_asked_in_a_loop(world: World) -> None:
    stars = world.gateways["stars"]
    await world.looked(STARS)
    stars.away = True
    before = len(stars.readings)

    await world.looked(STARS, times=30)
    assert len(stars.readings) - before == 1

    stars.away = False
    charge = await world.charged(BUYER)
    await world.looked(STARS, times=10)
    assert await disposition(world, charge) is None
    world.clock.ahead_s += HOUR_S
    await is_now(world, charge, "credited")
    await world.settle()


# What goes back


async def test_a_refund_made_outside_ends_access_and_is_noted_once(world: World) -> None:
    charge = await credited(world)

    world.gateways["stars"].returned(charge)
    await is_now(world, charge, "refunded")
    await world.looked(STARS)

    await world.settle()
    assert world.node.running == set()
    assert await world.rows.fetchval(REFUNDS) == 1
    assert world.gateways["stars"].asked_back == []


async def test_a_refund_whose_answer_was_lost_moves_the_money_once(world: World) -> None:
    stars = world.gateways["stars"]
    charge = await credited(world)
    stars.lost_replies = 2

    assert isinstance(await world.refund(charge), RefundStarted)
    await is_now(world, charge, "refunded")

    await world.settle()
    assert stars.asked_back == [charge.provider_payment_id] * 3
    assert stars.moved == [charge.provider_payment_id]
    assert world.node.running == set()
    assert await world.rows.fetchval(REFUNDS) == 1


async def test_a_refund_that_a_dead_back_end_began_is_made_by_the_next(world: World) -> None:
    """The money went, and nobody recorded it."""
    stars = world.gateways["stars"]
    charge = await credited(world)
    gate = Gate(world.user(BUYER), "record_refunded")
    await world.refund(charge)
    await asyncio.wait_for(gate.reached.wait(), 60)

    await world.crash()
    await world.restart()

    await is_now(world, charge, "refunded")
    await world.settle()
    assert stars.moved == [charge.provider_payment_id]
    assert await world.rows.fetchval(REFUNDS) == 1


async def test_a_refund_that_has_to_wait_is_not_asked_for_in_a_loop(world: World) -> None:
    stars = world.gateways["stars"]
    charge = await credited(world)
    stars.refusals.append(GiveBackLater(after_s=600.0, reason="flood"))

    await world.refund(charge)
    await world.looked(PAYMENTS, times=10)
    assert len(stars.asked_back) == 1

    await is_now(world, charge, "refunded")
    await world.settle()


async def test_owners_hear_once_of_a_refund_that_takes_an_hour(world: World) -> None:
    stars = world.gateways["stars"]
    charge = await credited(world)
    stars.away = True
    await world.refund(charge)

    async def asked_often() -> bool:
        return len(stars.asked_back) >= 3

    await world.until(asked_often)
    assert await alerts(world, "alert-refund-stuck") == []
    await pass_time(world.rows, HOUR_S)
    stars.asked_back.clear()
    await world.until(asked_often)

    number = await world.rows.fetchval("SELECT number FROM payments")
    told = [f"refund-stuck:{number}:{owner}" for owner in OWNERS]
    assert await alerts(world, "alert-refund-stuck") == told
    stars.away = False
    await is_now(world, charge, "refunded")
    await world.settle()


@pytest.mark.parametrize("provider", ["card", "manual"])
async def test_money_that_no_call_gives_back_is_each_owner_s_task_once(
    world: World, provider: str
) -> None:
    gateway = world.gateways[provider]
    charge = await credited(world, provider)

    assert await world.refund(charge, provider) == RefundStarted(
        amount=30_000, currency="RUB", provider=provider, by_hand=True
    )

    async def told() -> bool:
        return bool(await alerts(world, "alert-refund-by-hand"))

    await world.until(told)
    await world.looked(PAYMENTS)
    await world.settle()
    number = await world.rows.fetchval("SELECT number FROM payments")
    assert await alerts(world, "alert-refund-by-hand") == [
        f"refund-by-hand:{number}:{owner}" for owner in OWNERS
    ]
    assert gateway.asked_back == [charge.provider_payment_id]
    assert world.node.running == set()

    done = NoteRefund(
        operation_id=uuid4().hex,
        provider=provider,
        provider_payment_id=charge.provider_payment_id,
        who="tg:1000",
    )
    assert await world.ask(BUYER, done) == RefundNoted()
    assert await disposition(world, charge) == "refunded"
    await world.looked(PAYMENTS)
    assert len(gateway.asked_back) == 1
    await world.settle()


async def test_held_money_goes_back_after_a_day_and_not_before(world: World) -> None:
    stars = world.gateways["stars"]
    charge = await world.charged(BUYER, amount=100)
    assert isinstance(await world.push(charge), PaymentHeld)
    await pass_time(world.rows, 23 * HOUR_S)
    await world.looked(PAYMENTS)
    assert await disposition(world, charge) == "mismatch"
    assert stars.asked_back == []

    await pass_time(world.rows, HOUR_S)

    await is_now(world, charge, "refunded")
    assert stars.moved == [charge.provider_payment_id]
    world.directory.find(NOTIFIER).wake()
    await world.settle()
    assert await credits_of(world) == 0


async def test_an_owner_s_word_ends_no_refund_that_the_provider_is_still_asked_for(
    world: World,
) -> None:
    """Taken at once, nobody would ask the provider any more, and the money would never go."""
    charge = await credited(world)
    world.gateways["stars"].away = True
    await world.refund(charge)

    told = await world.ask(
        BUYER,
        NoteRefund(
            operation_id="by hand",
            provider="stars",
            provider_payment_id=charge.provider_payment_id,
            who="telegram:1000",
        ),
    )

    assert told == RefundedBefore(done=False)
    world.gateways["stars"].away = False
    await is_now(world, charge, "refunded")
