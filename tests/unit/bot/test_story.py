"""A story is understood without the code, in every language, and fits into a message."""

import re
from typing import Any

import pytest

from bot.replies import NEWS
from bot.reports.fitting import units
from bot.reports.story import story_line, story_text, told
from bot.texts import LANGUAGES, Texts
from config.plans import Plans
from storage.rows import Disposition, PurchaseStatus, StoryRow
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


ORDER, KEY, NEW_KEY = "1a2b3c4d-0000-4000-8000-000000000001", "0f0f0f0f", "abababab"
MONTH_S = 2_592_000
OWNER_WHO, BUYER_WHO = "telegram:1000", "user/77"
CHARGE = {"amount": 150, "currency": "XTR", "provider": "stars"}


def ledger(kind: str, delta_s: int = 0, **after: Any) -> tuple[str, str, str, dict[str, Any]]:
    details = {"delta_s": delta_s, "expires_after": None, "pending_after": 0, "reason": ""}
    return "ledger", "5e5e5e5e", kind, details | after


def key(uuid: str, event: str, desired: str, origin: str = "access") -> tuple[Any, ...]:
    return "key", uuid, event, {"desired": desired, "gen": 1, "node": "node-1", "origin": origin}


def act(action: str, reason: str) -> tuple[Any, ...]:
    return "act", "77", action, {"actor": OWNER_WHO, "reason": reason}


def told_of(text_id: str) -> tuple[Any, ...]:
    return "notice", "9", "sent", {"notice": "personal", "text": text_id}


UNTIL = "2027-01-23T15:04:00+00:00"
LATER = "2027-02-22T18:04:00+03:00"
#: What the database writes down, and how a person who helps reads it.
LIFE: list[tuple[tuple[Any, ...], str]] = [
    (("user", "77", "met", {}), "Wrote to the bot for the first time"),
    (
        ("purchase", ORDER, "created", {"plan": "month", "price": 150, **CHARGE, "kind": "new"}),
        "Ordered 1 month for 150 ⭐, to be paid by Telegram Stars (order 1a2b3c4d)",
    ),
    (("purchase", ORDER, "awaiting_payment", {}), "Order 1a2b3c4d: its invoice was shown"),
    (("purchase", ORDER, "expired", {}), "Order 1a2b3c4d: nobody paid in time"),
    (
        ("payment", "17", "received", CHARGE),
        "Paid 150 ⭐ by Telegram Stars: payment #17",
    ),
    (
        ("payment", "17", "credited", {**CHARGE, "late": True}),
        "Payment #17 counts (came late)",
    ),
    (("purchase", ORDER, "paid", {}), "Order 1a2b3c4d: paid"),
    (
        ledger("payment", MONTH_S, pending_after=MONTH_S, actor=BUYER_WHO),
        "Bought time: adds 30 days. Waits for access: 30 days.",
    ),
    (key(KEY, "wished", "present"), "Key 0f0f0f0f is to be let in on node-1"),
    (key(KEY, "confirmed", "present"), "Key 0f0f0f0f works on node-1"),
    (
        ledger("activation", expires_after=UNTIL, actor="provisioner"),
        "Access works, the time starts. Works until 23 January 2027, 15:04 UTC.",
    ),
    (("notice", "9", "sent", {"notice": "purchase"}), "Was told: the state of an order"),
    (("notice", "9", "sent", {"notice": "link"}), "Was told: the link"),
    (
        ledger("payment", MONTH_S, expires_after=LATER, actor=BUYER_WHO),
        "Bought time: adds 30 days. Works until 22 February 2027, 15:04 UTC.",
    ),
    (
        key(NEW_KEY, "wished", "present", "reissue"),
        "Key abababab is to be let in on node-1 (new link)",
    ),
    (key(NEW_KEY, "confirmed", "present", "reissue"), "Key abababab works on node-1 (new link)"),
    (key(KEY, "wished", "absent"), "Key 0f0f0f0f is to be shut out on node-1"),
    (key(KEY, "confirmed", "absent"), "Key 0f0f0f0f is shut out on node-1"),
    (act("ban", "spam"), "owner 1000: banned. spam"),
    (("user", "77", "banned", {}), "Banned"),
    (
        ledger("suspend", pending_after=3 * 3_600, actor=OWNER_WHO, reason="spam"),
        "Access is paused by owner 1000, the time is kept. spam Waits for access: 3 hours.",
    ),
    (told_of("news-suspended"), "Was told: access is paused"),
    (act("unban", "a mistake"), "owner 1000: lifted the ban. a mistake"),
    (("user", "77", "active", {}), "The ban is lifted"),
    (
        ledger("restore", pending_after=3 * 3_600, actor=OWNER_WHO, reason="a mistake"),
        "Access is restored by owner 1000. a mistake Waits for access: 3 hours.",
    ),
    (act("grant", "sorry"), "owner 1000: gave time. sorry"),
    (
        ledger("grant", 86_400, expires_after=UNTIL, actor=OWNER_WHO, reason="sorry"),
        "Given by owner 1000: adds 1 day. sorry Works until 23 January 2027, 15:04 UTC.",
    ),
    (act("refund", "asked"), "owner 1000: gave money back. asked"),
    (
        ("payment", "17", "refund_pending", {**CHARGE, "reason": "asked"}),
        "Payment #17 goes back, 150 ⭐: asked",
    ),
    (("purchase", ORDER, "refund_pending", {}), "Order 1a2b3c4d: its money goes back"),
    (
        ledger("refund", -MONTH_S, expires_after=UNTIL, actor=OWNER_WHO, reason="asked"),
        "Refund by owner 1000: takes 30 days away. asked Works until 23 January 2027, 15:04 UTC.",
    ),
    (("payment", "17", "refunded", CHARGE), "Payment #17 went back, 150 ⭐"),
    (("purchase", ORDER, "refunded", {}), "Order 1a2b3c4d: its money went back"),
    (told_of("news-refunded"), "Was told: money went back"),
    (
        ("payment", "18", "mismatch", {**CHARGE, "reason": "no such order"}),
        "Payment #18 is held: no such order",
    ),
    (
        ledger("refund", -3_600, actor="tollgate", reason="not decided within a day"),
        "Refund by the program: takes 1 hour away. not decided within a day",
    ),
    (
        ledger("refund", -3_600, actor="cryptopay", reason="given back outside"),
        "Refund by Crypto Pay: takes 1 hour away. given back outside",
    ),
    (
        ("purchase", ORDER, "rejected", {"plan": "month", "by": OWNER_WHO}),
        "Order 1a2b3c4d: no money was found, by owner 1000",
    ),
    (act("approve_order", ""), "owner 1000: found the money of an order."),
    (act("reject_order", ""), "owner 1000: found no money for an order."),
    (act("refunded_by_hand", ""), "owner 1000: gave money back by hand."),
    (act("credit_held", "seen"), "owner 1000: let held money count. seen"),
    (ledger("trial", 86_400, pending_after=86_400), "Trial: adds 1 day. Waits for access: 1 day."),
    (ledger("expiry", expires_after=UNTIL), "The time is over."),
    (("user", "77", "unreachable", {}), "Blocked the bot"),
    (("notice", "9", "failed", {"notice": "link"}), "Could not be told: the link"),
]


