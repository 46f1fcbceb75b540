"""What the rows behind a message say, and when it is tried again."""

from datetime import timedelta
from typing import Any

import pytest

from actors.notifier.decisions import decide_notice, decide_wait
from actors.notifier.ports import (
    LinkReady,
    OwnerAlert,
    PersonalNotice,
    Progress,
    PurchaseProgress,
)
from storage.rows import (
    AlertNews,
    LinkNews,
    PersonalNews,
    PurchaseNews,
    PurchaseStatus,
    SubscriptionStatus,
    UserStatus,
)
from tests.unit.actors.rows import BUYER, MONTH, NOW, purchase, subscription, user

LINK = "vless://00000000-0000-4000-8000-0000000000aa@node.example:443?security=reality"
PAID = purchase(status=PurchaseStatus.PAID, message_id=900)
ACTIVE = subscription(SubscriptionStatus.ACTIVE)


def progress(**changes: Any) -> PurchaseProgress:
    """What is told of a paid order whose access is being made, with details changed."""
    usual: dict[str, Any] = {
        "user": user(language="ru"),
        "purchase": PAID,
        "subscription": subscription(SubscriptionStatus.ACTIVATING),
        "held": False,
        "delayed": False,
    }
    notice = decide_notice(PurchaseNews(**(usual | changes)))
    assert isinstance(notice, PurchaseProgress)
    return notice


def test_a_paid_order_tells_that_access_is_being_made() -> None:
    assert progress() == PurchaseProgress(
        chat_id=BUYER,
        message_id=900,
        language="ru",
        progress=Progress.ACTIVATING,
        plan_id="month",
        price=150,
        currency="XTR",
        expires_at=None,
    )


FULFILLED = purchase(status=PurchaseStatus.PAID, fulfilled_at=NOW)
RENEWED = purchase(status=PurchaseStatus.PAID, fulfilled_at=NOW, kind="renew")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"delayed": True}, Progress.DELAYED),
        ({"held": True}, Progress.HELD),
        ({"held": True, "delayed": True, "purchase": FULFILLED}, Progress.HELD),
        ({"purchase": FULFILLED, "subscription": ACTIVE}, Progress.READY),
        ({"purchase": FULFILLED, "subscription": ACTIVE, "delayed": True}, Progress.READY),
        ({"purchase": RENEWED, "subscription": ACTIVE}, Progress.EXTENDED),
    ],
    ids=["node away", "held", "held first of all", "ready", "ready before delayed", "extended"],
)
def test_an_order_tells_how_far_it_has_come(changes: dict[str, Any], told: Progress) -> None:
    assert progress(**changes).progress is told


def test_an_order_tells_until_when() -> None:
    assert progress(purchase=FULFILLED, subscription=ACTIVE).expires_at == NOW + MONTH


def test_an_order_without_a_subscription_tells_no_end() -> None:
    assert progress(held=True, subscription=None).expires_at is None


def test_a_link_is_told_while_its_access_is_on() -> None:
    news = LinkNews(user=user(), subscription=ACTIVE, link=LINK)

    assert decide_notice(news) == LinkReady(
        chat_id=BUYER, language="en", link=LINK, plan_id="month", expires_at=NOW + MONTH
    )


@pytest.mark.parametrize(
    "row",
    [
        subscription(SubscriptionStatus.EXPIRED),
        subscription(SubscriptionStatus.SUSPENDED),
        subscription(SubscriptionStatus.ACTIVATING),
        subscription(SubscriptionStatus.ACTIVATING, expires_at=NOW - timedelta(days=9)),
    ],
    ids=["expired", "suspended", "activating", "lapsed and paid again"],
)
def test_a_link_is_not_told_without_access(row: Any) -> None:
    """Access that begins again brings a message of its own."""
    assert decide_notice(LinkNews(user=user(), subscription=row, link=LINK)) is None


