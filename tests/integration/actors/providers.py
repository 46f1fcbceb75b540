"""Ways to pay that are scripted: they keep books, and money goes back once, however often asked."""

import asyncio
from collections import deque
from uuid import UUID, uuid4

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
from config.providers import RefundWay, Terms
from storage.database import refuse_in_transaction
from storage.rows import RefundOrder


class FakeGateway:
    """A provider with a list in pages. It lives on when the back-end dies.

    Attributes:
        listed: what it took and gave back, oldest first.
        newest_first: how it shows that list.
        page_size: entries of a page.
        readings: the cursor of each page that was asked for.
        asked_back: the charge of each call that gives money back.
        moved: charges whose money really went back.
        refusals: answers to the next such calls; no money moves.
        lost_replies: of so many calls the money moves, and the answer is lost.
        away: whether it answers nothing.
    """

    def __init__(self, terms: Terms, *, newest_first: bool = False) -> None:
        self.terms = terms
        self.newest_first = newest_first
        self.page_size = 100
        self.listed: list[Charge | ReturnedCharge] = []
        self.readings: list[str | None] = []
        self.asked_back: list[str] = []
        self.moved: list[str] = []
        self.refusals: deque[GiveBackOutcome] = deque()
        self.lost_replies = 0
        self.away = False
        self._gate = asyncio.Event()
        self._gate.set()

    def hold(self) -> None:
        """Lists wait, until `release`."""
        self._gate.clear()

    def release(self) -> None:
        """Ends `hold`."""
        self._gate.set()

    def take(self, user_id: int, purchase_id: UUID | None, amount: int) -> Charge:
        """Somebody paid, and no push says so."""
        charge = Charge(
            provider_payment_id=uuid4().hex,
            user_id=user_id,
            purchase_id=purchase_id,
            amount=amount,
            currency=self.terms.currency,
            body="{}",
        )
        self.listed.append(charge)
        return charge

    def returned(self, charge: Charge) -> None:
        """The provider gives money back by itself, and lists it."""
        number, user_id = charge.provider_payment_id, charge.user_id
        self.listed.append(ReturnedCharge(provider_payment_id=number, user_id=user_id))

    async def charges(self, cursor: str | None) -> ChargePage:
        """One page; the cursor is a place in the list, None after the last page of newest first."""
        refuse_in_transaction()
        self.readings.append(cursor)
        await self._gate.wait()
        if self.away:
            raise ProviderUnavailable("away")
        begin = int(cursor or 0)
        end = begin + self.page_size
        entries = self.listed[::-1] if self.newest_first else self.listed
        page, more = tuple(entries[begin:end]), end < len(entries)
        after = str(begin + len(page))
        return ChargePage(
            found=page,
            cursor=None if self.newest_first and not more else after,
            more=more,
            newest_first=self.newest_first,
        )

    async def give_back(self, order: RefundOrder) -> GiveBackOutcome:
        """As prepared."""
        refuse_in_transaction()
        number = order.payment.provider_payment_id
        self.asked_back.append(number)
        if self.terms.refund is RefundWay.BY_HAND:
            return GiveBackByHand(reason="it was paid outside")
        if self.away:
            return GiveBackLater(after_s=None, reason="away")
        if self.refusals:
            return self.refusals.popleft()
        if number not in self.moved:
            self.moved.append(number)
        if self.lost_replies:
            self.lost_replies -= 1
            return GiveBackLater(after_s=None, reason="no answer")
        return GivenBack()
