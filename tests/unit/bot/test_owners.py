"""Owners decide about people and money; for everybody else there is nothing."""

from typing import Any

import pytest
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.methods import EditMessageText, SendMessage

from actors.user.messages import (
    AccessGranted,
    ChangeStanding,
    GrantAccess,
    Introduce,
    RefundPayment,
    RefundStarted,
)
from bot.callbacks import (
    BanConfirmed,
    OrderDecided,
    PaymentDecided,
    PaymentDecision,
    RefundConfirmed,
)
from storage.rows import Disposition, PaymentRow
from tests.unit.bot.conftest import BUYER, NOW, OWNER, PURCHASE, World, message, person, status, tap

COMMANDS = (
    "/grant 77 month thanks",
    "/revoke 77 spam",
    "/restore 77 sorry",
    "/ban 77 spam",
    "/unban 77 sorry",
    "/refund 17 asked",
    "/refunded 17",
    "/credit 17 found",
    "/held",
    "/why 77",
)
BUTTONS = (
    PaymentDecided(decision=PaymentDecision.CREDIT, number=17).pack(),
    OrderDecided(decision="approve", purchase_id=PURCHASE).pack(),
    RefundConfirmed(number=17, operation_id="a" * 16).pack(),
    BanConfirmed(user_id=BUYER, operation_id="a" * 16).pack(),
)
HELD = PaymentRow(
    provider="stars",
    provider_payment_id="charge-1",
    purchase_id=None,
    user_id=BUYER,
    amount=150,
    currency="XTR",
    disposition=Disposition.MISMATCH,
    reason="no order",
    received_at=NOW,
    number=17,
)
FORWARDED = {"type": "hidden_user", "sender_user_name": "x", "date": int(NOW.timestamp())}


def acts(world: World) -> list[Any]:
    return [ask for _, ask in world.users.asked if not isinstance(ask, Introduce)]


@pytest.mark.parametrize("text", COMMANDS)
@pytest.mark.parametrize(
    ("sender", "changes"),
    [
        (BUYER, {}),
        (OWNER, {"forward_origin": FORWARDED}),
        (OWNER, {"sender_chat": {"id": -100, "type": "channel", "title": "x"}}),
    ],
    ids=["stranger", "forwarded", "anonymous"],
)
async def test_nobody_else_is_heard(
    world: World, text: str, sender: int, changes: dict[str, Any]
) -> None:
    world.users.answers[Introduce] = status()
    world.queries.payments = [HELD]

    await world.feed(message(text, sender=person(sender), **changes))

    assert world.telegram.called(SendMessage)[0].text.startswith("I only understand buttons")
    assert not acts(world)


@pytest.mark.parametrize("text", COMMANDS)
async def test_groups_are_not_listened_to(world: World, text: str) -> None:
    update = message(text, sender=person(OWNER), chat_type="supergroup")
    assert await world.feed(update) is UNHANDLED
    assert not world.users.asked


@pytest.mark.parametrize("data", BUTTONS)
async def test_for_strangers_the_buttons_are_made_up(world: World, data: str) -> None:
    world.users.answers[Introduce] = status()
    world.queries.payments = [HELD]

    await world.feed(tap(data, sender=person(BUYER)))

    assert not acts(world)


async def test_time_is_given_with_its_reason(world: World) -> None:
    world.users.answers[GrantAccess] = AccessGranted(period_s=2_592_000, expires_at=None)

    await world.feed(message("/grant 77 30d many thanks", sender=person(OWNER)))

    [wish] = acts(world)
    assert (wish.plan_id, wish.period_s, wish.reason) == (None, 2_592_000, "many thanks")
    assert (wish.who, wish.operation_id) == (f"telegram:{OWNER}", "telegram:5")
    assert "30 days given" in world.telegram.called(SendMessage)[0].text


async def test_a_ban_is_asked_about_first(world: World) -> None:
    await world.feed(message("/ban 77 spam", sender=person(OWNER)))

    assert "Ban 77?" in world.telegram.called(SendMessage)[0].text
    assert not any(isinstance(ask, ChangeStanding) for ask in acts(world))


async def test_a_refund_takes_two_taps_and_keeps_its_reason(world: World) -> None:
    world.queries.payments = [HELD]
    world.users.answers[RefundPayment] = RefundStarted(
        amount=150, currency="XTR", provider="stars", by_hand=False
    )
    await world.feed(message("/refund 17 asked", sender=person(OWNER)))
    assert not acts(world)
    [question] = world.telegram.called(SendMessage)
    yes = question.reply_markup.inline_keyboard[0][0].callback_data

    quote = {"type": "blockquote", "offset": 8, "length": 5}
    under = {"text": "Refund? asked", "entities": [quote]}
    await world.feed(tap(yes, sender=person(OWNER), **under))

    [wish] = acts(world)
    assert (wish.provider_payment_id, wish.reason) == ("charge-1", "asked")
    assert wish.operation_id == RefundConfirmed.unpack(yes).operation_id
    assert "on its way back" in world.telegram.called(EditMessageText)[0].text
