"""A payload that we did not sign, whole and in this spelling, is not ours."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from bot.gateways.payload import PAYLOAD_LIMIT_BYTES, InvoiceClaim, PayloadSigner
from config.keys import MasterKeys

CURRENT, PREVIOUS = SecretStr("the current master secret"), SecretStr("the previous master secret")
SIGNER = PayloadSigner(MasterKeys([CURRENT]))

claims = st.builds(
    InvoiceClaim,
    purchase_id=st.uuids(),
    user_id=st.integers(min_value=1, max_value=2**53),
    plan_id=st.from_regex(r"[a-z0-9_-]{1,16}", fullmatch=True),
)


@given(claim=claims)
def test_what_was_signed_is_read_back_and_fits(claim: InvoiceClaim) -> None:
    payload = SIGNER.sign(claim)
    assert SIGNER.verify(payload) == claim
    assert payload.isascii()
    assert len(payload) <= PAYLOAD_LIMIT_BYTES


def test_the_longest_claim_fits() -> None:
    claim = InvoiceClaim(purchase_id=UUID(int=2**128 - 1), user_id=2**63 - 1, plan_id="x" * 16)
    assert len(SIGNER.sign(claim)) <= PAYLOAD_LIMIT_BYTES


@given(claim=claims, data=st.data())
def test_a_payload_with_any_character_changed_is_refused(
    claim: InvoiceClaim, data: st.DataObject
) -> None:
    payload = SIGNER.sign(claim)
    position = data.draw(st.integers(0, len(payload) - 1))
    other = data.draw(st.characters().filter(lambda char: char != payload[position]))
    assert SIGNER.verify(payload[:position] + other + payload[position + 1 :]) is None


@given(claim=claims, data=st.data())
def test_a_payload_cut_or_made_longer_is_refused(claim: InvoiceClaim, data: st.DataObject) -> None:
    payload = SIGNER.sign(claim)
    assert SIGNER.verify(payload[: data.draw(st.integers(0, len(payload) - 1))]) is None
    assert SIGNER.verify(payload + data.draw(st.characters())) is None


@given(payload=st.text())
def test_anything_at_all_is_refused(payload: str) -> None:
    assert SIGNER.verify(payload) is None


@given(claim=claims)
def test_a_rotated_key_still_reads_what_it_signed(claim: InvoiceClaim) -> None:
    rotated = PayloadSigner(MasterKeys([CURRENT, PREVIOUS]))
    assert rotated.verify(PayloadSigner(MasterKeys([PREVIOUS])).sign(claim)) == claim
    assert rotated.sign(claim) == SIGNER.sign(claim)
    assert SIGNER.verify(PayloadSigner(MasterKeys([PREVIOUS])).sign(claim)) is None
