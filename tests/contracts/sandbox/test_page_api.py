"""The interface behind the chat page: what a tab hears, what it may do, who may not."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import segno
from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, FormData

from bot.sandbox import ANNA_ID, BORIS_ID, Address, Person, Sandbox, VpnCheck

LINK = "vless://id@203.0.113.7:443#x"


async def check(link: str) -> VpnCheck:
    return VpnCheck(ok=link == LINK, latency_ms=84.2, detail="fetched")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(vpn_check=check, precheckout_timeout_s=0.05, callback_timeout_s=0.05)


@pytest.fixture
async def address(sandbox: Sandbox) -> AsyncIterator[Address]:
    async with sandbox.serve() as served:
        yield served


@pytest.fixture
async def page(address: Address) -> AsyncIterator[ClientSession]:
    async with ClientSession(address.url, timeout=ClientTimeout(total=20)) as session:
        yield session


async def act(page: ClientSession, action: str, **body: Any) -> dict[str, Any]:
    async with page.post(f"/sandbox/{action}", json=body) as response:
        answer: dict[str, Any] = await response.json()
        return answer | {"status": response.status}


async def call(page: ClientSession, sandbox: Sandbox, method: str, **params: Any) -> Any:
    async with page.post(f"/bot{sandbox.token}/{method}", json=params) as response:
        return (await response.json())["result"]


async def event(stream: ClientResponse) -> tuple[str, Any]:
    """The next server-sent event."""
    name = (await stream.content.readline()).decode().removeprefix("event: ").strip()
    data = (await stream.content.readline()).decode().removeprefix("data: ")
    await stream.content.readline()
    return name, json.loads(data)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html"),
        ("/page/app.js", "text/javascript"),
        ("/page/style.css", "text/css"),
        ("/page/gate.svg", "image/svg+xml"),
    ],
)
async def test_the_page_is_served_and_may_load_nothing_from_elsewhere(
    page: ClientSession, path: str, kind: str
) -> None:
    async with page.get(path) as response:
        assert (response.status, response.content_type) == (200, kind)
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert "http-equiv" not in await response.text()


@pytest.mark.parametrize("path", ["/page/..%2Fserver.py", "/page/none.js", "/page/", "/server.py"])
async def test_nothing_but_the_page_is_served(page: ClientSession, path: str) -> None:
    async with page.get(path) as response:
        assert response.status == 404


async def test_a_tab_hears_its_state_and_then_each_change(
    page: ClientSession, sandbox: Sandbox, anna: Person
) -> None:
    await anna.say("/start")
    async with page.get("/sandbox/events", params={"person": ANNA_ID}) as stream:
        name, state = await event(stream)
        assert (name, state["me"], state["can_check_vpn"]) == ("snapshot", ANNA_ID, True)
        assert [m["text"] for m in state["messages"]] == ["/start"]
        assert [p["role"] for p in state["people"]] == ["Buyer", "Buyer", "Admin"]

        sent = await call(page, sandbox, "sendMessage", chat_id=ANNA_ID, text="hi")
        assert await event(stream) == ("message", sent)

        await call(page, sandbox, "sendChatAction", chat_id=ANNA_ID, action="typing")
        assert await event(stream) == ("action", {"action": "typing"})

        where = {"chat_id": ANNA_ID, "message_id": sent["message_id"]}
        edited = await call(page, sandbox, "editMessageText", text="ho", **where)
        assert await event(stream) == ("message", edited)

        await call(page, sandbox, "deleteMessage", **where)
        assert (await event(stream))[0] == "deleted"

        commands = [{"command": "start", "description": "Start"}]
        await call(page, sandbox, "setMyCommands", commands=commands)
        assert await event(stream) == ("commands", commands)


async def test_a_tab_hears_of_another_chat_only_that_the_bot_wrote(
    page: ClientSession, sandbox: Sandbox, boris: Person
) -> None:
    async with page.get("/sandbox/events", params={"person": ANNA_ID}) as stream:
        await event(stream)

        await boris.say("my secret")
        await call(page, sandbox, "sendMessage", chat_id=BORIS_ID, text="your secret")

        heard = [await event(stream), await event(stream)]
    assert [name for name, _ in heard] == ["people", "elsewhere"]
    assert heard[1][1] == {"id": BORIS_ID}
    assert "secret" not in json.dumps(heard)


async def test_what_a_tab_says_reaches_the_bot(page: ClientSession, sandbox: Sandbox) -> None:
    await act(page, "say", person=BORIS_ID, text=" hello ")

    [update] = await call(page, sandbox, "getUpdates")
    assert (update["message"]["from"]["id"], update["message"]["text"]) == (BORIS_ID, "hello")


async def test_a_tap_without_an_answer_is_told_as_such(
    page: ClientSession, sandbox: Sandbox, anna: Person
) -> None:
    await anna.say("/start")
    board = {"inline_keyboard": [[{"text": "Buy", "callback_data": "buy"}]]}
    sent = await call(
        page, sandbox, "sendMessage", chat_id=ANNA_ID, text="menu", reply_markup=board
    )

    answer = await act(page, "tap", person=ANNA_ID, message_id=sent["message_id"], data="buy")

    assert answer == {"answered": False, "status": 200}


async def test_an_invoice_link_is_described_and_its_refusal_is_told(
    page: ClientSession, sandbox: Sandbox
) -> None:
    link = await call(
        page,
        sandbox,
        "createInvoiceLink",
        title="1 month",
        description="30 days",
        payload="p",
        currency="XTR",
        prices=[{"label": "x", "amount": 100}],
    )

    offer = await act(page, "invoice", person=ANNA_ID, link=link)
    outcome = await act(page, "pay", person=ANNA_ID, link=link)

    assert (offer["title"], offer["total_amount"]) == ("1 month", 100)
    assert outcome == {"paid": False, "reason": "BOT_PRECHECKOUT_TIMEOUT", "status": 200}


async def test_a_tab_stops_and_restarts_the_bot(page: ClientSession, anna: Person) -> None:
    await act(page, "block", person=ANNA_ID, blocked=True)
    refused = await act(page, "say", person=ANNA_ID, text="hello?")
    await act(page, "block", person=ANNA_ID, blocked=False)

    assert (refused["status"], refused["error"]) == (400, "Anna has blocked the bot")
    assert not anna.chat.blocked


async def test_a_vpn_check_tells_success_and_latency(page: ClientSession) -> None:
    answer = await act(page, "check-vpn", link=LINK)

    assert answer == {"ok": True, "latency_ms": 84.2, "detail": "fetched", "status": 200}


async def test_only_vless_links_are_tried(page: ClientSession) -> None:
    answer = await act(page, "check-vpn", link="https://example.org")

    assert (answer["ok"], answer["detail"]) == (False, "This is not a vless:// link.")


@pytest.mark.parametrize(
    ("action", "body", "status"),
    [
        ("say", {"person": 777, "text": "x"}, 404),
        ("say", {"person": ANNA_ID, "text": " "}, 400),
        ("say", {"person": ANNA_ID, "text": "x" * 4097}, 400),
        ("say", {"person": ANNA_ID}, 400),
        ("tap", {"person": ANNA_ID, "message_id": 1, "data": "x"}, 400),
        ("pay", {"person": ANNA_ID, "link": "https://t.me/$none"}, 400),
    ],
)
async def test_a_wrong_action_is_refused_and_does_nothing(
    page: ClientSession, sandbox: Sandbox, action: str, body: dict[str, Any], status: int
) -> None:
    async with page.post(f"/sandbox/{action}", json=body) as response:
        assert response.status == status

    assert sandbox.pending_updates == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
        {"Host": "evil.example", "Origin": "http://evil.example"},
    ],
)
@pytest.mark.parametrize("path", ["/sandbox/say", "/sandbox/check-vpn", "/bot{token}/getMe", "/"])
async def test_a_foreign_page_gets_nothing(
    page: ClientSession, sandbox: Sandbox, path: str, headers: dict[str, str]
) -> None:
    body = {"person": ANNA_ID, "text": "x", "link": LINK}

    async with page.post(path.format(token=sandbox.token), json=body, headers=headers) as response:
        assert response.status == 403

    assert sandbox.pending_updates == 0


async def test_a_plain_form_of_a_foreign_page_is_refused(
    page: ClientSession, sandbox: Sandbox
) -> None:
    body = json.dumps({"person": ANNA_ID, "text": "x"})
    headers = {"Content-Type": "text/plain"}

    async with page.post("/sandbox/say", data=body, headers=headers) as response:
        assert response.status == 415

    assert sandbox.pending_updates == 0


async def test_an_uploaded_photo_is_shown(page: ClientSession, sandbox: Sandbox) -> None:
    code = io.BytesIO()
    segno.make(LINK).save(code, kind="png")
    await sandbox.person(ANNA_ID).say("/start")
    form = FormData({"chat_id": str(ANNA_ID)})
    form.add_field("photo", code.getvalue(), filename="qr.png")
    async with page.post(f"/bot{sandbox.token}/sendPhoto", data=form) as response:
        file_id = (await response.json())["result"]["photo"][-1]["file_id"]

    async with page.get(f"/sandbox/files/{file_id}") as response:
        assert (response.content_type, await response.read()) == ("image/png", code.getvalue())
    async with page.get("/sandbox/files/other") as response:
        assert response.status == 404


async def test_the_server_stops_while_tabs_and_polls_are_open(sandbox: Sandbox) -> None:
    async with asyncio.timeout(20), ClientSession() as client:
        async with sandbox.serve() as address:
            stream = await client.get(f"{address.url}/sandbox/events")
            await event(stream)
            poll = asyncio.ensure_future(
                client.post(f"{address.url}/bot{sandbox.token}/getUpdates", json={"timeout": 50})
            )
            async with client.get(f"{address.url}/bot{sandbox.token}/getMe") as me:
                assert me.status == 200

        stream.close()
        with pytest.raises(ClientError):
            await poll
