"""A purchase from the tap to the link, and everything that may come twice."""

import asyncio
from datetime import timedelta
from uuid import uuid4

from actors.notifier.ports import Progress
from actors.user.messages import (
    ChooseLanguage,
    CreditPaymentOutcome,
    Introduce,
    InvoiceAlreadySent,
    InvoiceDue,
    InvoiceSent,
    LinkNotReady,
    LinkShown,
    NoAccess,
    NotSoldToUser,
    OpenPurchase,
    PaymentAlreadyRecorded,
    PaymentCredited,
    PaymentHeld,
    PlanNotSold,
    ShowLink,
)
from storage.errors import VersionConflict
from storage.rows import SubscriptionStatus
from tests.integration.actors.world import World, charge
from tests.integration.shop import BUYER, MONTH_S, expire, pass_time


def tap(operation_id: str = "tap-1", plan_id: str = "month") -> OpenPurchase:
    return OpenPurchase(
        operation_id=operation_id, plan_id=plan_id, language="en", chat_id=BUYER, provider="stars"
    )


async def bought_s(world: World) -> float:
    """Seconds left or waiting, of all users."""
    seconds: float = await world.rows.fetchval(
        "SELECT coalesce(sum(pending_s"
        " + coalesce(extract(epoch FROM greatest(expires_at - now(), interval '0')), 0)), 0)::float"
        " FROM subscriptions"
    )
    return seconds


async def test_a_purchase_ends_with_a_link_that_works(world: World) -> None:
    purchase_id = await world.order(BUYER)
    assert await world.pay(BUYER, purchase_id) == PaymentCredited(purchase_id=purchase_id)
    await world.settle()

    (uuid,) = world.node.running
    assert world.courier.links(BUYER) == [world.node.link(uuid)]
    assert world.courier.progress(BUYER)[-1] is Progress.READY
    shown = await world.ask(BUYER, ShowLink(operation_id="show"))
    assert isinstance(shown, LinkShown)
    assert shown.link == world.node.link(uuid)
    status = await world.ask(BUYER, Introduce(operation_id="hello", language="en"))
    assert (status.status, status.has_link) == (SubscriptionStatus.ACTIVE, True)
    assert status.expires_at == shown.expires_at
    assert len(world.puts()) == 1


