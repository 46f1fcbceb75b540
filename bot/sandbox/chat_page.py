"""The chat page and the small JSON interface behind it; everything acts through `Person`."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from bot.sandbox.bot_methods import commands_for
from bot.sandbox.errors import BlockedError
from bot.sandbox.messages import Message
from bot.sandbox.payments import Invoice, Paid, Refused
from bot.sandbox.person import Person
from bot.sandbox.rules import TEXT_MAX
from bot.sandbox.state import Change, World
from bot.sandbox.vpn_check import CheckVpn, VpnCheck

_FILES = Path(__file__).parent / "page"
_KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
        " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
HEARTBEAT_S = 15
"""A comment line at this pace lets both ends notice a dead connection."""

FindPerson = Callable[[int], Person]


class ChatPage:
    """Serves the page's files, its event stream, and what its buttons do."""

    def __init__(self, world: World, find: FindPerson, vpn_check: CheckVpn | None) -> None:
        self._world = world
        self._find = find
        self._vpn_check = vpn_check

    def routes(self) -> list[web.AbstractRouteDef]:
        """All routes of the page."""
        return [
            web.get("/", self.file),
            web.get("/page/{name}", self.file),
            web.get("/sandbox/events", self.events),
            web.get("/sandbox/files/{file_id}", self.picture),
            *(
                web.post(f"/sandbox/{name}", self._action(act))
                for name, act in (
                    ("say", self.say),
                    ("tap", self.tap),
                    ("pay", self.pay),
                    ("invoice", self.invoice),
                    ("block", self.block),
                    ("check-vpn", self.check_vpn),
                )
            ),
        ]

    async def file(self, request: web.Request) -> web.Response:
        """One of the page's own files."""
        path = _FILES / request.match_info.get("name", "index.html")
        if path.parent != _FILES or path.suffix not in _KINDS or not path.is_file():
            raise web.HTTPNotFound
        return web.Response(
            text=path.read_text("utf-8"),
            content_type=_KINDS[path.suffix],
            charset="utf-8",
            headers=_HEADERS,
        )

    async def picture(self, request: web.Request) -> web.Response:
        """An uploaded photo."""
        stored = self._world.files.get(request.match_info["file_id"])
        if stored is None:
            raise web.HTTPNotFound
        return web.Response(
            body=stored.content, content_type=stored.picture.media_type, headers=_HEADERS
        )

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Everything one person sees: first the state, then each change (server-sent events)."""
        person = self._person(request.query.get("person") or next(iter(self._world.chats)))
        response = web.StreamResponse(
            headers={**_HEADERS, hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8"}
        )
        with contextlib.suppress(ConnectionResetError):  # the tab was closed
            await self._stream(request, response, person)
        return response

    async def _stream(
        self, request: web.Request, response: web.StreamResponse, person: Person
    ) -> None:
        await response.prepare(request)
        with self._world.watch() as changes:
            await self._emit(response, "snapshot", self._snapshot(person))
            while True:
                try:
                    change = await asyncio.wait_for(changes.get(), HEARTBEAT_S)
                except TimeoutError:
                    await response.write(b": still here\n\n")
                    continue
                if (event := self._event(person, change)) is not None:
                    await self._emit(response, *event)

    async def say(self, body: dict[str, Any]) -> dict[str, Any]:
        """Writes a text to the bot."""
        text = str(body["text"]).strip()
        if not 1 <= len(text) <= TEXT_MAX:
            raise ValueError(f"a message has 1 to {TEXT_MAX} characters")
        message = await self._person(body["person"]).say(text)
        return {"message_id": message.id}

    async def tap(self, body: dict[str, Any]) -> dict[str, Any]:
        """Taps an inline button, named by its callback data."""
        person = self._person(body["person"])
        message = _message(person, body)
        answer = await person.tap(message, str(body["data"]))
        if answer is None:
            return {"answered": False}
        return {"answered": True, **dataclasses.asdict(answer)}

    async def invoice(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a link offers, for the confirmation."""
        offer: Invoice = self._person(body["person"]).invoice(str(body["link"]))
        return offer.described()

    async def pay(self, body: dict[str, Any]) -> dict[str, Any]:
        """Pays an invoice message or an invoice link."""
        person = self._person(body["person"])
        target = str(body["link"]) if "link" in body else _message(person, body)
        match await person.pay(target):
            case Paid(charge_id):
                return {"paid": True, "charge_id": charge_id}
            case Refused(reason):
                return {"paid": False, "reason": reason}

    async def block(self, body: dict[str, Any]) -> dict[str, Any]:
        """Blocks or unblocks the bot."""
        person = self._person(body["person"])
        if body["blocked"]:
            person.block()
        else:
            person.unblock()
        return {}

    async def check_vpn(self, body: dict[str, Any]) -> dict[str, Any]:
        """Tries a link with the check that the sandbox was given."""
        link = str(body["link"])
        if self._vpn_check is None:
            outcome = VpnCheck(ok=False, latency_ms=None, detail="No VPN check is set up here.")
        elif not link.startswith("vless://"):
            outcome = VpnCheck(ok=False, latency_ms=None, detail="This is not a vless:// link.")
        else:
            outcome = await self._vpn_check(link)
        return dataclasses.asdict(outcome)

    def _action(
        self, act: Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Reads the JSON body, acts, and words what went wrong."""

        async def serve(request: web.Request) -> web.Response:
            # A form of a foreign page cannot have this content type without asking first.
            if request.content_type != "application/json":
                raise web.HTTPUnsupportedMediaType
            try:
                return web.json_response(await act(await request.json()), headers=_HEADERS)
            except (LookupError, TypeError, ValueError, BlockedError) as error:
                return web.json_response({"error": str(error)}, status=400, headers=_HEADERS)

        return serve

    def _person(self, person_id: Any) -> Person:
        chat = self._world.chats.get(int(person_id)) if str(person_id).isdecimal() else None
        if chat is None:
            raise web.HTTPNotFound(text="There is no such person.")
        return self._find(chat.id)

    def _snapshot(self, person: Person) -> dict[str, Any]:
        return {
            "me": person.id,
            "bot": self._world.bot,
            "can_check_vpn": self._vpn_check is not None,
            "people": self._people(),
            "commands": self._commands(person),
            "messages": [message.raw for message in person.messages],
        }

    def _people(self) -> list[dict[str, Any]]:
        return [
            {
                "id": chat.id,
                "name": chat.user["first_name"],
                "language": chat.user["language_code"],
                "role": chat.role,
                "stars": chat.stars,
                "started": chat.started,
                "blocked": chat.blocked,
            }
            for chat in self._world.chats.values()
        ]

    def _commands(self, person: Person) -> list[dict[str, Any]]:
        return commands_for(self._world, person.id, person.chat.user["language_code"])

    def _event(self, person: Person, change: Change) -> tuple[str, Any] | None:
        """A change as this person's page hears of it; ``None`` if it is not for this page."""
        if change.kind == "person":
            return "people", self._people()
        if change.kind == "commands":
            return "commands", self._commands(person)
        if change.chat_id != person.id:
            heard = change.kind == "message" and change.message and change.message.from_bot
            return ("elsewhere", {"id": change.chat_id}) if heard else None
        if change.message is not None:
            return change.kind, change.message.raw
        return change.kind, change.detail

    async def _emit(self, response: web.StreamResponse, name: str, data: Any) -> None:
        await response.write(f"event: {name}\ndata: {json.dumps(data)}\n\n".encode())


def _message(person: Person, body: dict[str, Any]) -> Message:
    found = person.chat.messages.get(int(body["message_id"]))
    if found is None:
        raise LookupError("the message is gone")
    return found
