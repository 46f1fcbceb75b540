"""The Bot API methods about money."""

from bot.sandbox import rules
from bot.sandbox.calls import Call
from bot.sandbox.chat_methods import Sender
from bot.sandbox.errors import bad_request
from bot.sandbox.payments import STARS, Cashier, Invoice
from bot.sandbox.state import Params

_PAGE_MAX = 100


class PaymentMethods:
    """sendInvoice, createInvoiceLink, answerPreCheckoutQuery, refunds, transactions."""

    def __init__(self, cashier: Cashier, sender: Sender) -> None:
        self._cashier = cashier
        self._sender = sender

    def send_invoice(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#sendinvoice."""
        rules.check_invoice(call.params)
        invoice = _invoice(call.params, home=call.params["chat_id"])
        params = {**call.params, "reply_markup": self._keyboard(call.params, invoice)}
        message = self._sender.send(params, {"invoice": invoice.described()}, invoice=True)
        self._cashier.offer_in_message(message.chat_id, message.id, invoice)
        return message.raw

    def create_invoice_link(self, call: Call) -> str:
        """See https://core.telegram.org/bots/api#createinvoicelink."""
        rules.check_invoice(call.params)
        return self._cashier.offer_by_link(_invoice(call.params, home=None))

    def answer_pre_checkout_query(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#answerprecheckoutquery."""
        if not call.params["ok"] and not call.params.get("error_message"):
            raise bad_request("ERROR_TEXT_EMPTY")
        self._cashier.checkouts.answer(call.params["pre_checkout_query_id"], call.params)
        return True

    def refund_star_payment(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#refundstarpayment."""
        params = call.params
        self._cashier.refund(params["user_id"], params["telegram_payment_charge_id"])
        return True

    def get_star_transactions(self, call: Call) -> Params:
        """See https://core.telegram.org/bots/api#getstartransactions: oldest first."""
        offset, limit = call.params.get("offset", 0), call.params.get("limit", _PAGE_MAX)
        if offset < 0 or not 1 <= limit <= _PAGE_MAX:
            raise bad_request("OFFSET_INVALID" if offset < 0 else "LIMIT_INVALID")
        return {"transactions": self._cashier.transactions[offset : offset + limit]}

    def edit_user_star_subscription(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#edituserstarsubscription."""
        p = call.params
        self._cashier.edit_subscription(
            p["user_id"], p["telegram_payment_charge_id"], p["is_canceled"]
        )
        return True

    def _keyboard(self, params: Params, invoice: Invoice) -> Params:
        """The given keyboard, or the single Pay button which Telegram adds by itself."""
        given: Params = params.get("reply_markup") or {}
        if given.get("inline_keyboard"):
            return given
        price = f"⭐️{invoice.amount}" if invoice.currency == STARS else f"{invoice.currency}"
        return {"inline_keyboard": [[{"text": f"Pay {price}", "pay": True}]]}


def _invoice(params: Params, home: int | None) -> Invoice:
    start_parameter = params.get("start_parameter", "")
    return Invoice(
        title=params["title"],
        description=params["description"],
        payload=params["payload"],
        currency=params["currency"],
        amount=sum(price["amount"] for price in params["prices"]),
        start_parameter=start_parameter,
        subscription_period=params.get("subscription_period"),
        home=home if start_parameter else None,
    )
