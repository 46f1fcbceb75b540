"""A Telegram on this machine: the Bot API over HTTP, people to talk to, a chat page.

The bot under test talks to it with an unmodified client library; a test or the demo plays the
people. Nothing else of ours is imported, so the sandbox cannot agree with our mistakes.

    sandbox = Sandbox()
    async with sandbox.serve("127.0.0.1", 0) as address:
        # aiogram: TelegramAPIServer.from_base(address.url), token sandbox.token
        anna = sandbox.person(1001)
        await anna.say("/start")
        menu = await anna.wait_for("Welcome")
        await anna.tap(menu, "Buy")
        invoice = await anna.wait_for(lambda message: message.invoice is not None)
        outcome = await anna.pay(invoice)  # Paid(charge_id) or Refused(reason)
        await anna.wait_for(lambda message: message.photo is not None)
        anna.link  # the vless:// link that was delivered

Trouble is scripted: ``sandbox.faults.next("sendMessage", Fault.status(502))``, likewise
``Fault.delay(s)``, ``.hold(event)``, ``.drop()``, ``.reply_lost()``, and
``sandbox.faults.duplicate_next_update()``. What the bot called is in ``sandbox.calls``.

Three people exist from the start, also on the page: Anna (1001, en), Борис (1002, ru) and the
admin (1000 unless said otherwise). All durations are seconds of the running loop's clock.
"""

from bot.sandbox.calls import Call
from bot.sandbox.errors import BlockedError, NotSeenError
from bot.sandbox.faults import Fault, Faults
from bot.sandbox.messages import Button, Message
from bot.sandbox.payments import Invoice, Paid, Refused
from bot.sandbox.person import CallbackAnswer, Person
from bot.sandbox.rates import RateLimit
from bot.sandbox.sandbox import ADMIN_ID, ANNA_ID, BORIS_ID, TOKEN, Address, Sandbox
from bot.sandbox.vpn_check import CheckVpn, VpnCheck

__all__ = [
    "ADMIN_ID",
    "ANNA_ID",
    "BORIS_ID",
    "TOKEN",
    "Address",
    "BlockedError",
    "Button",
    "Call",
    "CallbackAnswer",
    "CheckVpn",
    "Fault",
    "Faults",
    "Invoice",
    "Message",
    "NotSeenError",
    "Paid",
    "Person",
    "RateLimit",
    "Refused",
    "Sandbox",
    "VpnCheck",
]
