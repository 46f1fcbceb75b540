"""One update's view of the chat: who asked, and where the reply is shown."""

from dataclasses import dataclass, replace

from aiogram.exceptions import TelegramBadRequest
from aiogram.types import CallbackQuery, User

from bot.chat import Chat, is_late
from bot.replies import Reply, Toast


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A person's chat, and the tap to be answered; None when they wrote a message."""

    user: User
    chat: Chat
    tap: CallbackQuery | None = None

    def speaking(self, language: str) -> "Screen":
        """The same screen in another language."""
        return replace(self, chat=replace(self.chat, language=language))

    def below(self) -> "Screen":
        """The same screen, leaving what was tapped as it is."""
        return replace(self, chat=replace(self.chat, message_id=None))

    async def acknowledge(self, toast: Toast | None = None) -> None:
        """Stop the tapped button from spinning. Too late is no error: the work goes on."""
        if self.tap is None:
            return
        text = self.chat.texts.get(toast.text_id, self.chat.language) if toast else None
        try:
            await self.tap.answer(text)
        except TelegramBadRequest as error:
            if not is_late(error):
                raise

    async def show(self, reply: Reply) -> None:
        """Show a reply in place of the tapped message, or as a new one."""
        await self.chat.show(reply)

    async def answer(self, what: Reply | Toast) -> None:
        """Answer a tap that was not acknowledged yet: with a line over the chat, or in it."""
        if isinstance(what, Toast):
            await self.acknowledge(what)
            return
        await self.acknowledge()
        await self.show(what)
