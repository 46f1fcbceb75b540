"""A call that Crypto Pay did not sign, or long ago, is refused; none of any shape is a bug."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.gateways.crypto_pay.client import CryptoPayClient
from bot.gateways.crypto_pay.gateway import CryptoPayGateway
from bot.gateways.crypto_pay.pushes import FRESH_S, SIGNATURE_HEADER, sign
from bot.gateways.payload import InvoiceClaim, PayloadSigner
from bot.gateways.port import PushAccepted, PushRefused
from config.keys import MasterKeys

TOKEN = "4242:canary-of-a-token"
ORDER, BUYER = UUID(int=1), 77
SIGNER = PayloadSigner(MasterKeys([SecretStr("a master secret for tests, long enough")]))
CLAIM = InvoiceClaim(purchase_id=ORDER, user_id=BUYER, plan_id="month")
SENT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
NOW_S = SENT.timestamp()
GATEWAY = CryptoPayGateway(
    CryptoPayClient("https://nowhere.invalid", TOKEN, lambda: None), TOKEN, "USDT", SIGNER
)


def push(**invoice: Any) -> dict[str, Any]:
    paid = {
        "invoice_id": 528890,
        "status": "paid",
        "currency_type": "crypto",
        "asset": "USDT",
        "amount": "2.5",
        "payload": SIGNER.sign(CLAIM),
    }
    return {
        "update_id": 1,
        "update_type": "invoice_paid",
        "request_date": "2026-11-23T12:00:00Z",
        "payload": paid | invoice,
    }


def headers(body: bytes) -> dict[str, str]:
    return {SIGNATURE_HEADER: sign(TOKEN, body).decode()}


def accept(body: bytes, now_s: float = NOW_S) -> PushAccepted | PushRefused:
    return GATEWAY.accept(headers(body), body, now_s)


def test_a_signed_and_fresh_call_is_taken_and_its_charge_is_read() -> None:
    body = json.dumps(push()).encode()

    taken = accept(body)
    [charge] = GATEWAY.charges_in(body.decode())

    assert isinstance(taken, PushAccepted)
    assert taken.source_id.startswith("528890:")
    assert taken == accept(body)
    assert (charge.provider_payment_id, charge.user_id) == ("528890", BUYER)
    assert (charge.purchase_id, charge.amount, charge.currency) == (ORDER, 250_000_000, "USDT")


@pytest.mark.parametrize("spelling", ["Crypto-Pay-Api-Signature", "CRYPTO-PAY-API-SIGNATURE"])
def test_a_header_may_be_spelled_in_any_way(spelling: str) -> None:
    body = json.dumps(push()).encode()
    given_headers = {spelling: sign(TOKEN, body).decode()}
    assert isinstance(GATEWAY.accept(given_headers, body, NOW_S), PushAccepted)


@pytest.mark.parametrize(
    "signature",
    ["", "00", "not hex", "подпись", "\ud800", "0" * 64, sign("4243:other", b"{}").decode()],
)
def test_a_call_with_another_signature_is_refused(signature: str) -> None:
    body = json.dumps(push()).encode()
    refused = GATEWAY.accept({SIGNATURE_HEADER: signature}, body, NOW_S)
    assert refused == PushRefused(reason="wrong signature")
    assert GATEWAY.accept({}, body, NOW_S) == refused


def test_the_signature_is_of_the_bytes_as_they_came() -> None:
    body = json.dumps(push()).encode()
    written_anew = json.dumps(json.loads(body), indent=1).encode()
    assert GATEWAY.accept(headers(body), written_anew, NOW_S) == PushRefused(
        reason="wrong signature"
    )


@pytest.mark.parametrize(("off_s", "fresh"), [(0, True), (FRESH_S, True), (FRESH_S + 1, False)])
@pytest.mark.parametrize("way", [1, -1])
def test_a_call_is_taken_within_a_quarter_of_an_hour(
    off_s: float, way: int, *, fresh: bool
) -> None:
    taken = accept(json.dumps(push()).encode(), NOW_S + way * off_s)
    assert isinstance(taken, PushAccepted) is fresh


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"update_type": NaN}',
        b"[" * 100_000,
        json.dumps(push()).replace('"2.5"', '1e400, "amount": 1').encode(),
        json.dumps(push() | {"request_date": "yesterday"}).encode(),
        json.dumps(push(invoice_id=True)).encode(),
        json.dumps(push(invoice_id=2**63)).encode(),
        json.dumps(push(status="active")).encode(),
        json.dumps(push(payload="forged")).encode(),
        json.dumps(push() | {"update_type": "invoice_refused"}).encode(),
    ],
)
def test_a_signed_call_that_makes_no_sense_is_taken_and_credits_nothing(body: bytes) -> None:
    assert isinstance(accept(body), PushAccepted)
    assert GATEWAY.charges_in(body.decode(errors="replace")) == ()


@pytest.mark.parametrize("amount", ["NaN", "1e400", "-1", "", "Infinity", None, [], True])
def test_an_amount_that_makes_no_sense_buys_nothing(amount: object) -> None:
    charges = GATEWAY.charges_in(json.dumps(push(amount=amount)))
    assert [charge.purchase_id for charge in charges] in ([], [None])


def test_the_number_1e400_buys_nothing() -> None:
    body = json.dumps(push()).replace('"2.5"', "1e400")
    [charge] = GATEWAY.charges_in(body)
    assert (charge.purchase_id, charge.amount, charge.user_id) == (None, 0, BUYER)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(sorted(push()["payload"]))


@given(
    changes=st.dictionaries(fields, values, max_size=3),
    more=st.dictionaries(
        st.sampled_from(["update_type", "request_date", "payload"]), values, max_size=1
    ),
)
def test_no_signed_call_is_a_bug(changes: dict[str, Any], more: dict[str, Any]) -> None:
    body = json.dumps(push(**changes) | more).encode()
    accept(body)
    for charge in GATEWAY.charges_in(body.decode()):
        assert charge.user_id == BUYER
        assert charge.purchase_id in (None, ORDER)


@given(body=st.binary(), signature=st.text())
def test_no_unsigned_call_is_a_bug_or_taken(body: bytes, signature: str) -> None:
    assert isinstance(GATEWAY.accept({SIGNATURE_HEADER: signature}, body, NOW_S), PushRefused)
    GATEWAY.charges_in(body.decode(errors="replace"))
