"""Sells by card: Telegram's invoice with the provider's token, and refunds by hand."""

from actors.payments.ports import ChargePage, GiveBackByHand
from bot.gateways import card
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import OrderToPay, TelegramInvoice
from bot.gateways.telegram_invoice import telegram_invoice
from config.providers import Terms
from storage.rows import RefundOrder


class CardGateway:
    """A `Gateway` that asks nobody: each answer is known beforehand."""

    def __init__(self, provider_token: str, currency: str, signer: PayloadSigner) -> None:
        """Take the provider's token, as @BotFather gave it, and the currency of all orders."""
        self._provider_token = provider_token
        self._signer = signer
        self.terms: Terms = card.terms(currency)

    async def offer(self, order: OrderToPay) -> TelegramInvoice:
        """An invoice with Telegram's own *Pay* button."""
        return TelegramInvoice(request=telegram_invoice(order, self._signer, self._provider_token))

    async def charges(self, cursor: str | None) -> ChargePage:
        """Nothing: cards have no list. What was lost, the provider's own report shows."""
        return ChargePage(found=(), cursor=cursor, more=False)

    async def give_back(self, order: RefundOrder) -> GiveBackByHand:
        """An owner does it in the provider's cabinet, where `provider_ref` names the payment."""
        ref = order.payment.provider_ref or "unknown"
        return GiveBackByHand(reason=f"cards have no refund by a call; payment {ref} there")
