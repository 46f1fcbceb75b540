"""A page that only a working tunnel should reach, and a count of who did."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

TEXT = "Hello from the other side of the tunnel."


@dataclass(slots=True)
class TargetPage:
    """A small web page on loopback. `hits` grows with each visit."""

    url: str = ""
    hits: int = 0

    async def answer(self, _: web.Request) -> web.Response:
        """Serve the page."""
        self.hits += 1
        return web.Response(text=TEXT)


@asynccontextmanager
async def target_page() -> AsyncIterator[TargetPage]:
    """Serve the page on a free port for as long as the context lasts."""
    page = TargetPage()
    app = web.Application()
    app.router.add_get("/", page.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        page.url = f"http://{host}:{port}/"
        yield page
    finally:
        await runner.cleanup()
