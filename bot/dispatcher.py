"""Puts the routers together, fresh at each call, and hands their handlers the collaborators."""

from collections.abc import Callable, Mapping

from aiogram import Dispatcher, F, Router
from aiogram.enums import ChatType
from aiogram.types import BotCommand

from actors.runtime.replies import Unavailable
from bot.checkout import NodesNow
from bot.gateways.payload import PayloadSigner
from bot.gateways.port import Gateway
from bot.middlewares import LanguageMiddleware, ScreenMiddleware
from bot.ports import Operations, Queries, Users
from bot.routers.admin.supervision import supervision_router
from bot.routers.errors import errors_router
from bot.routers.user.access import access_router
from bot.routers.user.buy import buy_router
from bot.routers.user.info import info_router
from bot.routers.user.link import link_router
from bot.routers.user.pay import pay_router
from bot.routers.user.presence import presence_router
from bot.routers.user.settings import settings_router
from bot.routers.user.start import start_router, unknown_router
from bot.texts import DEFAULT_LANGUAGE, LANGUAGES, Texts
from config.plans import Plans

#: Shown in the menu of the chat, in this order.
COMMANDS = ("start", "buy", "link", "help", "language", "terms", "paysupport")
#: In the menus of owners, after those.
ADMIN_COMMANDS = (
    "why",
    "held",
    "grant",
    "revoke",
    "restore",
    "ban",
    "unban",
    "refund",
    "refunded",
    "credit",
    "actors",
    "actor",
    "policy",
    "dl",
    "nodes",
    "reconcile",
    "breaker",
    "expiry",
)


def build_dispatcher(  # noqa: PLR0913 - a collaborator each
    *,
    users: Users,
    queries: Queries,
    plans: Plans,
    nodes: Callable[[], NodesNow],
    texts: Texts,
    signer: PayloadSigner,
    gateways: Mapping[str, Gateway],
    admins: tuple[int, ...],
    weather: tuple[type[Exception], ...] = (Unavailable,),
    operations: Operations | None = None,
) -> Dispatcher:
    """A dispatcher for `feed_raw_update`.

    Each update needs two values more: `operation_id: str`, the same however often the update
    comes, and `raw_update: str`, its JSON as it came. What handlers raise is to be retried.

    Args:
        users: the actors of all users.
        queries: reads of rows.
        plans: what is sold.
        nodes: how the nodes stand whenever it is asked.
        texts: what the bot says.
        signer: signs invoices, and knows them again.
        gateways: ways to pay, by the names of their terms, in the order shown.
        admins: ids of the owners; they get questions about payments.
        weather: what `users`, `queries` and `operations` raise during an outage.
        operations: what owners see and do from the chat; None: nothing.
    """
    # Reads have deadlines of the bot's own.
    unanswered: tuple[type[Exception], ...] = (TimeoutError, *weather)
    dispatcher = Dispatcher(
        disable_fsm=True,  # steps live in buttons and rows, so a restart forgets none
        users=users,
        queries=queries,
        plans=plans,
        nodes=nodes,
        texts=texts,
        signer=signer,
        gateways=gateways,
        currencies=tuple(gateway.terms.currency for gateway in gateways.values()),
        admins=admins,
        unanswered=unanswered,
        operations=operations,
    )
    _add_middlewares(dispatcher, LanguageMiddleware(queries, texts, unanswered), texts)
    private = _private_chats()
    of_owners = supervision_router(admins, unanswered, operations=operations is not None)
    private.include_router(of_owners)
    private.include_router(unknown_router())
    dispatcher.include_routers(errors_router(weather), pay_router(), presence_router(), private)
    return dispatcher


def commands(texts: Texts) -> dict[str | None, list[BotCommand]]:
    """The command menu by `language_code` of setMyCommands; None is for everybody else."""
    menus: dict[str | None, list[BotCommand]] = {
        language: _menu(texts, language) for language in LANGUAGES if language != DEFAULT_LANGUAGE
    }
    return {None: _menu(texts, DEFAULT_LANGUAGE), **menus}


def admin_commands(texts: Texts, language: str) -> list[BotCommand]:
    """The command menu of an owner's chat, which takes the place of the other."""
    return _menu(texts, language, (*COMMANDS, *ADMIN_COMMANDS))


def _menu(texts: Texts, language: str, names: tuple[str, ...] = COMMANDS) -> list[BotCommand]:
    return [
        BotCommand(command=name, description=texts.get(f"command-{name}", language))
        for name in names
    ]


def _add_middlewares(dispatcher: Dispatcher, language: LanguageMiddleware, texts: Texts) -> None:
    """Inner ones: they run only for updates that some handler takes."""
    screen = ScreenMiddleware(texts)
    dispatcher.pre_checkout_query.middleware(language)
    for observer in (dispatcher.message, dispatcher.callback_query):
        observer.middleware(language)
        observer.middleware(screen)


def _private_chats() -> Router:
    """What a person writes and taps; groups and channels are not listened to."""
    router = Router(name="private")
    router.message.filter(F.chat.type == ChatType.PRIVATE)
    router.callback_query.filter(F.message.chat.type == ChatType.PRIVATE)
    router.include_routers(
        start_router(),
        buy_router(),
        access_router(),
        link_router(),
        settings_router(),
        info_router(),
    )
    return router
