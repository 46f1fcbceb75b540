"""The whole product as a newcomer meets it: two people at the chat page, at the same time."""

import asyncio
import re

import pytest
from playwright.async_api import Page, async_playwright, expect

from tests.browser.test_chat_page import CHROMIUM, QUIET
from tests.e2e.conftest import Shop

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
expect.set_options(timeout=30_000)  # a deadline for a hung page, not a measure of speed


async def buy(page: Page, start: str, menu: str, plan: str) -> None:
    """Tap from the empty chat to a payment made."""
    await page.get_by_role("button", name=re.compile(start)).first.click()
    for name in (menu, plan, "Stars|Звёзды", "^Pay", "^Pay"):
        await page.get_by_role("button", name=re.compile(name)).last.click()


async def check_vpn(page: Page) -> None:
    """Try the link that came, with a real client."""
    await page.get_by_role("button", name="Check my VPN").last.click()
    await expect(
        page.get_by_text(re.compile(r"through the tunnel in \d+ ms")).first
    ).to_be_visible()


async def test_two_people_buy_and_reach_a_page_through_their_tunnels(shop: Shop) -> None:
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET) as browser,
    ):
        anna = await browser.new_page(locale="en-US")
        boris = await browser.new_page(locale="en-US")
        await anna.goto(f"{shop.world.url}/?person=1001")
        await boris.goto(f"{shop.world.url}/?person=1002")

        await asyncio.gather(
            buy(anna, "^Start", "^Buy", "^1 month"), buy(boris, "^Start", "^Купить", "^1 месяц")
        )

        await expect(anna.get_by_text("✓ Ready")).to_be_visible()
        await expect(boris.get_by_text("✓ Готово")).to_be_visible()
        await check_vpn(anna)
        await check_vpn(boris)
        assert shop.world.page.hits >= 2
