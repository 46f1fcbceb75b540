"""Sells by hand: the words are the shop's, the money is found by an owner."""

from actors.payments.ports import ChargePage, GiveBackByHand
from bot.callbacks import OrderStep
from bot.gateways import manual
from bot.gateways.port import OrderToPay, PayByHand
from bot.keyboards import Button
from bot.replies import Reply
from bot.texts import Price
from config.providers import Terms
from storage.rows import RefundOrder


class ManualGateway:
    """A `Gateway` that asks nobody: each answer is known beforehand."""

    def __init__(self, instructions: str, currency: str) -> None:
        """Take how to pay, shown to buyers as it is, and the currency of all orders."""
        self._instructions = instructions
        self.terms: Terms = manual.terms(currency)

    async def offer(self, order: OrderToPay) -> PayByHand:
        """How to pay, and the buttons that say it was done or will not be."""
        paid = OrderStep(step="paid", purchase_id=order.purchase_id)
        cancel = OrderStep(step="cancel", purchase_id=order.purchase_id)
        return PayByHand(
            reply=Reply(
                text_id="manual-invoice",
                values={
                    "plan": order.title,
                    "price": Price(amount=order.price, currency=order.currency),
                    "instructions": self._instructions,
                },
                keyboard=(
                    (Button(text_id="button-have-paid", callback=paid),),
                    (Button(text_id="button-cancel-order", callback=cancel),),
                ),
            )
        )

    async def charges(self, cursor: str | None) -> ChargePage:
        """Nothing: only an owner can see this money."""
        return ChargePage(found=(), cursor=cursor, more=False)

    async def give_back(self, order: RefundOrder) -> GiveBackByHand:
        """An owner sends it back the way it came."""
        del order
        return GiveBackByHand(reason="it was paid outside and goes back the same way")
