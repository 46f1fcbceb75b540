"""What Telegram refuses, as pure checks: each returns nothing or raises `ApiError`.

Numbers are from https://core.telegram.org/bots/api (the section of the method in question). The
wording of refusals follows the real server where clients are known to depend on it.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from bot.sandbox.entities import units
from bot.sandbox.errors import ApiError, bad_request
from bot.sandbox.pictures import Picture, picture

Params = dict[str, Any]

TEXT_MAX = 4096
CAPTION_MAX = 1024
CALLBACK_DATA_MAX_BYTES = 64
CALLBACK_ANSWER_MAX = 200
PAYLOAD_MAX_BYTES = 128
TITLE_MAX = 32
DESCRIPTION_MAX = 255
SUBSCRIPTION_PERIOD_S = 2_592_000
SUBSCRIPTION_PRICE_MAX = 10_000
STARS_PRICE_MAX = 100_000
BUTTONS_MAX = 100
PHOTO_MAX_BYTES = 10 * 1024 * 1024
PHOTO_MAX_SIDES = 10_000
PHOTO_MAX_RATIO = 20
DELETABLE_FOR_S = 48 * 3600

CHAT_ACTIONS = frozenset(
    (
        "typing",
        "upload_photo",
        "record_video",
        "upload_video",
        "record_voice",
        "upload_voice",
        "upload_document",
        "choose_sticker",
        "find_location",
        "record_video_note",
        "upload_video_note",
    )
)
_ACTIONS = ("callback_data", "url", "pay", "copy_text", "web_app", "switch_inline_query")
_COMMAND = re.compile(r"[a-z0-9_]{1,32}")
_START_PARAMETER = re.compile(r"[A-Za-z0-9_-]{0,64}")
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def check_text(text: str) -> None:
    """A message has 1 to 4096 characters after its markup is taken out."""
    if not text:
        raise bad_request("message text is empty")
    if units(text) > TEXT_MAX:
        raise bad_request("message is too long")


def check_caption(caption: str) -> None:
    """A caption has at most 1024 characters after its markup is taken out."""
    if units(caption) > CAPTION_MAX:
        raise bad_request("message caption is too long")


def check_keyboard(markup: Params | None, *, invoice: bool = False) -> None:
    """Every inline button does exactly one thing, and a Pay button opens an invoice's keyboard."""
    rows = (markup or {}).get("inline_keyboard", [])
    buttons = [button for row in rows for button in row]
    if len(buttons) > BUTTONS_MAX:
        raise bad_request("REPLY_MARKUP_TOO_LONG")
    for button in buttons:
        _check_button(button)
    if any(button.get("pay") for button in (buttons[1:] if invoice else buttons)):
        raise bad_request("BUTTON_TYPE_INVALID")
    if invoice and buttons and not buttons[0].get("pay"):
        raise bad_request("REPLY_MARKUP_BUY_EMPTY")


def _check_button(button: Params) -> None:
    if not button["text"].strip():
        raise bad_request("inline keyboard button text must be non-empty")
    if len([name for name in _ACTIONS if button.get(name) is not None]) != 1:
        raise bad_request("Text buttons are unallowed in the inline keyboard")
    data = button.get("callback_data")
    if data is not None and not 1 <= len(data.encode()) <= CALLBACK_DATA_MAX_BYTES:
        raise bad_request("BUTTON_DATA_INVALID")
    url = button.get("url")
    if url is not None and urlsplit(url).scheme not in ("http", "https", "tg"):
        raise bad_request(
            f"inline keyboard button URL '{url}' is invalid: Unsupported URL protocol"
        )


def check_callback_answer(text: str) -> None:
    """The toast or alert after a tap has at most 200 characters."""
    if units(text) > CALLBACK_ANSWER_MAX:
        raise bad_request("MESSAGE_TOO_LONG")