@pytest.mark.parametrize(("language", "spoken"), [("ru", "ru"), (None, "en")])
def test_an_alert_goes_to_its_owner_in_the_language_that_is_known(
    language: str | None, spoken: str
) -> None:
    news = AlertNews(owner=1, language=language, text_id="alert-storm", arguments={"children": 20})

    assert decide_notice(news) == OwnerAlert(
        chat_id=1, language=spoken, text_id="alert-storm", arguments={"children": 20}
    )


@pytest.mark.parametrize(
    ("attempts", "ceiling_s"), [(0, 0.5), (1, 1.0), (6, 32.0), (7, 60.0), (1_000_000, 60.0)]
)
def test_the_wait_grows_to_its_cap(attempts: int, ceiling_s: float) -> None:
    assert decide_wait(attempts, None, 1.0) == ceiling_s
    assert decide_wait(attempts, None, 0.5) == ceiling_s / 2


def test_telegram_s_own_wait_is_kept() -> None:
    assert decide_wait(9, 3.0, 0.5) == 3.0


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (PurchaseStatus.REFUND_PENDING, Progress.REFUNDING),
        (PurchaseStatus.REFUNDED, Progress.REFUNDED),
        (PurchaseStatus.REJECTED, Progress.REJECTED),
    ],
)
def test_an_order_that_was_undone_tells_so(status: PurchaseStatus, told: Progress) -> None:
    assert progress(purchase=purchase(status=status, fulfilled_at=NOW)).progress is told
    # Every order that is not paid counts as held, by its row: what became of it says more.
    assert progress(purchase=purchase(status=status), held=True).progress is told


NONE, ACTIVATING = SubscriptionStatus.NONE, SubscriptionStatus.ACTIVATING
ON, OVER = SubscriptionStatus.ACTIVE, SubscriptionStatus.EXPIRED
SUSPENDED = SubscriptionStatus.SUSPENDED


@pytest.mark.parametrize(
    ("text_id", "still_so"),
    [
        ("news-expired", {NONE, OVER}),
        ("news-suspended", {SUSPENDED}),
        ("news-restored", {NONE, ACTIVATING, ON, OVER}),
        ("news-of-tomorrow", set(SubscriptionStatus)),
    ],
)
@pytest.mark.parametrize("status", SubscriptionStatus)
def test_a_persons_news_is_told_while_it_is_so(
    text_id: str, still_so: set[SubscriptionStatus], status: SubscriptionStatus
) -> None:
    news = PersonalNews(
        user=user(language="ru"),
        subscription=subscription(status),
        text_id=text_id,
        arguments={"days": 3},
    )
    told = PersonalNotice(chat_id=BUYER, language="ru", text_id=text_id, arguments={"days": 3})

    assert decide_notice(news) == (told if status in still_so else None)


@pytest.mark.parametrize(
    ("text_id", "status"),
    [
        ("news-ends-in-3-days", ON),
        ("news-ends-tomorrow", ON),
        ("news-ends-soon", ON),
        ("news-missed", OVER),
    ],
)
@pytest.mark.parametrize("now", SubscriptionStatus)
@pytest.mark.parametrize("renewed", [False, True])
def test_a_reminder_is_told_while_the_time_is_the_one_it_is_about(
    text_id: str, status: SubscriptionStatus, now: SubscriptionStatus, *, renewed: bool
) -> None:
    present = subscription(now)
    news = PersonalNews(
        user=user(),
        subscription=present,
        text_id=text_id,
        arguments={"version": present.version - renewed},
    )

    assert (decide_notice(news) is not None) is (now is status and not renewed)


@pytest.mark.parametrize(("text_id", "told"), [("news-suspended", True), ("news-restored", False)])
def test_who_is_banned_without_access_is_suspended(text_id: str, told: bool) -> None:
    news = PersonalNews(
        user=user(status=UserStatus.BANNED), subscription=None, text_id=text_id, arguments={}
    )

    assert (decide_notice(news) is not None) is told
