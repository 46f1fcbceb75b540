"""Puts the parts together: one bot, its people, and the HTTP server in front of them."""

import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from bot.sandbox.bot_methods import BotMethods
from bot.sandbox.calls import Call
from bot.sandbox.chat_methods import ChatMethods, Sender
from bot.sandbox.chat_page import ChatPage
from bot.sandbox.faults import Faults
from bot.sandbox.guard import local_only
from bot.sandbox.in_hand import InHand
from bot.sandbox.payment_methods import PaymentMethods
from bot.sandbox.payments import Cashier, Invoice
from bot.sandbox.person import Person
from bot.sandbox.questions import Questions
from bot.sandbox.rates import OVERALL, PER_CHAT, RateLimit
from bot.sandbox.server import UPLOAD_MAX_BYTES, BotApi, handlers
from bot.sandbox.state import STARS_AT_FIRST, World
from bot.sandbox.updates import UpdateQueue
from bot.sandbox.vpn_check import CheckVpn
from bot.sandbox.webhook import Webhook

TOKEN = "123456:TEST-token-of-the-sandbox-0000000000"  # noqa: S105 - opens the sandbox only
ADMIN_ID = 1000
ANNA_ID = 1001
BORIS_ID = 1002

PRECHECKOUT_TIMEOUT_S = 10
"""From https://core.telegram.org/bots/api#answerprecheckoutquery."""

CALLBACK_TIMEOUT_S = 15
"""How long a tap may stay unanswered; Telegram publishes no figure, clients give up about then."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the sandbox listens."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Base address, without a slash at the end: page, and base of the Bot API."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class Sandbox:
    """A Telegram of one bot.

    Args:
        token: The bot's token; its part before the colon is the bot's id.
        bot_username: Without ``@``.
        bot_name: What the chat is called.
        vpn_check: Tries a ``vless://`` link for the page; without it the page offers no check.
        admin_id: Id of the person whom the page calls *Admin*.
        allowed_hosts: Names by which a browser may reach the page, besides loopback names.
        chat_rate: Messages per second and chat before 429.
        overall_rate: Messages per second in all chats before 429.
        callback_timeout_s: Seconds after which a tap cannot be answered.
        precheckout_timeout_s: Seconds after which a pre-checkout cannot be answered.
        webhook_retry_s: Seconds between two deliveries of an update that was not taken.
        wall_clock: Unix time, for the dates of messages.
    """

    def __init__(  # noqa: PLR0913 - every argument is one knob of the outer world, all with defaults
        self,
        token: str = TOKEN,
        bot_username: str = "tollgate_demo_bot",
        *,
        bot_name: str = "Tollgate",
        vpn_check: CheckVpn | None = None,
        admin_id: int = ADMIN_ID,
        allowed_hosts: Iterable[str] = (),
        chat_rate: RateLimit = PER_CHAT,
        overall_rate: RateLimit = OVERALL,
        callback_timeout_s: float = CALLBACK_TIMEOUT_S,
        precheckout_timeout_s: float = PRECHECKOUT_TIMEOUT_S,
        webhook_retry_s: float = 1,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - dates that people read
    ) -> None:
        self.token = token
        self.faults = Faults()
        bot = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": bot_name,
            "username": bot_username,
        }
        self._world = World(bot, wall_clock)
        # A thousand ids a second: no bot uses them up before a restarted sandbox begins above.
        self._updates = UpdateQueue(self._world.number_from_time(per_s=1000), self.faults)
        self._taps = Questions(callback_timeout_s)
        self._cashier = Cashier(self._world, self._updates, Questions(precheckout_timeout_s))
        self._webhook = Webhook(self._updates, self._world.now, webhook_retry_s)
        self._sender = Sender(self._world, chat_rate, overall_rate)
        self._api = self._bot_api()
        self._webhook.on_reply(self._api.execute)
        self._page = ChatPage(self._world, self.person, vpn_check)
        self._allowed_hosts = frozenset(allowed_hosts)
        self._people: dict[int, Person] = {}
        self.person(ANNA_ID, first_name="Anna", role="Buyer")
        self.person(BORIS_ID, first_name="Борис", language_code="ru", role="Buyer")
        self.person(admin_id, first_name="Admin", role="Admin")

    @property
    def calls(self) -> deque[Call]:
        """The last 10,000 well-formed calls, also those that a fault struck, oldest first."""
        return self._world.calls

    @property
    def people(self) -> list[Person]:
        """Everybody, in the order in which they appeared."""
        return list(self._people.values())

    @property
    def transactions(self) -> list[dict[str, object]]:
        """All Star transactions, oldest first: what the bot was paid and gave back."""
        return self._cashier.transactions

    @property
    def pending_updates(self) -> int:
        """How many updates the bot has not confirmed yet."""
        return len(self._updates)

    def person(
        self,
        person_id: int,
        *,
        first_name: str = "",
        username: str | None = None,
        language_code: str = "en",
        role: str = "",
        stars: int = STARS_AT_FIRST,
    ) -> Person:
        """The person with this id, who is created with these properties if new."""
        if person_id not in self._people:
            user = {
                "id": person_id,
                "is_bot": False,
                "first_name": first_name or f"User {person_id}",
                **({"username": username} if username else {}),
                "language_code": language_code,
            }
            chat = self._world.enter(user, role, stars)
            self._people[person_id] = Person(
                chat, self._world, self._updates, self._taps, self._cashier
            )
        return self._people[person_id]

    def charge(self, payer_id: int, invoice: Invoice) -> str:
        """Charges somebody for whatever is said here and asks the bot nothing first.

        Returns:
            The id of the charge.
        """
        return self._cashier.charge(self.person(payer_id).chat, invoice)

    def redeliver(self, update: dict[str, object]) -> None:
        """Delivers an update once more, under the id it had."""
        self._updates.redeliver(update)

    @contextlib.asynccontextmanager
    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Address]:
        """Serves Bot API and page while the block runs; may be entered again afterwards.

        Args:
            host: A loopback address, unless there is a reason.
            port: 0 lets the system choose.

        Raises:
            OSError: The port is in use.
        """
        in_hand = InHand()
        app = web.Application(
            middlewares=[in_hand.middleware(), local_only(self._allowed_hosts | {host})],
            client_max_size=UPLOAD_MAX_BYTES,
        )
        app.add_routes([*self._api.routes(), *self._page.routes()])
        # Long polls and event streams never end by themselves; 0 would wait for them for ever.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            self._webhook.resume()
            yield Address(host, runner.addresses[0][1])
        finally:
            self._webhook.pause()
            await runner.cleanup()
            await in_hand.end()

    def _bot_api(self) -> BotApi:
        return BotApi(
            self.token,
            self._world,
            self.faults,
            handlers(
                BotMethods(self._world, self._updates, self._webhook),
                ChatMethods(self._world, self._sender, self._taps),
                PaymentMethods(self._cashier, self._sender),
            ),
        )
