"""What PostgreSQL can keep of anything: a record of a failure must not fail for its contents."""

import math
from collections.abc import Mapping
from typing import Any

#: Stands where a character stood that PostgreSQL does not take.
LOST = "\N{REPLACEMENT CHARACTER}"


def legible(text: str) -> str:
    """A text without zero characters and halves of surrogate pairs."""
    return "".join(LOST if c == "\0" or "\ud800" <= c <= "\udfff" else c for c in text)


def plain(value: Any) -> Any:
    """A value as JSON that can be kept; what is no JSON is told in words."""
    match value:
        case None | bool() | int():
            return value
        case float() if math.isfinite(value):
            return value
        case str():
            return legible(value)
        case Mapping():
            return {legible(str(key)): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return legible(str(value))


def is_plain(value: Any) -> bool:
    """Whether a value can be kept and comes back as it was."""
    match value:
        case None | bool() | int():
            return True
        case float():
            return math.isfinite(value)
        case str():
            return legible(value) == value
        case Mapping():
            return all(
                isinstance(key, str) and is_plain(key) and is_plain(item)
                for key, item in value.items()
            )
        case list() | tuple():
            return all(is_plain(item) for item in value)
        case _:
            return False
