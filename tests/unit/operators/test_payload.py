"""A message that was set aside comes back as it was, or not at all."""

import json
from dataclasses import MISSING, fields, is_dataclass
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.runtime.messages import Request
from actors.user import messages as user_messages
from actors.user.messages import CreditPayment, ShowLink
from supervisors.operators.journal import message_of, payload_of

#: Everything that a user's actor can be asked.
REQUESTS = [
    found
    for found in vars(user_messages).values()
    if isinstance(found, type) and issubclass(found, Request) and found is not Request
]
CREDIT = CreditPayment(
    operation_id="o",
    provider="stars",
    provider_payment_id="p",
    purchase_id=uuid4(),
    amount=150,
    currency="XTR",
    body_sha256=bytes(range(32)),
    language="en",
    chat_id=7,
)


def messages() -> st.SearchStrategy[Any]:
    return st.one_of([st.from_type(kind) for kind in REQUESTS])


def test_there_are_messages_to_try() -> None:
    assert {CreditPayment, ShowLink} <= set(REQUESTS)
    assert all(is_dataclass(kind) for kind in REQUESTS)


@given(message=messages())
def test_every_message_comes_back_from_json_as_it_was(message: Any) -> None:
    payload = payload_of(message)

    assert message_of(type(message), json.loads(json.dumps(payload))) == message


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_payload_without_a_field_is_refused(kind: type) -> None:
    whole = dict.fromkeys([field.name for field in fields(kind)], "1")
    for name in [field.name for field in fields(kind) if field.default is MISSING]:
        with pytest.raises(ValueError, match=name):
            message_of(kind, {key: value for key, value in whole.items() if key != name})


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_payload_with_a_field_more_is_refused(kind: type) -> None:
    """Of a later release: who leaves out what it does not know does something else."""
    with pytest.raises(ValueError, match="Unexpected keyword argument"):
        message_of(kind, {"a_later_field": 1})


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        "text",
        {},
        {"amount": "many"},
        {"purchase_id": "no uuid"},
        {"body_sha256": "no base64!"},
        {"chat_id": None},
        {"operation_id": 7},
    ],
)
def test_a_payload_of_another_shape_is_refused(payload: Any) -> None:
    whole = payload_of(CREDIT)
    assert whole is not None
    bad = whole | payload if isinstance(payload, dict) and payload else payload

    with pytest.raises(ValueError, match="validation error"):
        message_of(CreditPayment, bad)
