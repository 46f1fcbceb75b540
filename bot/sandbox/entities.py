"""Text with markup becomes plain text plus entities, as Telegram stores it.

Offsets and lengths count UTF-16 code units, as https://core.telegram.org/bots/api#messageentity
says. Nothing here does I/O.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

from bot.sandbox.errors import ApiError, bad_request

Entity = dict[str, Any]

_TAGS = {
    "b": "bold",
    "strong": "bold",
    "i": "italic",
    "em": "italic",
    "u": "underline",
    "ins": "underline",
    "s": "strikethrough",
    "strike": "strikethrough",
    "del": "strikethrough",
    "tg-spoiler": "spoiler",
    "code": "code",
    "pre": "pre",
    "blockquote": "blockquote",
    "a": "text_link",
}
_COMMAND = re.compile(r"(?<!\S)/[A-Za-z0-9_]{1,32}(?:@\w+)?(?!\w)")
_URL = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;:!?)]")


def units(text: str) -> int:
    """Length in UTF-16 code units, the measure of every limit and offset."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(frozen=True, slots=True)
class Formatted:
    """Plain text and the entities in it, ordered by offset."""

    text: str
    entities: list[Entity] = field(default_factory=list)


def formatted(text: str, parse_mode: str | None, explicit: list[Entity] | None) -> Formatted:
    """What a bot's text looks like in the chat.

    Args:
        text: As the bot sent it.
        parse_mode: ``"HTML"`` or nothing; case does not matter.
        explicit: Entities given by the bot; used when there is no parse mode.

    Raises:
        ApiError: The markup is broken, or in a mode which the sandbox does not speak.
    """
    mode = (parse_mode or "").casefold()
    if mode not in ("", "html"):
        raise bad_request(f"unsupported parse_mode: the sandbox speaks HTML, not {parse_mode}")
    marked = _Markup(text).read() if mode == "html" else _trimmed(text, list(explicit or []))
    return with_detected(marked)


def with_detected(marked: Formatted) -> Formatted:
    """Adds the commands and web addresses that Telegram finds by itself, outside other entities."""
    taken = [(e["offset"], e["offset"] + e["length"]) for e in marked.entities]
    found = []
    for kind, pattern in (("bot_command", _COMMAND), ("url", _URL)):
        for match in pattern.finditer(marked.text):
            start = units(marked.text[: match.start()])
            end = start + units(match.group())
            if all(end <= low or high <= start for low, high in taken):
                found.append({"type": kind, "offset": start, "length": end - start})
                taken.append((start, end))
    ordered = sorted([*marked.entities, *found], key=lambda e: (e["offset"], -e["length"]))
    return Formatted(marked.text, ordered)


@dataclass(slots=True)
class _Open:
    tag: str
    offset: int
    entity: Entity | None


class _Markup(HTMLParser):
    """Reads Telegram's HTML, https://core.telegram.org/bots/api#html-style; refuses all else."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self._source = source
        self._text = ""
        self._open: list[_Open] = []
        self._entities: list[Entity] = []

    def read(self) -> Formatted:
        """The whole source, parsed.

        Raises:
            ApiError: A tag is unknown, unclosed, or closed out of turn.
        """
        # The standard parser forgives a bare "<"; Telegram does not.
        if bare := re.search(r"<(?![a-zA-Z/])|<[^>]*\Z", self._source):
            raise _unparsable(f'Unsupported start tag "" at byte offset {bare.start()}')
        self.feed(self._source)
        self.close()
        if self._open:
            tag = self._open[-1].tag
            raise _unparsable(f'Can\'t find end tag corresponding to start tag "{tag}"')
        return _trimmed(self._text, self._entities)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One more tag is open."""
        entity = self._entity(tag, dict(attrs))
        self._open.append(_Open(tag, units(self._text), entity))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Telegram has no self-closing tags."""
        del attrs
        raise _unparsable(f'Unsupported start tag "{tag}/"')

    def handle_endtag(self, tag: str) -> None:
        """The innermost open tag closes; any other is an error."""
        if not self._open:
            raise _unparsable(f'Unexpected end tag "{tag}"')
        opened = self._open.pop()
        if opened.tag != tag:
            raise _unparsable(f'Unmatched end tag, expected "</{opened.tag}>", found "</{tag}>"')
        length = units(self._text) - opened.offset
        if length and opened.entity is not None:
            self._entities.append({**opened.entity, "offset": opened.offset, "length": length})

    def handle_data(self, data: str) -> None:
        """Plain text between tags, character references already resolved."""
        self._text += data

    def handle_comment(self, data: str) -> None:
        """What the standard parser takes for a comment is a tag that Telegram does not know."""
        raise _unparsable(f'Unsupported start tag "{data}"')

    def _entity(self, tag: str, attributes: dict[str, str | None]) -> Entity | None:
        if tag == "span" and attributes.get("class") == "tg-spoiler":
            return {"type": "spoiler"}
        if tag not in _TAGS:
            raise _unparsable(f'Unsupported start tag "{tag}"')
        if tag == "a":
            link = attributes.get("href")
            return {"type": "text_link", "url": link} if link else None
        if tag == "blockquote" and "expandable" in attributes:
            return {"type": "expandable_blockquote"}
        return {"type": _TAGS[tag]}


def _trimmed(text: str, entities: list[Entity]) -> Formatted:
    """Telegram drops white space around a message; entities shrink along with it."""
    bare = text.strip()
    cut = units(text) - units(text.lstrip())
    kept = []
    for entity in entities:
        start = max(entity["offset"] - cut, 0)
        end = min(entity["offset"] + entity["length"] - cut, units(bare))
        if start < end:
            kept.append({**entity, "offset": start, "length": end - start})
    return Formatted(bare, kept)


def _unparsable(reason: str) -> ApiError:
    return bad_request(f"can't parse entities: {reason}")
