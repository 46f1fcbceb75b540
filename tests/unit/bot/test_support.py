"""Questions about payments reach the owners, harmless whatever they hold."""

from html.parser import HTMLParser

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramForbiddenError
from aiogram.methods import SendMessage

from actors.user.messages import Introduce
from bot.dispatcher import build_dispatcher
from bot.gateways.payload import PayloadSigner
from bot.replies import clean_name
from bot.texts import Texts
from config.plans import Plans
from tests.unit.bot.conftest import (
    BUYER,
    NODES_NOW,
    FakeQueries,
    FakeTelegram,
    FakeUsers,
    World,
    message,
    person,
    status,
)

OWNER = 1

NAMES = [
    "<b>bold</b>",
    "</b><a href='tg://user?id=1'>the owner</a><b>",
    '"><script>alert(1)</script>',
    "&lt;i&gt;twice&lt;/i&gt;",
    "{ $user }",
    "<tg-spoiler>",
    "a\nb\r\nc",
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe",
    "\x00\x1b[31mred",
    "   ",
    "\N{ZERO WIDTH SPACE}",
    "%s %d {0}",
]


class Tags(HTMLParser):
    """Reads a message as Telegram does: which tags, and which text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        del attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_on_the_card_is_a_name_and_nothing_else(world: World, name: str) -> None:
    world.users.answers[Introduce] = status()

    await world.feed(message("/start", sender=person(first_name=name)))

    seen = Tags(world.telegram.called(SendMessage)[0].text)
    assert seen.tags == ["b"]
    assert f"Hi, {clean_name(name)}!" in seen.text


@pytest.mark.parametrize("name", NAMES)
async def test_a_question_reaches_the_owner_as_it_was_written(world: World, name: str) -> None:
    sender = person(first_name=name, last_name=name)

    await world.feed(message(f"/paysupport where is my link? {name}", sender=sender))

    request, thanks = world.telegram.called(SendMessage)
    assert request.chat_id == OWNER
    seen = Tags(request.text)
    assert seen.tags == ["a", "code"]
    assert f'href="tg://user?id={BUYER}"' in request.text
    assert f"where is my link? {name}".strip() in seen.text
    assert thanks.chat_id == BUYER
    assert "passed on" in thanks.text


@pytest.mark.parametrize("name", NAMES)
def test_a_clean_name_is_one_visible_line(name: str) -> None:
    assert clean_name(name)
    assert clean_name(name).isprintable()
    assert clean_name("Анна-Мария 🌿 O'Neil") == "Анна-Мария 🌿 O'Neil"


async def test_a_long_question_is_cut(world: World) -> None:
    await world.feed(message("/paysupport " + "<" * 4000))

    assert Tags(world.telegram.called(SendMessage)[0].text).text.count("<") == 1000


async def test_without_a_question_the_bot_says_how_to_ask(world: World) -> None:
    await world.feed(message("/paysupport"))

    [said] = world.telegram.called(SendMessage)
    assert (said.chat_id, "/paysupport I paid" in said.text) == (BUYER, True)


async def test_an_owner_who_cannot_be_reached_does_not_make_the_asker_unreachable(
    world: World,
) -> None:
    method = SendMessage(chat_id=OWNER, text="x")
    world.telegram.fail_next("sendMessage", TelegramForbiddenError(method=method, message="x"))

    await world.feed(message("/paysupport hello"))

    assert "contact named in this bot's profile" in world.telegram.called(SendMessage)[1].text
    assert not world.queries.reach


async def test_without_owners_the_profile_is_named(
    telegram: FakeTelegram, bot: Bot, plans: Plans, texts: Texts, signer: PayloadSigner
) -> None:
    users, queries = FakeUsers(), FakeQueries()
    ownerless = build_dispatcher(
        users=users,
        queries=queries,
        plans=plans,
        nodes=lambda: NODES_NOW,
        texts=texts,
        signer=signer,
        gateways={},
        admins=(),
    )
    world = World(telegram, bot, users, queries, signer, ownerless)

    await world.feed(message("/paysupport hello"))

    [said] = telegram.called(SendMessage)
    assert "contact named in this bot's profile" in said.text


async def test_the_terms_are_there_to_be_read(world: World) -> None:
    await world.feed(message("/terms"))

    assert "Terms of service" in world.telegram.called(SendMessage)[0].text
