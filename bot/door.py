"""The shop's door to Telegram: all that needs a bot account, behind one object."""

import json
from collections.abc import Callable
from typing import Any

import structlog
from aiogram.exceptions import TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import BotCommandScopeChat

from actors.runtime.address import Address
from bot.courier import TelegramCourier
from bot.dispatcher import admin_commands, build_dispatcher, commands
from bot.gateways.payload import PayloadSigner
from bot.intake import BUG_TRIES, InboxWorker, TelegramIntake
from bot.ports import Operations, Queries, UpdateInbox, Users
from bot.session import make_bot
from bot.texts import DEFAULT_LANGUAGE, LANGUAGES, Texts
from config.keys import MasterKeys
from config.plans import Plans
from config.settings import TelegramSection
from storage.rows import InboxRow

log = structlog.get_logger(__name__)


class TokenRefused(Exception):  # noqa: N818 - what Telegram said
    """Telegram does not know the bot's token."""


class TelegramDoor:
    """Makes the actors that talk to Telegram; each call makes a new one."""

    def __init__(  # noqa: PLR0913 - a collaborator each
        self,
        telegram: TelegramSection,
        *,
        guard: Callable[[], None],
        users: Users,
        queries: Queries,
        inbox: UpdateInbox,
        plans: Plans,
        nodes: frozenset[str],
        keys: MasterKeys,
        weather: tuple[type[Exception], ...],
        operations: Operations,
    ) -> None:
        self._bot = make_bot(telegram.token.get_secret_value(), guard, telegram.api_base)
        self._texts = Texts()
        self._plans = plans
        self._admins = telegram.admins
        self._inbox = inbox
        self._dispatcher = build_dispatcher(
            users=users,
            queries=queries,
            plans=plans,
            nodes=nodes,
            texts=self._texts,
            signer=PayloadSigner(keys),
            admins=telegram.admins,
            weather=weather,
            operations=operations,
        )

    async def introduce(self) -> None:
        """Show the commands in Telegram's menu. A Telegram that does not answer stops nothing.

        Raises:
            TokenRefused: the token is wrong.
        """
        try:
            for language, menu in commands(self._texts).items():
                await self._bot.set_my_commands(menu, language_code=language)
        except (TelegramUnauthorizedError, TelegramNotFound):  # 404 for a token of a wrong shape
            raise TokenRefused from None
        except TelegramAPIError as error:
            log.warning("telegram_waits", reason=type(error).__name__)
            return
        for owner in self._admins:
            await self._introduce_to(owner)

    async def _introduce_to(self, owner: int) -> None:
        """An owner's menu has the commands of owners too."""
        scope = BotCommandScopeChat(chat_id=owner)
        try:
            for language in LANGUAGES:
                code = None if language == DEFAULT_LANGUAGE else language
                menu = admin_commands(self._texts, language)
                await self._bot.set_my_commands(menu, scope=scope, language_code=code)
        except TelegramAPIError as error:  # never started the bot: no menu, commands work
            log.info("owner_has_no_menu", owner=owner, reason=type(error).__name__)

    async def close(self) -> None:
        """Drop the connections."""
        await self._bot.session.close()

    def courier(self) -> TelegramCourier:
        """Carries notices."""
        return TelegramCourier(self._bot, self._texts, self._plans)

    def intake(self, worker: Address) -> TelegramIntake:
        """Takes updates in; wakes `worker`."""
        allowed = self._dispatcher.resolve_used_update_types()
        return TelegramIntake(self._bot, self._inbox, allowed, worker)

    def inbox_worker(self) -> InboxWorker:
        """Works on updates that were taken in."""
        return InboxWorker(self._inbox, self._dispatch)

    async def _dispatch(self, row: InboxRow) -> Any:
        return await self._dispatcher.feed_raw_update(
            self._bot,
            json.loads(row.payload),
            raw_update=row.payload,
            operation_id=f"{row.source}:{row.source_id}",
            last_try=row.attempts + 1 >= BUG_TRIES,
        )
