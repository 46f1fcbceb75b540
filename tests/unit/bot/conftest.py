"""A bot whose Telegram answers from a list, and stand-ins for users and rows."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

import pytest
from aiogram import Bot, Dispatcher
from aiogram.client.default import DefaultBotProperties
from aiogram.client.session.base import BaseSession
from aiogram.enums import ParseMode
from aiogram.methods import (
    EditMessageText,
    SendInvoice,
    SendMessage,
    SendPhoto,
    TelegramMethod,
)
from aiogram.methods.base import TelegramType
from aiogram.types import Chat, LabeledPrice, Message
from pydantic import SecretStr

from actors.payments.ports import ChargePage, GiveBackOutcome, GivenBack
from actors.runtime.inspection import ActorDetails, ActorState, ActorView
from actors.runtime.messages import Request
from actors.user.messages import StatusShown
from bot.checkout import NodesNow
from bot.dispatcher import build_dispatcher
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Offer, OrderToPay, TelegramInvoice
from bot.node_views import BreakerView, ExpiryView, NodeView
from bot.ports import Nodes
from bot.texts import Texts
from config.keys import MasterKeys
from config.plans import Plan, Plans, Title
from config.providers import Terms
from config.tuning import Forecast, Tunable
from storage.rows import (
    DeadLetterRow,
    EventRow,
    LetterState,
    PaymentRow,
    PurchaseRow,
    PurchaseStatus,
    QuoteRow,
    ReconcileRun,
    RefundOrder,
    SettingChangeRow,
    StoryRow,
    SubscriptionStatus,
    UserStatus,
)

HERE = frozenset({"node-1"})
NODES_NOW = NodesNow(serving=HERE, selling=HERE, returning=HERE)
TOKEN = "123456:canary-of-a-token"
NOW = datetime(2026, 12, 24, 15, 4, tzinfo=UTC)
BUYER = 77
OWNER = 1
PURCHASE = UUID("00000000-0000-4000-8000-000000000001")
LINK = "vless://00000000-0000-4000-8000-0000000000aa@node.example:443?security=reality&fp=chrome#x"

Reply = TypeVar("Reply")


class FakeTelegram(BaseSession):
    """Takes every call; `answers` holds errors for the next calls of a method, by its name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[TelegramMethod[Any]] = []
        self.answers: dict[str, list[Exception]] = {}
        self._next_message_id = 1000

    def fail_next(self, method: str, error: Exception) -> None:
        """Answer the next call of `method` with an error."""
        self.answers.setdefault(method, []).append(error)

    def called(self, kind: type[TelegramMethod[TelegramType]]) -> list[Any]:
        """All calls of one method so far."""
        return [call for call in self.calls if isinstance(call, kind)]

    async def make_request(
        self,
        bot: Bot,
        method: TelegramMethod[TelegramType],
        timeout: int | None = None,  # noqa: ASYNC109 - the signature is aiogram's
    ) -> TelegramType:
        """Note the call; answer it, or fail as prepared."""
        del bot, timeout
        self.calls.append(method)
        waiting = self.answers.get(method.__api_method__)
        error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error
        return cast("TelegramType", self._result(method))

    def _result(self, method: TelegramMethod[Any]) -> Any:
        if not isinstance(method, SendMessage | SendPhoto | SendInvoice | EditMessageText):
            return True
        self._next_message_id += 1
        chat = Chat(id=int(str(method.chat_id)), type="private")
        return Message(message_id=self._next_message_id, date=NOW, chat=chat)

    async def close(self) -> None:
        """Nothing is open."""

    async def stream_content(
        self,
        url: str,
        headers: dict[str, Any] | None = None,
        timeout: int = 30,  # noqa: ASYNC109 - the signature is aiogram's
        chunk_size: int = 65536,
        raise_for_status: bool = True,
    ) -> AsyncGenerator[bytes, None]:
        """The bot downloads nothing."""
        del url, headers, timeout, chunk_size, raise_for_status
        yield b""


