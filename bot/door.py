"""The shop's door to Telegram: all that needs a bot account, behind one object."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import structlog
from aiogram import Bot
from aiogram.exceptions import TelegramAPIError, TelegramNotFound, TelegramUnauthorizedError
from aiogram.types import BotCommandScopeChat

from actors.payments.messages import credit_of
from actors.runtime.address import Address
from actors.runtime.clock import epoch_now
from bot.checkout import NodesNow
from bot.courier import TelegramCourier
from bot.dispatcher import admin_commands, build_dispatcher, commands
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway, PushGateway
from bot.intake import (
    BUG_TRIES,
    NOTHING_TO_DO,
    InboxWorker,
    TelegramIntake,
    UnknownSource,
    WebhookIntake,
)
from bot.ports import Operations, Queries, UpdateInbox, Users
from bot.session import make_bot
from bot.texts import DEFAULT_LANGUAGE, LANGUAGES, Texts
from bot.web.server import TelegramHook, WebActor, WebLimits
from config.keys import MasterKeys
from config.plans import Plans
from config.settings import HttpSection, TelegramSection
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
        nodes: Callable[[], NodesNow],
        keys: MasterKeys,
        weather: tuple[type[Exception], ...],
        operations: Operations,
        gateways: Mapping[str, Gateway] | None = None,
        http: HttpSection | None = None,
        bot: Bot | None = None,
    ) -> None:
        self._telegram = telegram
        self._http = http or HttpSection()
        self._users = users
        self._pushes = {
            name: one for name, one in (gateways or {}).items() if isinstance(one, PushGateway)
        }
        self._bot = bot or make_bot(telegram.token.get_secret_value(), guard, telegram.api_base)
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
            gateways=gateways or {},
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

    def intake(self, worker: Address) -> TelegramIntake | WebhookIntake:
        """Takes updates in and wakes `worker`, or has Telegram send them to `web`."""
        allowed = self._dispatcher.resolve_used_update_types()
        hook = self._hook()
        if hook is not None and self._telegram.webhook_url is not None:
            return WebhookIntake(self._bot, self._telegram.webhook_url, hook.secret, allowed)
        return TelegramIntake(self._bot, self._inbox, allowed, worker)

    def inbox_worker(self) -> InboxWorker:
        """Works on updates that were taken in."""
        return InboxWorker(self._inbox, self._dispatch)

    def web(self, worker: Address) -> WebActor:
        """Serves webhooks and health; wakes `worker`."""
        return WebActor(
            WebLimits(listen=self._http.listen, trusted_proxies=self._http.trusted_proxies),
            self._inbox,
            worker,
            hook=self._hook(),
            pushes=self._pushes,
            epoch_now=epoch_now,
        )

    def _hook(self) -> TelegramHook | None:
        url, secret = self._telegram.webhook_url, self._telegram.webhook_secret
        if self._telegram.mode != "webhook" or url is None or secret is None:
            return None
        return TelegramHook(
            path=urlsplit(url).path or "/",
            secret=secret.get_secret_value(),
            bot_id=self._telegram.bot_id,
        )

    async def _dispatch(self, row: InboxRow) -> Any:
        if not row.source.startswith("telegram:"):
            return await self._credit(row)
        return await self._dispatcher.feed_raw_update(
            self._bot,
            json.loads(row.payload),
            raw_update=row.payload,
            operation_id=f"{row.source}:{row.source_id}",
            last_try=row.attempts + 1 >= BUG_TRIES,
        )

    async def _credit(self, row: InboxRow) -> str | None:
        """What a provider's push says was paid, credited; the same push again changes nothing."""
        gateway = self._pushes.get(row.source)
        if gateway is None:
            raise UnknownSource(row.source)
        charges = gateway.charges_in(row.payload)
        for charge in charges:
            await self._users.ask(charge.user_id, credit_of(row.source, charge))
        return None if charges else NOTHING_TO_DO
