"""The truth about money: what the emulators took and gave back, held against what the rows say.

Each charge is credited once, given back once, or held with an alert; nothing else is credited.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from bot.sandbox import Sandbox
from bot.sandbox.crypto_pay import CryptoPayDouble
from config.money import minor

#: A provider, and its own id of a charge.
Charge: TypeAlias = tuple[str, str]

#: All that the rows say of a charge.
RECORDED = """
SELECT p.provider, p.provider_payment_id AS id, p.number, p.user_id, p.amount, p.currency,
    p.disposition, count(l.id) FILTER (WHERE l.source_kind = 'payment') AS credits,
    count(l.id) FILTER (WHERE l.source_kind = 'refund') AS taken_back
FROM payments p LEFT JOIN ledger l ON l.source_kind IN ('payment', 'refund')
    AND l.source_id = p.provider || ':' || p.provider_payment_id
GROUP BY p.provider, p.provider_payment_id
"""
#: Time that was given for money, by charge.
BOUGHT = "SELECT source_id FROM ledger WHERE source_kind = 'payment'"
#: Money that is paid outside is in no emulator's books: an owner found it.
FOUND_BY_OWNERS = """
SELECT DISTINCT o.id::text, o.user_id, o.price, o.currency
FROM admin_actions a JOIN purchases o ON o.id::text = a.details->>'purchase'
WHERE a.action = 'approve_order'
"""


class Fate(StrEnum):
    """What may become of a charge."""

    CREDITED = "credited"
    GIVEN_BACK = "given back"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A charge in a provider's own books; amounts are in the currency's smallest unit."""

    amount: int
    currency: str
    #: What went back, each time that something did.
    returned: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What became of each charge, and what is wrong."""

    fates: Mapping[Charge, Fate] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


def of_telegram(sandbox: Sandbox) -> dict[Charge, Taken]:
    """Telegram's list of transactions, in which money that went back has the charge's own id."""
    found: list[dict[str, Any]] = sandbox.transactions
    back: dict[str, tuple[int, ...]] = {}
    for each in found:
        if "receiver" in each:
            back[each["id"]] = (*back.get(each["id"], ()), each["amount"])
    return {
        ("stars", each["id"]): Taken(
            amount=each["amount"], currency="XTR", returned=back.get(each["id"], ())
        )
        for each in found
        if "source" in each
    }


def of_crypto_pay(coins: CryptoPayDouble) -> dict[Charge, Taken]:
    """Paid invoices, and transfers under the one name that each charge's refund has."""
    taken = {}
    for number, invoice in coins.invoices.items():
        if invoice["status"] != "paid":
            continue
        name = hashlib.sha256(f"refund:cryptopay:{number}".encode()).hexdigest()
        taken["cryptopay", str(number)] = Taken(
            amount=minor(invoice["amount"], invoice["asset"]),
            currency=invoice["asset"],
            returned=tuple(
                minor(sent["amount"], sent["asset"])
                for sent in coins.transfers
                if sent["spend_id"] == name
            ),
        )
    return taken


def compare(
    taken: Mapping[Charge, Taken],
    recorded: Iterable[Mapping[str, Any]],
    bought: Iterable[str],
    alerts: Iterable[str],
) -> Books:
    """Hold the providers' books against ours.

    Args:
        taken: what providers took, and owners found.
        recorded: rows of `RECORDED`.
        bought: charges for which time was given, as the ledger names them.
        alerts: what owners have read.
    """
    rows = {(row["provider"], row["id"]): row for row in recorded}
    names = {f"{provider}:{number}" for provider, number in taken}
    told = tuple(alerts)
    wrong = [
        f"{provider} charge {number} is not recorded" for provider, number in taken.keys() - rows
    ]
    wrong += [
        f"{provider} charge {number} was never taken" for provider, number in rows.keys() - taken
    ]
    wrong += [f"time was given for {name}, which nobody paid" for name in set(bought) - names]
    fates = {}
    for charge in taken.keys() & rows.keys():
        fate = _fate(taken[charge], rows[charge], told)
        if isinstance(fate, Fate):
            fates[charge] = fate
        else:
            wrong.append(f"{charge[0]} charge {charge[1]}: {fate}")
    return Books(fates=fates, wrong=tuple(sorted(wrong)))


def _fate(taken: Taken, row: Mapping[str, Any], alerts: tuple[str, ...]) -> Fate | str:
    """What became of a charge, or what is wrong with it."""
    stands, credits_ = row["disposition"], row["credits"] - row["taken_back"]
    by_hand = row["provider"] == "manual"
    if (row["amount"], row["currency"]) != (taken.amount, taken.currency):
        return f"{taken.amount} {taken.currency}, recorded as {row['amount']} {row['currency']}"
    if stands == "credited" and credits_ == row["credits"] == 1 and not taken.returned:
        return Fate.CREDITED
    returned = by_hand or taken.returned == (taken.amount,)
    if stands == "refunded" and credits_ == 0 and row["credits"] <= 1 and returned:
        return Fate.GIVEN_BACK
    alerted = any(re.search(rf"#\W*{row['number']}\b", text) for text in alerts)
    if stands in {"mismatch", "refund_pending"} and credits_ == 0 and not taken.returned:
        return Fate.HELD if alerted else f"{stands}, and no owner was told"
    return f"{stands}, credited {row['credits']} times, given back as {taken.returned}"
