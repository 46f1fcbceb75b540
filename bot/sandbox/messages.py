"""A message as a person sees it: a typed view over the Bot API's JSON object."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINK = re.compile(r"vless://\S+")


@dataclass(frozen=True, slots=True)
class Button:
    """One inline button; exactly one of `data`, `url`, `copies` and `pays` is set."""

    text: str
    data: str | None = None
    url: str | None = None
    copies: str | None = None
    pays: bool = False


@dataclass(frozen=True, slots=True)
class Message:
    """One state of one message; an edit makes a new `Message` with a higher revision.

    Attributes:
        revision: Grows with every change anywhere in the sandbox.
        raw: The Bot API ``Message`` object. Do not change it.
        photo: The bytes that the bot uploaded, if the message is a photo.
    """

    revision: int
    raw: dict[str, Any] = field(repr=False)
    photo: bytes | None = field(default=None, repr=False)

    @property
    def id(self) -> int:
        """``message_id``: grows within a chat."""
        return int(self.raw["message_id"])

    @property
    def chat_id(self) -> int:
        """The id of the person in whose chat the message is."""
        return int(self.raw["chat"]["id"])

    @property
    def from_bot(self) -> bool:
        """Whether the bot wrote it."""
        return bool(self.raw["from"]["is_bot"])

    @property
    def text(self) -> str:
        """Text or caption, without markup; empty for a service message."""
        return str(self.raw.get("text") or self.raw.get("caption") or "")

    @property
    def entities(self) -> list[dict[str, Any]]:
        """Entities of the text or caption; offsets in UTF-16 units."""
        found: list[dict[str, Any]] = self.raw.get("entities", self.raw.get("caption_entities", []))
        return found

    @property
    def edited(self) -> bool:
        """Whether the bot has changed it since it was sent."""
        return "edit_date" in self.raw

    @property
    def invoice(self) -> dict[str, Any] | None:
        """The Bot API ``Invoice`` object of an invoice message."""
        return self.raw.get("invoice")

    @property
    def buttons(self) -> list[Button]:
        """All inline buttons, row by row."""
        markup = self.raw.get("reply_markup", {})
        return [_button(raw) for row in markup.get("inline_keyboard", []) for raw in row]

    @property
    def link(self) -> str | None:
        """The ``vless://`` link: whole if it is in a ``code`` or ``pre`` entity, else by spaces."""
        for entity in self.entities:
            if entity["type"] in ("code", "pre") and "vless://" in (part := self.part(entity)):
                return part.strip()
        found = _LINK.search(self.text)
        return found.group() if found else None

    def part(self, entity: dict[str, Any]) -> str:
        """The piece of the text which an entity covers."""
        wide = self.text.encode("utf-16-le")
        start, length = 2 * entity["offset"], 2 * entity["length"]
        return wide[start : start + length].decode("utf-16-le")

    def button(self, wanted: str) -> Button:
        """The button with this text or callback data; else the only one whose text contains it.

        Raises:
            LookupError: No button fits, or several contain the text; the message names all.
        """
        exact = [b for b in self.buttons if wanted in (b.text, b.data)]
        partial = [b for b in self.buttons if wanted in b.text]
        fits = exact[:1] or partial
        if len(fits) != 1:
            there = ", ".join(repr(b.text) for b in self.buttons) or "none"
            raise LookupError(f"{len(fits)} buttons fit {wanted!r}; there are: {there}")
        return fits[0]

    def transcript(self) -> str:
        """One line for a person who debugs a test."""
        who = "bot" if self.from_bot else self.raw["from"]["first_name"]
        kind = next(
            (
                f"[{k} {json.dumps(self.raw[k], ensure_ascii=False)}] "
                for k in ("invoice", "successful_payment", "refunded_payment")
                if k in self.raw
            ),
            "[photo] " if self.photo else "",
        )
        keys = " ".join(f"<{b.text}>" for b in self.buttons)
        mark = " (edited)" if self.edited else ""
        return f"#{self.id} r{self.revision} {who}{mark}: {kind}{self.text!r} {keys}".rstrip()


def _button(raw: dict[str, Any]) -> Button:
    return Button(
        text=raw["text"],
        data=raw.get("callback_data"),
        url=raw.get("url"),
        copies=(raw.get("copy_text") or {}).get("text"),
        pays=bool(raw.get("pay")),
    )
