"""The Bot API over HTTP: ``/bot<token>/<method>`` and ``/file/bot<token>/<path>``."""

import asyncio
import inspect
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from bot.sandbox.bot_methods import BotMethods
from bot.sandbox.calls import METHODS, Call, call_from, read_fields
from bot.sandbox.chat_methods import ChatMethods
from bot.sandbox.errors import ApiError
from bot.sandbox.faults import AnyFault, Delay, Drop, Faults, Hold, ReplyLost, Status
from bot.sandbox.payment_methods import PaymentMethods
from bot.sandbox.state import World

Handler = Callable[[Call], Any]

UPLOAD_MAX_BYTES = 50 * 1024 * 1024
"""The largest body a bot may send, from https://core.telegram.org/bots/api#sending-files."""


def handlers(bot: BotMethods, chat: ChatMethods, money: PaymentMethods) -> Mapping[str, Handler]:
    """Every method that the sandbox has, by its Bot API name."""
    return {
        "getMe": bot.get_me,
        "getUpdates": bot.get_updates,
        "setWebhook": bot.set_webhook,
        "deleteWebhook": bot.delete_webhook,
        "getWebhookInfo": bot.get_webhook_info,
        "setMyCommands": bot.set_my_commands,
        "getMyCommands": bot.get_my_commands,
        "deleteMyCommands": bot.delete_my_commands,
        "logOut": bot.log_out,
        "close": bot.close,
        "sendChatAction": chat.send_chat_action,
        "sendMessage": chat.send_message,
        "sendPhoto": chat.send_photo,
        "editMessageText": chat.edit_message_text,
        "editMessageCaption": chat.edit_message_caption,
        "editMessageReplyMarkup": chat.edit_message_reply_markup,
        "deleteMessage": chat.delete_message,
        "answerCallbackQuery": chat.answer_callback_query,
        "getFile": chat.get_file,
        "sendInvoice": money.send_invoice,
        "createInvoiceLink": money.create_invoice_link,
        "answerPreCheckoutQuery": money.answer_pre_checkout_query,
        "refundStarPayment": money.refund_star_payment,
        "getStarTransactions": money.get_star_transactions,
        "editUserStarSubscription": money.edit_user_star_subscription,
    }


class BotApi:
    """Takes calls, lets faults strike, executes, and answers in Telegram's envelope."""

    def __init__(
        self, token: str, world: World, faults: Faults, methods: Mapping[str, Handler]
    ) -> None:
        self._token = token
        self._world = world
        self._faults = faults
        self._methods = {name.casefold(): handler for name, handler in methods.items()}

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes of the Bot API."""
        return [
            web.get("/file/bot{token}/{path:.+}", self.serve_file),
            web.route("*", "/bot{token}/{method}", self.serve_call),
        ]

    async def execute(self, method: str, fields: dict[str, Any], uploads: dict[str, bytes]) -> Any:
        """One call without the network: what a webhook's answer carries comes here directly.

        Raises:
            ApiError: The call is refused.
        """
        return await self._run(self._receive(method, fields, uploads))

    async def serve_call(self, request: web.Request) -> web.StreamResponse:
        """Answers one HTTP request."""
        try:
            self._check_token(request)
            fields, uploads = await read_fields(request)
            call = self._receive(request.match_info["method"], fields, uploads)
            fault = self._faults.take(call.method)
            await _strike(fault)
            result = await self._run(call)
        except ApiError as error:
            return _refusal(error)
        except ConnectionAbortedError:
            return _hang_up(request)
        if isinstance(fault, ReplyLost):
            return _hang_up(request)
        return web.json_response({"ok": True, "result": result})

    def _receive(self, method: str, fields: dict[str, Any], uploads: dict[str, bytes]) -> Call:
        """The call, checked for its shape and written into the log."""
        if method.casefold() not in self._methods:
            raise ApiError(404, "Not Found: method not found")
        call = call_from(METHODS[method.casefold()], fields, uploads)
        self._world.calls.append(call)
        return call

    async def _run(self, call: Call) -> Any:
        result = self._methods[call.method.casefold()](call)
        return await result if inspect.isawaitable(result) else result

    async def serve_file(self, request: web.Request) -> web.StreamResponse:
        """Answers the download of a file that getFile named."""
        try:
            self._check_token(request)
        except ApiError as error:
            return _refusal(error)
        for stored in self._world.files.values():
            if stored.path == request.match_info["path"]:
                return web.Response(body=stored.content, content_type=stored.picture.media_type)
        return _refusal(ApiError(404, "Not Found"))

    def _check_token(self, request: web.Request) -> None:
        given = request.match_info["token"]
        if not secrets.compare_digest(given.encode(), self._token.encode()):
            raise ApiError(401, "Unauthorized")


async def _strike(fault: AnyFault | None) -> None:
    """What a fault does before the call is executed."""
    match fault:
        case Status():
            raise ApiError(fault.code, fault.description, fault.retry_after_s)
        case Delay():
            await asyncio.sleep(fault.seconds)  # noqa: TID251 - the outer world has its own pace
        case Hold():
            await fault.gate.wait()
        case Drop():
            raise ConnectionAbortedError
        case ReplyLost() | None:
            pass


def _refusal(error: ApiError) -> web.Response:
    body: dict[str, Any] = {
        "ok": False,
        "error_code": error.status,
        "description": error.description,
    }
    if error.retry_after_s is not None:
        body["parameters"] = {"retry_after": error.retry_after_s}
    return web.json_response(body, status=error.status)


def _hang_up(request: web.Request) -> web.Response:
    """Closes the connection under the client; the response is never written."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()
