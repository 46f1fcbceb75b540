"""The chat page in a real browser, driven as people drive it: by what they see and can click."""

import asyncio
import io
import re
from collections.abc import AsyncIterator

import pytest
import segno
from aiogram import Bot, Dispatcher, F
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import CommandStart
from aiogram.types import (
    BotCommand,
    BufferedInputFile,
    CallbackQuery,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LabeledPrice,
    Message,
    PreCheckoutQuery,
)
from playwright.async_api import Browser, Locator, Page, async_playwright, expect

from bot.sandbox import ANNA_ID, BORIS_ID, Address, Sandbox, VpnCheck

pytestmark = pytest.mark.browser
expect.set_options(timeout=30_000)  # a deadline for a hung page, not a measure of speed

LINK = "vless://9f1c@203.0.113.7:443?security=reality&sni=example.org#Tollgate"
CHROMIUM = "/usr/bin/chromium"
QUIET = [
    "--no-sandbox",  # the tests run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
KEYS = InlineKeyboardMarkup(
    inline_keyboard=[
        [InlineKeyboardButton(text="Buy ⭐ 100", callback_data="buy")],
        [
            InlineKeyboardButton(text="Toast", callback_data="toast"),
            InlineKeyboardButton(text="Alert", callback_data="alert"),
            InlineKeyboardButton(text="Slow", callback_data="slow"),
        ],
    ]
)


class Shop:
    """A tiny bot; what it should do slowly waits for `gate`, what it should refuse for `open`."""

    def __init__(self, bot: Bot) -> None:
        self.bot = bot
        self.gate = asyncio.Event()
        self.open = True
        self.dispatcher = Dispatcher()
        self.dispatcher.message(CommandStart())(self.start)
        self.dispatcher.message(F.successful_payment)(self.deliver)
        self.dispatcher.message(F.text)(self.echo)
        self.dispatcher.callback_query(F.data == "buy")(self.buy)
        self.dispatcher.callback_query(F.data)(self.answer)
        self.dispatcher.pre_checkout_query()(self.approve)

    async def start(self, message: Message) -> None:
        """Shows the menu."""
        await message.answer("<b>Welcome</b> <i>home</i>", parse_mode="HTML", reply_markup=KEYS)

    async def echo(self, message: Message) -> None:
        """Sends back what was written, without reading markup into it."""
        await message.answer(f"you said {message.text}")

    async def answer(self, query: CallbackQuery) -> None:
        """Answers a tap in the way that its data names."""
        if query.data == "slow":
            await self.gate.wait()
        await query.answer(f"from {query.data}", show_alert=query.data == "alert")

    async def buy(self, query: CallbackQuery) -> None:
        """Turns the menu into a waiting line and sends the invoice."""
        await query.answer()
        assert isinstance(query.message, Message)
        await query.message.edit_text("Your invoice is below")
        await query.message.answer_invoice(
            title="1 month",
            description="30 days of access",
            payload="p-1",
            currency="XTR",
            prices=[LabeledPrice(label="1 month", amount=100)],
        )

    async def approve(self, query: PreCheckoutQuery) -> None:
        """Approves while the shop is open."""
        await query.answer(ok=self.open, error_message=None if self.open else "Closed today")

    async def deliver(self, message: Message) -> None:
        """Sends the link as code and as a QR code."""
        await message.bot.send_chat_action(message.chat.id, "upload_photo")  # type: ignore[union-attr]
        code = io.BytesIO()
        segno.make(LINK).save(code, kind="png", scale=4)
        await message.answer_photo(
            BufferedInputFile(code.getvalue(), "qr.png"),
            caption=f"<code>{LINK.replace('&', '&amp;')}</code>",
            parse_mode="HTML",
        )


async def vpn_check(link: str) -> VpnCheck:
    ok = link == LINK
    return VpnCheck(ok=ok, latency_ms=84.2 if ok else None, detail="" if ok else "refused")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(vpn_check=vpn_check)


@pytest.fixture
async def address(sandbox: Sandbox) -> AsyncIterator[Address]:
    async with sandbox.serve() as served:
        yield served


@pytest.fixture
async def shop(sandbox: Sandbox, address: Address) -> AsyncIterator[Shop]:
    session = AiohttpSession(api=TelegramAPIServer.from_base(address.url))
    made = Shop(Bot(sandbox.token, session=session))
    await made.bot.set_my_commands(
        [
            BotCommand(command="start", description="Plans"),
            BotCommand(command="help", description="How to connect"),
        ]
    )
    polling = asyncio.ensure_future(
        made.dispatcher.start_polling(made.bot, handle_signals=False, polling_timeout=1)
    )
    try:
        yield made
    finally:
        made.gate.set()
        await made.dispatcher.stop_polling()
        await polling


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield launched
        await launched.close()


class Tab:
    """One open page of one person."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self._note(line.type, line.text))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)

    def button(self, name: str) -> Locator:
        """A button by its exact accessible name."""
        return self.page.get_by_role("button", name=name, exact=True)

    def text(self, text: str) -> Locator:
        """Whatever shows this text in the chat."""
        return self.page.get_by_role("log").get_by_text(text)

    async def click(self, name: str) -> None:
        """Clicks a button."""
        await self.button(name).click()

    async def buy(self) -> None:
        """From an empty chat to the confirmation of payment."""
        await self.click("Start")
        await self.click("Buy ⭐ 100")
        await self.page.get_by_role("log").get_by_role("button", name=re.compile("^Pay")).click()


@pytest.fixture
async def tabs(browser: Browser, address: Address, shop: Shop) -> AsyncIterator[tuple[Tab, Tab]]:
    """Anna's and Boris's tabs of one browser window; neither may log an error."""
    del shop  # it has to run
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    pair = []
    for person_id in (ANNA_ID, BORIS_ID):
        tab = Tab(await context.new_page())
        await tab.page.goto(f"{address.url}/?person={person_id}")
        pair.append(tab)
    yield pair[0], pair[1]
    assert [error for tab in pair for error in tab.errors] == []


@pytest.fixture
def anna(tabs: tuple[Tab, Tab]) -> Tab:
    return tabs[0]


async def test_two_people_buy_at_the_same_time_and_see_only_their_own_chats(
    tabs: tuple[Tab, Tab], sandbox: Sandbox
) -> None:
    anna, boris = tabs
    await asyncio.gather(anna.buy(), boris.buy())
    for tab in tabs:
        await expect(tab.page.get_by_text("nobody is charged")).to_be_visible()
    await anna.page.locator("#pay-confirm").click()

    await expect(anna.page.get_by_role("img", name="Photo")).to_be_visible()
    await expect(anna.page.locator("li.service")).to_have_text("You paid ⭐ 100")
    await expect(boris.page.get_by_role("img", name="Photo")).to_have_count(0)
    await boris.page.locator("#pay-confirm").click()

    await expect(boris.page.get_by_role("img", name="Photo")).to_be_visible()
    assert [sandbox.person(i).stars for i in (ANNA_ID, BORIS_ID)] == [9_900, 9_900]
    own = boris.page.get_by_role("link", name=re.compile("Борис"))
    await expect(own).to_contain_text("9,900")


async def test_an_edit_appears_in_place(anna: Tab) -> None:
    await anna.click("Start")
    await expect(anna.text("Welcome")).to_be_visible()
    before = await anna.page.get_by_role("listitem").count()

    await anna.click("Buy ⭐ 100")

    await expect(anna.text("Your invoice is below")).to_be_visible()
    await expect(anna.text("Welcome")).to_have_count(0)
    await expect(anna.page.locator("#messages li")).to_have_count(before + 1)  # the invoice
    await expect(anna.text("edited")).to_be_visible()


async def test_a_refusal_by_the_shop_is_shown_and_nothing_is_paid(
    anna: Tab, shop: Shop, sandbox: Sandbox
) -> None:
    shop.open = False
    await anna.buy()

    await anna.page.locator("#pay-confirm").click()

    await expect(anna.page.get_by_text("Closed today")).to_be_visible()
    assert sandbox.person(ANNA_ID).stars == 10_000


async def test_a_tap_shows_toast_alert_or_a_spinner_until_answered(anna: Tab, shop: Shop) -> None:
    await anna.click("Start")

    await anna.click("Toast")
    await expect(anna.page.locator("#toast")).to_have_text("from toast")

    await anna.click("Alert")
    await expect(anna.page.get_by_role("dialog")).to_contain_text("from alert")
    await anna.click("OK")
    await expect(anna.page.get_by_role("dialog")).to_have_count(0)

    await anna.click("Slow")
    await expect(anna.button("Slow")).to_have_attribute("aria-busy", "true")
    shop.gate.set()
    await expect(anna.page.locator("#toast")).to_have_text("from slow")
    await expect(anna.button("Slow")).not_to_have_attribute("aria-busy", "true")


async def test_the_delivered_link_is_copied_and_checked(anna: Tab) -> None:
    await anna.buy()
    await anna.page.locator("#pay-confirm").click()
    await expect(anna.text(LINK)).to_be_visible()

    await anna.page.get_by_title("Copy").click()
    await expect(anna.page.locator("#toast")).to_have_text("Copied")
    assert await anna.page.evaluate("navigator.clipboard.readText()") == LINK

    await anna.page.get_by_role("log").get_by_role("button", name="Check my VPN").click()
    result = anna.page.get_by_role("dialog")
    await expect(result).to_contain_text("203.0.113.7:443")
    await expect(result).to_contain_text("Page fetched through the tunnel in 84 ms")


async def test_commands_are_offered_and_filtered_and_sent_by_keyboard(anna: Tab) -> None:
    await anna.click("Start")
    await expect(anna.text("Welcome")).to_be_visible()
    box = anna.page.get_by_role("textbox", name="Message")
    offered = anna.page.get_by_role("group", name="Commands").get_by_role("button")

    await box.fill("/")
    await expect(offered).to_have_count(2)
    await box.press_sequentially("h")
    await expect(offered).to_have_count(1)
    await box.press("ArrowUp")
    await expect(offered.first).to_be_focused()
    await anna.page.keyboard.press("Enter")

    await expect(anna.text("you said /help")).to_be_visible()
    await expect(offered).to_have_count(0)


async def test_text_is_never_taken_for_markup(anna: Tab) -> None:
    await anna.click("Start")
    evil = "<img src=x onerror=alert(1)><b>bold</b>"

    await anna.page.get_by_role("textbox", name="Message").fill(evil)
    await anna.page.keyboard.press("Enter")

    await expect(anna.text(f"you said {evil}")).to_be_visible()
    assert await anna.page.locator("#messages img").count() == 0


async def test_a_stopped_bot_can_be_restarted(anna: Tab, sandbox: Sandbox) -> None:
    await anna.click("Start")
    await anna.click("Stop bot")

    await expect(anna.page.get_by_role("textbox", name="Message")).to_be_hidden()
    assert sandbox.person(ANNA_ID).chat.blocked
    await anna.click("Restart bot")

    await expect(anna.text("Welcome")).to_have_count(2)


async def test_a_tab_can_switch_to_another_person_and_hears_of_the_first(
    anna: Tab, shop: Shop
) -> None:
    await anna.click("Start")
    await expect(anna.text("Welcome")).to_be_visible()

    await anna.page.get_by_role("link", name=re.compile("Борис")).click()
    await expect(anna.button("Start")).to_be_visible()
    await expect(anna.text("Welcome")).to_have_count(0)
    await shop.bot.send_message(ANNA_ID, "news")

    annas_entry = anna.page.get_by_role("link", name=re.compile("Anna"))
    await expect(annas_entry.locator(".badge")).to_have_text("1")
    await annas_entry.click()
    await expect(anna.text("news")).to_be_visible()
    await expect(annas_entry.locator(".badge")).to_have_count(0)


async def test_the_page_recovers_when_the_sandbox_comes_back(browser: Browser) -> None:
    sandbox = Sandbox()
    async with sandbox.serve() as address:
        tab = Tab(await browser.new_page())
        await tab.page.goto(address.url)
        await expect(tab.button("Start")).to_be_visible()
    await expect(tab.page.get_by_text("Connection lost")).to_be_visible()

    await sandbox.person(ANNA_ID).say("said meanwhile")
    async with sandbox.serve("127.0.0.1", address.port):
        await expect(tab.text("said meanwhile")).to_be_visible(timeout=30_000)
        await expect(tab.page.get_by_text("Connection lost")).to_be_hidden()


@pytest.mark.parametrize("width", [360, 1280])
async def test_nothing_overflows_sideways(anna: Tab, width: int) -> None:
    await anna.page.set_viewport_size({"width": width, "height": 740})
    await anna.buy()
    await anna.page.locator("#pay-confirm").click()
    await expect(anna.page.get_by_role("img", name="Photo")).to_be_visible()

    overflow = await anna.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )

    assert overflow <= 0
