"""The Bot API methods about the bot itself: who it is, how updates reach it, its commands."""

import json

from bot.sandbox import rules
from bot.sandbox.calls import Call
from bot.sandbox.errors import ApiError
from bot.sandbox.state import Change, Params, World
from bot.sandbox.updates import BATCH_MAX, UpdateQueue
from bot.sandbox.webhook import Webhook


class BotMethods:
    """getMe, getUpdates, the webhook methods, the command methods, logOut and close."""

    def __init__(self, world: World, updates: UpdateQueue, webhook: Webhook) -> None:
        self._world = world
        self._updates = updates
        self._webhook = webhook

    def get_me(self, _: Call) -> Params:
        """See https://core.telegram.org/bots/api#getme; these flags appear nowhere else."""
        return {
            **self._world.bot,
            "can_join_groups": False,
            "can_read_all_group_messages": False,
            "supports_guest_queries": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
            "has_topics_enabled": False,
            "allows_users_to_create_topics": False,
            "can_manage_bots": False,
            "supports_join_request_queries": False,
        }

    async def get_updates(self, call: Call) -> list[Params]:
        """See https://core.telegram.org/bots/api#getupdates."""
        if self._webhook.url:
            raise ApiError(
                409,
                "Conflict: can't use getUpdates method while webhook is active;"
                " use deleteWebhook to delete the webhook first",
            )
        params = call.params
        self._allow(params)
        return await self._updates.poll(
            params.get("offset", 0), params.get("limit", BATCH_MAX), params.get("timeout", 0)
        )

    def set_webhook(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#setwebhook; an empty address removes it."""
        params = call.params
        if not params["url"]:
            return self.delete_webhook(call)
        rules.check_webhook(params["url"], params.get("secret_token"))
        self._allow(params)
        self._drop_pending(params)
        self._updates.terminate_poll("terminated by setWebhook request")
        self._webhook.start(
            params["url"], params.get("secret_token"), params.get("max_connections", 40)
        )
        return True

    def delete_webhook(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#deletewebhook."""
        self._drop_pending(call.params)
        self._webhook.stop()
        return True

    def get_webhook_info(self, _: Call) -> Params:
        """See https://core.telegram.org/bots/api#getwebhookinfo."""
        allowed = {"allowed_updates": self._updates.allowed} if self._updates.allowed else {}
        return {
            "url": self._webhook.url,
            "has_custom_certificate": False,
            "pending_update_count": len(self._updates),
            **self._webhook.described(),
            **allowed,
        }

    def set_my_commands(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#setmycommands."""
        rules.check_commands(call.params["commands"])
        self._world.commands[_command_key(call.params)] = call.params["commands"]
        self._world.publish(Change(None, "commands"))
        return True

    def delete_my_commands(self, call: Call) -> bool:
        """See https://core.telegram.org/bots/api#deletemycommands."""
        self._world.commands.pop(_command_key(call.params), None)
        self._world.publish(Change(None, "commands"))
        return True

    def get_my_commands(self, call: Call) -> list[Params]:
        """See https://core.telegram.org/bots/api#getmycommands."""
        return self._world.commands.get(_command_key(call.params), [])

    def log_out(self, _: Call) -> bool:
        """See https://core.telegram.org/bots/api#logout; there is nowhere to log out from."""
        return True

    def close(self, _: Call) -> bool:
        """See https://core.telegram.org/bots/api#close; nothing is held open."""
        return True

    def _allow(self, params: Params) -> None:
        """An omitted list keeps the previous one; an empty list means the default."""
        if "allowed_updates" in params:
            self._updates.allowed = list(params["allowed_updates"])

    def _drop_pending(self, params: Params) -> None:
        if params.get("drop_pending_updates"):
            self._updates.clear()


def _command_key(params: Params) -> str:
    return command_key(params.get("scope") or {"type": "default"}, params.get("language_code", ""))


def command_key(scope: Params, language: str) -> str:
    """One list of commands exists per scope and language."""
    return json.dumps([scope, language], sort_keys=True)


def commands_for(world: World, chat_id: int, language: str) -> list[Params]:
    """The commands a person sees: the narrowest scope first, each in the own language first."""
    scopes: list[Params] = [
        {"type": "chat", "chat_id": chat_id},
        {"type": "all_private_chats"},
        {"type": "default"},
    ]
    keys = [command_key(scope, code) for scope in scopes for code in (language, "")]
    return next((world.commands[key] for key in keys if world.commands.get(key)), [])
