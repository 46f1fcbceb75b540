"""How a person waits for a message, taps a button, and finds the link."""

import asyncio

import pytest
from aiogram import Bot
from aiogram.types import InlineKeyboardButton, InlineKeyboardMarkup

from bot.sandbox import ANNA_ID, BORIS_ID, NotSeenError, Person

pytestmark = pytest.mark.usefixtures("started")


def keyboard(*texts: str) -> InlineKeyboardMarkup:
    return InlineKeyboardMarkup(
        inline_keyboard=[[InlineKeyboardButton(text=t, callback_data=t.lower())] for t in texts]
    )


async def test_what_is_there_already_is_found_at_once(bot: Bot, anna: Person) -> None:
    await bot.send_message(ANNA_ID, "here")

    assert (await anna.wait_for("here", timeout_s=0)).text == "here"


async def test_what_comes_later_is_found_when_it_comes(bot: Bot, anna: Person) -> None:
    waiting = asyncio.ensure_future(anna.wait_for(lambda m: m.text == "later"))
    await bot.send_message(ANNA_ID, "something else")
    assert not waiting.done()

    await bot.send_message(ANNA_ID, "later")

    assert (await waiting).text == "later"


async def test_an_edit_counts_and_what_changed_last_comes_first(bot: Bot, anna: Person) -> None:
    first = await bot.send_message(ANNA_ID, "item 1")
    await bot.send_message(ANNA_ID, "item 2")

    assert (await anna.wait_for("item")).text == "item 2"
    await bot.edit_message_text("item 1, edited", chat_id=ANNA_ID, message_id=first.message_id)

    found = await anna.wait_for("item")
    assert (found.text, found.edited) == ("item 1, edited", True)


async def test_after_a_mark_older_messages_do_not_count(bot: Bot, anna: Person) -> None:
    await bot.send_message(ANNA_ID, "menu")
    mark = anna.revision
    waiting = asyncio.ensure_future(anna.wait_for("menu", after=mark))
    await bot.get_me()
    assert not waiting.done()

    sent = await bot.send_message(ANNA_ID, "menu")

    assert (await waiting).id == sent.message_id


async def test_another_persons_chat_does_not_count(bot: Bot, anna: Person) -> None:
    await bot.send_message(BORIS_ID, "for Boris")

    with pytest.raises(NotSeenError):
        await anna.wait_for("for Boris", timeout_s=0.01)


async def test_a_time_out_shows_the_whole_chat(bot: Bot, anna: Person) -> None:
    await bot.send_message(ANNA_ID, "Welcome", reply_markup=keyboard("Buy"))

    with pytest.raises(NotSeenError) as caught:
        await anna.wait_for("Paid", timeout_s=0.01)

    told = str(caught.value)
    assert "Anna (1001) waited 0.01 s for 'Paid'" in told
    assert "Anna: '/start'" in told
    assert "bot: 'Welcome' <Buy>" in told


@pytest.mark.parametrize("wanted", ["Buy now", "buy now", "Buy"])
async def test_a_button_is_found_by_text_part_or_data(bot: Bot, anna: Person, wanted: str) -> None:
    await bot.send_message(ANNA_ID, "menu", reply_markup=keyboard("Help", "Buy now"))

    assert anna.messages[-1].button(wanted).text == "Buy now"


async def test_the_whole_text_wins_over_a_part(bot: Bot, anna: Person) -> None:
    await bot.send_message(ANNA_ID, "menu", reply_markup=keyboard("Buy more", "Buy"))

    assert anna.messages[-1].button("Buy").text == "Buy"


@pytest.mark.parametrize(("wanted", "count"), [("Sell", 0), ("Bu", 2)])
async def test_a_missing_or_unclear_button_names_those_that_exist(
    bot: Bot, anna: Person, wanted: str, count: int
) -> None:
    await bot.send_message(ANNA_ID, "menu", reply_markup=keyboard("Buy 1", "Buy 2"))

    with pytest.raises(LookupError, match=f"{count} buttons fit.*'Buy 1', 'Buy 2'"):
        await anna.tap(anna.messages[-1], wanted)


async def test_a_button_with_an_address_sends_nothing(bot: Bot, anna: Person) -> None:
    key = InlineKeyboardButton(text="Guide", url="https://example.org")
    board = InlineKeyboardMarkup(inline_keyboard=[[key]])
    await bot.send_message(ANNA_ID, "menu", reply_markup=board)

    with pytest.raises(LookupError, match="sends nothing"):
        await anna.tap(anna.messages[-1], "Guide")


@pytest.mark.parametrize(
    ("text", "mode", "link"),
    [
        ("<code>vless://a b</code> tail", "HTML", "vless://a b"),
        ("use vless://a?x=1&y=2#n now", None, "vless://a?x=1&y=2#n"),
        ("<code>other</code> vless://b", "HTML", "vless://b"),
        ("no link", None, None),
    ],
)
async def test_the_vpn_link_is_found_in_code_or_text(
    bot: Bot, anna: Person, text: str, mode: str | None, link: str | None
) -> None:
    await bot.send_message(ANNA_ID, text, parse_mode=mode)

    assert anna.link == link
