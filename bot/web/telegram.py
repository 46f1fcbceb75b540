"""A webhook's call is Telegram's, or it is not read."""

import hmac
import json
from collections.abc import Mapping
from typing import Any

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - a header's name
LARGEST_UPDATE = 1 << 20


def is_telegram(headers: Mapping[str, str], secret: str) -> bool:
    """Whether the caller knows the secret, told in constant time."""
    # In bytes: of text, compare_digest takes ASCII alone and raises for the rest.
    shown = headers.get(SECRET_HEADER, "").encode(errors="surrogatepass")
    return hmac.compare_digest(shown, secret.encode())


def update_in(body: bytes) -> dict[str, Any] | None:
    """An update as JSON; None for anything else."""
    try:
        update = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(update, dict):
        return None
    number = update.get("update_id")
    # True is an int to Python, and no number to Telegram.
    return update if isinstance(number, int) and not isinstance(number, bool) else None
