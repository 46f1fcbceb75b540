"""A person at the other end of the chat: what tests, the demo and the page act through."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bot.sandbox.entities import Formatted, with_detected
from bot.sandbox.errors import BlockedError, NotSeenError
from bot.sandbox.messages import Button, Message
from bot.sandbox.payments import Cashier, Invoice, Paid, Refused
from bot.sandbox.questions import Questions
from bot.sandbox.state import Chat, Params, World
from bot.sandbox.updates import UpdateQueue

Wanted = str | Callable[[Message], bool]


@dataclass(frozen=True, slots=True)
class CallbackAnswer:
    """How the bot answered a tap: a toast, or with `alert` a dialog; both empty means silently."""

    text: str = ""
    alert: bool = False


class Person:
    """One Telegram user, who has one private chat with the bot."""

    def __init__(
        self, chat: Chat, world: World, updates: UpdateQueue, taps: Questions, cashier: Cashier
    ) -> None:
        self._chat = chat
        self._world = world
        self._updates = updates
        self._taps = taps
        self._cashier = cashier

    @property
    def id(self) -> int:
        """User id, and the id of the chat."""
        return self._chat.id

    @property
    def chat(self) -> Chat:
        """The whole state, for the page."""
        return self._chat

    @property
    def stars(self) -> int:
        """Play money left in the purse."""
        return self._chat.stars

    @property
    def messages(self) -> list[Message]:
        """What the chat shows now, oldest first."""
        return list(self._chat.messages.values())

    @property
    def photos(self) -> list[bytes]:
        """The uploaded bytes of every photo in the chat, oldest first."""
        return [m.photo for m in self.messages if m.photo is not None]

    @property
    def link(self) -> str | None:
        """The ``vless://`` link in the message that changed last, of those that have one."""
        links = (m.link for m in self._newest_first())
        return next((link for link in links if link), None)

    @property
    def revision(self) -> int:
        """A mark for `wait_for(..., after=...)`: what is there now is not newer than it."""
        return self._world.revision

    @property
    def transcript(self) -> str:
        """The whole chat, a line per message."""
        return "\n".join(m.transcript() for m in self.messages) or "(the chat is empty)"

    async def say(self, text: str) -> Message:
        """Writes to the bot.

        Raises:
            BlockedError: The person has blocked the bot.
        """
        self._must_not_be_blocked()
        if not self._chat.started:
            self._chat.started = True
            self._world.person_changed(self._chat)
        marked = with_detected(Formatted(text.strip()))
        entities = {"entities": marked.entities} if marked.entities else {}
        content = {"text": marked.text, **entities}
        message = self._world.add_message(self._chat, self._chat.user, content)
        self._updates.push("message", message.raw)
        return message

    async def tap(self, message: Message, button: str | Button) -> CallbackAnswer | None:
        """Taps an inline button and waits for the bot's answer.

        Args:
            message: Any state of the message, also one that was edited since: people tap what
                they still see.
            button: Its text, a part of its text, or its callback data.

        Returns:
            The answer, or ``None`` when the bot was silent for `callback_timeout_s`.

        Raises:
            LookupError: There is no such button, or it is not one that reaches the bot.
            BlockedError: The person has blocked the bot.
        """
        self._must_not_be_blocked()
        pressed = message.button(button) if isinstance(button, str) else button
        if pressed.data is None:
            raise LookupError(f"the button {pressed.text!r} sends nothing to the bot")
        question = self._taps.open()
        self._updates.push(
            "callback_query",
            {
                "id": question,
                "from": self._chat.user,
                "chat_instance": self._chat.instance,
                "message": self._reachable(message),
                "data": pressed.data,
            },
        )
        answer = await self._taps.answer_to(question)
        if answer is None:
            return None
        return CallbackAnswer(answer.get("text", ""), bool(answer.get("show_alert")))

    async def pay(self, invoice: Message | str) -> Paid | Refused:
        """Pays an invoice and sees the checkout through.

        Args:
            invoice: A message, also one from another person's chat, which stands for its
                forwarded copy; or a link from ``createInvoiceLink``.

        Raises:
            LookupError: The message is no invoice, or the link is unknown.
        """
        return await self._cashier.pay(self._chat, self.invoice(invoice))

    def invoice(self, invoice: Message | str) -> Invoice:
        """What an invoice message or link offers; raises `LookupError` if it offers nothing."""
        if isinstance(invoice, str):
            return self._cashier.invoice_by(invoice)
        return self._cashier.invoice_in(invoice.chat_id, invoice.id)

    def renew(self, charge_id: str) -> Paid | Refused:
        """Lets the next period of a Stars subscription fall due; see `Cashier.renew`."""
        return self._cashier.renew(charge_id)

    def cancel_subscription(self, charge_id: str) -> None:
        """Stops a Stars subscription from renewing."""
        self._cashier.set_canceled(charge_id, canceled=True)

    def resume_subscription(self, charge_id: str) -> None:
        """Takes `cancel_subscription` back."""
        self._cashier.set_canceled(charge_id, canceled=False)

    def block(self) -> None:
        """Stops the bot, as *Stop bot* in Telegram does."""
        self._set_blocked(blocked=True)

    def unblock(self) -> None:
        """Takes `block` back."""
        self._set_blocked(blocked=False)

    async def wait_for(self, wanted: Wanted, *, timeout_s: float = 20, after: int = 0) -> Message:
        """The message wanted, as soon as the chat shows it; the one that changed last comes first.

        Args:
            wanted: A part of the text, or a predicate. Edits count like new messages.
            timeout_s: Seconds of the loop's clock.
            after: Only messages sent or edited after this `revision`.

        Raises:
            NotSeenError: It did not come in time; the text shows the chat.
        """
        fits = (lambda m: wanted in m.text) if isinstance(wanted, str) else wanted
        deadline = asyncio.get_running_loop().time() + timeout_s
        with self._world.watch() as changes:
            while True:
                for message in self._newest_first():
                    if message.revision > after and fits(message):
                        return message
                left = deadline - asyncio.get_running_loop().time()
                try:
                    await asyncio.wait_for(changes.get(), left)
                except TimeoutError:
                    raise self._not_seen(wanted, timeout_s) from None

    def _not_seen(self, wanted: Wanted, timeout_s: float) -> NotSeenError:
        what = repr(wanted) if isinstance(wanted, str) else "a message that fits"
        name = self._chat.user["first_name"]
        return NotSeenError(
            f"{name} ({self.id}) waited {timeout_s:g} s for {what}; the chat:\n{self.transcript}"
        )

    def _newest_first(self) -> list[Message]:
        return sorted(self.messages, key=lambda m: m.revision, reverse=True)

    def _reachable(self, message: Message) -> Params:
        """The message as it is now, or what the Bot API says of one that was deleted."""
        current = self._chat.messages.get(message.id)
        if current is not None:
            return current.raw
        return {"chat": self._chat.described(), "message_id": message.id, "date": 0}

    def _must_not_be_blocked(self) -> None:
        if self._chat.blocked:
            raise BlockedError(f"{self._chat.user['first_name']} has blocked the bot")

    def _set_blocked(self, *, blocked: bool) -> None:
        if self._chat.blocked == blocked:
            return
        self._chat.blocked = blocked
        self._world.person_changed(self._chat)
        member = {"user": self._world.bot, "status": "member"}
        banned = {"user": self._world.bot, "status": "kicked", "until_date": 0}
        self._updates.push(
            "my_chat_member",
            {
                "chat": self._chat.described(),
                "from": self._chat.user,
                "date": self._world.now(),
                "old_chat_member": member if blocked else banned,
                "new_chat_member": banned if blocked else member,
            },
        )
