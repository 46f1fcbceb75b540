"""Both languages say the same things, with the same places for values, within their limits."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from fluent.syntax import FluentParser, ast
from fluent.syntax.visitor import Visitor

from bot.texts import LANGUAGES, LOCALES, Price, TextError, Texts
from config.plans import Title

PLAIN = ("button-", "toast-", "command-", "checkout-", "invoice-", "duration-", "moment", "price")


class Places(Visitor):
    """Collects the values that a message has places for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def visit_VariableReference(self, node: ast.VariableReference) -> None:  # noqa: N802 - Fluent's
        """Note one place."""
        self.names.add(node.id.name)


def messages(language: str) -> dict[str, ast.Message]:
    return {
        entry.id.name: entry
        for file in sorted((LOCALES / language).glob("*.ftl"))
        for entry in FluentParser().parse(file.read_text(encoding="utf-8")).body
        if isinstance(entry, ast.Message)
    }


def places(message: ast.Message) -> set[str]:
    visitor = Places()
    visitor.visit(message)
    return visitor.names


def test_every_language_has_the_same_texts_in_the_same_files() -> None:
    english, russian = (
        {file.name: list(messages_of(file)) for file in (LOCALES / language).glob("*.ftl")}
        for language in LANGUAGES
    )
    assert english == russian
    assert len(english) == 11


def messages_of(file: Path) -> list[str]:
    body = FluentParser().parse(file.read_text(encoding="utf-8")).body
    return [entry.id.name for entry in body if isinstance(entry, ast.Message)]


@pytest.mark.parametrize("text_id", sorted(messages("en")))
def test_a_text_has_the_same_places_in_every_language(text_id: str) -> None:
    assert places(messages("en")[text_id]) == places(messages("ru")[text_id])


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_that_go_out_plain_hold_no_markup(language: str) -> None:
    for file in (LOCALES / language).glob("*.ftl"):
        for entry in FluentParser().parse(file.read_text(encoding="utf-8")).body:
            if isinstance(entry, ast.Message) and entry.id.name.startswith(PLAIN):
                source = file.read_text(encoding="utf-8")
                assert entry.span is not None
                assert "<" not in source[entry.span.start : entry.span.end]


@pytest.mark.parametrize("language", LANGUAGES)
def test_toasts_fit_into_200_characters(texts: Texts, language: str) -> None:
    for text_id in messages("en"):
        if text_id.startswith(("toast-", "checkout-")):
            assert len(texts.get(text_id, language)) <= 200


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_invoice_description_fits_with_the_longest_title(texts: Texts, language: str) -> None:
    title = Title(en="x" * 32, ru="x" * 32)
    assert len(texts.get("invoice-description", language, plan=title)) <= 255


def test_an_unknown_language_means_english(texts: Texts) -> None:
    assert texts.get("button-language", "pt-BR") == "Language"
    assert [texts.closest(code) for code in ("ru", "RU-ru", "en-GB", "de", "", None)] == [
        "ru",
        "ru",
        "en",
        "en",
        "en",
        "en",
    ]


def test_a_missing_text_is_an_error(texts: Texts) -> None:
    with pytest.raises(TextError, match="no text nonsense"):
        texts.get("nonsense", "en")


def test_a_missing_value_is_an_error(texts: Texts) -> None:
    with pytest.raises(TextError, match="button-buy"):
        texts.get("button-buy", "en")


@pytest.mark.parametrize("content", ["a = 1\na = 2\n", "not a text\n"])
def test_a_text_that_is_there_twice_or_unreadable_is_an_error(tmp_path: Path, content: str) -> None:
    for language in LANGUAGES:
        (tmp_path / language).mkdir()
        (tmp_path / language / "x.ftl").write_text(content)

    with pytest.raises(TextError):
        Texts(tmp_path)


def test_a_text_may_not_be_in_two_files(tmp_path: Path) -> None:
    for language in LANGUAGES:
        (tmp_path / language).mkdir()
        for name in ("a", "b"):
            (tmp_path / language / f"{name}.ftl").write_text("same = text\n")

    with pytest.raises(TextError, match="twice"):
        Texts(tmp_path)


def test_markup_is_made_by_texts_and_never_by_values(texts: Texts) -> None:
    shown = texts.html("card-none", "en", name='<a href="x">&</a>')
    assert "<b>&lt;a href=&quot;x&quot;&gt;&amp;&lt;/a&gt;</b>" in shown
    assert texts.get("invoice-description", "en", plan="A & B").count("A & B") == 1


def test_a_long_value_is_shown_whole_and_holds_no_places(texts: Texts) -> None:
    long = "\ue000preface\ue001{ $name }<b>" * 400

    shown = texts.html("card-none", "en", name=long)

    assert "\ue000preface\ue001{ $name }&lt;b&gt;" * 400 in shown


def test_a_value_cannot_ask_for_another(texts: Texts) -> None:
    shown = texts.get("letter-retried", "en", id="\ue000nobody\ue001", how="x")
    assert shown == "🔄 #: x"


@pytest.mark.parametrize(
    ("language", "shown"),
    [("en", "24 December 2026, 15:04 UTC"), ("ru", "24 декабря 2026, 15:04 UTC")],
)
def test_a_moment_is_shown_in_utc(texts: Texts, language: str, shown: str) -> None:
    moscow = timezone(timedelta(hours=3))
    moment = datetime(2026, 12, 24, 18, 4, 59, tzinfo=moscow)
    assert shown in texts.html("card-expired", language, until=moment)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_month_has_its_name(texts: Texts, language: str) -> None:
    months = [datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]
    shown = {texts.html("card-expired", language, until=month) for month in months}
    assert len(shown) == 12


@pytest.mark.parametrize(
    ("duration", "english", "russian"),
    [
        (timedelta(seconds=1), "1 minute", "1 минута"),
        (timedelta(minutes=22), "22 minutes", "22 минуты"),
        (timedelta(minutes=59, seconds=59), "60 minutes", "60 минут"),
        (timedelta(hours=1), "1 hour", "1 час"),
        (timedelta(hours=3), "3 hours", "3 часа"),
        (timedelta(hours=35), "35 hours", "35 часов"),
        (timedelta(days=1), "1 day", "1 день"),
        (timedelta(days=2), "2 days", "2 дня"),
        (timedelta(days=5), "5 days", "5 дней"),
        (timedelta(days=11), "11 days", "11 дней"),
        (timedelta(days=21), "21 days", "21 день"),
        (timedelta(days=29, hours=23, minutes=59), "30 days", "30 дней"),
    ],
)
def test_a_length_of_time_is_one_number_and_its_unit(
    texts: Texts, duration: timedelta, english: str, russian: str
) -> None:
    until = datetime(2026, 1, 1, tzinfo=UTC)
    for language, shown in (("en", english), ("ru", russian)):
        text = texts.html("card-active", language, plan="x", until=until, left=duration)
        assert text.endswith(f": {shown}")


def test_a_price_names_its_currency(texts: Texts) -> None:
    stars, roubles = Price(amount=1500, currency="XTR"), Price(amount=9950, currency="RUB")
    assert texts.get("button-buy", "en", price=stars) == "Buy from 1,500 ⭐"
    assert texts.get("button-buy", "ru", price=stars) == "Купить от 1\N{NO-BREAK SPACE}500 ⭐"
    assert texts.get("button-buy", "en", price=roubles) == "Buy from 99.50 RUB"
