"""What people do at the till: they order in the chat, pay, and whoever took the money says so."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from aiohttp import ClientError, ClientSession, TCPConnector

from bot.sandbox import Message, Person
from bot.sandbox.crypto_pay import SIGNATURE_HEADER, sign
from bot.sandbox.webhook import SECRET_HEADER
from tests.failures.run import Run
from tests.faults.convergence import HOOK, PUSHES, SECRET

#: A person looks at the chat for so long, seconds: generous, machines are busy.
PATIENCE_S = 60.0

Headers = dict[str, str]

UNDONE = "SELECT count(*) = 0 FROM inbox WHERE done_at IS NULL AND quarantined_at IS NULL"
SERVED = """
SELECT count(*) FROM subscriptions s JOIN credentials c ON c.subscription_id = s.id
WHERE s.user_id = $1 AND s.status = 'active' AND c.desired = 'present' AND c.applied_gen = c.gen
"""


def button(prefix: str) -> Callable[[Message], bool]:
    """A message with a button whose data begins so."""
    return lambda message: any((b.data or "").startswith(prefix) for b in message.buttons)


async def tap(person: Person, prefix: str, after: int = 0) -> Message:
    """Wait for a button and tap it; the message that it was under."""
    shown = await person.wait_for(button(prefix), timeout_s=PATIENCE_S, after=after)
    await person.tap(shown, data_of(shown, prefix))
    return shown


def data_of(message: Message, prefix: str) -> str:
    """What a button carries, by its beginning."""
    return next(b.data for b in message.buttons if b.data and b.data.startswith(prefix))


async def order(person: Person, plan_id: str, way: str) -> Message:
    """From the list of plans to what asks for the money."""
    before = person.revision
    await person.say("/buy")
    await tap(person, f"plan:{plan_id}:", before)
    await tap(person, f"way:{plan_id}:{way}:", before)
    return await person.wait_for(
        lambda m: button("order:")(m) or m.invoice is not None,
        timeout_s=PATIENCE_S,
        after=before,
    )


async def order_coins(run: Run, person: Person, plan_id: str) -> int:
    """An order that Crypto Pay has an invoice for: its number."""
    shown = await order(person, plan_id, "cryptopay")
    pages = {b.url for b in shown.buttons}
    return next(n for n, i in run.town.coins.invoices.items() if i["bot_invoice_url"] in pages)


async def has_link(run: Run, *people: Person) -> None:
    """Until each has access, and the link in the chat."""
    for person in people:
        await run.town.until(SERVED, person.id)
        await person.wait_for(lambda m: m.link is not None, timeout_s=PATIENCE_S)


async def pay_unheard(run: Run, person: Person, plan_id: str) -> tuple[str, dict[str, Any]]:
    """Somebody pays Telegram for a month, and its word is lost: the charge, and the word."""
    town = run.town
    number = await town.order(person, plan_id)
    town.sandbox.faults.swallow_next_update(lambda update: tells_of_payment(update, person))
    charge = town.sandbox.charge(person.id, town.invoice(person, number))
    return charge, town.sandbox.faults.swallowed[-1]


def tells_of_payment(update: dict[str, Any], person: Person) -> bool:
    """Whether an update says that this person was charged."""
    message = update.get("message", {})
    return "successful_payment" in message and message["from"]["id"] == person.id


def word_of_telegram(update: dict[str, Any], secret: str = SECRET) -> tuple[bytes, Headers]:
    """An update as Telegram's call carries it."""
    return json.dumps(update).encode(), {SECRET_HEADER: secret}


def dated(run: Run, body: bytes, later_s: float, **changed: Any) -> tuple[bytes, Headers]:
    """The same news of Crypto Pay, told at another time, and signed anew."""
    news = json.loads(body) | changed
    date = datetime.fromisoformat(news["request_date"]) + timedelta(seconds=later_s)
    again = json.dumps(news | {"request_date": date.isoformat()}).encode()
    return again, {SIGNATURE_HEADER: sign(run.town.coins.token, again)}


class Caller:
    """Calls the back-end over HTTP, from an address of loopback; each call has a connection."""

    def __init__(self, run: Run, address: str = "127.0.0.1") -> None:
        self._door = run.town.door
        self._address = address

    async def push(self, body: bytes, headers: Headers) -> int:
        """As Crypto Pay: the status that it hears, 0 for none."""
        return await self._post(PUSHES, body, headers)

    async def update(self, body: bytes, headers: Headers) -> int:
        """As Telegram."""
        return await self._post(HOOK, body, headers)

    async def _post(self, path: str, body: bytes, headers: Headers) -> int:
        connector = TCPConnector(local_addr=(self._address, 0))
        try:
            async with (
                ClientSession(connector=connector) as session,
                session.post(self._door + path, data=body, headers=headers) as response,
            ):
                return response.status
        except ClientError:
            return 0
