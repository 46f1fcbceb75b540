"""Whether a call is Crypto Pay's own, told from the raw bytes before anything in them is read.

The header is the hex HMAC-SHA256 of the body under the SHA-256 of the token
(https://help.send.tg/en/articles/10279948-crypto-pay-api).
"""

import hashlib
import hmac
from collections.abc import Mapping

from pydantic import ValidationError

from bot.gateways.crypto_pay.answers import CryptoInvoice, Push, Unreadable, read_json
from bot.gateways.port import PushAccepted, PushRefused

SIGNATURE_HEADER = "crypto-pay-api-signature"
INVOICE_PAID = "invoice_paid"
#: How far a call's date may be from our clock, both ways; seconds. Our own choice: the provider
#: publishes none, clocks differ by less, and what is refused here the list of paid invoices finds.
FRESH_S = 15 * 60


def accept_push(
    token: str, headers: Mapping[str, str], body: bytes, now_s: float
) -> PushAccepted | PushRefused:
    """Whether a call is the provider's own, and not an old one that somebody kept."""
    if not _signed(token, headers, body):
        return PushRefused(reason="wrong signature")
    digest = hashlib.sha256(body).hexdigest()
    push = read_push(body)
    if push is None:
        return PushAccepted(source_id=f"unreadable:{digest[:32]}")
    if abs(now_s - push.request_date.timestamp()) > FRESH_S:
        return PushRefused(reason="too old, or of the future")
    # The provider's own update_id is documented as not unique.
    invoice_id = push.payload.get("invoice_id")
    name = invoice_id if isinstance(invoice_id, int) else "other"
    return PushAccepted(source_id=f"{str(name)[:20]}:{digest[:16]}")


def read_push(body: str | bytes) -> Push | None:
    """A call's content; None for anything that is not one."""
    try:
        return Push.model_validate(read_json(body))
    except (Unreadable, ValidationError):
        return None


def paid_invoice(push: Push) -> CryptoInvoice | None:
    """The invoice that a call says was paid; None for a paid one that cannot be read.

    Raises:
        LookupError: the call is about something else.
    """
    if push.update_type != INVOICE_PAID:
        raise LookupError(push.update_type[:32])
    try:
        invoice = CryptoInvoice.model_validate(push.payload)
    except ValidationError:
        return None
    return invoice if invoice.status == "paid" else None


def sign(token: str, body: bytes) -> bytes:
    """The signature that belongs to a body, as it stands in the header."""
    key = hashlib.sha256(token.encode()).digest()
    return hmac.digest(key, body, hashlib.sha256).hex().encode()


def _signed(token: str, headers: Mapping[str, str], body: bytes) -> bool:
    given = [value for name, value in headers.items() if name.lower() == SIGNATURE_HEADER]
    if len(given) != 1:
        return False
    # Bytes: compare_digest raises on text that is not ASCII.
    return hmac.compare_digest(given[0].encode(errors="surrogatepass"), sign(token, body))