async def test_the_live_message_is_one_message(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()

    first = await world.rows.fetchval("SELECT message_id FROM purchases")
    await world.rows.execute("UPDATE outbox SET state = 'due', version = version + 1")
    await world.settle()

    progress = [n for n in world.courier.carried if hasattr(n, "message_id")]
    assert getattr(progress[-1], "message_id", None) == first


async def test_one_charge_that_is_pushed_many_times_at_once_counts_once(world: World) -> None:
    purchase_id = await world.order(BUYER)
    push = charge(BUYER, purchase_id)

    async def pushed() -> CreditPaymentOutcome:
        return await world.ask(BUYER, push)

    outcomes = await asyncio.gather(*(pushed() for _ in range(50)), return_exceptions=True)

    credited = [o for o in outcomes if isinstance(o, PaymentCredited)]
    assert credited == [PaymentCredited(purchase_id=purchase_id)]
    assert await pushed() == PaymentAlreadyRecorded()
    await world.settle()
    assert await world.rows.fetchval("SELECT count(*) FROM payments") == 1
    assert MONTH_S - 300 < await bought_s(world) <= MONTH_S
    assert len(world.node.running) == 1


async def test_the_same_tap_twice_is_one_order(world: World) -> None:
    first = await world.ask(BUYER, tap())
    again = await world.ask(BUYER, tap())
    assert isinstance(first, InvoiceDue)
    assert again == first, "the invoice was never confirmed: it is shown once more"
    await world.ask(BUYER, InvoiceSent(operation_id="tap-1", purchase_id=first.purchase_id))

    assert await world.ask(BUYER, tap()) == InvoiceAlreadySent(purchase_id=first.purchase_id)
    assert await world.rows.fetchval("SELECT count(*) FROM purchases") == 1


async def test_taps_at_the_same_time_are_one_order(world: World) -> None:
    outcomes = await asyncio.gather(*(world.ask(BUYER, tap(f"tap-{n}")) for n in range(10)))

    assert len({getattr(outcome, "purchase_id", None) for outcome in outcomes}) == 1
    assert await world.rows.fetchval("SELECT count(*) FROM purchases") == 1


async def test_the_last_tap_is_the_one_that_is_known_again(world: World) -> None:
    first = await world.ask(BUYER, tap("tap-1"))
    assert isinstance(first, InvoiceDue)
    await world.ask(BUYER, InvoiceSent(operation_id="x", purchase_id=first.purchase_id))

    assert await world.ask(BUYER, tap("tap-2")) == first
    assert await world.ask(BUYER, tap("tap-2")) == InvoiceAlreadySent(purchase_id=first.purchase_id)


async def test_what_is_not_sold_is_refused(world: World) -> None:
    assert await world.ask(BUYER, tap(plan_id="decade")) == PlanNotSold()

    await world.rows.execute("UPDATE users SET status = 'banned'")
    assert await world.ask(BUYER, tap()) == NotSoldToUser()


async def test_money_that_does_not_fit_is_held_and_the_buyer_is_told(world: World) -> None:
    purchase_id = await world.order(BUYER)

    outcome = await world.pay(BUYER, purchase_id, amount=1)

    assert outcome == PaymentHeld(reason="paid 1, ordered for 150")
    await world.settle()
    assert world.courier.progress(BUYER) == [Progress.HELD]
    assert world.puts() == []


async def test_a_stranger_s_money_for_an_order_is_held_and_no_news_for_its_owner(
    world: World,
) -> None:
    purchase_id = await world.order(BUYER)

    assert isinstance(await world.pay(5, purchase_id), PaymentHeld)

    await world.settle()
    assert [notice for notice in world.courier.carried if notice.chat_id == BUYER] == []


async def test_money_without_an_order_is_held(world: World) -> None:
    assert isinstance(await world.ask(BUYER, charge(BUYER, None)), PaymentHeld)
    assert isinstance(await world.ask(BUYER, charge(BUYER, uuid4())), PaymentHeld)

    await world.settle()
    assert await world.rows.fetchval("SELECT count(*) FROM payments") == 2


async def test_a_renewal_extends_without_a_word_to_the_node(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    calls = len(world.node.calls)

    await world.buy(BUYER, "week")
    await world.settle()

    assert len(world.node.calls) == calls
    assert world.courier.progress(BUYER)[-1] is Progress.EXTENDED
    assert len(world.courier.links(BUYER)) == 1, "the link stays the same"
    assert await bought_s(world) > MONTH_S + 604_800 - 300


async def test_a_lapsed_buyer_gets_the_same_link_back(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    (uuid,) = world.node.running
    await pass_time(world.rows, MONTH_S + 1)
    await expire(world.rows)
    await world.settle()
    assert world.node.running == set()
    assert await world.ask(BUYER, ShowLink(operation_id="x")) == NoAccess(
        status=SubscriptionStatus.EXPIRED
    )

    await world.buy(BUYER)
    await world.settle()

    assert world.node.running == {uuid}
    assert [(call.uuid, call.gen) for call in world.changes()] == [(uuid, 1), (uuid, 2), (uuid, 3)]
    assert world.courier.links(BUYER) == [world.node.link(uuid)] * 2


async def test_a_renewal_overtakes_the_removal_that_waits(world: World) -> None:
    """The time ended while the node was away, and was bought again before it came back."""
    await world.buy(BUYER)
    await world.settle()
    (uuid,) = world.node.running
    world.node.refuse_connections()
    await pass_time(world.rows, MONTH_S + 1)
    await expire(world.rows)
    await world.buy(BUYER)

    world.node.accept_connections()
    await world.settle()

    assert world.node.running == {uuid}
    assert MONTH_S - 300 < await bought_s(world) <= MONTH_S


async def test_a_second_payment_before_access_is_one_activation_of_both(world: World) -> None:
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()
    await world.buy(BUYER, "week")
    assert await world.ask(BUYER, ShowLink(operation_id="x")) == LinkNotReady()

    world.node.release_calls()
    await world.settle()

    activations = await world.rows.fetchval(
        "SELECT count(*) FROM ledger WHERE source_kind = 'activation'"
    )
    assert activations == 1
    assert len(world.node.running) == 1
    assert len(world.courier.links(BUYER)) == 1
    left = await bought_s(world)
    assert MONTH_S + 604_800 - 300 < left <= MONTH_S + 604_800
    assert (
        await world.rows.fetchval("SELECT count(*) FROM purchases WHERE fulfilled_at IS NULL") == 0
    )


async def test_a_confirmation_between_reading_and_writing_costs_another_decision(
    world: World,
) -> None:
    """The credit was decided for access that was being made; by its writing access is on."""
    await world.meet_node()
    world.node.hold_calls()
    await world.buy(BUYER)
    await world.call_under_way()
    order = await world.order(BUYER, "week")
    actor = world.user(BUYER)
    phases = actor.phases  # type: ignore[attr-defined]  # a UserActor
    record_credit, tries = phases.record_credit, 0

    async def interrupted(credit: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            world.node.release_calls()
            await world.until(lambda: _active(world))
        await record_credit(credit)

    phases.record_credit = interrupted

    outcome = await world.pay(BUYER, order, amount=50)

    assert outcome == PaymentCredited(purchase_id=order)
    assert tries == 2
    await world.settle()
    assert await bought_s(world) > MONTH_S + 604_800 - 300
    assert world.courier.progress(BUYER)[-1] is Progress.EXTENDED


async def _active(world: World) -> bool:
    return bool(await world.rows.fetchval("SELECT status = 'active' FROM subscriptions"))


async def test_rows_that_change_at_every_try_are_a_bug_and_lose_no_money(world: World) -> None:
    order = await world.order(BUYER)
    phases = world.user(BUYER).phases  # type: ignore[attr-defined]  # a UserActor

    async def conflict(_: object) -> None:
        raise VersionConflict

    phases.record_credit = conflict
    first = world.user(BUYER)

    # The actor fails over it, and the next one, whose rows stand still, takes the message on.
    assert await world.ask(BUYER, charge(BUYER, order)) == PaymentCredited(purchase_id=order)

    assert world.user(BUYER) is not first
    await world.settle()


async def test_buyers_do_not_wait_for_each_other(world: World) -> None:
    buyers = range(1, 21)

    await asyncio.gather(*(world.buy(user_id) for user_id in buyers))
    await world.settle()

    assert len(world.node.running) == len(buyers)
    for user_id in buyers:
        assert len(world.courier.links(user_id)) == 1
        assert world.courier.progress(user_id)[-1] is Progress.READY
    uuids = {link.split("@")[0] for user_id in buyers for link in world.courier.links(user_id)}
    assert len(uuids) == len(buyers)


async def test_a_user_speaks_the_language_of_their_choice(world: World) -> None:
    await world.ask(BUYER, Introduce(operation_id="1", language="en"))
    chosen = await world.ask(BUYER, ChooseLanguage(operation_id="2", language="ru"))
    assert chosen.language == "ru"

    await world.buy(BUYER)
    await world.settle()

    assert {notice.language for notice in world.courier.carried} == {"ru"}


async def test_time_ends_when_it_was_said_to_end(world: World) -> None:
    await world.buy(BUYER)
    await world.settle()
    begun = await world.rows.fetchval("SELECT at FROM ledger WHERE source_kind = 'activation'")

    told = {getattr(notice, "expires_at", None) for notice in world.courier.carried}

    assert begun + timedelta(seconds=MONTH_S) in told
