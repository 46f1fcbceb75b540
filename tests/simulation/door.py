"""The door of the simulated back-end: the program's own, but for routers, texts and sockets.

What the routers of `bot/routers` do with an update stands here again in short: read it, send one
message, show one reply.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, assert_never, cast
from uuid import UUID

from actors.payments.messages import credit_of
from actors.payments.ports import Charge, ProviderUnavailable
from actors.runtime.address import Address
from actors.runtime.replies import Unavailable
from actors.user import messages
from actors.user.messages import (
    CancelOrder,
    ClaimPaid,
    InvoiceDue,
    InvoiceSent,
    NoteRefund,
    OpenPurchase,
)
from bot.checkout import Approve, NodesNow
from bot.door import TelegramDoor
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.gateways.port import OrderToPay
from bot.ports import OperationRefused, RawUpdate
from bot.routers.user.pay import _decide
from bot.web.server import WebActor, WebLimits
from tests.simulation.money import Till
from tests.simulation.telegram import SimBot, SimCourier, Telegram
from tests.simulation.world import Simulated


@dataclass(frozen=True, slots=True)
class Invoice:
    """An invoice as its buyer sees it."""

    purchase_id: UUID
    user_id: int
    plan_id: str
    provider: str
    price: int
    currency: str
    payload: str
    at_s: float


class SimWeb(WebActor):
    """Webhooks without sockets: whoever pushes calls `pushed`."""

    def __init__(
        self, outside: "Outside", inbox: Any, worker: Address, tills: Mapping[str, Till]
    ) -> None:
        super().__init__(
            WebLimits(listen="127.0.0.1:0", trusted_proxies=()),
            inbox,
            worker,
            hook=None,
            pushes={"cryptopay": cast("Any", tills["cryptopay"])},
            epoch_now=lambda: 0.0,
        )
        self._outside = outside

    async def prepare(self) -> None:
        """Open."""
        self._outside.web = self

    async def _close(self) -> None:
        if self._outside.web is self:
            self._outside.web = None

    async def pushed(self, provider: str, body: str, number: int) -> int:
        """One push of a provider's: the status that it hears."""
        update = RawUpdate(source=provider, source_id=f"{number}", payload=body, lane=None)
        try:
            return (await self._take(update)).status
        except self.weather:
            return 503


class Asking:
    """Users' actors as the door asks them: every answer is held against what is committed."""

    def __init__(self, outside: "Outside", users: Any) -> None:
        self._outside = outside
        self._users = users

    async def ask(self, user_id: int, message: Any) -> Any:
        """See `Users`."""
        outside = self._outside
        if outside.world.happens(0.05):
            outside.idle(user_id)
            for _ in range(outside.world.chance.randint(0, 4)):
                await asyncio.sleep(0)  # noqa: TID251 - the actor's moment to leave
        began = outside.world.loop.time()
        try:
            outcome = await self._users.ask(user_id, message)
        except Unavailable as refusal:
            outside.unanswered(began, message, refusal)
            raise
        outside.answered(message, outcome)
        return outcome


class Outside:
    """What outside of the back-end there is, over all its lives."""

    def __init__(self, world: Simulated) -> None:
        self.world = world
        self.telegram = Telegram(world)
        self.web: SimWeb | None = None
        self.invoices: list[Invoice] = []
        #: Orders of which a buyer says that they were paid outside.
        self.claims: list[UUID] = []
        #: Called with each invoice that somebody sees.
        self.shown: Callable[[Invoice], None] = lambda _: None
        #: Called with whose actor has been idle for long enough, as something is about to come.
        self.idle: Callable[[int], None] = lambda _: None
        #: Called with each question to a user's actor and its answer.
        self.answered: Callable[[Any, Any], None] = lambda *_: None
        #: Called with the moment and the text of each that got none, and why.
        self.unanswered: Callable[[float, Any, Unavailable], None] = lambda *_: None


