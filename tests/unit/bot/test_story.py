"""A story is understood without the code, in every language, and fits into a message."""

from typing import Any

import pytest

from bot.reports.fitting import units
from bot.reports.story import story_text, told
from bot.texts import LANGUAGES, Texts
from config.plans import Plans
from storage.rows import StoryRow
from tests.unit.bot.conftest import NOW


def row(kind: str, event: str, **details: Any) -> StoryRow:
    return StoryRow(at=NOW, kind=kind, subject="17", event=event, details=details)


PAID = row("payment", "received", amount=150, currency="XTR", provider="stars")


def test_a_payment_is_told_with_its_number_and_moment(texts: Texts, plans: Plans) -> None:
    assert story_text([PAID], plans, texts, "en") == [
        "2026-12-24 15:04:00  Paid 150 ⭐ by Telegram Stars: payment #17"
    ]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "kind", ["purchase", "payment", "key", "user", "notice", "ledger", "act", "tomorrow"]
)
@pytest.mark.parametrize("details", [{}, {"price": "x", "delta_s": None, "amount": [], "text": 1}])
def test_what_another_release_wrote_is_told_plainly(
    texts: Texts, plans: Plans, kind: str, details: dict[str, Any], language: str
) -> None:
    [line] = story_text([row(kind, "of_tomorrow", **details)], plans, texts, language)
    assert "of_tomorrow" in line


def test_of_a_long_story_the_newest_is_kept() -> None:
    lines = [f"line {number} " + "x" * 100 for number in range(100)]
    reply = told(77, lines)
    assert reply.text_id == "story-more"
    shown = str(reply.values["list"])
    assert shown.splitlines()[-1] == lines[-1]
    assert reply.values["more"] == 100 - len(shown.splitlines())
    assert units(shown) < 4_000