@dataclass
class FakeUsers:
    """Answers each kind of message with what a test prepared: a value, an error or a function."""

    answers: dict[type, Any] = field(default_factory=dict)
    asked: list[tuple[int, Any]] = field(default_factory=list)

    async def ask(self, user_id: int, message: Request[Reply]) -> Reply:
        """Note who was asked what, and answer as prepared."""
        self.asked.append((user_id, message))
        answer = self.answers[type(message)]
        if isinstance(answer, Exception):
            raise answer
        return cast("Reply", answer(message) if callable(answer) else answer)


@dataclass
class FakeQueries:
    """Rows as a test prepared them; an exception in their place is raised."""

    languages: dict[int, str] | Exception = field(default_factory=dict)
    quotes: dict[UUID, QuoteRow] | Exception = field(default_factory=dict)
    reach: list[tuple[int, bool]] = field(default_factory=list)
    approved: dict[UUID, str] = field(default_factory=dict)
    payments: list[PaymentRow] = field(default_factory=list)
    rows: list[StoryRow] = field(default_factory=list)

    async def language(self, user_id: int) -> str | None:
        """As prepared."""
        if isinstance(self.languages, Exception):
            raise self.languages
        return self.languages.get(user_id)

    async def quote(self, purchase_id: UUID) -> QuoteRow | None:
        """As prepared."""
        if isinstance(self.quotes, Exception):
            raise self.quotes
        return self.quotes.get(purchase_id)

    async def payment_by_number(self, number: int) -> PaymentRow | None:
        """As prepared."""
        return next((one for one in self.payments if one.number == number), None)

    async def purchase(self, purchase_id: UUID) -> PurchaseRow | None:
        """As prepared."""
        found = await self.quote(purchase_id)
        return found.purchase if found else None

    async def held_payments(self, limit: int) -> list[PaymentRow]:
        """As prepared."""
        return self.payments[:limit]

    async def story(self, user_id: int) -> list[StoryRow]:
        """As prepared."""
        del user_id
        return self.rows

    async def approve(self, purchase_id: UUID, query_id: str) -> bool:
        """The first question of an order, and its repeats."""
        return self.approved.setdefault(purchase_id, query_id) == query_id

    async def reachable(self, user_id: int, *, reachable: bool) -> None:
        """Note it."""
        self.reach.append((user_id, reachable))


@dataclass
class FakeGateway:
    """A way to pay that offers what a test prepared; an error is raised."""

    terms: Terms
    answer: Offer | Exception
    asked: list[OrderToPay] = field(default_factory=list)

    async def offer(self, order: OrderToPay) -> Offer:
        """As prepared."""
        self.asked.append(order)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def charges(self, cursor: str | None) -> ChargePage:
        """Nothing."""
        return ChargePage(found=(), cursor=cursor, more=False)

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """At once."""
        del order
        return GivenBack()


def stars_offer() -> TelegramInvoice:
    """An invoice in Stars."""
    return TelegramInvoice(
        request=SendInvoice(
            chat_id=BUYER,
            title="1 month",
            description="x",
            payload="x",
            currency="XTR",
            prices=[LabeledPrice(label="x", amount=150)],
        )
    )


def stars() -> FakeGateway:
    """Telegram Stars."""
    return FakeGateway(Terms(provider="stars", currency="XTR"), stars_offer())


