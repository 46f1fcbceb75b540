"""Owners decide about people and money; for everybody else there is nothing."""

from dataclasses import replace
from typing import Any

import pytest
from aiogram import Bot
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.methods import EditMessageText, SendMessage
from aiogram.types import TelegramObject, Update

from actors.runtime.replies import Unavailable
from actors.user.messages import (
    AccessGranted,
    ChangeStanding,
    CreditHeld,
    DecidedBefore,
    DecideManual,
    DoneBefore,
    GrantAccess,
    Introduce,
    ManualRejected,
    NoteRefund,
    NotHeld,
    PaymentCredited,
    RefundNoted,
    RefundPayment,
    RefundStarted,
    Standing,
    StandingChanged,
    UserUnknown,
)
from bot.callbacks import (
    BanConfirmed,
    NothingDone,
    OrderDecided,
    PaymentDecided,
    PaymentDecision,
    RefundConfirmed,
)
from bot.middlewares import OperatorMiddleware
from storage.rows import Disposition, PaymentRow, StoryRow
from tests.unit.bot.conftest import (
    BUYER,
    NOW,
    OWNER,
    PURCHASE,
    World,
    message,
    person,
    quote,
    status,
    tap,
)

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
DUE_BACK = Disposition.REFUND_PENDING
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

    quoted = {"type": "blockquote", "offset": 8, "length": 5}
    under = {"text": "Refund? asked", "entities": [quoted]}
    await world.feed(tap(yes, sender=person(OWNER), **under))

    [wish] = acts(world)
    assert (wish.provider_payment_id, wish.reason) == ("charge-1", "asked")
    assert wish.operation_id == RefundConfirmed.unpack(yes).operation_id
    assert "on its way back" in world.telegram.called(EditMessageText)[0].text


def owners_tap(data: str, **under: Any) -> dict[str, Any]:
    return tap(data, sender=person(OWNER), **under)


@pytest.mark.parametrize(
    "data",
    [
        PaymentDecided(decision=PaymentDecision.CREDIT, number=17).pack(),
        PaymentDecided(decision=PaymentDecision.DONE, number=17).pack(),
        OrderDecided(decision="approve", purchase_id=PURCHASE).pack(),
        OrderDecided(decision="reject", purchase_id=PURCHASE).pack(),
    ],
)
async def test_two_taps_on_one_button_are_one_act(world: World, data: str) -> None:
    payment = replace(HELD, disposition=DUE_BACK) if ":done:" in data else HELD
    world.queries.payments = [payment]
    world.queries.quotes = {PURCHASE: quote(provider="manual")}
    world.users.answers = {
        CreditHeld: PaymentCredited(purchase_id=PURCHASE),
        NoteRefund: RefundNoted(),
        DecideManual: ManualRejected(),
    }

    await world.feed({"update_id": 8, **owners_tap(data)})
    await world.feed({"update_id": 9, **owners_tap(data)})
    await world.feed({"update_id": 10, **owners_tap(data, message_id=901)})

    first, again, another = acts(world)
    assert first == again
    assert first.operation_id != another.operation_id
    assert first.who == f"telegram:{OWNER}"


async def test_two_buttons_of_one_list_are_two_acts(world: World) -> None:
    world.queries.payments = [HELD, replace(HELD, number=18)]
    world.users.answers[CreditHeld] = PaymentCredited(purchase_id=PURCHASE)

    for number in (17, 18):
        button = PaymentDecided(decision=PaymentDecision.CREDIT, number=number)
        await world.feed(owners_tap(button.pack()))

    assert len({wish.operation_id for wish in acts(world)}) == 2


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        (
            "/grant 77 month thanks",
            GrantAccess(
                operation_id="telegram:5",
                plan_id="month",
                period_s=None,
                who=f"telegram:{OWNER}",
                reason="thanks",
            ),
        ),
        *(
            (
                f"/{standing} 77 a good reason",
                ChangeStanding(
                    operation_id="telegram:5",
                    standing=standing,
                    who=f"telegram:{OWNER}",
                    reason="a good reason",
                ),
            )
            for standing in (Standing.REVOKED, Standing.RESTORED, Standing.UNBANNED)
        ),
        (
            "/credit #17 found it",
            CreditHeld(
                operation_id="telegram:5",
                provider="stars",
                provider_payment_id="charge-1",
                who=f"telegram:{OWNER}",
                reason="found it",
            ),
        ),
        (
            "/refunded 17",
            NoteRefund(
                operation_id="telegram:5",
                provider="stars",
                provider_payment_id="charge-1",
                who=f"telegram:{OWNER}",
            ),
        ),
    ],
)
async def test_what_is_typed_is_asked_of_that_user_under_its_updates_own_id(
    world: World, text: str, wish: Any
) -> None:
    world.queries.payments = [replace(HELD, disposition=DUE_BACK)]
    world.users.answers = {
        GrantAccess: UserUnknown(),
        ChangeStanding: DoneBefore(),
        CreditHeld: NotHeld(),
        NoteRefund: RefundNoted(),
    }

    await world.feed(message(text, sender=person(OWNER)))

    assert world.users.asked == [(BUYER, wish)]
    assert len(world.telegram.called(SendMessage)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "/grant",
        "/grant 77",
        "/grant 77 month",
        "/grant 77 30 thanks",
        "/grant 77 decade thanks",
        "/grant @anna month thanks",
        "/grant -5 month thanks",
        "/ban 77",
        "/ban 0 spam",
        "/unban 77",
        "/why",
        "/why anna",
        "/refund 17",
        "/refund 0 asked",
        "/credit 17",
        "/credit seventeen found",
        "/refunded",
    ],
)
async def test_a_command_that_is_not_understood_says_how_to_say_it(world: World, text: str) -> None:
    world.queries.payments = [HELD]

    await world.feed(message(text, sender=person(OWNER)))

    [shown] = world.telegram.called(SendMessage)
    assert "<code>/" in shown.text
    assert not acts(world)


