"""A call means the same, however a client encodes it."""

import json
from typing import Any

import pytest
from aiogram.methods import GetUpdates, SendInvoice, SendMessage, SendPhoto

from bot.sandbox.calls import METHODS, MethodClass, call_from
from bot.sandbox.errors import ApiError

KEYBOARD = {"inline_keyboard": [[{"text": "Buy", "callback_data": "buy"}]]}


def test_numbers_flags_and_objects_arrive_as_text_in_forms() -> None:
    fields = {
        "chat_id": "1001",
        "text": "hi",
        "disable_notification": "true",
        "reply_markup": json.dumps(KEYBOARD),
    }

    call = call_from(SendMessage, fields, {})

    assert call.method == "sendMessage"
    assert call.params == {
        "chat_id": 1001,
        "text": "hi",
        "disable_notification": True,
        "reply_markup": KEYBOARD,
    }


@pytest.mark.parametrize("text", ["123", "true", "null", '{"a": 1}', "attach://x", '"quoted"'])
def test_a_text_stays_a_text_whatever_it_looks_like(text: str) -> None:
    assert call_from(SendMessage, {"chat_id": 1, "text": text}, {}).params["text"] == text


def test_lists_of_text_are_decoded() -> None:
    fields = {"allowed_updates": '["message"]', "timeout": "5"}

    assert call_from(GetUpdates, fields, {}).params == {
        "allowed_updates": ["message"],
        "timeout": 5,
    }


@pytest.mark.parametrize(
    ("fields", "uploads"),
    [
        ({"chat_id": "1", "photo": "attach://part"}, {"part": b"png"}),
        ({"chat_id": "1"}, {"photo": b"png"}),
    ],
    ids=["attach", "plain part"],
)
def test_both_ways_of_uploading_give_the_same_file(
    fields: dict[str, Any], uploads: dict[str, bytes]
) -> None:
    assert call_from(SendPhoto, fields, uploads).files == {"photo": b"png"}


def test_a_photo_may_be_a_known_file_id() -> None:
    call = call_from(SendPhoto, {"chat_id": "1", "photo": "12345"}, {})

    assert (call.params["photo"], call.files) == ("12345", {})


def test_an_absent_value_is_left_out() -> None:
    call = call_from(SendMessage, {"chat_id": 1, "text": "x", "reply_markup": None}, {})

    assert "reply_markup" not in call.params


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (SendMessage, {"text": "nobody to send it to"}),
        (SendMessage, {"chat_id": 1, "text": "x", "reply_markup": '{"inline_keyboard": 5}'}),
        (SendInvoice, {"chat_id": 1, "title": "t", "description": "d", "payload": "p"}),
        (SendPhoto, {"chat_id": 1, "photo": "attach://missing"}),
        (GetUpdates, {"offset": "soon"}),
    ],
)
def test_what_aiogram_would_not_send_is_refused(cls: MethodClass, fields: dict[str, Any]) -> None:
    with pytest.raises(ApiError, match="Bad Request") as caught:
        call_from(cls, fields, {})

    assert caught.value.status == 400


def test_a_required_text_that_is_left_out_counts_as_empty() -> None:
    assert call_from(SendMessage, {"chat_id": 1}, {}).params == {"chat_id": 1, "text": ""}


def test_method_names_match_in_any_case() -> None:
    assert METHODS["sendmessage"] is SendMessage
