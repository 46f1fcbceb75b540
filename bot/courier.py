"""Carries notices to people over Telegram; whatever Telegram answers becomes an outcome."""

from aiogram import Bot
from aiogram.exceptions import (
    TelegramAPIError,
    TelegramBadRequest,
    TelegramForbiddenError,
    TelegramRetryAfter,
)

from actors.notifier.ports import (
    CannotReach,
    Carried,
    CarryLater,
    CarryOutcome,
    LinkReady,
    Notice,
    OwnerAlert,
    PersonalNotice,
    PurchaseProgress,
)
from bot import replies
from bot.chat import Chat, is_nobody
from bot.reports.alerts import alert
from bot.texts import Texts
from config.plans import Plans


class TelegramCourier:
    """A `Courier`: an order's live message is edited, links are pictures, alerts new messages."""

    def __init__(self, bot: Bot, texts: Texts, plans: Plans) -> None:
        self._bot = bot
        self._texts = texts
        self._plans = plans

    async def carry(self, notice: Notice) -> CarryOutcome:
        """Send or edit one notice; after a lost reply it may come twice, which harms nobody."""
        try:
            return Carried(message_id=await self._deliver(notice))
        except TelegramRetryAfter as error:
            return CarryLater(after_s=float(error.retry_after), reason="flood limit")
        except TelegramForbiddenError as error:
            return CannotReach(reason=_reason(error, notice))
        except TelegramAPIError as error:
            if isinstance(error, TelegramBadRequest) and is_nobody(error):
                return CannotReach(reason=_reason(error, notice))
            # Also what Telegram finds wrong in our text: mended by a release, not lost until then.
            return CarryLater(after_s=None, reason=_reason(error, notice))

    async def _deliver(self, notice: Notice) -> int:
        match notice:
            case PurchaseProgress():
                chat = self._chat(notice, notice.message_id)
                return await chat.show(replies.progress(notice, self._plans))
            case LinkReady():
                return await self._chat(notice, None).send_link(
                    notice.link,
                    plan=replies.title(notice.plan_id, self._plans),
                    until=notice.expires_at,
                    moved=notice.moved,
                )
            case PersonalNotice():
                news = replies.personal(notice.text_id, notice.arguments, self._plans)
                return await self._chat(notice, None).show(news)
            case OwnerAlert():
                return await self._chat(notice, None).show(alert(notice, self._plans))

    def _chat(self, notice: Notice, message_id: int | None) -> Chat:
        return Chat(
            bot=self._bot,
            texts=self._texts,
            chat_id=notice.chat_id,
            language=notice.language,
            message_id=message_id,
        )


def _reason(error: TelegramAPIError, notice: Notice) -> str:
    """Telegram's words for the log, which must never hold a link."""
    if isinstance(notice, LinkReady) and "://" in error.message:
        return type(error).__name__
    return error.message