@pytest.mark.parametrize("text", ["/refund 99 asked", "/credit 99 found", "/refunded 99"])
async def test_a_payment_that_nobody_made_is_said_to_be_none(world: World, text: str) -> None:
    await world.feed(message(text, sender=person(OWNER)))

    assert "no payment #99" in world.telegram.called(SendMessage)[0].text
    assert not acts(world)


async def test_an_order_that_nobody_made_is_said_to_wait_for_nothing(world: World) -> None:
    await world.feed(owners_tap(OrderDecided(decision="approve", purchase_id=PURCHASE).pack()))

    assert "waits for no decision" in world.telegram.called(EditMessageText)[0].text
    assert not acts(world)


async def test_an_order_is_decided_and_a_slower_owner_hears_who_was_first(world: World) -> None:
    world.queries.quotes = {PURCHASE: quote(provider="manual")}
    world.users.answers[DecideManual] = DecidedBefore(who="telegram:1000", at=NOW, approved=True)

    await world.feed(owners_tap(OrderDecided(decision="reject", purchase_id=PURCHASE).pack()))

    [(user_id, wish)] = world.users.asked
    assert (user_id, wish.purchase_id, wish.approve) == (BUYER, PURCHASE, False)
    said = world.telegram.called(EditMessageText)[0].text
    assert said == "Approved before by owner 1000, 24 December 2026, 15:04 UTC."


async def test_a_ban_keeps_the_reason_that_its_question_quotes(world: World) -> None:
    world.users.answers[ChangeStanding] = StandingChanged(kept_s=86_400)
    await world.feed(message("/ban 77 spam", sender=person(OWNER)))
    [question] = world.telegram.called(SendMessage)
    yes = question.reply_markup.inline_keyboard[0][0].callback_data

    quoted = {"type": "blockquote", "offset": 5, "length": 4}
    await world.feed(owners_tap(yes, text="Ban? spam", entities=[quoted]))
    await world.feed(owners_tap(yes, text="Ban? spam", entities=[quoted]))

    first, again = acts(world)
    assert first == again
    assert (first.standing, first.reason) == (Standing.BANNED, "spam")
    assert first.operation_id == BanConfirmed.unpack(yes).operation_id


async def test_an_owner_may_think_better_of_it(world: World) -> None:
    await world.feed(owners_tap(NothingDone().pack()))

    assert world.telegram.called(EditMessageText)[0].text == "Nothing was done."
    assert not world.users.asked


async def test_an_outage_is_told_and_nothing_is_done_later(world: World) -> None:
    world.users.answers[GrantAccess] = Unavailable("database")

    await world.feed(message("/grant 77 month thanks", sender=person(OWNER)))

    assert "Look before you repeat" in world.telegram.called(SendMessage)[0].text


async def test_a_story_is_told_in_the_owners_chat(world: World) -> None:
    world.queries.rows = [
        StoryRow(at=NOW, kind="user", subject="77", event="met", details={}),
    ]

    await world.feed(message("/why 77", sender=person(OWNER)))

    told = world.telegram.called(SendMessage)[0].text
    assert told.endswith("2026-12-24 15:04:00  Wrote to the bot for the first time")


@pytest.mark.parametrize(
    "event",
    [
        message("/grant 77 month x", sender=person(BUYER)),
        message("/grant 77 month x", sender=person(OWNER), forward_origin=FORWARDED),
        message(
            "/grant 77 month x",
            sender=person(OWNER),
            sender_chat={"id": -100, "type": "channel", "title": "x"},
        ),
        message("/grant 77 month x", sender=person(OWNER), chat_type="supergroup"),
        tap(BUTTONS[0], sender=person(BUYER)),
        tap(BUTTONS[0], sender=person(OWNER), chat={"id": -100, "type": "group"}),
    ],
    ids=["stranger", "forwarded", "anonymous", "group", "stranger's tap", "tap in a group"],
)
async def test_the_inner_lock_holds_without_the_outer_one(bot: Bot, event: dict[str, Any]) -> None:
    handled: list[object] = []

    async def handler(event: TelegramObject, data: dict[str, Any]) -> None:
        del data
        handled.append(event)

    update = Update.model_validate({"update_id": 5, **event}, context={"bot": bot})
    lock = OperatorMiddleware((OWNER,), (Unavailable,))
    await lock(handler, update.event, {})

    assert not handled


async def test_the_inner_lock_opens_for_an_owner(bot: Bot) -> None:
    handled: list[object] = []

    async def handler(event: TelegramObject, data: dict[str, Any]) -> None:
        del data
        handled.append(event)

    lock = OperatorMiddleware((OWNER,), (Unavailable,))
    for event in (message("/held", sender=person(OWNER)), owners_tap(BUTTONS[0])):
        update = Update.model_validate({"update_id": 5, **event}, context={"bot": bot})
        await lock(handler, update.event, {"screen": None})

    assert len(handled) == 2
