"""Money by Telegram's invoices: whether it may be charged, what was charged, what went back.

A charge is passed on whatever chat it came from and whatever its payload says: it is never lost.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import assert_never

from aiogram import F, Router
from aiogram.enums import ChatType
from aiogram.types import Message, PreCheckoutQuery, RefundedPayment, SuccessfulPayment, User

from actors.payments.messages import credit_of
from actors.user.messages import NoteRefund
from bot.checkout import Approve, NodesNow, Offer, Refusal, Refuse, decide_checkout
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway
from bot.gateways.telegram_invoice import charged, provider_of
from bot.ports import Queries, Users
from bot.texts import Texts
from config.plans import Plans

#: With the wait for a language, 8 of the 10 seconds after which Telegram gives up
#: (https://core.telegram.org/bots/api#answerprecheckoutquery).
QUOTE_DEADLINE_S = 6.0


def pay_router() -> Router:
    """Pre-checkout questions, payments made, and payments given back."""
    router = Router(name="pay")
    router.pre_checkout_query.register(pre_checkout)
    router.message.register(paid, F.successful_payment.as_("payment"))
    router.message.register(refunded, F.refunded_payment.as_("refund"))
    return router


async def pre_checkout(  # noqa: PLR0913, PLR0917 - a collaborator each
    query: PreCheckoutQuery,
    queries: Queries,
    plans: Plans,
    texts: Texts,
    signer: PayloadSigner,
    nodes: Callable[[], NodesNow],
    gateways: Mapping[str, Gateway],
    language: str,
    unanswered: tuple[type[Exception], ...],
) -> None:
    """Answer in time, whatever the answer; without one the buyer waits and is not charged."""
    ways = {name: gateway.terms.currency for name, gateway in gateways.items()}
    try:
        async with asyncio.timeout(QUOTE_DEADLINE_S):
            decision = await _decide(query, queries, plans, signer, nodes, ways)
    except unanswered:
        decision = Refuse(reason=Refusal.TRY_AGAIN)
    match decision:
        case Approve():
            await query.answer(ok=True)
        case Refuse():
            why = texts.get(decision.reason, language)
            await query.answer(ok=False, error_message=why)
        case _:
            assert_never(decision)


async def _decide(
    query: PreCheckoutQuery,
    queries: Queries,
    plans: Plans,
    signer: PayloadSigner,
    nodes: Callable[[], NodesNow],
    ways: Mapping[str, str],
) -> Approve | Refuse:
    claim = signer.verify(query.invoice_payload)
    quote = await queries.quote(claim.purchase_id) if claim else None
    offer = Offer(payer_id=query.from_user.id, currency=query.currency, total=query.total_amount)
    decision = decide_checkout(claim, quote, offer, plans, nodes(), ways)
    if claim is None or isinstance(decision, Refuse):
        return decision
    # Two taps on *Pay* ask twice before either is charged: one of them may go on.
    alone = await queries.approve(claim.purchase_id, query.id)
    return decision if alone else Refuse(reason=Refusal.UNDER_WAY)


async def paid(
    _: Message,
    payment: SuccessfulPayment,
    event_from_user: User,
    users: Users,
    signer: PayloadSigner,
    language: str,
    raw_update: str,
) -> None:
    """Hand a charge to its payer's actor. What follows is told through the outbox."""
    charge = charged(payment, event_from_user.id, signer, raw_update)
    await users.ask(charge.user_id, credit_of(provider_of(payment.currency), charge, language))


async def refunded(
    message: Message, refund: RefundedPayment, event_from_user: User, users: Users
) -> None:
    """Tell the payer's actor that Telegram gave a charge back, whoever wanted it."""
    # Whom such a message is from is not documented; a private chat has its person's own number.
    private = message.chat.type == ChatType.PRIVATE
    payer_id = message.chat.id if private else event_from_user.id
    provider, charge_id = provider_of(refund.currency), refund.telegram_payment_charge_id
    note = NoteRefund(
        operation_id=f"{provider}:{charge_id}:refunded",
        provider=provider,
        provider_payment_id=charge_id,
    )
    await users.ask(payer_id, note)
