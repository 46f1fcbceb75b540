"""Whatever Telegram answers, the notifier gets an outcome, and no log ever gets a link."""

from dataclasses import replace

import pytest
from aiogram import Bot
from aiogram.exceptions import (
    RestartingTelegram,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramServerError,
    TelegramUnauthorizedError,
)
from aiogram.methods import EditMessageText, SendMessage, SendPhoto

from actors.notifier.ports import (
    CannotReach,
    Carried,
    CarryLater,
    LinkReady,
    Notice,
    OwnerAlert,
    Progress,
    PurchaseProgress,
)
from bot.courier import TelegramCourier
from bot.texts import Texts
from config.plans import Plans
from tests.unit.bot.conftest import BUYER, LINK, NOW, OWNER, FakeTelegram

METHOD = SendMessage(chat_id=BUYER, text="x")
PROGRESS = PurchaseProgress(
    chat_id=BUYER,
    message_id=None,
    language="en",
    progress=Progress.ACTIVATING,
    plan_id="month",
    price=150,
    currency="XTR",
    expires_at=None,
)
LINK_READY = LinkReady(chat_id=BUYER, language="ru", link=LINK, plan_id="month", expires_at=NOW)
ALERT = OwnerAlert(
    chat_id=OWNER,
    language="ru",
    text_id="alert-parked",
    arguments={"actor": "<b>user/77", "for_s": 300},
)
NOTICES: dict[str, Notice] = {
    "sendMessage": PROGRESS,
    "editMessageText": replace(PROGRESS, message_id=900),
    "sendPhoto": LINK_READY,
}


@pytest.fixture
def courier(bot: Bot, texts: Texts, plans: Plans) -> TelegramCourier:
    return TelegramCourier(bot, texts, plans)


async def test_the_first_news_of_an_order_is_sent(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    assert await courier.carry(PROGRESS) == Carried(message_id=1001)
    [sent] = telegram.called(SendMessage)
    assert sent.text == "<b>1 month</b>\n\n✓ Paid 150 ⭐\n… Activating your access"


async def test_later_news_edits_the_same_message(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    ready = replace(PROGRESS, message_id=900, progress=Progress.READY, expires_at=NOW)

    assert await courier.carry(ready) == Carried(message_id=900)
    [edited] = telegram.calls
    assert isinstance(edited, EditMessageText)
    assert str(edited.text).endswith("Ready · works until 24 December 2026, 15:04 UTC")


async def test_an_edit_that_changes_nothing_was_carried(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    same = "Bad Request: message is not modified: specified new message content is the same"
    telegram.fail_next("editMessageText", TelegramBadRequest(method=METHOD, message=same))

    assert await courier.carry(NOTICES["editMessageText"]) == Carried(message_id=900)
    assert not telegram.called(SendMessage)


@pytest.mark.parametrize(
    "words", ["message to edit not found", "message can't be edited", "MESSAGE_ID_INVALID"]
)
async def test_a_deleted_live_message_is_sent_anew(
    courier: TelegramCourier, telegram: FakeTelegram, words: str
) -> None:
    gone = TelegramBadRequest(method=METHOD, message=f"Bad Request: {words}")
    telegram.fail_next("editMessageText", gone)

    assert await courier.carry(NOTICES["editMessageText"]) == Carried(message_id=1001)


async def test_a_link_is_sent_to_copy_and_to_scan(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    assert await courier.carry(LINK_READY) == Carried(message_id=1001)
    [photo] = telegram.called(SendPhoto)
    assert f"<code>{LINK.replace('&', '&amp;')}</code>" in photo.caption
    assert photo.caption.startswith("🔑 <b>1 месяц</b>")
    assert photo.photo.data.startswith(b"\x89PNG")
    assert photo.reply_markup.inline_keyboard[0][0].text == "Как подключиться"


async def test_an_alert_is_a_message_of_its_own(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    assert await courier.carry(ALERT) == Carried(message_id=1001)
    [sent] = telegram.calls
    assert isinstance(sent, SendMessage)
    assert sent.chat_id == OWNER
    assert sent.text.startswith("⚠️ <b>&lt;b&gt;user/77</b> падал слишком часто")


async def test_an_alert_that_nobody_knows_is_told_all_the_same(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    unknown = replace(ALERT, text_id="alert-of-tomorrow")

    assert await courier.carry(unknown) == Carried(message_id=1001)
    assert "alert-of-tomorrow" in telegram.called(SendMessage)[0].text


async def test_an_owner_who_never_wrote_to_the_bot_cannot_be_reached(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    stranger = TelegramBadRequest(method=METHOD, message="Bad Request: chat not found")
    telegram.fail_next("sendMessage", stranger)

    assert isinstance(await courier.carry(ALERT), CannotReach)


@pytest.mark.parametrize("method", NOTICES)
@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (TelegramRetryAfter(method=METHOD, message="x", retry_after=7), CarryLater),
        (TelegramNetworkError(method=METHOD, message="x"), CarryLater),
        (TelegramServerError(method=METHOD, message="x"), CarryLater),
        (RestartingTelegram(method=METHOD, message="x"), CarryLater),
        (TelegramEntityTooLarge(method=METHOD, message="x"), CarryLater),
        (TelegramUnauthorizedError(method=METHOD, message="x"), CarryLater),
        (TelegramNotFound(method=METHOD, message="x"), CarryLater),
        (TelegramAPIError(method=METHOD, message="x"), CarryLater),
        (TelegramForbiddenError(method=METHOD, message="x"), CannotReach),
        (TelegramBadRequest(method=METHOD, message="chat not found"), CannotReach),
        (TelegramBadRequest(method=METHOD, message="can't parse entities"), CarryLater),
    ],
)
async def test_every_refusal_is_an_outcome(
    courier: TelegramCourier,
    telegram: FakeTelegram,
    method: str,
    error: TelegramAPIError,
    outcome: type,
) -> None:
    telegram.fail_next(method, error)

    assert isinstance(await courier.carry(NOTICES[method]), outcome)


async def test_the_wait_that_telegram_names_is_passed_on(
    courier: TelegramCourier, telegram: FakeTelegram
) -> None:
    flood = TelegramRetryAfter(method=METHOD, message="Too Many Requests", retry_after=7)
    telegram.fail_next("sendMessage", flood)

    assert await courier.carry(PROGRESS) == CarryLater(after_s=7.0, reason="flood limit")


@pytest.mark.parametrize(
    "error",
    [
        TelegramBadRequest(method=METHOD, message=f"can't parse {LINK}"),
        TelegramServerError(method=METHOD, message=f"can't parse {LINK}"),
    ],
)
async def test_a_link_is_in_no_reason(
    courier: TelegramCourier, telegram: FakeTelegram, error: TelegramAPIError
) -> None:
    telegram.fail_next("sendPhoto", error)

    outcome = await courier.carry(LINK_READY)

    assert isinstance(outcome, CannotReach | CarryLater)
    assert outcome.reason == type(error).__name__


@pytest.mark.parametrize("notice", NOTICES.values())
async def test_an_error_of_ours_is_not_hidden(
    courier: TelegramCourier, telegram: FakeTelegram, notice: Notice
) -> None:
    for method in NOTICES:
        telegram.fail_next(method, RuntimeError("inside a transaction"))

    with pytest.raises(RuntimeError):
        await courier.carry(notice)