@dataclass
class FakeOperations:
    """Answers each wish with what a test prepared for the method's name, and notes it."""

    answers: dict[str, Any] = field(default_factory=dict)
    wishes: list[tuple[Any, ...]] = field(default_factory=list)

    @property
    def nodes(self) -> Nodes:
        """The same, about nodes."""
        return FakeNodes(self.answer)

    async def expiry(self) -> ExpiryView:
        """As prepared."""
        return cast("ExpiryView", self.answer("expiry"))

    async def trust_clocks(self, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("trust_clocks", who, reason)

    def tree(self) -> ActorView:
        """As prepared."""
        return cast("ActorView", self.answer("tree"))

    def look(self, name: str) -> ActorDetails:
        """As prepared."""
        return cast("ActorDetails", self.answer("look", name))

    async def suspend(self, name: str, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("suspend", name, who, reason)

    async def resume(self, name: str, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("resume", name, who, reason)

    async def restart(self, name: str, who: str, reason: str, *, at_once: bool) -> None:
        """As prepared."""
        self.answer("restart", name, who, reason, at_once)

    def policies(self) -> list[Tunable]:
        """As prepared."""
        return cast("list[Tunable]", self.answer("policies"))

    async def try_policy(self, key: str, text: str) -> Forecast:
        """As prepared."""
        return cast("Forecast", self.answer("try_policy", key, text))

    async def set_policy(
        self, key: str, text: str, who: str, reason: str, *, revert_after_s: float | None
    ) -> SettingChangeRow:
        """As prepared."""
        wish = ("set_policy", key, text, who, reason, revert_after_s)
        return cast("SettingChangeRow", self.answer(*wish))

    async def undo_policy(self, change_id: int, who: str, reason: str) -> SettingChangeRow:
        """As prepared."""
        return cast("SettingChangeRow", self.answer("undo_policy", change_id, who, reason))

    async def policy_history(self, limit: int) -> list[SettingChangeRow]:
        """As prepared."""
        return cast("list[SettingChangeRow]", self.answer("policy_history"))[:limit]

    async def events(self, limit: int, actor: str | None) -> list[EventRow]:
        """As prepared."""
        return cast("list[EventRow]", self.answer("events", actor))[:limit]

    async def dead_letters(self, limit: int) -> list[DeadLetterRow]:
        """As prepared."""
        return cast("list[DeadLetterRow]", self.answer("dead_letters"))[:limit]

    async def dead_letter(self, letter_id: int) -> DeadLetterRow:
        """As prepared."""
        return cast("DeadLetterRow", self.answer("dead_letter", letter_id))

    async def retry_dead_letter(self, letter_id: int, who: str) -> str:
        """As prepared."""
        return cast("str", self.answer("retry_dead_letter", letter_id, who))

    async def drop_dead_letter(self, letter_id: int, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("drop_dead_letter", letter_id, who, reason)

    def answer(self, method: str, *wish: Any) -> Any:
        """Note a wish; answer it, or raise, as prepared."""
        self.wishes.append((method, *wish))
        answer = self.answers.get(method)
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class FakeNodes:
    """What `FakeOperations` is, about nodes."""

    answer: Callable[..., Any]

    async def nodes(self) -> list[NodeView]:
        """As prepared."""
        return cast("list[NodeView]", self.answer("nodes"))

    def breakers(self) -> list[BreakerView]:
        """As prepared."""
        return cast("list[BreakerView]", self.answer("breakers") or [])

    async def order(
        self, node_id: str, order: str, for_s: float | None, who: str, reason: str
    ) -> BreakerView:
        """As prepared."""
        return cast("BreakerView", self.answer("order", node_id, order, for_s, who, reason))

    async def reconcile(self, node_id: str | None, *, dry_run: bool) -> list[ReconcileRun]:
        """As prepared."""
        return cast("list[ReconcileRun]", self.answer("reconcile", node_id, dry_run))

    async def freeze(self, node_id: str, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("freeze", node_id, who, reason)

    async def unfreeze(self, node_id: str, who: str, reason: str, *, adopt: bool = False) -> int:
        """As prepared."""
        return cast("int", self.answer("unfreeze", node_id, who, reason, adopt))

    async def confirm(self, node_id: str, removals: int, who: str, reason: str) -> ReconcileRun:
        """As prepared."""
        return cast("ReconcileRun", self.answer("confirm", node_id, removals, who, reason))

    async def drain(self, node_id: str, who: str, reason: str) -> int:
        """As prepared."""
        return cast("int", self.answer("drain", node_id, who, reason))

    async def lose(self, node_id: str, who: str, reason: str) -> int:
        """As prepared."""
        return cast("int", self.answer("lose", node_id, who, reason))

    async def remove(self, node_id: str, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("remove", node_id, who, reason)

    async def activate(self, node_id: str, who: str, reason: str) -> None:
        """As prepared."""
        self.answer("activate", node_id, who, reason)


@dataclass
class World:
    """The bot under test with everything around it."""

    telegram: FakeTelegram
    bot: Bot
    users: FakeUsers
    queries: FakeQueries
    signer: PayloadSigner
    dispatcher: Dispatcher
    operations: FakeOperations = field(default_factory=FakeOperations)
    gateways: dict[str, FakeGateway] = field(default_factory=dict)

    async def feed(self, update: dict[str, Any], raw: str = "{}") -> Any:
        """Hand the bot an update as the inbox does."""
        return await self.dispatcher.feed_raw_update(
            self.bot, {"update_id": 5, **update}, operation_id="telegram:5", raw_update=raw
        )


def month(price: int = 150) -> Plan:
    return Plan(
        id="month",
        title=Title(en="1 month", ru="1 месяц"),
        period_s=2_592_000,
        price_stars=price,
    )


def status(**changes: Any) -> StatusShown:
    values: dict[str, Any] = {
        "language": "en",
        "now": NOW,
        "status": SubscriptionStatus.NONE,
        "plan_id": None,
        "expires_at": None,
        "pending_s": 0,
        "has_link": False,
    }
    return StatusShown(**(values | changes))


def quote(**changes: Any) -> QuoteRow:
    """A payable order; `now` and the two statuses are of the quote, all else of the purchase."""
    now = changes.pop("now", NOW)
    user_status = changes.pop("user_status", UserStatus.ACTIVE)
    subscription_status = changes.pop("subscription_status", SubscriptionStatus.NONE)
    values: dict[str, Any] = {
        "id": PURCHASE,
        "user_id": BUYER,
        "kind": "access",
        "plan_id": "month",
        "node_id": "node-1",
        "price": 150,
        "currency": "XTR",
        "period_s": 2_592_000,
        "provider": "stars",
        "status": PurchaseStatus.AWAITING_PAYMENT,
        "operation_id": "0123456789abcdef",
        "chat_id": BUYER,
        "message_id": None,
        "invoice_expires_at": NOW + timedelta(hours=1),
        "fulfilled_at": None,
        "created_at": NOW,
    }
    return QuoteRow(
        now=now,
        user_status=user_status,
        subscription_status=subscription_status,
        purchase=PurchaseRow(**(values | changes)),
    )


def view(name: str = "notifier", **changes: Any) -> ActorView:
    """An actor that is well."""
    values: dict[str, Any] = {
        "name": name,
        "kind": "NotifierActor",
        "state": ActorState.RUNNING,
        "incarnation": 1,
        "max_restarts": 5,
    }
    return ActorView(**(values | changes))


def change(**changes: Any) -> SettingChangeRow:
    """An operator's change of a policy, for good."""
    values: dict[str, Any] = {
        "id": 12,
        "key": "users.max_restarts",
        "old": 6,
        "new": 5,
        "actor": f"telegram:{OWNER}",
        "reason": "it flaps",
        "at": NOW,
        "revert_at": None,
        "undoes": None,
    }
    return SettingChangeRow(**(values | changes))


def dead_letter(**changes: Any) -> DeadLetterRow:
    """A message that waits for a decision."""
    values: dict[str, Any] = {
        "id": 12,
        "letter_id": PURCHASE,
        "correlation_id": "telegram:5",
        "operation_id": "operation-1",
        "actor": "user/77",
        "message_type": "CreditPayment",
        "payload": None,
        "attempts": 3,
        "error": "KeyError",
        "traceback": "Traceback (most recent call last):\n  File actor.py, line 1\nKeyError: 'x'\n",
        "state": LetterState.WAITING,
        "created_at": NOW,
        "decided_at": None,
        "decided_by": None,
    }
    return DeadLetterRow(**(values | changes))


def node_view(**changes: Any) -> NodeView:
    """A node that is well."""
    values: dict[str, Any] = {
        "id": "de-1",
        "state": "active",
        "reason": "",
        "changed_at": NOW,
        "changed_by": "",
        "users": 1_204,
        "waiting": 12,
        "set_aside": 0,
        "breaker": "closed",
        "last_outcome": "equal",
        "last_why": "",
        "orphans": 0,
        "missing": 0,
    }
    return NodeView(**(values | changes))


def breaker(**changes: Any) -> BreakerView:
    """Of a node that answers."""
    values: dict[str, Any] = {
        "node": "de-1",
        "state": "closed",
        "next_probe_s": 0.0,
        "at_a_time": 8,
        "retry_budget": 10.0,
        "key_refused": False,
        "away_s": None,
    }
    return BreakerView(**(values | changes))


def run(**changes: Any) -> ReconcileRun:
    """A look that found nothing."""
    values: dict[str, Any] = {
        "node_id": "de-1",
        "outcome": "equal",
        "took_s": 0.1,
        "on_node": 100,
        "wanted": 100,
        "dry_run": True,
    }
    return ReconcileRun(**(values | changes))


@pytest.fixture(scope="session")
def texts() -> Texts:
    return Texts()


@pytest.fixture
def plans() -> Plans:
    week = Plan(
        id="week", title=Title(en="1 week", ru="1 неделя"), period_s=604_800, price_stars=50
    )
    return Plans(plans=(week, month()))


@pytest.fixture(scope="session")
def signer() -> PayloadSigner:
    return PayloadSigner(MasterKeys([SecretStr("a master secret for tests, long enough")]))


@pytest.fixture
def telegram() -> FakeTelegram:
    return FakeTelegram()


@pytest.fixture
def bot(telegram: FakeTelegram) -> Bot:
    default = DefaultBotProperties(parse_mode=ParseMode.HTML, link_preview_is_disabled=True)
    return Bot(TOKEN, session=telegram, default=default)


@pytest.fixture
def world(
    telegram: FakeTelegram, bot: Bot, plans: Plans, texts: Texts, signer: PayloadSigner
) -> World:
    users, queries, operations = FakeUsers(), FakeQueries(), FakeOperations()
    gateways = {"stars": stars()}
    dispatcher = build_dispatcher(
        users=users,
        queries=queries,
        plans=plans,
        nodes=lambda: NODES_NOW,
        texts=texts,
        signer=signer,
        gateways=gateways,
        admins=(OWNER,),
        operations=operations,
    )
    return World(telegram, bot, users, queries, signer, dispatcher, operations, gateways)


def person(user_id: int = BUYER, **changes: Any) -> dict[str, Any]:
    values = {"id": user_id, "is_bot": False, "first_name": "Ann", "language_code": "en"}
    return values | changes


def message(text: str | None = None, chat_type: str = "private", **changes: Any) -> dict[str, Any]:
    """An update with a message; `changes` are of the message."""
    sender = changes.pop("sender", person())
    body: dict[str, Any] = {
        "message_id": 3,
        "date": int(NOW.timestamp()),
        "from": sender,
        "chat": {"id": sender["id"] if chat_type == "private" else -100, "type": chat_type},
    }
    if text is not None:
        body["text"] = text
        if text.startswith("/"):
            length = len(text.split()[0])
            body["entities"] = [{"type": "bot_command", "offset": 0, "length": length}]
    return {"message": body | changes}


def tap(data: str, sender: dict[str, Any] | None = None, **under: Any) -> dict[str, Any]:
    """An update with a tap on a button; `under` are changes to the message that holds it."""
    sender = sender or person()
    holder = {
        "message_id": 900,
        "date": int(NOW.timestamp()),
        "chat": {"id": sender["id"], "type": "private"},
        "text": "the card",
    }
    return {
        "callback_query": {
            "id": "tap-1",
            "from": sender,
            "chat_instance": "1",
            "data": data,
            "message": {key: value for key, value in (holder | under).items() if value},
        }
    }


def pre_checkout(payload: str, sender: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "pre_checkout_query": {
            "id": "question-1",
            "from": sender or person(),
            "currency": "XTR",
            "total_amount": 150,
            "invoice_payload": payload,
        }
    }


def payment(payload: str, **changes: Any) -> dict[str, Any]:
    charge = {
        "currency": "XTR",
        "total_amount": 150,
        "invoice_payload": payload,
        "telegram_payment_charge_id": "charge-1",
        "provider_payment_charge_id": "",
    }
    return message(successful_payment=charge, **changes)