@pytest.mark.parametrize(("written", "words"), LIFE)
def test_every_moment_of_a_life_is_read_without_the_code(
    texts: Texts, plans: Plans, written: tuple[Any, ...], words: str
) -> None:
    kind, subject, event, details = written
    one = StoryRow(at=NOW, kind=kind, subject=subject, event=event, details=details)
    assert story_line(one, plans, texts, "en") == words
    russian = story_line(one, plans, texts, "ru")
    assert re.search(r"[\u0430-\u044f]", russian)
    for name in ("telegram:", "user/", "tollgate", "provisioner", "news-", "stars", "cryptopay"):
        assert name not in russian


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text_id", NEWS)
def test_all_news_that_were_told_have_a_name(
    texts: Texts, plans: Plans, text_id: str, language: str
) -> None:
    one = row("notice", "sent", notice="personal", text=text_id)
    assert "news" not in story_line(one, plans, texts, language)


@pytest.mark.parametrize("status", sorted(set(PurchaseStatus) - {PurchaseStatus.CREATED}))
def test_all_that_an_order_becomes_has_words(texts: Texts, plans: Plans, status: str) -> None:
    # In Russian: English words may be the states' own names.
    assert status not in story_line(row("purchase", status), plans, texts, "ru")


@pytest.mark.parametrize("disposition", Disposition)
def test_all_that_a_payment_becomes_has_words(texts: Texts, plans: Plans, disposition: str) -> None:
    assert disposition not in story_line(row("payment", disposition, **CHARGE), plans, texts, "ru")


@pytest.mark.parametrize(
    "details",
    [
        {"amount": 150, "currency": "XTR", "provider": "x" * 999, "reason": "x" * 999},
        {"delta_s": 10**30},
        {"delta_s": 1, "expires_after": "never"},
        {"delta_s": 1, "actor": "telegram:" + "9" * 999, "reason": "\n" * 99 + "x" * 999},
        {"desired": "x" * 999, "node": "x" * 999, "origin": "x" * 999},
        {"actor": "\N{RIGHT-TO-LEFT OVERRIDE}" * 999, "reason": "x" * 999, "text": "x" * 999},
    ],
)
@pytest.mark.parametrize("kind", ["purchase", "payment", "key", "notice", "ledger", "act"])
def test_a_line_stays_one_line_and_short(
    texts: Texts, plans: Plans, kind: str, details: dict[str, Any]
) -> None:
    line = story_line(row(kind, "x" * 999, **details), plans, texts, "en")
    assert line.isprintable()
    assert units(line) < 600
