"""Everything the bot says, in the languages it speaks: one lookup, and a gap is an error.

What goes out as HTML is asked for with `html`, which escapes every value put into it.
"""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fluent.runtime import FluentBundle, FluentResource
from fluent.syntax.ast import Junk, Message

from config.money import in_words
from config.plans import Title

LANGUAGES = ("en", "ru")
DEFAULT_LANGUAGE = "en"
LOCALES = Path(__file__).parent / "locales"

MINUTE_S = 60
HOUR_S = 3600
DAY_S = 86_400

#: Fluent takes no longer values; in their stead goes a mark that no keyboard makes.
LONGEST_VALUE = 1_000
MARK = re.compile("\ue000([^\ue000\ue001]+)\ue001")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A price to be shown; `amount` is in the currency's smallest unit."""

    amount: int
    currency: str


Value = str | int | datetime | timedelta | Title | Price


class TextError(LookupError):
    """A text is missing, is there twice, or lacks a value: a bug, never a reader's fault."""


class Texts:
    """The Fluent files of a folder, one sub-folder a language."""

    def __init__(self, folder: Path = LOCALES) -> None:
        self._bundles = {language: _bundle(language, folder / language) for language in LANGUAGES}

    def get(self, text_id: str, language: str, /, **values: Value) -> str:
        """A text without markup: a button, a toast, an invoice.

        Args:
            text_id: a message of the Fluent files.
            language: a code such as `ru`; one that the bot does not speak means English.
            values: what the text has places for. Moments are shown in UTC.

        Raises:
            TextError: no such text, or a place without a value.
        """
        return self._format(text_id, language, values, escape=False)

    def html(self, text_id: str, language: str, /, **values: Value) -> str:
        """As `get`, for a message: the text may hold markup, the values cannot."""
        return self._format(text_id, language, values, escape=True)

    def closest(self, language_code: str | None) -> str:
        """The language to speak to somebody whose app is set to `language_code`."""
        language = (language_code or "").partition("-")[0].lower()
        return language if language in self._bundles else DEFAULT_LANGUAGE

    def _format(
        self, text_id: str, language: str, values: dict[str, Value], *, escape: bool
    ) -> str:
        language = self.closest(language)
        bundle = self._bundles[language]
        pattern = bundle.get_message(text_id).value if bundle.has_message(text_id) else None
        if pattern is None:
            raise TextError(f"{language}: no text {text_id}")
        shown = {name: self._shown(value, language) for name, value in values.items()}
        if escape:
            shown = {name: _escaped(value) for name, value in shown.items()}
        text, faults = bundle.format_pattern(pattern, _shortened(shown))
        if faults:
            raise TextError(f"{language}: {text_id}: {faults[0]!r}")
        return MARK.sub(lambda mark: str(shown.get(mark[1], "")), str(text))

    def _shown(self, value: Value, language: str) -> str | int:
        match value:
            case str() | int():
                return value
            case datetime():
                return self._moment(value.astimezone(UTC), language)
            case timedelta():
                return self._duration(value, language)
            case Title():
                return value.of(language)
            case Price():
                return self._price(value, language)

    def _price(self, price: Price, language: str) -> str:
        words = in_words(price.amount, price.currency)
        # A whole number gets the marks of its thousands from Fluent.
        amount: Value = int(words) if words.isdigit() else words
        if language == "ru" and isinstance(amount, str):
            amount = amount.replace(".", ",")
        return self.get("price", language, amount=amount, currency=price.currency)

    def _moment(self, moment: datetime, language: str) -> str:
        day, year = str(moment.day), str(moment.year)  # as text: 2026, not 2,026
        time = f"{moment:%H:%M}"
        return self.get("moment", language, day=day, month=moment.month, year=year, time=time)

    def _duration(self, duration: timedelta, language: str) -> str:
        """The nearest whole number of one unit: 47 hours are "2 days", 35 are "35 hours"."""
        seconds = duration.total_seconds()
        for text_id, unit_s in (("duration-days", DAY_S), ("duration-hours", HOUR_S)):
            if seconds == unit_s or seconds >= 1.5 * unit_s:
                return self.get(text_id, language, count=round(seconds / unit_s))
        return self.get("duration-minutes", language, count=max(1, round(seconds / MINUTE_S)))


def _bundle(language: str, folder: Path) -> FluentBundle:
    # Isolating marks would end up inside links and copied text; our two languages both run
    # from left to right, so nothing is lost without them.
    bundle = FluentBundle([language], use_isolating=False)
    for file in sorted(folder.glob("*.ftl")):
        resource = FluentResource(file.read_text(encoding="utf-8"))
        _check(bundle, file, resource.body)
        bundle.add_resource(resource)
    return bundle


def _check(bundle: FluentBundle, file: Path, entries: Iterable[object]) -> None:
    """Fluent skips what it cannot read and keeps the first of two; here both are faults."""
    seen: set[str] = set()
    for entry in entries:
        if isinstance(entry, Junk):
            raise TextError(f"{file}: cannot be read: {entry.content!r}")
        if isinstance(entry, Message):
            if entry.id.name in seen or bundle.has_message(entry.id.name):
                raise TextError(f"{file}: {entry.id.name} is there twice")
            seen.add(entry.id.name)


def _shortened(values: dict[str, str | int]) -> dict[str, str | int]:
    return {
        name: f"\ue000{name}\ue001" if len(str(value)) > LONGEST_VALUE else value
        for name, value in values.items()
    }


def _escaped(value: str | int) -> str | int:
    return html.escape(value) if isinstance(value, str) else value