class SimDoor(TelegramDoor):
    """Makes the actors that talk to Telegram."""

    def __init__(  # noqa: PLR0913 - as the program's
        self,
        outside: Outside,
        *,
        users: Any,
        queries: Any,
        inbox: Any,
        plans: Any,
        nodes: Callable[[], NodesNow],
        keys: Any,
        weather: tuple[type[Exception], ...],
        operations: Any,
        gateways: Mapping[str, Any],
        bot: Any,
    ) -> None:
        users = Asking(outside, users)
        self._outside = outside
        self._users = users
        self._inbox = inbox
        self._bot = bot
        self._tills = gateways
        self._pushes = {"cryptopay": gateways["cryptopay"]}
        self._dispatcher = cast(
            "Any",
            Routers(
                outside,
                users,
                queries,
                plans,
                nodes,
                PayloadSigner(keys),
                gateways,
                operations,
                weather,
            ),
        )
        self._telegram = cast(
            "Any", SimpleNamespace(mode="polling", webhook_url=None, webhook_secret=None)
        )

    async def introduce(self) -> None:
        """Nobody reads menus."""

    async def close(self) -> None:
        """There is nothing to close."""

    def courier(self) -> Any:
        """Carries notices."""
        return SimCourier(self._outside.telegram)

    def web(self, worker: Address) -> WebActor:
        """Takes pushes."""
        return SimWeb(self._outside, self._inbox, worker, self._tills)


