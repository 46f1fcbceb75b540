"""Pure: what the rows behind a message say now."""

from collections.abc import Sequence
from itertools import groupby

from actors.notifier.ports import (
    LinkReady,
    Notice,
    OwnerAlert,
    PersonalNotice,
    Progress,
    PurchaseProgress,
)
from storage.rows import (
    AlertNews,
    LinkNews,
    OutboxRow,
    PersonalNews,
    PurchaseNews,
    PurchaseStatus,
    SubscriptionStatus,
    UserStatus,
)

#: For owners who never wrote to the bot.
DEFAULT_LANGUAGE = "en"
#: Full jitter over this, doubling, up to the cap; seconds.
RETRY_BASE_S = 0.5
RETRY_CAP_S = 60.0
#: Far above the cap; after some thousand attempts a float would overflow.
MOST_DOUBLINGS = 64
#: What an order's status says without regard to the access that it bought.
OUTCOMES = {
    PurchaseStatus.REFUND_PENDING: Progress.REFUNDING,
    PurchaseStatus.REFUNDED: Progress.REFUNDED,
    PurchaseStatus.REJECTED: Progress.REJECTED,
}


def decide_notice(news: PurchaseNews | LinkNews | PersonalNews | AlertNews) -> Notice | None:
    """What to tell; None for what is not so any more.

    That is also a link without access: access brings its own when it is back.
    """
    if isinstance(news, PurchaseNews):
        return PurchaseProgress(
            chat_id=news.purchase.chat_id,
            message_id=news.purchase.message_id,
            language=news.user.language,
            progress=_progress(news),
            plan_id=news.purchase.plan_id,
            price=news.purchase.price,
            currency=news.purchase.currency,
            expires_at=news.subscription.expires_at if news.subscription else None,
        )
    if isinstance(news, AlertNews):
        return OwnerAlert(
            chat_id=news.owner,
            language=news.language or DEFAULT_LANGUAGE,
            text_id=news.text_id,
            arguments=news.arguments,
        )
    if isinstance(news, PersonalNews):
        return _personal(news)
    subscription = news.subscription
    if subscription.status is not SubscriptionStatus.ACTIVE or subscription.expires_at is None:
        return None
    return LinkReady(
        chat_id=news.user.tg_id,
        language=news.user.language,
        link=news.link,
        plan_id=subscription.plan_id,
        expires_at=subscription.expires_at,
        moved=news.moved,
    )


def decide_order(rows: Sequence[OutboxRow]) -> list[list[OutboxRow]]:
    """Each listener's rows, in the order in which listeners are served.

    Owners come first: an alert may be about what holds up all others, and the pace of a chat lets
    an owner take one message a second from everybody else, no more.
    """
    # The sort keeps the order of each person's rows.
    ordered = sorted(rows, key=_listener)
    groups = [list(theirs) for _, theirs in groupby(ordered, key=_listener)]
    first = {row.id: place for place, row in enumerate(rows)}
    return sorted(groups, key=lambda theirs: (not _has_alert(theirs), first[theirs[0].id]))


def decide_wait(attempts: int, asked_s: float | None, jitter: float) -> float:
    """Seconds until a message is tried again, after so many attempts; Telegram's word counts."""
    if asked_s is not None:
        return asked_s
    return jitter * min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(attempts, MOST_DOUBLINGS))


def _progress(news: PurchaseNews) -> Progress:
    if news.purchase.status in OUTCOMES:
        return OUTCOMES[news.purchase.status]
    if news.held:
        return Progress.HELD
    if news.purchase.fulfilled_at is not None:
        return Progress.EXTENDED if news.purchase.kind == "renew" else Progress.READY
    return Progress.DELAYED if news.delayed else Progress.ACTIVATING


def _personal(news: PersonalNews) -> PersonalNotice | None:
    if not _still_so(news):
        return None
    return PersonalNotice(
        chat_id=news.user.tg_id,
        language=news.user.language,
        text_id=news.text_id,
        arguments=news.arguments,
    )


def _still_so(news: PersonalNews) -> bool:
    status = news.subscription.status if news.subscription else SubscriptionStatus.NONE
    banned = news.user.status is UserStatus.BANNED
    suspended = banned or status is SubscriptionStatus.SUSPENDED
    match news.text_id:
        case "news-expired":
            return status in {SubscriptionStatus.NONE, SubscriptionStatus.EXPIRED}
        case "news-suspended":
            return suspended
        case "news-ends-in-3-days" | "news-ends-tomorrow" | "news-ends-soon":
            return status is SubscriptionStatus.ACTIVE and _unchanged(news)
        case "news-missed":
            return status is SubscriptionStatus.EXPIRED and _unchanged(news)
        case "news-restored":
            return not suspended
        case _:
            return True


def _unchanged(news: PersonalNews) -> bool:
    """Whether the time is still the one that the news are about."""
    return (
        news.subscription is not None and news.arguments.get("version") == news.subscription.version
    )


def _has_alert(rows: Sequence[OutboxRow]) -> bool:
    return any(row.kind == "alert" for row in rows)


def _listener(row: OutboxRow) -> int:
    return row.listener
