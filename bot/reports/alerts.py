"""What owners are told at once, and the buttons where they can act."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from actors.notifier.ports import OwnerAlert
from bot.callbacks import NODE_ID, OrderDecided, PaymentDecided, PaymentDecision
from bot.keyboards import Button, Keyboard
from bot.replies import Reply
from bot.reports.fitting import one_line
from bot.reports.frozen import kind_of
from bot.reports.nodes import look_button
from bot.texts import Price, Value
from config.plans import Plans

#: Every alert and what its text has places for. More arguments are no harm.
ALERTS: dict[str, frozenset[str]] = {
    "alert-parked": frozenset({"actor", "for_s"}),
    "alert-storm": frozenset({"actor", "children"}),
    "alert-keeps-failing": frozenset({"actor", "restarts"}),
    "alert-gave-up": frozenset({"actor", "reason"}),
    "alert-set-aside": frozenset({"actor", "message", "attempts"}),
    "alert-loop-blocked": frozenset({"actor", "for_s"}),
    "alert-node-away": frozenset({"node", "away_s"}),
    "alert-node-back": frozenset({"node", "away_s"}),
    "alert-node-key": frozenset({"node"}),
    "alert-node-certificate": frozenset({"node"}),
    "alert-node-answers-wrong": frozenset({"node"}),
    "alert-node-uncompared": frozenset({"node", "for_s", "error"}),
    "alert-node-empty": frozenset({"node"}),
    "alert-node-nowhere": frozenset({"node"}),
    "alert-expiry-held": frozenset({"why"}),
    "alert-node-frozen": frozenset({"node", "reason"}),
    "alert-policy-reverted": frozenset({"key", "old", "new"}),
    "alert-manual-payment": frozenset({"purchase_id", "user_id", "plan", "price"}),
    "alert-payment-held": frozenset({"number", "user_id", "price", "provider", "reason"}),
    "alert-refund-by-hand": frozenset({"number", "price", "provider", "user_id", "reason"}),
    "alert-refund-stuck": frozenset({"number", "reason"}),
    "alert-run-away": frozenset({"bound", "user_id", "limit_s"}),
    "alert-payment-odd": frozenset({"number", "user_id", "flag"}),
    "alert-key-set-aside": frozenset({"user_id", "key", "node", "wish"}),
}
#: What owners can do at once about a payment.
WAYS: Mapping[str, tuple[PaymentDecision, ...]] = {
    "alert-payment-held": (PaymentDecision.CREDIT, PaymentDecision.REFUND),
    "alert-payment-odd": (PaymentDecision.REFUND,),
    "alert-refund-by-hand": (PaymentDecision.DONE,),
}
#: Alerts about a node whose page says what to do.
OF_NODES = frozenset(
    {
        "alert-node-away",
        "alert-node-key",
        "alert-node-certificate",
        "alert-node-answers-wrong",
        "alert-node-uncompared",
        "alert-node-empty",
        "alert-node-nowhere",
        "alert-node-frozen",
    }
)
#: Seconds that are days or hours to a reader.
SPANS = frozenset({"limit_s"})
#: Numbers that are names: their digits stand together.
NAMES = frozenset({"number", "user_id"})
LONGEST_ARGUMENT = 300
#: A thousand years; what is longer is no span of ours.
LONGEST_SPAN_S = 1_000 * 365 * 86_400


def alert(notice: OwnerAlert, plans: Plans | None = None) -> Reply:
    """An alert's text; one of another release is told as it came rather than not at all.

    A plan is named by its title if `plans` still hold it.
    """
    values = {name: _value(name, value) for name, value in notice.arguments.items()}
    if {"amount", "currency"} <= notice.arguments.keys():
        values["price"] = _price(notice.arguments)
    plan = plans.get(str(notice.arguments.get("plan"))) if plans else None
    if plan is not None:
        values["plan"] = plan.title
    if notice.text_id == "alert-node-frozen":
        values["cause"] = kind_of(str(notice.arguments.get("reason")))
    places = ALERTS.get(notice.text_id)
    if places is not None and places <= values.keys():
        keyboard = _ways(notice.text_id, notice.arguments)
        return Reply(text_id=notice.text_id, values=values, keyboard=keyboard)
    listed = ", ".join(f"{name} = {_word(v)}" for name, v in notice.arguments.items())
    what = one_line(notice.text_id, LONGEST_ARGUMENT)
    return Reply(text_id="alert-other", values={"what": what, "arguments": one_line(listed, 2_000)})


def payment_buttons(number: int, decisions: tuple[PaymentDecision, ...]) -> Keyboard:
    """In rows of their own: money moves, and fingers slip."""
    return tuple(
        (
            Button(
                text_id=f"button-money-{decision}",
                callback=PaymentDecided(decision=decision, number=number),
                values={"number": str(number)},
            ),
        )
        for decision in decisions
    )


def _value(name: str, value: Any) -> Value:
    if type(value) is int and name in SPANS and 0 <= value < LONGEST_SPAN_S:
        return timedelta(seconds=value)
    if type(value) is int and name not in NAMES:
        return value
    return _word(value)


def _word(value: Any) -> str:
    return one_line(str(value), LONGEST_ARGUMENT)


def _price(arguments: Mapping[str, Any]) -> Value:
    amount, currency = arguments["amount"], arguments["currency"]
    if type(amount) is int and isinstance(currency, str):
        return Price(amount=amount, currency=one_line(currency, 10))
    return one_line(f"{amount} {currency}", LONGEST_ARGUMENT)


def _ways(text_id: str, arguments: Mapping[str, Any]) -> Keyboard:
    """Buttons; none where another release's arguments name nothing that one could be for."""
    if text_id == "alert-manual-payment":
        return _order_ways(str(arguments.get("purchase_id")))
    if text_id in OF_NODES:
        node_id = str(arguments.get("node"))
        return (look_button(node_id),) if re.fullmatch(NODE_ID, node_id) else ()
    number = arguments.get("number")
    if type(number) is not int or not 0 < number < 2**63:
        return ()
    return payment_buttons(number, WAYS.get(text_id, ()))


def _order_ways(purchase_id: str) -> Keyboard:
    try:
        order = UUID(purchase_id)
    except ValueError:
        return ()
    approve = OrderDecided(decision="approve", purchase_id=order)
    reject = OrderDecided(decision="reject", purchase_id=order)
    return (
        (Button(text_id="button-approve", callback=approve),),
        (Button(text_id="button-reject", callback=reject),),
    )