class Routers:
    """Updates in, one message each, one reply."""

    def __init__(  # noqa: PLR0913, PLR0917 - a collaborator each
        self,
        outside: Outside,
        users: Any,
        queries: Any,
        plans: Any,
        nodes: Callable[[], NodesNow],
        signer: PayloadSigner,
        tills: Mapping[str, Till],
        operations: Any,
        weather: tuple[type[Exception], ...],
    ) -> None:
        self.outside = outside
        self.world = outside.world
        self.users = users
        self.queries = queries
        self.plans = plans
        self.nodes = nodes
        self.signer = signer
        self.tills = tills
        self.operations = operations
        self.weather = weather

    def resolve_used_update_types(self) -> list[str]:
        """All."""
        return ["message", "pre_checkout_query"]

    async def feed_raw_update(
        self,
        bot: SimBot,
        update: dict[str, Any],
        *,
        raw_update: str,
        operation_id: str,
        last_try: bool,
    ) -> None:
        """Work on one update."""
        del bot, last_try
        if "pre_checkout_query" in update:
            await self._before_charge(update["pre_checkout_query"])
            return
        message = update["message"]
        user_id = message["from"]["id"]
        if "successful_payment" in message:
            await self._paid(user_id, message["successful_payment"], raw_update)
        elif "refunded_payment" in message:
            number = message["refunded_payment"]
            await self.users.ask(
                user_id,
                NoteRefund(
                    operation_id=f"refunded:stars:{number}",
                    provider="stars",
                    provider_payment_id=number,
                ),
            )
        elif "blocks" in message:
            await self.queries.reachable(user_id, reachable=not message["blocks"])
        else:
            await self._said(user_id, message["sim"], operation_id)

    async def _before_charge(self, query: dict[str, Any]) -> None:
        asked = SimpleNamespace(
            id=query["id"],
            invoice_payload=query["payload"],
            currency=query["currency"],
            total_amount=query["total"],
            from_user=SimpleNamespace(id=query["from"]["id"]),
        )
        ways = {name: till.terms.currency for name, till in self.tills.items()}
        try:
            decision = await _decide(
                cast("Any", asked), self.queries, self.plans, self.signer, self.nodes, ways
            )
        except self.weather:
            decision = None
        approved = isinstance(decision, Approve)
        self.world.count("pre-checkout approved" if approved else "pre-checkout refused")
        await self.outside.telegram.answer(query["id"], ok=approved)

    async def _paid(self, user_id: int, payment: dict[str, Any], body: str) -> None:
        charge = Charge(
            provider_payment_id=payment["number"],
            user_id=user_id,
            purchase_id=self.signer.purchase_of(payment["payload"], user_id),
            amount=payment["total"],
            currency=payment["currency"],
            body=body,
        )
        outcome = await self.users.ask(user_id, credit_of("stars", charge, "en"))
        self.world.tell("back-end", f"stars:{charge.provider_payment_id}: {named(outcome)}")

    async def _said(self, user_id: int, sim: dict[str, Any], operation_id: str) -> None:
        given = dict(sim)
        match given.pop("do"):
            case "buy":
                outcome = await self._buy(user_id, given, operation_id)
            case "ask":
                outcome = await self._ask(given, operation_id)
            case "node":
                outcome = await self._of_node(given)
            case other:
                assert_never(cast("Any", other))
        self.world.count(f"{sim.get('message', sim['do'])}: {named(outcome)}")
        self.world.tell(
            "back-end", f"to {user_id}: {sim.get('message', sim['do'])}: {in_short(outcome)}"
        )
        await self.outside.telegram.travel()
        self.outside.telegram.answered()

    async def _ask(self, given: dict[str, Any], operation_id: str) -> Any:
        kind = getattr(messages, given["message"])
        fields = {name: _read(value) for name, value in given["fields"].items()}
        fields.setdefault("operation_id", operation_id)
        outcome = await self.users.ask(given["user"], kind(**fields))
        if isinstance(outcome, messages.ClaimRecorded):
            self.outside.claims.append(fields["purchase_id"])
        return outcome

    async def _of_node(self, given: dict[str, Any]) -> Any:
        try:
            act = getattr(self.operations.nodes, given["act"])
            if given["act"] == "confirm":
                return await act(given["node"], given["removals"], "owner", "for the story")
            return await act(given["node"], "owner", "for the story")
        except OperationRefused as refused:
            return refused

    async def _buy(self, user_id: int, given: dict[str, Any], operation_id: str) -> Any:
        provider = given["provider"]
        outcome = await self.users.ask(
            user_id,
            OpenPurchase(
                operation_id=given["tap"],
                plan_id=given["plan"],
                language="en",
                chat_id=user_id,
                provider=provider,
            ),
        )
        if not isinstance(outcome, InvoiceDue):
            return outcome
        page = None
        if outcome.pay_url is None and provider == "cryptopay":
            try:
                page = await self.tills[provider].offer(_order(outcome, user_id))
            except ProviderUnavailable:
                give_up = CancelOrder(operation_id=operation_id, purchase_id=outcome.purchase_id)
                await self.users.ask(user_id, give_up)
                return outcome
        await self._show(user_id, outcome)
        if outcome.pay_url is None:
            sent = InvoiceSent(
                operation_id=operation_id,
                purchase_id=outcome.purchase_id,
                provider_invoice_id=page.provider_invoice_id if page else None,
                pay_url=page.url if page else None,
            )
            await self.users.ask(user_id, sent)
        return outcome

    async def _show(self, user_id: int, due: InvoiceDue) -> None:
        await self.outside.telegram.travel()
        claim = InvoiceClaim(purchase_id=due.purchase_id, user_id=user_id, plan_id=due.plan_id)
        invoice = Invoice(
            purchase_id=due.purchase_id,
            user_id=user_id,
            plan_id=due.plan_id,
            provider=due.provider,
            price=due.price,
            currency=due.currency,
            payload=self.signer.sign(claim),
            at_s=self.world.loop.time(),
        )
        self.outside.invoices.append(invoice)
        self.outside.shown(invoice)
        self.outside.telegram.answered()


def _order(due: InvoiceDue, user_id: int) -> OrderToPay:
    return OrderToPay(
        purchase_id=due.purchase_id,
        user_id=user_id,
        chat_id=user_id,
        plan_id=due.plan_id,
        title=due.plan_id,
        description=due.plan_id,
        price=due.price,
        currency=due.currency,
    )


def _read(value: Any) -> Any:
    """A field as a message has it; ids travel as text."""
    if isinstance(value, dict):
        return UUID(value["uuid"]) if "uuid" in value else messages.Standing(value["standing"])
    return value


def named(outcome: Any) -> str:
    """What an outcome is."""
    return type(outcome).__name__


def in_short(outcome: Any) -> str:
    """An outcome in a story."""
    text = str(outcome)
    return text if len(text) < 160 else f"{text[:157]}..."


__all__ = ["ClaimPaid", "Invoice", "Outside", "Routers", "SimDoor", "SimWeb"]
