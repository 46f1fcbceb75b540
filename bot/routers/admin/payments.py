"""Money that an owner decides about: refunds, held payments, orders that are paid outside."""

from typing import assert_never

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import CallbackQuery, Message

from actors.user.messages import CreditHeld, DecideManual, NoteRefund, RefundPayment
from bot.callbacks import (
    OrderDecided,
    PaymentDecided,
    PaymentDecision,
    RefundConfirmed,
    new_operation_id,
)
from bot.ports import Queries, Users
from bot.replies import Reply
from bot.reports import acts
from bot.routers.admin.wording import id_of_tap, number_of, operator, quoted_reason
from bot.screen import Screen
from storage.rows import Disposition

#: Two buttons each; a keyboard holds a hundred.
HELD = 20
USAGE = Reply(text_id="payments-usage")
DECISIONS = {
    "refund": PaymentDecision.REFUND,
    "refunded": PaymentDecision.DONE,
    "credit": PaymentDecision.CREDIT,
}


def payments_router() -> Router:
    """`/refund`, `/refunded`, `/credit`, `/held` and the buttons under alerts."""
    router = Router(name="payments")
    router.message.register(decide, Command(*DECISIONS))
    router.message.register(held, Command("held"))
    router.callback_query.register(decide_of_button, PaymentDecided.filter())
    router.callback_query.register(refund, RefundConfirmed.filter())
    router.callback_query.register(decide_order, OrderDecided.filter())
    return router


async def decide(
    _: Message,
    command: CommandObject,
    queries: Queries,
    users: Users,
    screen: Screen,
    operation_id: str,
) -> None:
    """Do what the command says with a payment."""
    decision = DECISIONS[command.command.lower()]
    match (command.args or "").split():
        case [word, *reason] if (number := number_of(word)) is not None and (
            reason or decision is PaymentDecision.DONE
        ):
            words = " ".join(reason)
            reply = await _decided(decision, number, words, queries, users, screen, operation_id)
            await screen.show(reply)
        case _:
            await screen.show(USAGE)


async def held(_: Message, queries: Queries, screen: Screen) -> None:
    """Show the money that waits."""
    await screen.show(acts.held(await queries.held_payments(HELD)))


async def decide_of_button(
    query: CallbackQuery,
    callback_data: PaymentDecided,
    queries: Queries,
    users: Users,
    screen: Screen,
) -> None:
    """Do what the button says. The alert stays: a list has other buttons too."""
    await screen.acknowledge()
    number, decision = callback_data.number, callback_data.decision
    reply = await _decided(decision, number, "", queries, users, screen, id_of_tap(query))
    await screen.below().show(reply)


async def refund(
    query: CallbackQuery,
    callback_data: RefundConfirmed,
    queries: Queries,
    users: Users,
    screen: Screen,
) -> None:
    """Give money back, the second time of asking."""
    await screen.acknowledge()
    payment = await queries.payment_by_number(callback_data.number)
    if payment is None:
        await screen.show(acts.no_payment(callback_data.number))
        return
    wish = RefundPayment(
        operation_id=callback_data.operation_id,
        provider=payment.provider,
        provider_payment_id=payment.provider_payment_id,
        who=operator(screen),
        reason=quoted_reason(query),
    )
    await screen.show(acts.refund(await users.ask(payment.user_id, wish), payment.number))


async def decide_order(
    query: CallbackQuery,
    callback_data: OrderDecided,
    queries: Queries,
    users: Users,
    screen: Screen,
) -> None:
    """Approve or reject an order that is paid outside."""
    await screen.acknowledge()
    order = await queries.purchase(callback_data.purchase_id)
    if order is None:
        await screen.show(acts.NO_ORDER)
        return
    wish = DecideManual(
        operation_id=id_of_tap(query),
        purchase_id=order.id,
        approve=callback_data.decision == "approve",
        who=operator(screen),
    )
    await screen.show(acts.decided(await users.ask(order.user_id, wish)))


async def _decided(
    decision: PaymentDecision,
    number: int,
    reason: str,
    queries: Queries,
    users: Users,
    screen: Screen,
    operation_id: str,
) -> Reply:
    payment = await queries.payment_by_number(number)
    if payment is None:
        return acts.no_payment(number)
    provider, charge, who = payment.provider, payment.provider_payment_id, operator(screen)
    match decision:
        case PaymentDecision.REFUND:
            return acts.refund_question(payment, reason, new_operation_id)
        case PaymentDecision.CREDIT:
            credit = CreditHeld(
                operation_id=operation_id,
                provider=provider,
                provider_payment_id=charge,
                who=who,
                reason=reason,
            )
            return acts.credited(await users.ask(payment.user_id, credit), number)
        case PaymentDecision.DONE if payment.disposition is Disposition.CREDITED:
            return acts.not_going_back(number)  # a slip of a digit would end somebody's access
        case PaymentDecision.DONE:
            note = NoteRefund(
                operation_id=operation_id, provider=provider, provider_payment_id=charge, who=who
            )
            return acts.refund(await users.ask(payment.user_id, note), number)
        case _:
            assert_never(decision)
