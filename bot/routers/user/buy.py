"""From a plan to its invoice; the order is recorded before the invoice is shown."""

from collections.abc import Mapping
from typing import assert_never

import structlog
from aiogram import F, Router
from aiogram.exceptions import TelegramBadRequest
from aiogram.filters import Command
from aiogram.types import CallbackQuery, Message

from actors.payments.ports import ProviderUnavailable
from actors.user.messages import (
    CancelOrder,
    ClaimPaid,
    InvoiceDue,
    InvoiceSent,
    OpenPurchase,
    PlanNotSold,
)
from bot import replies
from bot.callbacks import Go, OrderStep, Page, PlanChosen, WayChosen, new_operation_id
from bot.gateways.port import Gateway, OrderToPay, PayByHand, PayPage, TelegramInvoice
from bot.ports import Users
from bot.screen import Screen
from config.plans import Plan, Plans

log = structlog.get_logger(__name__)


def buy_router() -> Router:
    """`/buy`, its button, the plans, the ways to pay and what becomes of an order."""
    router = Router(name="buy")
    router.message.register(plan_menu, Command("buy"))
    router.callback_query.register(plan_menu_in_place, Go.filter(F.page == Page.PLANS))
    router.callback_query.register(choose_plan, PlanChosen.filter())
    router.callback_query.register(choose_way, WayChosen.filter())
    router.callback_query.register(step_of_order, OrderStep.filter())
    return router


async def plan_menu(_: Message, plans: Plans, screen: Screen, currencies: tuple[str, ...]) -> None:
    """Show what is sold."""
    await screen.show(replies.plan_menu(plans, new_operation_id, currencies))


async def plan_menu_in_place(
    _: CallbackQuery, plans: Plans, screen: Screen, currencies: tuple[str, ...]
) -> None:
    """Show what is sold where the card was."""
    await screen.acknowledge()
    await screen.show(replies.plan_menu(plans, new_operation_id, currencies))


async def choose_plan(
    _: CallbackQuery,
    callback_data: PlanChosen,
    users: Users,
    plans: Plans,
    gateways: Mapping[str, Gateway],
    screen: Screen,
    operation_id: str,
) -> None:
    """Ask how it is to be paid; with one way there is nothing to ask."""
    plan = plans.get(callback_data.plan_id)
    ways = _ways(plan, gateways)
    if plan is None or not ways:
        await screen.answer(replies.no_invoice(PlanNotSold()))
    elif len(ways) > 1:
        await screen.answer(replies.way_menu(plan, ways, new_operation_id))
    else:
        chosen = WayChosen(
            plan_id=plan.id, provider=next(iter(ways)), operation_id=callback_data.operation_id
        )
        await _order(chosen, users, plans, gateways, screen, operation_id)


async def choose_way(
    _: CallbackQuery,
    callback_data: WayChosen,
    users: Users,
    plans: Plans,
    gateways: Mapping[str, Gateway],
    screen: Screen,
    operation_id: str,
) -> None:
    """Open an order and show its invoice; the same tap again brings a toast instead."""
    if callback_data.provider not in _ways(plans.get(callback_data.plan_id), gateways):
        await screen.answer(replies.no_invoice(PlanNotSold()))
        return
    await _order(callback_data, users, plans, gateways, screen, operation_id)


async def step_of_order(
    _: CallbackQuery, callback_data: OrderStep, users: Users, screen: Screen, operation_id: str
) -> None:
    """Give an order up, or say that it was paid outside."""
    await screen.acknowledge()
    purchase_id = callback_data.purchase_id
    match callback_data.step:
        case "cancel":
            wish = CancelOrder(operation_id=operation_id, purchase_id=purchase_id)
            reply = replies.order_step(await users.ask(screen.user.id, wish))
        case "paid":
            claim = ClaimPaid(operation_id=operation_id, purchase_id=purchase_id)
            reply = replies.order_step(await users.ask(screen.user.id, claim))
        case _:
            assert_never(callback_data.step)
    await screen.show(reply)


