"""The card, and the ways on from it and back."""

import pytest
from aiogram.dispatcher.event.bases import UNHANDLED
from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import (
    AnswerCallbackQuery,
    EditMessageText,
    SendMessage,
    SendPhoto,
)

from actors.runtime.replies import Unavailable
from actors.user.messages import (
    ChooseLanguage,
    Introduce,
    LinkNotReady,
    LinkShown,
    NoAccess,
    ShowLink,
)
from bot.callbacks import Go, LanguageChosen, Page
from storage.rows import SubscriptionStatus
from tests.unit.bot.conftest import (
    BUYER,
    LINK,
    NOW,
    World,
    message,
    person,
    status,
    tap,
)


def refused(words: str) -> TelegramBadRequest:
    method = AnswerCallbackQuery(callback_query_id="1")
    return TelegramBadRequest(method=method, message=f"Bad Request: {words}")


async def test_start_introduces_the_user_and_shows_one_card(world: World) -> None:
    world.users.answers[Introduce] = status(language="ru")

    await world.feed(message("/start", sender=person(language_code="ru-RU")))

    assert world.users.asked == [(BUYER, Introduce(operation_id="telegram:5", language="ru"))]
    [sent] = world.telegram.calls
    assert isinstance(sent, SendMessage)
    assert "Здравствуйте, <b>Ann</b>" in sent.text


async def test_a_deep_link_from_a_forwarded_invoice_shows_the_card(world: World) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(message("/start buy"))

    assert len(world.telegram.called(SendMessage)) == 1


async def test_the_chosen_language_outranks_the_language_of_the_app(world: World) -> None:
    world.queries.languages = {BUYER: "ru"}

    await world.feed(message("/help", sender=person(language_code="en")))

    assert "Как подключиться" in world.telegram.called(SendMessage)[0].text


@pytest.mark.parametrize("error", [TimeoutError(), Unavailable("database")])
async def test_a_language_that_cannot_be_read_is_guessed(world: World, error: Exception) -> None:
    world.queries.languages = error

    await world.feed(message("/help", sender=person(language_code="ru")))

    assert "Как подключиться" in world.telegram.called(SendMessage)[0].text


async def test_navigation_answers_the_tap_and_edits_its_message(world: World) -> None:
    await world.feed(tap(Go(page=Page.PLANS).pack()))

    answered, edited = world.telegram.calls
    assert isinstance(answered, AnswerCallbackQuery)
    assert isinstance(edited, EditMessageText)
    assert (edited.chat_id, edited.message_id) == (BUYER, 900)


async def test_the_way_back_shows_the_card_in_place(world: World) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(tap(Go(page=Page.CARD).pack()))

    assert "Ann" in world.telegram.called(EditMessageText)[0].text


@pytest.mark.parametrize(
    "update",
    [
        tap(Go(page=Page.HELP, anew=True).pack()),
        tap(Go(page=Page.HELP).pack(), text=None, caption="a photo"),
        tap(Go(page=Page.HELP).pack(), date=0, text=None),
    ],
    ids=["under a receipt", "under a photo", "under a message too old to be read"],
)
async def test_what_cannot_be_replaced_is_kept(world: World, update: dict[str, object]) -> None:
    await world.feed(update)

    assert not world.telegram.called(EditMessageText)
    assert len(world.telegram.called(SendMessage)) == 1


async def test_a_message_that_the_user_deleted_is_sent_anew(world: World) -> None:
    world.telegram.fail_next("editMessageText", refused("message to edit not found"))

    await world.feed(tap(Go(page=Page.PLANS).pack()))

    assert len(world.telegram.called(SendMessage)) == 1


async def test_a_page_that_is_shown_already_is_no_error(world: World) -> None:
    world.telegram.fail_next("editMessageText", refused("message is not modified: it is the same"))

    await world.feed(tap(Go(page=Page.HELP).pack()))

    assert not world.telegram.called(SendMessage)


async def test_a_tap_answered_too_late_is_still_done(world: World) -> None:
    late = refused("query is too old and response timeout expired or query ID is invalid")
    world.telegram.fail_next("answerCallbackQuery", late)

    await world.feed(tap(Go(page=Page.PLANS).pack()))

    assert len(world.telegram.called(EditMessageText)) == 1


async def test_a_chosen_language_is_kept_and_spoken_at_once(world: World) -> None:
    world.users.answers[ChooseLanguage] = status(language="ru")

    await world.feed(tap(LanguageChosen(language="ru").pack()))

    choice = ChooseLanguage(operation_id="telegram:5", language="ru")
    assert world.users.asked == [(BUYER, choice)]
    assert "Здравствуйте" in world.telegram.called(EditMessageText)[0].text


@pytest.mark.parametrize("update", [message("/language"), tap(Go(page=Page.LANGUAGES).pack())])
async def test_languages_are_offered(world: World, update: dict[str, object]) -> None:
    await world.feed(update)

    shown = world.telegram.calls[-1]
    assert isinstance(shown, SendMessage | EditMessageText)
    assert "Which language" in str(shown.text)


@pytest.mark.parametrize("update", [message("/link"), tap(Go(page=Page.LINK).pack())])
async def test_the_link_is_a_picture_and_a_text_to_copy(
    world: World, update: dict[str, object]
) -> None:
    world.users.answers[ShowLink] = LinkShown(link=LINK, plan_id="month", expires_at=NOW)

    await world.feed(update)

    [photo] = world.telegram.called(SendPhoto)
    assert f"<code>{LINK.replace('&', '&amp;')}</code>" in photo.caption
    assert photo.photo.data.startswith(b"\x89PNG")
    assert photo.chat_id == BUYER


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (LinkNotReady(), "being prepared"),
        (NoAccess(status=SubscriptionStatus.NONE), "no link yet"),
        (NoAccess(status=SubscriptionStatus.EXPIRED), "has ended"),
    ],
)
async def test_without_a_link_the_reason_is_told(
    world: World, outcome: LinkNotReady | NoAccess, words: str
) -> None:
    world.users.answers[ShowLink] = outcome

    await world.feed(message("/link"))

    assert words in world.telegram.called(SendMessage)[0].text
    assert not world.telegram.called(SendPhoto)


async def test_an_unknown_text_gets_a_hint_and_the_card(world: World) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(message("how are you?"))

    [sent] = world.telegram.called(SendMessage)
    assert sent.text.startswith("I only understand buttons")
    assert sent.reply_markup is not None


@pytest.mark.parametrize(
    "data", ["buy:1", "go:admin:0", "go:card", "plan:month:short", "", "x" * 64]
)
async def test_an_unknown_button_says_so_and_shows_the_card(world: World, data: str) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(tap(data))

    assert "out of date" in world.telegram.called(AnswerCallbackQuery)[0].text
    assert len(world.telegram.called(EditMessageText)) == 1


@pytest.mark.parametrize(
    "update",
    [
        message("/start", chat_type="group"),
        message("hello", chat_type="supergroup"),
        tap(Go(page=Page.CARD).pack(), chat={"id": -100, "type": "group"}),
        {"channel_post": message("/start", chat_type="channel")["message"]},
        {"edited_message": message("/start")["message"]},
    ],
    ids=["group", "supergroup", "tap in a group", "channel", "edited"],
)
async def test_what_is_not_said_to_us_is_ignored(world: World, update: dict[str, object]) -> None:
    assert await world.feed(update) is UNHANDLED
    assert not world.telegram.calls
