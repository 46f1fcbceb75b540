"""From a tap to real traffic, through the emulator, the back-end, the node and Xray."""

import asyncio
from collections.abc import Iterator
from uuid import uuid4

import pytest

from bot.sandbox import Paid, Refused
from config.settings import DemoSection, DemoSettings
from supervisors.demo.errors import DemoError
from supervisors.demo.programs import demo_programs
from tests.e2e.conftest import PATIENCE_S, Shop

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_payment_becomes_a_link_that_carries_traffic(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    buyer = shop.buyer(next(user_ids))

    await shop.paid(buyer)
    link = await shop.link(buyer)

    assert (await shop.world.probe(link)).ok
    assert len(buyer.photos) == 1
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]


async def test_an_unknown_uuid_gets_no_page(shop: Shop, user_ids: Iterator[int]) -> None:
    """Beside a link that works at the same moment, else the refusal would prove nothing."""
    buyer = shop.buyer(next(user_ids))
    await shop.paid(buyer)
    link = await shop.link(buyer)
    (known,) = await shop.credentials(buyer.id)
    visits = shop.world.page.hits

    refused = await shop.world.probe(link.replace(str(known), str(uuid4())))

    assert not refused.ok
    assert shop.world.page.hits == visits
    assert (await shop.world.probe(link)).ok


async def test_a_removed_uuid_gets_no_page(shop: Shop) -> None:
    stranger = uuid4()
    epoch = (await shop.world.node.ready()).epoch
    link = (await shop.world.node.put(stranger, 1, epoch)).vless_link
    assert (await shop.world.probe(link)).ok
    visits = shop.world.page.hits

    await shop.world.node.remove(stranger, 2, epoch)

    assert not (await shop.world.probe(link)).ok
    assert shop.world.page.hits == visits


async def test_two_people_buy_at_the_same_time(shop: Shop, user_ids: Iterator[int]) -> None:
    anna, boris = shop.buyer(next(user_ids)), shop.buyer(next(user_ids), language="ru")

    await asyncio.gather(shop.paid(anna), shop.paid(boris))
    links = await asyncio.gather(shop.link(anna), shop.link(boris))

    assert links[0] != links[1]
    for link in links:
        assert (await shop.world.probe(link)).ok
    await boris.wait_for("Оплачено", timeout_s=PATIENCE_S)
    await anna.wait_for("Paid", timeout_s=PATIENCE_S)


async def test_one_live_message_tells_the_progress(shop: Shop, user_ids: Iterator[int]) -> None:
    buyer = shop.buyer(next(user_ids))

    await shop.paid(buyer)
    await shop.link(buyer)
    await buyer.wait_for("✓ Ready", timeout_s=PATIENCE_S)

    assert sum("✓ Paid" in message.text for message in buyer.messages) == 1


async def test_taps_and_payments_that_come_twice_count_once(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    """A doubled tap on a plan gives one invoice; an invoice that is paid cannot be paid again."""
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    ways = next(m for m in buyer.messages if any("way:" in (b.data or "") for b in m.buttons))
    button = next(b for b in ways.buttons if (b.data or "").startswith("way:"))

    await asyncio.gather(*(buyer.tap(ways, button) for _ in range(3)))
    first = await buyer.pay(invoice)
    await shop.link(buyer)
    second = await buyer.pay(invoice)

    assert sum(m.invoice is not None for m in buyer.messages) == 1
    assert isinstance(first, Paid)
    assert isinstance(second, Refused)
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]


async def test_two_taps_on_pay_at_once_charge_once(shop: Shop, user_ids: Iterator[int]) -> None:
    """Telegram asks for both before it charges either."""
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    purse = buyer.stars

    outcomes = await asyncio.gather(buyer.pay(invoice), buyer.pay(invoice))
    await shop.link(buyer)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Paid", "Refused"]
    assert purse - buyer.stars == 50
    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]


async def test_an_update_that_comes_again_changes_nothing(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    """Telegram repeats what it thinks was not taken; here the payment itself."""
    buyer = shop.buyer(next(user_ids))
    invoice = await shop.invoice(buyer)
    shop.world.sandbox.faults.duplicate_next_update()
    await buyer.pay(invoice)
    await shop.link(buyer)

    assert await shop.ledger(buyer.id) == [("payment", 604_800), ("activation", 0)]
    assert len(await shop.credentials(buyer.id)) == 1


async def test_a_second_purchase_extends_and_keeps_the_link(
    shop: Shop, user_ids: Iterator[int]
) -> None:
    buyer = shop.buyer(next(user_ids))
    await shop.paid(buyer)
    link = await shop.link(buyer)

    mark = buyer.revision
    await buyer.say("/buy")
    plans = await buyer.wait_for(
        lambda m: any((b.data or "").startswith("plan:") for b in m.buttons),
        timeout_s=PATIENCE_S,
        after=mark,
    )
    await buyer.tap(plans, next(b for b in plans.buttons if (b.data or "").startswith("plan:")))
    ways = await buyer.wait_for(
        lambda m: any((b.data or "").startswith("way:") for b in m.buttons),
        timeout_s=PATIENCE_S,
        after=mark,
    )
    await buyer.tap(ways, next(b for b in ways.buttons if (b.data or "").startswith("way:")))
    invoice = await buyer.wait_for(
        lambda m: m.invoice is not None, timeout_s=PATIENCE_S, after=mark
    )
    assert isinstance(await buyer.pay(invoice), Paid)
    await buyer.wait_for("Extended", timeout_s=PATIENCE_S, after=mark)

    assert len(await shop.credentials(buyer.id)) == 1
    (row,) = await shop.rows(
        "SELECT expires_at - now() > interval '13 days' AS both FROM subscriptions "
        "WHERE user_id = $1",
        buyer.id,
    )
    assert row["both"]
    mark = buyer.revision
    await buyer.say("/link")
    again = await buyer.wait_for(lambda m: m.link is not None, timeout_s=PATIENCE_S, after=mark)
    assert again.link == link


async def test_a_second_demo_leaves_the_first_alone(shop: Shop, free_listen: str) -> None:
    """It would write the first one's files and take its database over."""
    folder = shop.programs.files.folder
    before = shop.programs.files.backend_file.read_text(encoding="utf-8")
    host = free_listen.rpartition(":")[0]
    settings = DemoSettings(data_dir=folder.parent, demo=DemoSection(listen=f"{host}:0"))

    with pytest.raises(DemoError, match="another demo runs"):
        await demo_programs(settings).__aenter__()

    assert shop.programs.files.backend_file.read_text(encoding="utf-8") == before
