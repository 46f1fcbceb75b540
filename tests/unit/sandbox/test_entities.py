"""Markup becomes text and entities as Telegram's own parser would have it."""

import pytest

from bot.sandbox.entities import Entity, formatted, units
from bot.sandbox.errors import ApiError


def entity(kind: str, offset: int, length: int, **more: str) -> Entity:
    return {"type": kind, "offset": offset, "length": length, **more}


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("plain", "plain", []),
        ("<b>bold</b>", "bold", [entity("bold", 0, 4)]),
        ("<strong>a</strong><em>b</em>", "ab", [entity("bold", 0, 1), entity("italic", 1, 1)]),
        ("<u>a</u> <s>b</s>", "a b", [entity("underline", 0, 1), entity("strikethrough", 2, 1)]),
        ("<code>x &lt; y</code>", "x < y", [entity("code", 0, 5)]),
        ("<pre>a\nb</pre>", "a\nb", [entity("pre", 0, 3)]),
        ("a &amp; b", "a & b", []),
        ('<a href="https://a.io">go</a>', "go", [entity("text_link", 0, 2, url="https://a.io")]),
        ("<a>go</a>", "go", []),
        ("<b>a<i>b</i></b>", "ab", [entity("bold", 0, 2), entity("italic", 1, 1)]),
        ("😀<b>x</b>", "😀x", [entity("bold", 2, 1)]),
        ("  <b>x </b> ", "x", [entity("bold", 0, 1)]),
        ("<b></b>x", "x", []),
        ('<span class="tg-spoiler">s</span>', "s", [entity("spoiler", 0, 1)]),
        ("<blockquote expandable>q</blockquote>", "q", [entity("expandable_blockquote", 0, 1)]),
    ],
)
def test_html_becomes_text_and_entities(source: str, text: str, entities: list[Entity]) -> None:
    marked = formatted(source, "HTML", None)

    assert (marked.text, marked.entities) == (text, entities)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("<b>open", "find end tag"),
        ("shut</b>", "Unexpected end tag"),
        ("<b><i>x</b></i>", "Unmatched end tag"),
        ("<div>x</div>", 'Unsupported start tag "div"'),
        ("<span>x</span>", 'Unsupported start tag "span"'),
        ("a < b", "Unsupported start tag"),
        ("5 <b", "Unsupported start tag"),
        ("<br/>", 'Unsupported start tag "br/"'),
        ("<!-- note -->", "Unsupported start tag"),
    ],
)
def test_broken_markup_is_refused(source: str, reason: str) -> None:
    with pytest.raises(ApiError) as caught:
        formatted(source, "HTML", None)

    assert caught.value.status == 400
    assert caught.value.description.startswith("Bad Request: can't parse entities: ")
    assert reason in caught.value.description


@pytest.mark.parametrize("mode", ["MarkdownV2", "Markdown", "nonsense"])
def test_a_mode_the_sandbox_does_not_speak_is_refused_by_name(mode: str) -> None:
    with pytest.raises(ApiError, match=f"speaks HTML, not {mode}"):
        formatted("*x*", mode, None)


def test_without_a_mode_markup_is_text_and_given_entities_count() -> None:
    marked = formatted(" <b>x</b>", None, [entity("bold", 1, 3)])

    assert (marked.text, marked.entities) == ("<b>x</b>", [entity("bold", 0, 3)])


@pytest.mark.parametrize(
    ("text", "entities"),
    [
        ("/start", [entity("bot_command", 0, 6)]),
        ("/start abc", [entity("bot_command", 0, 6)]),
        ("see /help now", [entity("bot_command", 4, 5)]),
        ("and/or", []),
        ("at https://a.io/b?c=1.", [entity("url", 3, 18)]),
        ("http://a.io/start", [entity("url", 0, 17)]),
    ],
)
def test_commands_and_addresses_are_found_in_plain_text(text: str, entities: list[Entity]) -> None:
    assert formatted(text, None, None).entities == entities


def test_nothing_is_found_inside_another_entity() -> None:
    marked = formatted("<code>https://a.io</code>", "HTML", None)

    assert [e["type"] for e in marked.entities] == ["code"]


def test_length_is_counted_in_utf_16_units() -> None:
    assert [units(text) for text in ("a", "ё", "😀")] == [1, 1, 2]
