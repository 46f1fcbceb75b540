"""Providers with books: who paid, what was pushed, what went back, and what the list says.

A provider is right about its own money: the simulation compares the shop with these books.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GiveBackOutcome,
    GivenBack,
    ProviderUnavailable,
    ReturnedCharge,
)
from bot.gateways.port import OrderToPay, PayPage, PushAccepted, PushRefused
from config.providers import RefundWay, Terms
from storage.database import refuse_in_transaction
from storage.rows import RefundOrder
from tests.simulation.world import Simulated

TERMS = {
    "stars": Terms(provider="stars", currency="XTR"),
    "cryptopay": Terms(provider="cryptopay", currency="USDT"),
    "manual": Terms(
        provider="manual", currency="RUB", refund=RefundWay.BY_HAND, lists_charges=False
    ),
}
PAGE = 20


@dataclass(slots=True)
class Taken:
    """Money that a provider took."""

    charge: Charge
    provider: str
    at_s: float
    returned: int = 0

    @property
    def number(self) -> str:
        """The provider's number for it."""
        return self.charge.provider_payment_id

    def __str__(self) -> str:
        return f"{self.provider}:{self.number}"


class Till:
    """A provider: its books, and the `Gateway` to it."""

    push_path = "/webhooks/cryptopay"

    def __init__(self, world: Simulated, terms: Terms) -> None:
        self.world = world
        self.terms = terms
        self.taken: dict[str, Taken] = {}
        self.listed: list[Charge | ReturnedCharge] = []
        self.away = False
        self._numbers = 0

    @property
    def name(self) -> str:
        """Of the provider."""
        return self.terms.provider

    def take(self, user_id: int, purchase_id: UUID | None, amount: int, currency: str) -> Taken:
        """Somebody paid."""
        self._numbers += 1
        number = f"{self.name[0]}{self._numbers}"
        charge = Charge(
            provider_payment_id=number,
            user_id=user_id,
            purchase_id=purchase_id,
            amount=amount,
            currency=currency,
            body=number,
        )
        taken = Taken(charge, self.name, self.world.loop.time())
        self.taken[number] = taken
        self.listed.append(charge)
        self.world.count(f"paid by {self.name}")
        self.world.tell(self.name, f"took {amount} {currency} of {user_id} as {number}")
        return taken

    async def offer(self, order: OrderToPay) -> PayPage:
        """Make an invoice of its own."""
        await self._travel("offer")
        return PayPage(
            provider_invoice_id=f"i{order.purchase_id.hex[:12]}",
            url=f"https://pay/{order.purchase_id}",
        )

    async def charges(self, cursor: str | None) -> ChargePage:
        """One page, oldest first."""
        await self._travel("list")
        begin = int(cursor or 0)
        page = tuple(self.listed[begin : begin + PAGE])
        end = begin + len(page)
        return ChargePage(found=page, cursor=str(end), more=end < len(self.listed))

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """Money goes back once, however often this is asked for."""
        if self.terms.refund is RefundWay.BY_HAND:
            return GiveBackByHand(reason="it was paid outside")
        number = order.payment.provider_payment_id
        try:
            await self._travel(f"give back {number}")
        except ProviderUnavailable:
            return GiveBackLater(after_s=None, reason="away")
        taken = self.taken.get(number)
        self.world.require(taken is not None, "only money that was taken is given back", number)
        assert taken is not None
        if not taken.returned:
            self.give(taken)
        if self.world.happens(self.world.air.reply_lost):
            self.world.count("refund reply lost")
            return GiveBackLater(after_s=None, reason="no answer")
        return GivenBack()

    def give(self, taken: Taken) -> None:
        """The money goes back to its payer."""
        taken.returned += 1
        self.listed.append(
            ReturnedCharge(provider_payment_id=taken.number, user_id=taken.charge.user_id)
        )
        self.world.count("money given back")
        self.world.tell(self.name, f"gave {taken.number} back")

    def accept(
        self, headers: Mapping[str, str], body: bytes, now_s: float
    ) -> PushAccepted | PushRefused:
        """All pushes here are the provider's own."""
        del headers, now_s
        return PushAccepted(source_id=body.decode())

    def charges_in(self, body: str) -> tuple[Charge, ...]:
        """What a push says was paid."""
        return (self.taken[json.loads(body)["number"]].charge,)

    async def _travel(self, what: str) -> None:
        refuse_in_transaction()
        world = self.world
        await asyncio.sleep(0.001 + world.chance.random() * world.air.slowest_s)  # noqa: TID251
        if self.away or world.happens(world.air.lost):
            world.count("provider away")
            world.tell(self.name, f"{what}: no answer")
            raise ProviderUnavailable("away")
