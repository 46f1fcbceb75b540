"""Every limit at its edge: the last value that passes and the first that does not."""

from typing import Any

import pytest

from bot.sandbox import rules
from bot.sandbox.errors import ApiError

Params = dict[str, Any]


def keyboard(*buttons: Params) -> Params:
    return {"inline_keyboard": [[button] for button in buttons]}


def invoice(**changes: Any) -> Params:
    return {
        "title": "1 month",
        "description": "30 days",
        "payload": "p-1",
        "currency": "XTR",
        "prices": [{"label": "1 month", "amount": 100}],
    } | changes


def price(*amounts: int) -> list[Params]:
    return [{"label": "x", "amount": amount} for amount in amounts]


@pytest.mark.parametrize("text", ["x", "x" * 4096, "😀" * 2048])
def test_texts_that_pass(text: str) -> None:
    rules.check_text(text)


@pytest.mark.parametrize(
    ("text", "reason"), [("", "text is empty"), ("x" * 4097, "too long"), ("😀" * 2049, "too long")]
)
def test_texts_that_do_not(text: str, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        rules.check_text(text)


def test_a_caption_ends_at_1024() -> None:
    rules.check_caption("x" * 1024)
    with pytest.raises(ApiError, match="caption is too long"):
        rules.check_caption("x" * 1025)


def test_a_callback_answer_ends_at_200() -> None:
    rules.check_callback_answer("x" * 200)
    with pytest.raises(ApiError, match="MESSAGE_TOO_LONG"):
        rules.check_callback_answer("x" * 201)


@pytest.mark.parametrize(
    "button",
    [
        {"text": "a", "callback_data": "x" * 64},
        {"text": "a", "callback_data": "ё" * 32},
        {"text": "a", "url": "https://a.example"},
        {"text": "a", "url": "tg://resolve?domain=x"},
        {"text": "a", "copy_text": {"text": "x"}},
    ],
)
def test_buttons_that_pass(button: Params) -> None:
    rules.check_keyboard(keyboard(button))


@pytest.mark.parametrize(
    ("button", "reason"),
    [
        ({"text": "a", "callback_data": "x" * 65}, "BUTTON_DATA_INVALID"),
        ({"text": "a", "callback_data": "ё" * 33}, "BUTTON_DATA_INVALID"),
        ({"text": "a", "callback_data": ""}, "BUTTON_DATA_INVALID"),
        ({"text": "a"}, "Text buttons are unallowed"),
        ({"text": "a", "callback_data": "x", "url": "https://a.io"}, "Text buttons are unallowed"),
        ({"text": " ", "callback_data": "x"}, "text must be non-empty"),
        ({"text": "a", "url": "happ://add/x"}, "Unsupported URL protocol"),
        ({"text": "a", "pay": True}, "BUTTON_TYPE_INVALID"),
    ],
)
def test_buttons_that_do_not(button: Params, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        rules.check_keyboard(keyboard(button))


def test_a_pay_button_is_first_in_an_invoice_or_nowhere() -> None:
    pay, other = {"text": "Pay", "pay": True}, {"text": "b", "callback_data": "b"}

    rules.check_keyboard(keyboard(pay, other), invoice=True)
    with pytest.raises(ApiError, match="BUY_EMPTY"):
        rules.check_keyboard(keyboard(other), invoice=True)
    with pytest.raises(ApiError, match="BUTTON_TYPE_INVALID"):
        rules.check_keyboard(keyboard(pay, pay), invoice=True)


def test_a_keyboard_has_at_most_100_buttons() -> None:
    one = {"text": "a", "callback_data": "a"}

    rules.check_keyboard(keyboard(*[one] * 100))
    with pytest.raises(ApiError, match="REPLY_MARKUP_TOO_LONG"):
        rules.check_keyboard(keyboard(*[one] * 101))


@pytest.mark.parametrize(
    "params",
    [
        invoice(),
        invoice(title="x" * 32, description="x" * 255, payload="x" * 128),
        invoice(provider_token="", start_parameter="a_B-9"),
        invoice(prices=price(100_000)),
        invoice(prices=price(10_000), subscription_period=2_592_000),
        invoice(currency="RUB", provider_token="card", prices=price(30_000, 5_000)),
    ],
)
def test_invoices_that_pass(params: Params) -> None:
    rules.check_invoice(params)


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        (invoice(title=""), "title"),
        (invoice(title="x" * 33), "title"),
        (invoice(description=""), "description"),
        (invoice(description="x" * 256), "description"),
        (invoice(payload=""), "INVOICE_PAYLOAD_INVALID"),
        (invoice(payload="x" * 129), "INVOICE_PAYLOAD_INVALID"),
        (invoice(payload="ё" * 65), "INVOICE_PAYLOAD_INVALID"),
        (invoice(prices=[]), "CURRENCY_TOTAL_AMOUNT_INVALID"),
        (invoice(prices=price(0)), "CURRENCY_TOTAL_AMOUNT_INVALID"),
        (invoice(prices=price(-5)), "CURRENCY_TOTAL_AMOUNT_INVALID"),
        (invoice(prices=price(60, 40)), "STARS_INVOICE_INVALID"),
        (invoice(prices=price(100_001)), "STARS_INVOICE_INVALID"),
        (invoice(provider_token="card"), "PAYMENT_PROVIDER_INVALID"),
        (invoice(currency="RUB"), "PAYMENT_PROVIDER_INVALID"),
        (invoice(start_parameter="no spaces"), "START_PARAM_INVALID"),
        (invoice(subscription_period=86_400), "SUBSCRIPTION_PERIOD_INVALID"),
        (
            invoice(currency="RUB", provider_token="card", subscription_period=2_592_000),
            "SUBSCRIPTION_PERIOD_INVALID",
        ),
        (
            invoice(prices=price(10_001), subscription_period=2_592_000),
            "STARS_SUBSCRIPTION_AMOUNT_INVALID",
        ),
    ],
)
def test_invoices_that_do_not(params: Params, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        rules.check_invoice(params)


@pytest.mark.parametrize(
    ("command", "description", "reason"),
    [
        ("Start", "x", "BOT_COMMAND_INVALID"),
        ("/start", "x", "BOT_COMMAND_INVALID"),
        ("x" * 33, "x", "BOT_COMMAND_INVALID"),
        ("start", "", "BOT_COMMAND_DESCRIPTION_INVALID"),
        ("start", "x" * 257, "BOT_COMMAND_DESCRIPTION_INVALID"),
    ],
)
def test_commands_that_do_not_pass(command: str, description: str, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        rules.check_commands([{"command": command, "description": description}])


def test_at_most_100_commands() -> None:
    one = {"command": "x" * 32, "description": "x" * 256}

    rules.check_commands([one] * 100)
    with pytest.raises(ApiError, match="TOO_MUCH"):
        rules.check_commands([one] * 101)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://localhost/x", "http://[::1]/x"])
def test_webhooks_on_this_machine_pass(url: str) -> None:
    rules.check_webhook(url, "a-B_9")


@pytest.mark.parametrize(
    ("url", "secret", "reason"),
    [
        ("https://bot.example/x", None, "loopback"),
        ("http://127.0.0.1.example/x", None, "loopback"),
        ("file:///etc/passwd", None, "loopback"),
        ("http://127.0.0.1/x", "no spaces", "unallowed characters"),
        ("http://127.0.0.1/x", "x" * 257, "unallowed characters"),
        ("http://127.0.0.1/x", "", "unallowed characters"),
    ],
)
def test_other_webhooks_do_not(url: str, secret: str | None, reason: str) -> None:
    with pytest.raises(ApiError, match=reason):
        rules.check_webhook(url, secret)


def _png(width: int, height: int) -> bytes:
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + sides


@pytest.mark.parametrize(("width", "height"), [(1, 1), (5000, 5000), (20, 1), (9000, 1000)])
def test_photos_that_pass(width: int, height: int) -> None:
    assert rules.check_photo(_png(width, height)).width == width


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5001, 5000), (21, 1)])
def test_photos_of_impossible_size_do_not(width: int, height: int) -> None:
    with pytest.raises(ApiError, match="PHOTO_INVALID_DIMENSIONS"):
        rules.check_photo(_png(width, height))


def test_a_photo_over_10_mb_is_too_large() -> None:
    with pytest.raises(ApiError) as caught:
        rules.check_photo(_png(10, 10) + bytes(10 * 1024 * 1024))

    assert caught.value.status == 413


def test_an_edit_must_change_something_visible() -> None:
    old = {"text": "a", "date": 1, "reply_markup": keyboard({"text": "b", "callback_data": "b"})}

    rules.check_modified(old, {**old, "text": "b"})
    rules.check_modified(old, {"text": "a", "date": 1})
    with pytest.raises(ApiError, match="message is not modified"):
        rules.check_modified(old, {**old, "date": 2})