async def _order(
    chosen: WayChosen,
    users: Users,
    plans: Plans,
    gateways: Mapping[str, Gateway],
    screen: Screen,
    operation_id: str,
) -> None:
    outcome = await users.ask(
        screen.user.id,
        OpenPurchase(
            operation_id=chosen.operation_id,
            plan_id=chosen.plan_id,
            language=screen.chat.language,
            chat_id=screen.chat.chat_id,
            provider=chosen.provider,
        ),
    )
    if not isinstance(outcome, InvoiceDue):
        await screen.answer(replies.no_invoice(outcome))
        return
    await screen.acknowledge()
    if outcome.pay_url is not None:  # recorded with its invoice: nobody has to be asked or told
        await screen.show(_page(outcome, outcome.pay_url, plans))
        return
    try:
        page = await _invoice(outcome, gateways, plans, screen)
    except ProviderUnavailable:
        # Nobody can see its invoice: it must not stand among those that wait to be paid.
        give_up = CancelOrder(operation_id=operation_id, purchase_id=outcome.purchase_id)
        await users.ask(screen.user.id, give_up)
        await _another_way(outcome, plans, gateways, screen)
        return
    sent = InvoiceSent(
        operation_id=operation_id,
        purchase_id=outcome.purchase_id,
        provider_invoice_id=page.provider_invoice_id if page else None,
        pay_url=page.url if page else None,
    )
    await users.ask(screen.user.id, sent)


async def _invoice(
    due: InvoiceDue, gateways: Mapping[str, Gateway], plans: Plans, screen: Screen
) -> PayPage | None:
    """Show an invoice. A crash after this doubles it, and both name the one order."""
    gateway = gateways.get(due.provider)
    if gateway is None:
        raise ProviderUnavailable("switched off")
    offer = await gateway.offer(_to_pay(due, plans, screen))
    match offer:
        case TelegramInvoice():
            await _send(offer, due.provider, screen)
        case PayPage():
            await screen.show(_page(due, offer.url, plans))
            return offer
        case PayByHand():
            await screen.show(offer.reply)
        case _:
            assert_never(offer)
    return None


async def _send(offer: TelegramInvoice, provider: str, screen: Screen) -> None:
    """Send an invoice. What Telegram finds wrong with it, it would find as often as it is asked.

    Raises:
        ProviderUnavailable: Telegram does not take the provider, or the amount.
    """
    try:
        await screen.chat.bot(offer.request)
    except TelegramBadRequest as refusal:
        problem = refusal.message
    else:
        return
    log.error("invoice_refused", provider=provider, reason=problem)
    raise ProviderUnavailable("Telegram refuses the invoice")


async def _another_way(
    due: InvoiceDue, plans: Plans, gateways: Mapping[str, Gateway], screen: Screen
) -> None:
    plan = plans.get(due.plan_id)
    if plan is None:
        await screen.answer(replies.no_invoice(PlanNotSold()))
        return
    others = {way: money for way, money in _ways(plan, gateways).items() if way != due.provider}
    await screen.show(replies.way_menu(plan, others, new_operation_id, "way-not-answering"))


def _ways(plan: Plan | None, gateways: Mapping[str, Gateway]) -> dict[str, str]:
    """The ways in which a plan can be paid for, with their currencies."""
    ways = {name: gateway.terms.currency for name, gateway in gateways.items()}
    if plan is None:
        return {}
    return {way: money for way, money in ways.items() if plan.price_in(money) is not None}


def _to_pay(due: InvoiceDue, plans: Plans, screen: Screen) -> OrderToPay:
    texts, language = screen.chat.texts, screen.chat.language
    title = replies.title(due.plan_id, plans)
    return OrderToPay(
        purchase_id=due.purchase_id,
        user_id=screen.user.id,
        chat_id=screen.chat.chat_id,
        plan_id=due.plan_id,
        title=title.of(language),
        description=texts.get("invoice-description", language, plan=title),
        price=due.price,
        currency=due.currency,
    )


def _page(due: InvoiceDue, url: str, plans: Plans) -> replies.Reply:
    return replies.pay_page(due.purchase_id, due.plan_id, due.price, due.currency, url, plans)
