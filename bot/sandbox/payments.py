"""Money in the sandbox: invoices, checkouts, charges, subscriptions. Only play money moves.

An invoice can be paid any number of times, by whoever may see its Pay button: refusing is the
bot's business, in its answer to the pre-checkout query. A charge is refunded at most once.
"""

import secrets
from dataclasses import dataclass, field
from typing import Any

from bot.sandbox.errors import bad_request
from bot.sandbox.questions import Questions
from bot.sandbox.state import Chat, World
from bot.sandbox.updates import UpdateQueue

STARS = "XTR"
TIMED_OUT = "BOT_PRECHECKOUT_TIMEOUT"
TOO_POOR = "BALANCE_TOO_LOW"
LINK_PREFIX = "https://t.me/$"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What an invoice message or an invoice link offers.

    Attributes:
        amount: In Stars, or in the currency's smallest unit.
        subscription_period: Seconds until the next charge, for a subscription.
        home: The chat in which alone it can be paid; ``None`` when anybody may pay it, which is
            so for links and for messages with an empty start parameter.
    """

    title: str
    description: str
    payload: str
    currency: str
    amount: int
    start_parameter: str = ""
    subscription_period: int | None = None
    home: int | None = None

    def described(self) -> dict[str, Any]:
        """The Bot API ``Invoice`` object."""
        return {
            "title": self.title,
            "description": self.description,
            "start_parameter": self.start_parameter,
            "currency": self.currency,
            "total_amount": self.amount,
        }


@dataclass(frozen=True, slots=True)
class Paid:
    """The payer was charged."""

    charge_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The payer was not charged; `reason` is what the payer sees."""

    reason: str


@dataclass(slots=True)
class Charge:
    """One payment. `expires_at` (Unix time) and the flags after it matter to subscriptions only."""

    charge_id: str
    payer: Chat
    invoice: Invoice
    refunded: bool = False
    expires_at: int | None = None
    canceled: bool = False
    renewed_by: str | None = None


