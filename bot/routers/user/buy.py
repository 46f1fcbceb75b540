"""From a plan to its invoice; the order is recorded before the invoice is shown."""

from aiogram import F, Router
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from actors.user.messages import InvoiceDue, InvoiceSent, OpenPurchase
from bot import replies
from bot.callbacks import Go, Page, PlanChosen, new_operation_id
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.gateways.stars import stars_invoice
from bot.ports import Users
from bot.screen import Screen
from config.plans import Plans


def buy_router() -> Router:
    """`/buy`, its button and the plans."""
    router = Router(name="buy")
    router.message.register(plan_menu, Command("buy"))
    router.callback_query.register(plan_menu_in_place, Go.filter(F.page == Page.PLANS))
    router.callback_query.register(choose_plan, PlanChosen.filter())
    return router


async def plan_menu(_: Message, plans: Plans, screen: Screen) -> None:
    """Show what is sold."""
    await screen.show(replies.plan_menu(plans, new_operation_id))


async def plan_menu_in_place(_: CallbackQuery, plans: Plans, screen: Screen) -> None:
    """Show what is sold where the card was."""
    await screen.acknowledge()
    await screen.show(replies.plan_menu(plans, new_operation_id))


async def choose_plan(
    _: CallbackQuery,
    callback_data: PlanChosen,
    users: Users,
    plans: Plans,
    signer: PayloadSigner,
    screen: Screen,
    operation_id: str,
) -> None:
    """Open an order and show its invoice; the same tap again brings a toast instead."""
    outcome = await users.ask(
        screen.user.id,
        OpenPurchase(
            operation_id=callback_data.operation_id,
            plan_id=callback_data.plan_id,
            language=screen.chat.language,
            chat_id=screen.chat.chat_id,
        ),
    )
    if not isinstance(outcome, InvoiceDue):
        await screen.answer(replies.no_invoice(outcome))
        return
    await screen.acknowledge()
    await _send_invoice(outcome, plans, signer, screen)
    sent = InvoiceSent(operation_id=operation_id, purchase_id=outcome.purchase_id)
    await users.ask(screen.user.id, sent)


async def _send_invoice(
    due: InvoiceDue, plans: Plans, signer: PayloadSigner, screen: Screen
) -> None:
    """A crash after this doubles the invoice, and both name the one order."""
    texts, language = screen.chat.texts, screen.chat.language
    title = replies.title(due.plan_id, plans)
    claim = InvoiceClaim(purchase_id=due.purchase_id, user_id=screen.user.id, plan_id=due.plan_id)
    invoice = stars_invoice(
        chat_id=screen.chat.chat_id,
        title=title.of(language),
        description=texts.get("invoice-description", language, plan=title),
        price=due.price,
        payload=signer.sign(claim),
    )
    await screen.chat.bot(invoice)