def check_invoice(params: Params) -> None:
    """Title, description, payload, price and subscription of an invoice or invoice link."""
    if not 1 <= len(params["title"]) <= TITLE_MAX:
        raise bad_request(f"invoice title must have 1-{TITLE_MAX} characters")
    if not 1 <= len(params["description"]) <= DESCRIPTION_MAX:
        raise bad_request(f"invoice description must have 1-{DESCRIPTION_MAX} characters")
    if not 1 <= len(params["payload"].encode()) <= PAYLOAD_MAX_BYTES:
        raise bad_request("INVOICE_PAYLOAD_INVALID")
    if not _START_PARAMETER.fullmatch(params.get("start_parameter") or ""):
        raise bad_request("START_PARAM_INVALID")
    _check_price(params)
    _check_subscription(params)


def _check_price(params: Params) -> None:
    prices = params["prices"]
    total = sum(price["amount"] for price in prices)
    if not prices or total <= 0:
        raise bad_request("CURRENCY_TOTAL_AMOUNT_INVALID")
    if params["currency"] != "XTR":
        if not params.get("provider_token"):
            raise bad_request("PAYMENT_PROVIDER_INVALID")
        return
    if params.get("provider_token"):
        raise bad_request("PAYMENT_PROVIDER_INVALID")
    if len(prices) != 1 or total > STARS_PRICE_MAX:
        raise bad_request("STARS_INVOICE_INVALID")


def _check_subscription(params: Params) -> None:
    period = params.get("subscription_period")
    if period is None:
        return
    if params["currency"] != "XTR" or period != SUBSCRIPTION_PERIOD_S:
        raise bad_request("SUBSCRIPTION_PERIOD_INVALID")
    if params["prices"][0]["amount"] > SUBSCRIPTION_PRICE_MAX:
        raise bad_request("STARS_SUBSCRIPTION_AMOUNT_INVALID")


def check_commands(commands: list[Params]) -> None:
    """At most 100 commands of lower-case letters, digits and ``_``, each with a description."""
    if len(commands) > 100:  # noqa: PLR2004 - from setMyCommands
        raise bad_request("BOT_COMMANDS_TOO_MUCH")
    for command in commands:
        if not _COMMAND.fullmatch(command["command"]):
            raise bad_request("BOT_COMMAND_INVALID")
        if not 1 <= len(command["description"]) <= 256:  # noqa: PLR2004 - from BotCommand
            raise bad_request("BOT_COMMAND_DESCRIPTION_INVALID")


def check_chat_action(action: str) -> None:
    """Only the actions that the Bot API lists."""
    if action not in CHAT_ACTIONS:
        raise bad_request("wrong parameter action in request")


def check_photo(content: bytes) -> Picture:
    """A photo is a PNG or JPEG of at most 10 MB whose sides Telegram would take.

    Returns:
        Its type and size.
    """
    seen = picture(content)
    if seen is None:
        raise bad_request("IMAGE_PROCESS_FAILED")
    if len(content) > PHOTO_MAX_BYTES:
        raise ApiError(413, "Request Entity Too Large")
    sides = sorted((seen.width, seen.height))
    if not sides[0] or sum(sides) > PHOTO_MAX_SIDES or sides[1] > PHOTO_MAX_RATIO * sides[0]:
        raise bad_request("PHOTO_INVALID_DIMENSIONS")
    return seen


def check_webhook(url: str, secret_token: str | None) -> None:
    """The sandbox delivers to this machine only, so a wrong setting cannot leak an update."""
    if secret_token is not None and not _SECRET.fullmatch(secret_token):
        raise bad_request("secret token contains unallowed characters")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname not in _LOOPBACK:
        raise bad_request("bad webhook: the sandbox delivers to loopback addresses only")


def check_modified(old: Params, new: Params) -> None:
    """An edit has to change what is seen: text, caption, their entities, or buttons."""
    seen = ("text", "entities", "caption", "caption_entities", "reply_markup")
    if all(old.get(name) == new.get(name) for name in seen):
        raise bad_request(
            "message is not modified: specified new message content and reply markup are exactly"
            " the same as a current content and reply markup of the message"
        )