@dataclass(slots=True)
class Cashier:
    """Takes payments and gives them back.

    Attributes:
        transactions: ``StarTransaction`` objects, oldest first.
        charges: Every payment, by charge id.
    """

    world: World
    updates: UpdateQueue
    checkouts: Questions
    charges: dict[str, Charge] = field(default_factory=dict)
    transactions: list[dict[str, Any]] = field(default_factory=list)
    _on_messages: dict[tuple[int, int], Invoice] = field(default_factory=dict)
    _on_links: dict[str, Invoice] = field(default_factory=dict)

    def offer_in_message(self, chat_id: int, message_id: int, invoice: Invoice) -> None:
        """Remembers what an invoice message sells."""
        self._on_messages[chat_id, message_id] = invoice

    def offer_by_link(self, invoice: Invoice) -> str:
        """A link that anybody may pay."""
        link = LINK_PREFIX + secrets.token_urlsafe(12)
        self._on_links[link] = invoice
        return link

    def invoice_in(self, chat_id: int, message_id: int) -> Invoice:
        """What a message sells.

        Raises:
            LookupError: It is no invoice.
        """
        return self._on_messages[chat_id, message_id]

    def invoice_by(self, link: str) -> Invoice:
        """What a link sells.

        Raises:
            LookupError: There is no such link.
        """
        return self._on_links[link]

    async def pay(self, payer: Chat, invoice: Invoice) -> Paid | Refused:
        """The whole checkout: asks the bot, then charges."""
        if invoice.home not in (None, payer.id):
            return Refused("This copy of the invoice only opens the bot")
        if refusal := self._too_poor(payer, invoice):
            return refusal
        question = self.checkouts.open()
        self.updates.push("pre_checkout_query", self._query(question, payer, invoice))
        verdict = await self.checkouts.answer_to(question)
        if verdict is None:
            return Refused(TIMED_OUT)
        if not verdict["ok"]:
            return Refused(verdict["error_message"])
        # Another checkout of the same payer may have emptied the purse meanwhile.
        if refusal := self._too_poor(payer, invoice):
            return refusal
        return Paid(self._charge(payer, invoice, self._first_expiry(invoice), first=True))

    def charge(self, payer: Chat, invoice: Invoice) -> str:
        """Charges without asking the bot, as Telegram should not: the id of the charge."""
        return self._charge(payer, invoice, self._first_expiry(invoice), first=True)

    def renew(self, charge_id: str) -> Paid | Refused:
        """The next period of a subscription falls due: no pre-checkout, a new charge.

        That a renewal skips pre-checkout is how the Bot API reads; it was not tried on the server.

        Raises:
            LookupError: The charge is unknown or no subscription.
        """
        charge = self._subscription(charge_id)
        if charge.canceled or charge.renewed_by:
            return Refused("The subscription is canceled or was renewed already")
        if refusal := self._too_poor(charge.payer, charge.invoice):
            self._tell_state(charge, "failed")
            return refusal
        later = (charge.expires_at or 0) + (charge.invoice.subscription_period or 0)
        charge.renewed_by = self._charge(charge.payer, charge.invoice, later, first=False)
        return Paid(charge.renewed_by)

    def set_canceled(self, charge_id: str, canceled: bool) -> None:
        """The subscriber stops or resumes a subscription; the bot gets a `subscription` update.

        Raises:
            LookupError: The charge is unknown or no subscription.
        """
        charge = self._subscription(charge_id)
        if charge.canceled != canceled:
            charge.canceled = canceled
            self._tell_state(charge, "canceled" if canceled else "active")

    def edit_subscription(self, user_id: int, charge_id: str, canceled: bool) -> None:
        """The bot stops or resumes a subscription.

        Raises:
            ApiError: The charge is unknown, somebody else's, or no subscription.
        """
        charge = self._charge_of(user_id, charge_id)
        if charge.invoice.subscription_period is None:
            raise bad_request("SUBSCRIPTION_NOT_FOUND")
        charge.canceled = canceled

    def refund(self, user_id: int, charge_id: str) -> None:
        """Gives Stars back.

        Raises:
            ApiError: The charge is unknown, somebody else's, not in Stars, or refunded already.
        """
        charge = self._charge_of(user_id, charge_id)
        if charge.invoice.currency != STARS:
            raise bad_request("CHARGE_NOT_FOUND")
        if charge.refunded:
            raise bad_request("CHARGE_ALREADY_REFUNDED")
        charge.refunded = True
        charge.payer.stars += charge.invoice.amount
        self._record(charge, "receiver")
        self._announce(charge, "refunded_payment", {})

    def _charge(self, payer: Chat, invoice: Invoice, expires_at: int | None, *, first: bool) -> str:
        # Random, because a restarted sandbox must not repeat an id that the bot has stored.
        charge = Charge(f"stx{secrets.token_urlsafe(24)}", payer, invoice, expires_at=expires_at)
        self.charges[charge.charge_id] = charge
        if invoice.currency == STARS:
            payer.stars -= invoice.amount
            self._record(charge, "source")
        recurring: dict[str, Any] = {}
        if expires_at is not None:
            recurring = {"subscription_expiration_date": expires_at, "is_recurring": True}
            if first:
                recurring["is_first_recurring"] = True
        payer.started = True
        self._announce(charge, "successful_payment", recurring)
        return charge.charge_id

    def _announce(self, charge: Charge, kind: str, more: dict[str, Any]) -> None:
        """The service message in the chat, which is also the update."""
        content = {
            "currency": charge.invoice.currency,
            "total_amount": charge.invoice.amount,
            "invoice_payload": charge.invoice.payload,
            "telegram_payment_charge_id": charge.charge_id,
            "provider_payment_charge_id": f"sandbox-{charge.charge_id[-8:]}",
            **more,
        }
        message = self.world.add_message(charge.payer, charge.payer.user, {kind: content})
        self.updates.push("message", message.raw)
        self.world.person_changed(charge.payer)

    def _record(self, charge: Charge, direction: str) -> None:
        partner: dict[str, Any] = {
            "type": "user",
            "transaction_type": "invoice_payment",
            "user": charge.payer.user,
            "invoice_payload": charge.invoice.payload,
        }
        if charge.invoice.subscription_period is not None:
            partner["subscription_period"] = charge.invoice.subscription_period
        self.transactions.append(
            {
                "id": charge.charge_id,
                "amount": charge.invoice.amount,
                "date": self.world.now(),
                direction: partner,
            }
        )

    def _query(self, question: str, payer: Chat, invoice: Invoice) -> dict[str, Any]:
        return {
            "id": question,
            "from": payer.user,
            "currency": invoice.currency,
            "total_amount": invoice.amount,
            "invoice_payload": invoice.payload,
        }

    def _tell_state(self, charge: Charge, state: str) -> None:
        told = {"user": charge.payer.user, "invoice_payload": charge.invoice.payload}
        self.updates.push("subscription", {**told, "state": state})

    def _too_poor(self, payer: Chat, invoice: Invoice) -> Refused | None:
        short = invoice.currency == STARS and payer.stars < invoice.amount
        return Refused(TOO_POOR) if short else None

    def _first_expiry(self, invoice: Invoice) -> int | None:
        period = invoice.subscription_period
        return None if period is None else self.world.now() + period

    def _subscription(self, charge_id: str) -> Charge:
        charge = self.charges[charge_id]
        if charge.invoice.subscription_period is None:
            raise LookupError(f"{charge_id} is no subscription")
        return charge

    def _charge_of(self, user_id: int, charge_id: str) -> Charge:
        charge = self.charges.get(charge_id)
        if charge is None or charge.payer.id != user_id:
            raise bad_request("CHARGE_NOT_FOUND")
        return charge
