"""An invoice that Telegram does not take: wrong settings must not leave a buyer without a word."""

from aiogram.exceptions import TelegramBadRequest
from aiogram.methods import EditMessageText, SendInvoice

from actors.user.messages import CancelOrder, InvoiceDue, OpenPurchase, OrderCancelled
from bot.callbacks import PlanChosen
from tests.unit.bot.conftest import BUYER, PURCHASE, World, stars_offer, tap

CHOICE = PlanChosen(plan_id="month", operation_id="0123456789abcdef").pack()
DUE = InvoiceDue(purchase_id=PURCHASE, plan_id="month", price=150, currency="XTR", provider="stars")


async def test_the_buyer_is_told_and_the_order_given_up(world: World) -> None:
    world.users.answers = {OpenPurchase: DUE, CancelOrder: OrderCancelled()}
    refusal = TelegramBadRequest(stars_offer().request, "Bad Request: PAYMENT_PROVIDER_INVALID")
    world.telegram.fail_next("sendInvoice", refusal)

    await world.feed(tap(CHOICE))

    assert len(world.telegram.called(SendInvoice)) == 1
    assert "Nothing was charged" in world.telegram.called(EditMessageText)[0].text
    given_up = CancelOrder(operation_id="telegram:5", purchase_id=PURCHASE)
    assert world.users.asked[1:] == [(BUYER, given_up)]
