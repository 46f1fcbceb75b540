"""Names an order inside an invoice, so that nobody can make Telegram show one of ours.

The price is not in it: what an order costs is read from its row, never from outside.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from config.keys import MasterKeys

PURPOSE = "invoice payload"
#: Telegram's limit (https://core.telegram.org/bots/api#sendinvoice).
PAYLOAD_LIMIT_BYTES = 128
_SEPARATOR = "."


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceClaim:
    """What one of our invoices says about itself."""

    purchase_id: UUID
    user_id: int
    plan_id: str


class PayloadSigner:
    """Signs with the current key; reads what any known key signed."""

    def __init__(self, keys: MasterKeys) -> None:
        self._keys = keys.derive(PURPOSE)

    def sign(self, claim: InvoiceClaim) -> str:
        """A payload of printable ASCII.

        Raises:
            ValueError: longer than Telegram takes; a plan's id is at most 16 characters.
        """
        body = _SEPARATOR.join((claim.purchase_id.hex, str(claim.user_id), claim.plan_id))
        payload = body + _SEPARATOR + _tag(self._keys[0], body.encode()).decode()
        if len(payload.encode()) > PAYLOAD_LIMIT_BYTES:
            raise ValueError(f"a payload of {len(payload)} characters")
        return payload

    def verify(self, payload: str) -> InvoiceClaim | None:
        """The claim, or None for anything that we did not sign."""
        body, _, tag = payload.rpartition(_SEPARATOR)
        # Bytes, as compare_digest refuses other text than ASCII; and every key is tried, so
        # that the time taken does not tell which one fits.
        given = tag.encode(errors="surrogatepass")
        signed = body.encode(errors="surrogatepass")
        fits = [hmac.compare_digest(given, _tag(key, signed)) for key in self._keys]
        if not any(fits):
            return None
        purchase_id, user_id, plan_id = body.split(_SEPARATOR)
        return InvoiceClaim(purchase_id=UUID(purchase_id), user_id=int(user_id), plan_id=plan_id)

    def purchase_of(self, payload: str, payer_id: int) -> UUID | None:
        """The order that a payload names, if it is this payer's own."""
        claim = self.verify(payload)
        return claim.purchase_id if claim and claim.user_id == payer_id else None


def _tag(key: bytes, body: bytes) -> bytes:
    """The signature as text; texts are compared, so only one spelling of it is valid."""
    return base64.urlsafe_b64encode(hmac.digest(key, body, hashlib.sha256)).rstrip(b"=")
