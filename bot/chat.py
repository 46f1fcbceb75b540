"""Writes into a person's chat: a message is edited in place where it can be, else sent anew."""

from dataclasses import dataclass
from datetime import datetime

from aiogram import Bot
from aiogram.exceptions import TelegramBadRequest
from aiogram.types import BufferedInputFile, InlineKeyboardMarkup

from bot import keyboards
from bot.qr import qr_png
from bot.replies import Reply
from bot.texts import Texts
from config.plans import Title

# The Bot API has no codes for these; the words are what clients know them by.
_NOT_MODIFIED = "message is not modified"
_GONE = ("message to edit not found", "message can't be edited", "message_id_invalid")
_NOBODY = ("chat not found", "user not found", "peer_id_invalid", "user_is_deactivated")
_LATE = ("query is too old", "query id is invalid")


def is_late(error: TelegramBadRequest) -> bool:
    """Whether a tap or a pre-checkout question was answered after Telegram forgot it."""
    return any(words in error.message.lower() for words in _LATE)


def is_not_modified(error: TelegramBadRequest) -> bool:
    """Whether an edit would have changed nothing."""
    return _NOT_MODIFIED in error.message.lower()


def is_nobody(error: TelegramBadRequest) -> bool:
    """Whether there is no such person to write to."""
    return any(words in error.message.lower() for words in _NOBODY)


def _is_gone(error: TelegramBadRequest) -> bool:
    return any(words in error.message.lower() for words in _GONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A private chat, the language spoken there, and the message to edit, if any."""

    bot: Bot
    texts: Texts
    chat_id: int
    language: str
    message_id: int | None = None

    async def show(self, reply: Reply) -> int:
        """Show a reply and return its message's id; the same one twice is no error.

        Raises:
            TelegramAPIError: it was not shown, or nobody knows.
        """
        html = self.texts.html(reply.text_id, self.language, **reply.values)
        if reply.preface:
            html = f"{self.texts.html(reply.preface, self.language)}\n\n{html}"
        buttons = keyboards.markup(reply.keyboard, self.texts, self.language)
        if self.message_id is not None and await self._edit(self.message_id, html, buttons):
            return self.message_id
        sent = await self.bot.send_message(self.chat_id, html, reply_markup=buttons)
        return sent.message_id

    async def _edit(self, message_id: int, html: str, buttons: InlineKeyboardMarkup | None) -> bool:
        """Whether the message now reads so; not if it is there no more."""
        try:
            await self.bot.edit_message_text(
                html, chat_id=self.chat_id, message_id=message_id, reply_markup=buttons
            )
        except TelegramBadRequest as error:
            if _is_gone(error):
                return False
            if not is_not_modified(error):
                raise
        return True

    async def send_link(
        self, link: str, *, plan: Title, until: datetime, moved: bool = False
    ) -> int:
        """Send a link to copy and to scan, and return the message's id.

        One that `moved` says that the one before works no more.

        Raises:
            TelegramAPIError: it was not sent, or nobody knows.
        """
        text_id = "link-moved" if moved else "link-caption"
        caption = self.texts.html(text_id, self.language, link=link, plan=plan, until=until)
        sent = await self.bot.send_photo(
            self.chat_id,
            BufferedInputFile(await qr_png(link), filename="link.png"),
            caption=caption,
            reply_markup=keyboards.markup(keyboards.UNDER_LINK, self.texts, self.language),
        )
        return sent.message_id
