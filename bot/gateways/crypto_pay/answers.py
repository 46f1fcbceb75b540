"""What Crypto Pay says, read strictly: a number is never a float, a key is never there twice."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class Unreadable(ValueError):  # noqa: N818 - said of a text
    """A text that is not the JSON that it should be. The message never quotes it."""


def read_json(text: str | bytes) -> Any:
    """JSON with exact numbers.

    Raises:
        Unreadable: no JSON, `NaN` or `Infinity`, a key twice in one object, nested without end.
    """
    try:
        return json.loads(
            text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_once
        )
    except (ValueError, RecursionError):
        raise Unreadable("not the JSON of Crypto Pay") from None


def _refuse(_: str) -> NoReturn:
    raise Unreadable("not a number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise Unreadable("a key twice")
    return table


def _as_text(value: object) -> object:
    """Amounts come as texts, and in older answers as numbers."""
    number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    return str(value) if number else value


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("no moment")  # noqa: TRY004 - pydantic's protocol
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Amount = Annotated[str, BeforeValidator(_as_text), Field(max_length=64)]
Number = Annotated[int, Field(ge=1, lt=2**63)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class Model(BaseModel):
    """A part of an answer; what we do not use is not looked at."""

    model_config = ConfigDict(frozen=True, strict=True, hide_input_in_errors=True)


class CryptoInvoice(Model):
    """An invoice. `amount` is in the price's own currency, whatever asset it was paid with."""

    invoice_id: Number
    status: str
    currency_type: Literal["crypto", "fiat"] = "crypto"
    asset: str | None = None
    fiat: str | None = None
    amount: Amount = ""
    paid_asset: str | None = None
    paid_amount: Amount | None = None
    payload: str = ""
    bot_invoice_url: str = ""
    mini_app_invoice_url: str = ""

    @property
    def currency(self) -> str:
        """What it is priced in."""
        return (self.fiat if self.currency_type == "fiat" else self.asset) or ""


class CryptoTransfer(Model):
    """Coins that the shop sent; `spend_id` is the shop's own name for it."""

    transfer_id: Number
    spend_id: str | None = None


class Push(Model):
    """A call of Crypto Pay's; `payload` is of an invoice when it is about one."""

    update_type: str
    request_date: Moment
    payload: dict[str, Any]


def listed(result: object) -> list[Any]:
    """The entries of a list, which comes bare or under `items`.

    Raises:
        Unreadable: neither.
    """
    items = result.get("items") if isinstance(result, dict) else result
    if not isinstance(items, list):
        raise Unreadable("not a list")
    return items
