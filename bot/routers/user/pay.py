"""Money: whether it may be charged, and what was charged.

A charge is passed on whatever chat it came from and whatever its payload says: it is never lost.
"""

import asyncio
import hashlib
from typing import assert_never

from aiogram import F, Router
from aiogram.types import Message, PreCheckoutQuery, SuccessfulPayment, User

from actors.user.messages import CreditPayment
from bot.checkout import Approve, Offer, Refusal, Refuse, decide_checkout
from bot.gateways.payload import PayloadSigner
from bot.gateways.stars import PROVIDER
from bot.ports import Queries, Users
from bot.texts import Texts
from config.plans import Plans

#: With the wait for a language, 8 of the 10 seconds after which Telegram gives up
#: (https://core.telegram.org/bots/api#answerprecheckoutquery).
QUOTE_DEADLINE_S = 6.0


def pay_router() -> Router:
    """Pre-checkout questions and payments made."""
    router = Router(name="pay")
    router.pre_checkout_query.register(pre_checkout)
    router.message.register(paid, F.successful_payment.as_("payment"))
    return router


async def pre_checkout(
    query: PreCheckoutQuery,
    queries: Queries,
    plans: Plans,
    texts: Texts,
    signer: PayloadSigner,
    nodes: frozenset[str],
    language: str,
    unanswered: tuple[type[Exception], ...],
) -> None:
    """Answer in time, whatever the answer; without one the buyer waits and is not charged."""
    try:
        async with asyncio.timeout(QUOTE_DEADLINE_S):
            decision = await _decide(query, queries, plans, signer, nodes)
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
    nodes: frozenset[str],
) -> Approve | Refuse:
    claim = signer.verify(query.invoice_payload)
    quote = await queries.quote(claim.purchase_id) if claim else None
    offer = Offer(payer_id=query.from_user.id, currency=query.currency, total=query.total_amount)
    decision = decide_checkout(claim, quote, offer, plans, nodes)
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
    payer_id, charge_id = event_from_user.id, payment.telegram_payment_charge_id
    claim = signer.verify(payment.invoice_payload)
    credit = CreditPayment(
        operation_id=f"{PROVIDER}:{charge_id}",
        provider=PROVIDER,
        provider_payment_id=charge_id,
        purchase_id=claim.purchase_id if claim and claim.user_id == payer_id else None,
        amount=payment.total_amount,
        currency=payment.currency,
        body_sha256=hashlib.sha256(raw_update.encode()).digest(),
        language=language,
        # The private chat, so that the link that follows cannot be shown to a group.
        chat_id=payer_id,
    )
    await users.ask(payer_id, credit)
