"""Pure: what the rows behind a message say now."""

from actors.notifier.ports import LinkReady, Notice, OwnerAlert, Progress, PurchaseProgress
from storage.rows import AlertNews, LinkNews, PurchaseNews, SubscriptionStatus

#: For owners who never wrote to the bot.
DEFAULT_LANGUAGE = "en"
#: Full jitter over this, doubling, up to the cap; seconds.
RETRY_BASE_S = 0.5
RETRY_CAP_S = 60.0
#: Far above the cap; after some thousand attempts a float would overflow.
MOST_DOUBLINGS = 64


def decide_notice(news: PurchaseNews | LinkNews | AlertNews) -> Notice | None:
    """What to tell; None for a link without access, which brings its own when it is back."""
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
    subscription = news.subscription
    if subscription.status is not SubscriptionStatus.ACTIVE or subscription.expires_at is None:
        return None
    return LinkReady(
        chat_id=news.user.tg_id,
        language=news.user.language,
        link=news.link,
        plan_id=subscription.plan_id,
        expires_at=subscription.expires_at,
    )


def decide_wait(attempts: int, asked_s: float | None, jitter: float) -> float:
    """Seconds until a message is tried again, after so many attempts; Telegram's word counts."""
    if asked_s is not None:
        return asked_s
    return jitter * min(RETRY_CAP_S, RETRY_BASE_S * 2.0 ** min(attempts, MOST_DOUBLINGS))


def _progress(news: PurchaseNews) -> Progress:
    if news.held:
        return Progress.HELD
    if news.purchase.fulfilled_at is not None:
        return Progress.EXTENDED if news.purchase.kind == "renew" else Progress.READY
    return Progress.DELAYED if news.delayed else Progress.ACTIVATING
