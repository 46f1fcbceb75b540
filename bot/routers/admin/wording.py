"""How operators name rows, and how the record names operators."""

import re

from aiogram.types import CallbackQuery, Message

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


def id_of_tap(query: CallbackQuery) -> str:
    """The same for every tap on the same button, so that two fingers act once."""
    holder = query.message
    where = f"{holder.chat.id}:{holder.message_id}" if holder else query.id
    return f"button:{where}:{query.data}"


#: A person's number; below 2 ** 52 (https://core.telegram.org/bots/api#user).
USER = re.compile(r"[1-9][0-9]{0,14}")
#: How long an order holds, with its unit: a bare number is the first word of a reason.
TIME = re.compile(r"\d+(\.\d+)?[smhd]", re.IGNORECASE)
#: Time that is given away, with its unit.
SPAN = re.compile(r"([1-9][0-9]{0,5})([mhdw])")
UNITS_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


def user_of(word: str) -> int | None:
    """A person by number; names can change hands and are not taken."""
    return int(word) if USER.fullmatch(word) else None


def span_of(word: str) -> int | None:
    """Seconds of a span such as `30d`; None for a word that is none."""
    match = SPAN.fullmatch(word.lower())
    return int(match[1]) * UNITS_S[match[2]] if match else None


def quoted_reason(query: CallbackQuery) -> str:
    """The reason that stands quoted in our own question; Telegram vouches for its words."""
    if not isinstance(query.message, Message) or query.message.text is None:
        return ""
    quotes = [e for e in query.message.entities or () if e.type == "blockquote"]
    reason = quotes[-1].extract_from(query.message.text) if quotes else ""
    return "" if reason == "-" else reason
