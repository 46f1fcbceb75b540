"""A provider's charge as the message that credits it: the same by push, poll and sweep."""

import hashlib

from actors.payments.ports import Charge
from actors.user.messages import CreditPayment

#: Of payers who never wrote to the bot; those who did keep theirs.
DEFAULT_LANGUAGE = "en"


def credit_of(provider: str, charge: Charge, language: str = DEFAULT_LANGUAGE) -> CreditPayment:
    """The message to the payer's actor. The same charge makes the same operation."""
    return CreditPayment(
        operation_id=f"{provider}:{charge.provider_payment_id}",
        provider=provider,
        provider_payment_id=charge.provider_payment_id,
        purchase_id=charge.purchase_id,
        amount=charge.amount,
        currency=charge.currency,
        body_sha256=hashlib.sha256(charge.body.encode(errors="surrogatepass")).digest(),
        language=language,
        chat_id=charge.user_id,
        provider_ref=charge.provider_ref,
    )
