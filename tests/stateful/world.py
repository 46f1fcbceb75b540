"""A node, a provider and its books: what is outside the back-end, scripted, with faults.

All of it outlives a crash of the back-end, as it does in life.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from actors.payments.ports import (
    Charge,
    ChargePage,
    GiveBackByHand,
    GiveBackLater,
    GiveBackOutcome,
    GivenBack,
    ReturnedCharge,
)
from config.providers import Terms
from storage.database import refuse_in_transaction
from storage.rows import RefundOrder
from xray_api.client.errors import NodeCallError, OutcomeUnknown, StaleGeneration
from xray_api.client.fake import FakeNodeClient, Wish
from xray_api.client.port import ATTEMPT_S
from xray_api.contract import PutReply, RemoveReply, Writer


class Fate(StrEnum):
    """What becomes of one change that is sent to a node."""

    LOST = "the reply is lost"
    LATE = "it stays on the wire, and arrives when nobody expects it"
    HELD = "the reply takes its time"
    WRONG = "the reply is about another user"


class ScriptedNode(FakeNodeClient):
    """A node whose next calls meet their fates.

    Attributes:
        fates: of the next changes.
        held: whose replies take their time.
        fenced: whether an older wish is refused; a node without that is broken.
    """

    def __init__(self, host: str, *, fenced: bool = True) -> None:
        super().__init__(host=host, guard=refuse_in_transaction)
        self.fates: deque[Fate] = deque()
        self.held: set[asyncio.Task[Any] | None] = set()
        self.fenced = fenced
        self._late: list[tuple[UUID, Wish, UUID]] = []
        self._answers = asyncio.Event()

    def let_go(self) -> None:
        """All replies that took their time arrive."""
        self._answers.set()
        self._answers = asyncio.Event()

    def deliver(self) -> None:
        """What stayed on the wire arrives now; nobody hears an answer."""
        late, self._late = self._late, []
        for uuid, wish, epoch in late:
            try:
                self._change(uuid, wish, epoch, None)
            except NodeCallError:
                continue
            (self.running.add if wish.present else self.running.discard)(uuid)

    def heal(self) -> None:
        """No fault is left, and what was sent has arrived."""
        self.fates.clear()
        self.accept_connections()
        self.let_go()
        self.deliver()

    async def put(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> PutReply:
        """See `NodePort`."""
        fate = self._fate(uuid, Wish(gen, present=True), epoch)
        reply = await super().put(uuid, gen, epoch, deadline_s=deadline_s, writer=writer)
        await self._answered(fate)
        return reply

    async def remove(
        self,
        uuid: UUID,
        gen: int,
        epoch: UUID,
        *,
        deadline_s: float = ATTEMPT_S,
        writer: Writer | None = None,
    ) -> RemoveReply:
        """See `NodePort`."""
        fate = self._fate(uuid, Wish(gen, present=False), epoch)
        reply = await super().remove(uuid, gen, epoch, deadline_s=deadline_s, writer=writer)
        await self._answered(fate)
        return reply

    def _fate(self, uuid: UUID, wish: Wish, epoch: UUID) -> Fate | None:
        fate = self.fates.popleft() if self.fates else None
        if fate is Fate.LATE:
            self._late.append((uuid, wish, epoch))
            raise OutcomeUnknown("no answer in time")
        if fate is Fate.LOST:
            self.drop_next_reply_after_applying()
        if fate is Fate.WRONG:
            self.answer_for_another_user_next()
        return fate

    async def _answered(self, fate: Fate | None) -> None:
        if fate is not Fate.HELD:
            return
        caller = asyncio.current_task()
        self.held.add(caller)
        try:
            await self._answers.wait()
        finally:
            self.held.discard(caller)

    def _change(self, uuid: UUID, wish: Wish, epoch: UUID, writer: Writer | None) -> None:
        try:
            super()._change(uuid, wish, epoch, writer)
        except StaleGeneration:
            if self.fenced:
                raise
            self.wishes[uuid] = wish


class Trouble(StrEnum):
    """What becomes of one call that gives money back."""

    LOST = "the money is back, nobody hears it"
    LATER = "not now"
    BY_HAND = "the provider will not do it"


@dataclass(slots=True)
class Booked:
    """A charge as the provider knows it.

    `told`: the back-end said that it took the push. `pushed`: somebody pushes it until then.
    """

    provider: str
    number: str
    user_id: int
    purchase_id: UUID | None
    amount: int
    currency: str
    told: bool = False
    pushed: bool = True
    sent_back: int = 0
    by_hand: bool = False
    noted: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What names it."""
        return self.provider, self.number


class ScriptedGateway:
    """A way to pay that keeps books: money goes back once, however often it is asked for."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.booked: dict[str, Booked] = {}
        self.troubles: deque[Trouble] = deque()
        self.unasked: list[str] = []

    async def charges(self, cursor: str | None) -> ChargePage:
        """All of it on one page."""
        del cursor
        refuse_in_transaction()
        taken = [
            Charge(
                provider_payment_id=booked.number,
                user_id=booked.user_id,
                purchase_id=booked.purchase_id,
                amount=booked.amount,
                currency=booked.currency,
                body="",
            )
            for booked in self.booked.values()
        ]
        back = [
            ReturnedCharge(provider_payment_id=booked.number, user_id=booked.user_id)
            for booked in self.booked.values()
            if booked.sent_back
        ]
        return ChargePage(found=(*taken, *back), cursor=None, more=False)

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """As prepared."""
        refuse_in_transaction()
        if self.terms.provider == "manual":
            return GiveBackByHand(reason="money that was paid outside")
        trouble = self.troubles.popleft() if self.troubles else None
        if trouble is Trouble.LATER:
            return GiveBackLater(after_s=None, reason="not now")
        if trouble is Trouble.BY_HAND:
            return GiveBackByHand(reason="too old")
        booked = self.booked.get(order.payment.provider_payment_id)
        if booked is None:
            self.unasked.append(order.payment.provider_payment_id)
            return GivenBack()
        booked.sent_back = 1
        if trouble is Trouble.LOST:
            return GiveBackLater(after_s=None, reason="no answer")
        return GivenBack()
