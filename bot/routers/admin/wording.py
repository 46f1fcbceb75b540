"""How operators name rows, and how the record names operators."""

import re

from bot.screen import Screen

#: As the lists show it; within PostgreSQL's bigint.
NUMBER = re.compile(r"#?([1-9][0-9]{0,17})")


def operator(screen: Screen) -> str:
    """Who acts, for the record."""
    return f"telegram:{screen.user.id}"


def number_of(word: str) -> int | None:
    """A row's number; None for a word that is none."""
    match = NUMBER.fullmatch(word)
    return int(match[1]) if match else None
